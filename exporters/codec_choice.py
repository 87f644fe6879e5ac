"""Which codec a tensor gets, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime import codec as blobs
from exporters.graph import Weight

AUTO, STORED, LZ4 = "auto", "stored", "lz4"
CODECS = (AUTO, STORED, LZ4)
_LEAST_GAIN = 0.01
_SEGMENT_BYTES = 1 << 20
_ROW_SEGMENT_BYTES = 1 << 18  # where single rows are fetched, less is decoded for each


@dataclass(frozen=True)
class Encoded:
    """A blob, valid until the encoder's next call; its codec; and the reason, "" where the user asked for it."""

    blob: NDArray[np.uint8]
    codec: str
    reason: str


class Encoder:
    """Encodes tensor after tensor into one buffer. `codec` is auto, stored or lz4; `threads` 0 is one a core."""

    def __init__(self, codec: str, threads: int) -> None:
        self._codec, self._threads = codec, threads
        self._buffer: NDArray[np.uint8] = np.empty(0, np.uint8)

    def encode(self, array: NDArray[Any], weight: Weight) -> Encoded:
        """Encode one tensor; `auto` is lz4 unless that saves less than 1 %."""
        if self._codec != AUTO:
            return Encoded(self._into_buffer(array, weight, self._codec), self._codec, "")
        blob = self._into_buffer(array, weight, LZ4)
        gain = 1 - blob.nbytes / array.nbytes if array.nbytes else 0.0
        if gain >= _LEAST_GAIN:
            return Encoded(blob, LZ4, f"saves {gain:.1%}")
        blob = self._into_buffer(array, weight, STORED)
        return Encoded(blob, STORED, f"lz4 would save {gain:.1%}, less than {_LEAST_GAIN:.0%}")

    def close(self) -> None:
        """Give the buffer's memory back."""
        self._buffer = np.empty(0, np.uint8)

    def _into_buffer(self, array: NDArray[Any], weight: Weight, codec: str) -> NDArray[np.uint8]:
        segment = _ROW_SEGMENT_BYTES if weight.by_row else _SEGMENT_BYTES
        bound = blobs.encode_bound(array.shape, array.dtype, codec, segment)
        if bound > self._buffer.nbytes:
            self.close()
            self._buffer = np.empty(bound, np.uint8)
        size = blobs.encode_into(array, self._buffer, codec, segment, self._threads)
        return self._buffer[:size]
