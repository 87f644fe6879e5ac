"""A smaller machine for one command: a memory limit and a limit on reads, by the kernel's control groups.

The memory limit counts what a real small machine would count: the processes' own pages and the page cache of the files
that they read. Needs root, and a kernel with the memory (and blkio or io) controller; groups of version 1 and 2.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.errors import LpcError

_ROOT = Path("/sys/fs/cgroup")
_numbers = itertools.count()


class GroupUnavailableError(LpcError):
    """No control group can be made here: the message is a reason to skip a test."""


@dataclass(frozen=True)
class _Version:
    """Names of the files of one version of control groups."""

    memory_limit: str
    memory_peak: str
    memory_now: str
    read_limit: str


_V1 = _Version(
    "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.usage_in_bytes", "blkio.throttle.read_bps_device"
)
_V2 = _Version("memory.max", "memory.peak", "memory.current", "io.max")


class ControlGroup:
    """A context manager; `run` and `popen` start commands inside, and the group goes away with the block.

    `memory_bytes` limits memory with page cache (None: it is only counted), `read_bytes_per_s` limits reading from the
    disk that `disk_of` lies on. Entering raises GroupUnavailableError.
    """

    def __init__(
        self,
        *,
        memory_bytes: int | None = None,
        read_bytes_per_s: int | None = None,
        disk_of: Path = Path(),
        root: Path = _ROOT,
    ) -> None:
        self._memory_bytes = memory_bytes
        self._read_bytes_per_s = read_bytes_per_s
        self._disk_of = disk_of
        self._names = _V2 if (root / "cgroup.controllers").exists() else _V1
        name = f"lpc-{os.getpid()}-{next(_numbers)}"
        folders = [root] if self._names is _V2 else [root / "memory", root / "blkio"]
        if self._names is _V1 and read_bytes_per_s is None:
            folders = folders[:1]
        self._folders = [folder / name for folder in folders]

    @property
    def memory_folder(self) -> Path:
        """Where the memory controller's files of this group are."""
        return self._folders[0]

    def __enter__(self) -> ControlGroup:
        try:
            if self._names is _V2:
                (self._folders[0].parent / "cgroup.subtree_control").write_text("+memory +io")
            for folder in self._folders:
                folder.mkdir()
            (self.memory_folder / self._names.memory_peak).read_text()  # there at all?
            if self._memory_bytes is not None:
                self.limit_memory(self._memory_bytes)
            if self._read_bytes_per_s is not None:
                device = _disk(self._disk_of)
                limit = f"rbps={self._read_bytes_per_s}" if self._names is _V2 else str(self._read_bytes_per_s)
                (self._folders[-1] / self._names.read_limit).write_text(f"{device} {limit}")
        except OSError as error:
            self._remove()
            raise GroupUnavailableError(
                f"{error.filename or self.memory_folder}: no control group can be made here ({error.strerror}); "
                "it needs root and the memory and blkio (or io) controllers"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def limit_memory(self, size: int) -> None:
        """Set the limit in bytes, also while something runs; OSError if the kernel refuses, as version 1 may."""
        (self.memory_folder / self._names.memory_limit).write_text(str(size))

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a command inside the group."""
        files = [str(folder / "cgroup.procs") for folder in self._folders]
        # A shell that joins before it becomes the command: so that nothing is charged elsewhere before.
        joined = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done; shift; exec "$@"'
        return subprocess.Popen(["/bin/sh", "-c", joined, "sh", *files, "--", *command], **options)

    def run(self, command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command inside the group to its end; its stdout and stderr as text."""
        timeout = options.pop("timeout", None)
        with self.popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", **options
        ) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(list(command), process.returncode, out, err)

    @property
    def memory_now(self) -> int:
        """Bytes charged now."""
        return int((self.memory_folder / self._names.memory_now).read_text())

    @property
    def memory_peak(self) -> int:
        """The most bytes charged so far: processes, page cache, kernel."""
        return int((self.memory_folder / self._names.memory_peak).read_text())

    @property
    def out_of_memory_kills(self) -> int:
        """Processes that the kernel killed because the limit was met."""
        for name in ("memory.events", "memory.oom_control"):
            if (file := self.memory_folder / name).exists():
                fields = dict(line.split() for line in file.read_text().splitlines())
                return int(fields.get("oom_kill", 0))
        return 0

    @property
    def bytes_read(self) -> int | None:
        """Bytes read from disks; None without a limit on reads, where version 1 does not count them here."""
        name = "io.stat" if self._names is _V2 else "blkio.throttle.io_service_bytes"
        file = self._folders[-1] / name
        if not file.exists():
            return None
        words = file.read_text().split()
        if self._names is _V2:
            return sum(int(word[7:]) for word in words if word.startswith("rbytes="))
        return sum(int(count) for kind, count in itertools.pairwise(words) if kind == "Read")

    def _remove(self) -> None:
        for folder in self._folders:
            for _ in range(50):  # the kernel needs a moment after the last process has ended
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.02)
                else:
                    break


def _disk(path: Path) -> str:
    """MAJOR:MINOR of the whole disk that `path` lies on: limits are of disks, not of partitions."""
    number = os.stat(path).st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    entry = Path("/sys/dev/block") / device
    if (entry / "partition").exists():
        return (entry.resolve().parent / "dev").read_text().strip()
    return device
