"""Writes the data file: blobs and constants, each at a multiple of 4096 bytes."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from exporters.graphs.interface import Extent

ALIGNMENT = 4096
_PIECE_BYTES = 1 << 20


class BlobWriter:
    """Writes one file from its beginning; of one that is there already, `keep` takes over what lies where it would be
    written. OSError goes to the caller; use as a context manager, which cuts the file to its size and flushes it to the
    device."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = open(os.open(path, flags, 0o666), "r+b", buffering=0)  # noqa: SIM115 (closed by __exit__)
        self.size = 0
        self._digest = xxhash.xxh3_128()

    def append(self, array: NDArray[Any]) -> Extent:
        """Write the array's bytes at the next multiple of 4096 and return where they lie."""
        self._write(bytes(-self.size % ALIGNMENT))
        offset = self.size
        self._write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        return Extent(offset, self.size - offset)

    def fits(self, extent: Extent) -> bool:
        """Tell whether the next array would be written where `extent` begins."""
        return extent.offset == self.size + -self.size % ALIGNMENT

    def keep(self, extent: Extent) -> None:
        """Take over what lies in `extent`, which fits."""
        self._write(bytes(-self.size % ALIGNMENT))
        self._hash(self.size, self.size + extent.length)
        self.size += extent.length
        self._file.seek(self.size)

    def hash(self) -> str:
        """Return XXH3-128 (hex) of everything from the file's beginning."""
        return str(self._digest.hexdigest())

    def sync(self) -> None:
        """Wait until everything appended is on the device."""
        os.fdatasync(self._file.fileno())

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                self._file.truncate(self.size)
                os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def _write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            written = self._file.write(view)
            self._digest.update(view[: written or 0])
            view = view[written or 0 :]
            self.size += written or 0

    def _hash(self, begin: int, end: int) -> None:
        """Hash what lies in the file already."""
        while begin < end:
            piece = os.pread(self._file.fileno(), min(_PIECE_BYTES, end - begin), begin)
            if not piece:
                raise OSError(errno.EIO, "ends before what is to be kept does")
            self._digest.update(piece)
            begin += len(piece)
