"""Checks an exported folder: decodes every weight from the written file and compares it with the source's hash."""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from edge_runtime import codec
from edge_runtime.errors import ExportError, FormatError, LpcError
from exporters.graph import DATA_FILE
from exporters.staging import MANIFEST


def hash_of(array: NDArray[Any]) -> str:
    """Return XXH3-128 (hex) of a contiguous array's bytes."""
    return xxhash.xxh3_128_hexdigest(array.reshape(-1).view(np.uint8).data)


def verify(folder: Path, threads: int = 0, advance: Callable[[int], None] = lambda count: None) -> int:
    """Decode every tensor of `folder` and compare its hash; return how many there are.

    `advance` hears of every tensor's decoded bytes; `threads` 0 is one a core. Raises FormatError for a blob that
    cannot be decoded and ExportError for one that decodes to something else.
    """
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    reader = _Reader(folder / DATA_FILE, threads)
    for tensor in manifest["tensors"]:
        reader.check(tensor, reader.decoded_hash(tensor), tensor["source_xxh3_128"])
        advance(tensor["decoded_bytes"])
    for constant in manifest["constants"]:
        reader.check(constant, reader.plain_hash(constant), constant["xxh3_128"])
    return len(manifest["tensors"])


class _Reader:
    """The data file through a memory map whose pages are given back, decoded into one buffer."""

    def __init__(self, path: Path, threads: int) -> None:
        self.path, self._threads = path, threads
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._buffer: NDArray[np.uint8] = np.empty(0, np.uint8)

    def decoded_hash(self, tensor: dict[str, Any]) -> str:
        """Decode a tensor and hash it."""
        size = tensor["decoded_bytes"]
        if size > self._buffer.nbytes:
            self._buffer = np.empty(0, np.uint8)
            self._buffer = np.empty(size, np.uint8)
        try:
            codec.decode_into(self._view(tensor), self._buffer, self._threads)
        except LpcError as error:
            raise FormatError(
                f"{self.path}: {tensor['name']} at byte {tensor['offset']}: {error}; export again",
                file=str(self.path), field=tensor["name"], offset=tensor["offset"],
            ) from error  # fmt: skip
        self._release(tensor)
        return hash_of(self._buffer[:size])

    def plain_hash(self, constant: dict[str, Any]) -> str:
        """Hash an uncompressed array."""
        result = hash_of(self._view(constant))
        self._release(constant)
        return result

    def check(self, entry: dict[str, Any], got: str, expected: str) -> None:
        """Compare two hashes."""
        if got != expected:
            raise ExportError(
                f"{self.path}: {entry['name']} at byte {entry['offset']} has hash {got}, expected the source's "
                f"{expected}; the file or this machine's memory is damaged: export again"
            )

    def _view(self, entry: dict[str, Any]) -> NDArray[np.uint8]:
        return np.frombuffer(self._map, np.uint8, entry["bytes"], entry["offset"])

    def _release(self, entry: dict[str, Any]) -> None:
        begin = entry["offset"] - entry["offset"] % mmap.PAGESIZE
        self._map.madvise(mmap.MADV_DONTNEED, begin, entry["offset"] + entry["bytes"] - begin)
