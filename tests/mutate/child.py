"""One attempt in a process of its own: forked from a parent that has imported everything, limited, and observed.

The parent must have started no threads of its own. A command is a console script's function, run as it is.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import pkgutil
import resource
import select
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ADDRESS_BYTES = 3 << 30
"""More than the parent has: stacks and arenas of the threads of onnxruntime and the provider take most of it."""
PEAK_BYTES = 640 << 20
CPU_SECONDS = 30
WALL_SECONDS = 40.0
FILE_BYTES = 1 << 30
_SEEN_BYTES = 1 << 16
_LAST_WORDS_SECONDS = 2.0
_IMPORTED_LATE = ("asyncssh", "difflib", "serial", "tokenizers")


@dataclass(frozen=True)
class Done:
    """How an attempt ended: `status` is the exit code, or minus the signal's number."""

    status: int
    stdout: str
    stderr: str
    timed_out: bool
    peak_bytes: int

    @property
    def lines(self) -> list[str]:
        """What it said on stderr."""
        return self.stderr.splitlines()


def run(command: Callable[[], object], arguments: list[str], place: Path, wall_seconds: float | None = None) -> Done:
    """Run a console script's `command` with `arguments` in the folder `place`, within the limits."""
    out, err = os.memfd_create("stdout"), os.memfd_create("stderr")
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _attempt(command, arguments, place, out, err)
    try:
        status, timed_out, peak = _wait(child, wall_seconds or WALL_SECONDS)
        return Done(status, _text(out), _text(err), timed_out, peak)
    finally:
        os.close(out)
        os.close(err)


def _attempt(command: Callable[[], object], arguments: list[str], place: Path, out: int, err: int) -> None:
    """The child's side; it never returns."""
    os.setsid()
    os.chdir(place)
    for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
        os.dup2(source, target)
    faulthandler.enable(file=2)
    for limit, value in (
        (resource.RLIMIT_AS, ADDRESS_BYTES),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    sys.argv[1:] = arguments
    code = 70
    try:
        command()
        code = 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 0 if exit_.code is None else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _wait(child: int, wall_seconds: float) -> tuple[int, bool, int]:
    """Return status, whether its time was up, and its peak memory in bytes; its whole group is gone afterwards."""
    handle = os.pidfd_open(child)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    ended = poll.poll(wall_seconds * 1000)
    if not ended:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGABRT)  # faulthandler says where it is
            poll.poll(_LAST_WORDS_SECONDS * 1000)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.close(handle)
    _, status, usage = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), not ended, usage.ru_maxrss * 1024


def _text(descriptor: int) -> str:
    return os.pread(descriptor, _SEEN_BYTES, 0).decode("utf-8", "backslashreplace")


def warm_up() -> None:
    """Import what the commands import, and register the provider; starts no thread of ours."""
    import edge_runtime
    import exporters

    for package in (edge_runtime, exporters):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    for name in _IMPORTED_LATE:
        importlib.import_module(name)
    edge_runtime.provider.register()
