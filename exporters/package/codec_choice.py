"""Which codec a tensor gets, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boards
from edge_runtime import codec as blobs
from exporters.graphs.builder import Weight

AUTO, STORED, LZ4, PLAIN_BITMAP = "auto", "stored", "lz4", "bitmap:stored"
CODECS = (AUTO, STORED, LZ4, "ans", "packed", "bitmap", PLAIN_BITMAP)
SIZE, BUS, COMPUTE = "size", "bus", "compute"

# What `auto` tries for what is scarce; the smallest wins.
OBJECTIVES = {
    SIZE: ("lz4", "packed", "ans", "bitmap"),  # storage: whatever is smallest
    BUS: ("lz4", PLAIN_BITMAP),  # fast storage, few cores: what decodes as fast as it is read
    COMPUTE: ("packed", PLAIN_BITMAP),  # memory bandwidth: what products are computed from
}
_LEAST_GAIN = 0.01
LEAST_ZEROS = 0.1  # of a sample, for bitmap to be tried
_SAMPLE = 1 << 16
_ROW_SEGMENT_BYTES = 1 << 18  # where single rows are fetched, less is decoded for each


THIS_MACHINE = "this"


def packed_layout(board: str) -> str:
    """Return the layout that `board` (name or file of a profile, or THIS_MACHINE) computes from fastest."""
    if board == THIS_MACHINE:
        return blobs.fastest_packed_layout()
    isa = boards.load(board).get("cpu.isa")
    features = " ".join(isa.value) if isa is not None and isinstance(isa.value, list | tuple) else ""
    return "hi3" if "avx512_vbmi2" in features else "hi4p"


@dataclass(frozen=True)
class Encoded:
    """A blob, valid until the encoder's next call; its codec; and the reason, "" where the user asked for it.

    `direct`: products are computed from it as it is stored, which its codec alone does not tell."""

    blob: NDArray[np.uint8]
    codec: str
    reason: str
    direct: bool = False


def in_full(codec: str) -> str:
    """Return `codec` with its objective: "auto" alone is "auto:bus"."""
    return f"{AUTO}:{BUS}" if codec == AUTO else codec


class Encoder:
    """Encodes tensor after tensor into memory that it keeps.

    `codec` is one of CODECS, or "auto:" and one of OBJECTIVES (see `in_full`), each with ":" and a layout of packed
    behind it, or not; with "@0.5" at the end every other segment stays raw (partial compression, for decoders slower
    than the bus). `threads` 0 is one a core.
    """

    def __init__(self, codec: str, threads: int) -> None:
        codec, _, partial = codec.partition("@")
        self._partial = float(partial or 1)
        name, _, detail = in_full(codec).partition(":")
        self._codec, self._threads = name, threads
        objective, _, layout = detail.partition(":")
        self._candidates = OBJECTIVES[objective] if name == AUTO else ()
        if layout:
            self._candidates = tuple(f"packed:{layout}" if c == "packed" else c for c in self._candidates)
        self._detailed = in_full(codec)
        self._best: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._other: NDArray[np.uint8] = np.empty(0, np.uint8)

    def encode(self, array: NDArray[Any], weight: Weight) -> Encoded:
        """Encode one tensor; `auto` takes the smallest candidate, or stored if that saves less than 1 %."""
        if self._codec != AUTO:
            blob = self._encode(array, weight, self._detailed)
            return Encoded(blob, self._codec, "", _direct(self._detailed, array))
        tried: dict[str, float] = {}
        best, chosen = np.empty(0, np.uint8), ""
        names = self._suitable(array)
        for name in names:
            blob = self._encode(array, weight, name)
            tried[name] = 1 - blob.nbytes / array.nbytes if array.nbytes else 0.0
            if not chosen or blob.nbytes < best.nbytes:
                best, chosen = blob, name
                if len(names) > 1:  # the next one goes beside it
                    self._best, self._other = self._other, self._best
        if tried.get(chosen, 0.0) >= _LEAST_GAIN:
            return Encoded(best, chosen.partition(":")[0], _reason(tried, chosen), _direct(chosen, array))
        gain = max(tried.values(), default=0.0)
        blob = self._encode(array, weight, STORED)
        return Encoded(blob, STORED, f"{' or '.join(tried)} would save {gain:.1%}, less than {_LEAST_GAIN:.0%}")

    def close(self) -> None:
        """Give the memory back."""
        self._best = self._other = np.empty(0, np.uint8)

    def _suitable(self, array: NDArray[Any]) -> list[str]:
        """The candidates without those that cannot win."""
        words = array.reshape(-1).view(f"<u{array.itemsize}")[:: max(1, array.size // _SAMPLE)]
        sparse = words.size and np.count_nonzero(words == 0) >= LEAST_ZEROS * words.size
        return [name for name in self._candidates if sparse or not name.startswith("bitmap")]

    def _encode(self, array: NDArray[Any], weight: Weight, codec: str) -> NDArray[np.uint8]:
        segment = _ROW_SEGMENT_BYTES if weight.by_row else 0
        bound = blobs.encode_bound(array.shape, array.dtype, codec, segment)
        if bound > self._other.nbytes:
            self._other = np.empty(0, np.uint8)
            self._other = np.empty(bound, np.uint8)
        size = blobs.encode_into(array, self._other, codec, segment, self._threads, self._partial)
        return self._other[:size]


def _direct(codec: str, array: NDArray[Any]) -> bool:
    return codec == PLAIN_BITMAP and blobs.dtype_name(array.dtype) == "bf16"


def _reason(tried: dict[str, float], chosen: str) -> str:
    others = ", ".join(f"{name} {gain:.1%}" for name, gain in tried.items() if name != chosen)
    return f"{chosen} saves {tried[chosen]:.1%}" + (f" ({others})" if others else "")
