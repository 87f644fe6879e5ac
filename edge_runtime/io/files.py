"""Small files. What is read may come from anyone: regular files only, of a bounded size, without waiting for a writer.

What is written appears at once or not at all.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
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


def check_writable(path: str | Path) -> None:
    """OSError that says what `path` is if `write_whole` could not write there; it need not exist."""
    descriptor = _stream_of(path)
    if descriptor is not None:
        os.close(descriptor)
        return
    file = Path(os.path.realpath(path))
    if file.exists() and not file.is_file():
        raise OSError(errno.EINVAL, f"is {kind_of(file.stat().st_mode)}, expected a regular file", str(path))
    if not file.parent.is_dir():
        raise OSError(errno.ENOENT, f"the folder {file.parent} does not exist", str(path))


def write_whole(path: str | Path, text: str) -> None:
    """Write UTF-8 text so that others see the old file or all of the new one; OSError that names `path`.

    A symbolic link is written through. An open file of this process (/dev/stdout, /dev/fd/3) and /dev/null are written
    to; other devices, pipes and folders are refused.
    """
    data = text.encode("utf-8", "surrogateescape")
    descriptor = _stream_of(path)
    if descriptor is not None:
        with open(descriptor, "wb") as stream:
            stream.write(data)
        return
    check_writable(path)
    try:
        _replace(Path(os.path.realpath(path)), data)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _stream_of(path: str | Path) -> int | None:
    """A descriptor for what is no file to be replaced; None for all else."""
    name = os.fspath(path)
    number = {"/dev/stdout": "1", "/dev/stderr": "2"}.get(name)
    if number is None and (found := re.fullmatch(r"(?:/dev|/proc/self)/fd/(\d{1,6})", name)):
        number = found[1]
    if number is not None:
        return os.dup(int(number))
    return os.open(name, os.O_WRONLY | os.O_CLOEXEC) if name == os.devnull else None


def _replace(file: Path, data: bytes) -> None:
    """Put a whole new file in the place of one that may be there, whose rights it gets."""
    partial = file.with_name(f".{file.name[:100]}.{secrets.token_hex(4)}.partial")
    with partial.open("xb") as stream:
        try:
            stream.write(data)
            stream.flush()
            if file.exists():
                os.fchmod(stream.fileno(), stat.S_IMODE(file.stat().st_mode))
            os.fsync(stream.fileno())
            partial.replace(file)
        except BaseException:
            partial.unlink()
            raise


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text; ValueError whatever is wrong with it, nesting too deep to read included."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
