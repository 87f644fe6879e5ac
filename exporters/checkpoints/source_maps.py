"""Maps of the files of a model: opened when they are read, a few at a time."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO

from edge_runtime.errors import ExportError
from edge_runtime.io.source_files import open_source, unreadable

_OPEN_AT_ONCE = 64  # a map keeps its file open, and a process may open 1024 as a rule


class SourceMaps:
    """Read-only maps of whole files, made when they are read: a few at a time, however many files a model has.

    A map that is given up lives on while an array views it.
    """

    def __init__(self) -> None:
        self._maps: OrderedDict[Path, mmap.mmap] = OrderedDict()
        self._states: dict[Path, tuple[int, int]] = {}

    def of(self, path: Path) -> mmap.mmap:
        """Return the map of a file; ExportError as `open_source`, or if it is empty or changed since its first map."""
        if path in self._maps:
            self._maps.move_to_end(path)
            return self._maps[path]
        with open_source(path) as file:
            state = self._checked_state(path, file)
            try:
                self._maps[path] = mmap.mmap(file.fileno(), state[0], access=mmap.ACCESS_READ)
            except OSError as error:
                raise unreadable(path, error) from None
        while len(self._maps) > _OPEN_AT_ONCE:
            self._maps.popitem(last=False)
        return self._maps[path]

    def advise(self, path: Path, offset: int, nbytes: int, advice: int) -> None:
        """Tell the system what becomes of a range of bytes (mmap.MADV_...)."""
        if nbytes:
            begin = offset - offset % mmap.PAGESIZE
            self.of(path).madvise(advice, begin, offset + nbytes - begin)

    def close(self) -> None:
        """Unmap all. Views that callers still hold keep their file mapped until they die."""
        while self._maps:
            with contextlib.suppress(BufferError):
                self._maps.popitem()[1].close()

    def _checked_state(self, path: Path, file: BinaryIO) -> tuple[int, int]:
        found = os.fstat(file.fileno())
        state = (found.st_size, found.st_mtime_ns)
        if not found.st_size:
            raise ExportError(f"{path}: is empty; fetch it again")
        if self._states.setdefault(path, state) != state:
            raise ExportError(f"{path}: changed while it was read; export again when nothing writes to it")
        return state
