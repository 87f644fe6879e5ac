"""Answers to the client, small files, and what all operations need."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypedDict

BEAT_SECONDS = 2.0
POLL_SECONDS = 0.1
COMPLETE = ".complete"
FOLDERS = ("jobs", "models", "runtime", "wheels")
"""What lies in a base folder: whatever is in these is ours."""

Record = dict[str, object]
"""What a file of ours holds; others may have written it, so every value is looked at before it is used."""


class Process(TypedDict):
    """A process of this board, told from later ones with the same number; `start` in ticks since boot."""

    pid: int
    start: str | None
    boot: str


_SMALL_BYTES = 65536
_token = ""
_beats: list[Callable[[], None]] = []


def begin_answers(token: str) -> None:
    """Every answer of this process carries `token`, by which the client tells it from what others write."""
    global _token
    _token = token


def on_answer(beat: Callable[[], None]) -> None:
    """Call `beat` with every answer, as a sign of life."""
    _beats.append(beat)


def say(**values: object) -> None:
    """Write one answer in one piece; the client may be gone, which ends this process."""
    for beat in _beats:
        beat()
    sys.stdout.write(f"{_token} {json.dumps(values)}\n")
    sys.stdout.flush()


def inside(base: Path, name: str) -> Path:
    """Return a path below the base folder; ValueError for one that leaves it, by a symbolic link too."""
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts:
        raise ValueError(f"{name}: is not inside {base}")
    path = base
    for part in parts[:-1]:
        path = path / part
        if path.is_symlink():
            raise ValueError(f"{path}: is a symbolic link, expected a folder; remove the link")
    return base / name


def remove(path: Path) -> None:
    """Remove a file or a folder, never what a symbolic link leads to; one that is gone is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """Return a descriptor of a regular file; OSError for a link, a pipe or a device, without waiting for one."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "is no regular file", str(path))


def read(path: Path) -> Record | None:
    """Read a small JSON file; None if there is no such file, or something else in its place."""
    with contextlib.suppress(OSError, ValueError, RecursionError), open(open_regular(path), "rb") as file:
        values = json.loads(file.read(_SMALL_BYTES))
        if isinstance(values, dict):
            return values
    return None


def write(path: Path, values: Mapping[str, object]) -> None:
    """Write a small JSON file so that a reader sees all of it or none."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            json.dump(values, file)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def system_text(path: str) -> str:
    """A line that the system tells about itself; empty where it does not."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""


def boot_id() -> str:
    """What changes with every start of the machine."""
    return system_text("/proc/sys/kernel/random/boot_id")


def start_time(pid: int) -> str | None:
    """When a process started, in ticks since boot; None if there is no such process, or a dead one."""
    fields = system_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return None if len(fields) < 20 or fields[0] in "ZX" else fields[19]


def living(process: object) -> bool:
    """Whether the process that a record of one (see Process) names is still there."""
    if not isinstance(process, Mapping) or process.get("boot") != boot_id() or type(process.get("pid")) is not int:
        return False
    now = start_time(process["pid"])
    return now is not None and process.get("start") in (None, now)


def texts(value: object) -> list[str]:
    """The texts of a list in a record that others may have written."""
    return [str(item) for item in value] if isinstance(value, list) else []


def number(value: object) -> float | None:
    """A number in a record that others may have written; None for anything else."""
    return float(value) if type(value) is float or (type(value) is int and abs(value) < 1 << 53) else None


def this_process() -> Process:
    """The record of this process."""
    return {"pid": os.getpid(), "start": start_time(os.getpid()), "boot": boot_id()}
