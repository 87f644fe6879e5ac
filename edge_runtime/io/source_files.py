"""The files of a model as it was published, which may come from anyone: refused by name where they are none."""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path
from typing import BinaryIO

from edge_runtime.errors import ExportError
from edge_runtime.io.files import open_regular, read_small

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def open_source(path: Path) -> BinaryIO:
    """Open a regular file for reading; ExportError if it is none, cannot be read, or is a Git LFS pointer."""
    try:
        with contextlib.ExitStack() as on_failure:
            file = on_failure.enter_context(open(open_regular(path), "rb"))
            _refuse_pointer(path, file.read(len(_LFS_POINTER)))
            file.seek(0)
            on_failure.pop_all()
            return file
    except OSError as error:
        raise unreadable(path, error) from None


def read_source(path: Path) -> bytes:
    """Return what a small file holds; ExportError as `open_source`, and if it is larger than any file of its kind."""
    try:
        content = read_small(path)
    except OSError as error:
        raise unreadable(path, error) from None
    _refuse_pointer(path, content)
    return content


def unreadable(path: Path, error: OSError) -> ExportError:
    """Return the error for a file that could not be read; the caller raises it."""
    if error.errno in (errno.EINVAL, errno.EFBIG):  # what io.files says of it
        return ExportError(f"{path}: {error.strerror}")
    return ExportError(f"{path}: cannot be read ({error.strerror}); check its permissions")


def _refuse_pointer(path: Path, start: bytes) -> None:
    if start.startswith(_LFS_POINTER):
        raise ExportError(
            f"{path}: is the pointer that Git LFS keeps in the place of the file; fetch the file itself, for instance "
            "with `git lfs pull`"
        )
