"""Writes the data file: blobs and constants, each at a multiple of 4096 bytes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.graph import Extent

ALIGNMENT = 4096


class BlobWriter:
    """Appends to one file, after its first `keep` bytes. OSError goes to the caller; use as a context manager, which
    flushes to the device."""

    def __init__(self, path: Path, keep: int = 0) -> None:
        self._file = path.open("r+b" if keep else "wb", buffering=0)
        self._file.truncate(keep)
        self._file.seek(keep)
        self.size = keep

    def append(self, array: NDArray[Any]) -> Extent:
        """Write the array's bytes at the next multiple of 4096 and return where they lie."""
        self._write(bytes(-self.size % ALIGNMENT))
        offset = self.size
        self._write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        return Extent(offset, self.size - offset)

    def sync(self) -> None:
        """Wait until everything appended is on the device."""
        os.fdatasync(self._file.fileno())

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def _write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            written = self._file.write(view)
            view = view[written or 0 :]
            self.size += written or 0
