"""Small files that may come from anyone: regular ones only, of a bounded size, read without waiting for a writer."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

SMALL_FILE_BYTES = 64 << 20
"""More than any configuration or tokenizer in use; a larger file in its place is not one."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: str | Path) -> int:
    """Return a descriptor for reading `path`; OSError that says what it is if it is no regular file.

    Symbolic links are followed. It never waits, as opening a named pipe does.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, f"is {kind_of(mode)}, expected a regular file", str(path))


def kind_of(mode: int) -> str:
    """Say what a file that is no regular one is, from its `st_mode`."""
    return next((name for matches, name in _KINDS if matches(mode)), "no file")


def read_small(path: str | Path, at_most: int = SMALL_FILE_BYTES) -> bytes:
    """Return what the regular file `path` holds; OSError if it has more than `at_most` bytes, or as `open_regular`."""
    with open(open_regular(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(at_most + 1) if size <= at_most else b""
    if size > at_most or len(data) > at_most:
        raise OSError(errno.EFBIG, f"has {max(size, len(data))} bytes, expected at most {at_most}", str(path))
    return data


def read_small_text(path: str | Path, at_most: int = SMALL_FILE_BYTES) -> str:
    """Return a small file's UTF-8 text; OSError as `read_small`, ValueError if it is not UTF-8."""
    return read_small(path, at_most).decode("utf-8")


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text; ValueError whatever is wrong with it, nesting too deep to read included."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
