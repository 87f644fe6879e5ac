"""Encodes weights by a CodecChoice, and says why "auto" took what it took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime import codec as blobs
from edge_runtime import facts
from exporters.graphs.interface import Weight
from exporters.package.codec_choice import CodecChoice
from exporters.package.codec_names import AUTO, STORED

LEAST_ZEROS = 0.1  # of a sample, for codecs of sparse weights to be tried
_LEAST_GAIN = 0.01
_SAMPLE = 1 << 16


@dataclass(frozen=True)
class Encoded:
    """A blob, valid until the encoder's next call; its codec; and the reason, "" where the user asked for it.

    `direct`: products are computed from it as it is stored, which its codec alone does not tell."""

    blob: NDArray[np.uint8]
    codec: str
    reason: str
    direct: bool = False


class Encoder:
    """Encodes tensor after tensor into memory that it keeps. `threads` 0 is one a core."""

    def __init__(self, choice: CodecChoice, threads: int) -> None:
        self._choice, self._threads = choice, threads
        self._partial = 1.0 if choice.fraction is None else choice.fraction
        self._best: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._other: NDArray[np.uint8] = np.empty(0, np.uint8)

    def encode(self, array: NDArray[Any], weight: Weight) -> Encoded:
        """Encode one tensor; `auto` takes the smallest candidate, or stored if that saves less than 1 %."""
        if self._choice.codec != AUTO:
            (name,) = self._choice.candidates
            return Encoded(self._encode(array, weight, name), self._choice.codec, "", _direct(name, array))
        best, chosen, tried = self._smallest(array, weight)
        if tried.get(chosen, 0.0) >= _LEAST_GAIN:
            return Encoded(best, chosen.partition(":")[0], _reason(tried, chosen), _direct(chosen, array))
        gain = max(tried.values(), default=0.0)
        blob = self._encode(array, weight, STORED)
        return Encoded(blob, STORED, f"{' or '.join(tried)} would save {gain:.1%}, less than {_LEAST_GAIN:.0%}")

    def close(self) -> None:
        """Give the memory back."""
        self._best = self._other = np.empty(0, np.uint8)

    def _smallest(self, array: NDArray[Any], weight: Weight) -> tuple[NDArray[np.uint8], str, dict[str, float]]:
        """Return the smallest candidate's blob and name, and what each saves."""
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
        return best, chosen, tried

    def _suitable(self, array: NDArray[Any]) -> list[str]:
        """The candidates without those that cannot win."""
        words = array.reshape(-1).view(f"<u{array.itemsize}")[:: max(1, array.size // _SAMPLE)]
        sparse = words.size and np.count_nonzero(words == 0) >= LEAST_ZEROS * words.size
        known = facts.codecs()
        return [name for name in self._choice.candidates if sparse or not known[name.partition(":")[0]].is_sparse]

    def _encode(self, array: NDArray[Any], weight: Weight, codec: str) -> NDArray[np.uint8]:
        segment = facts.memory_figures().row_segment_bytes if weight.by_row else 0
        bound = blobs.encode_bound(array.shape, array.dtype, codec, segment)
        if bound > self._other.nbytes:
            self._other = np.empty(0, np.uint8)
            self._other = np.empty(bound, np.uint8)
        size = blobs.encode_into(array, self._other, codec, segment, self._threads, self._partial)
        return self._other[:size]


def _direct(codec: str, array: NDArray[Any]) -> bool:
    name, _, layout = codec.partition(":")
    known = facts.codecs()[name]
    told = layout in known.layouts and known.layouts[layout].is_multiplied and not known.is_multiplied
    return told and blobs.dtype_name(array.dtype) == "bf16"


def _reason(tried: dict[str, float], chosen: str) -> str:
    others = ", ".join(f"{name} {gain:.1%}" for name, gain in tried.items() if name != chosen)
    return f"{chosen} saves {tried[chosen]:.1%}" + (f" ({others})" if others else "")
