"""The page cache of a model's files: dropped before a cold repetition, and how much of it is really gone."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np


def drop(files: Iterable[Path]) -> None:
    """Ask the kernel to forget the cached pages of these files. Pages that a process has mapped stay."""
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fdatasync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def cached_fraction(files: Iterable[Path]) -> float | None:
    """Share of the files' bytes that is in the page cache, 0 to 1; None where the kernel does not tell.

    On tmpfs it is always 1: the page cache is where such a file lies.
    """
    cached = total = 0
    for file in files:
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size == 0:
                continue
            resident = _resident_pages(stream.fileno(), size)
        if resident is None:
            return None
        cached += min(resident * mmap.PAGESIZE, size)
        total += size
    return cached / total if total else None


def _resident_pages(descriptor: int, size: int) -> int | None:
    """Pages of a file in the page cache, by mincore(2) on a mapping that is never touched."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
    with mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ) as mapping:
        view = np.frombuffer(mapping, np.uint8)
        flags = np.zeros((size + mmap.PAGESIZE - 1) // mmap.PAGESIZE, np.uint8)
        status = libc.mincore(view.ctypes.data, size, flags.ctypes.data)
        del view
        return None if status else int(np.count_nonzero(flags & 1))
