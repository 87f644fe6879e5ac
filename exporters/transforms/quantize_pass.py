"""The pass that makes integers."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.graphs.interface import WeightGraph
from exporters.transforms.options import LossyOptions
from exporters.transforms.passes import Pass
from exporters.transforms.pieces import Fix, Floats, Piece
from exporters.transforms.quantize import (
    LEVELS,
    ROW,
    TENSOR,
    counts,
    entropy_bits,
    integers,
    largest,
    scales_of,
    steps_of,
)
from exporters.transforms.rounding import Rounding
from exporters.transforms.subject import Subject

Counts = NDArray[np.int64]  # how often each integer occurs in a weight


class Quantize(Pass):
    """Symmetric INT8; the graph makes floats of the integers with their scales."""

    name = "quantize"
    changes_graph = True
    stores = np.int8
    undecided = (0.0,)

    def __init__(self, options: LossyOptions) -> None:
        self._granularity, self._target = options.granularity, options.target_bits
        self._rounding = Rounding(options.group, options.step)
        self._scales: Floats = np.zeros(0, np.float32)  # of the weight that is written
        self._counts: dict[str, Counts] = {}
        self._placed: dict[str, Floats] = {}  # scales of weights that are not on the device yet

    @classmethod
    def of(cls, options: LossyOptions) -> Quantize | None:
        return cls(options) if options.quantize else None

    def decide(self, subject: Subject) -> None:
        """Find the step for a target of bits, and tell how weights will be rounded."""
        self._shapes = {name: subject.shape(name) for name in subject.names}
        if self._target is not None:
            samples = {name: subject.sample(name) for name in subject.names}
            self._rounding.step = self._rounding.step_for(self._target, samples, self._shapes)
        subject.rounding = self._rounding

    def decided(self) -> Iterable[Any]:
        return (self._rounding.step,)

    def rewrite(self, graph: WeightGraph) -> None:
        self._graph = graph
        for name in self._shapes:
            graph.dequantize(name, self._rounding.group)

    def begin(self, name: str, pieces: Callable[[], Iterable[Piece]]) -> None:
        """Scales cover the largest magnitudes, and are at least the step times the root mean square of all."""
        covered, squares, elements = [], 0.0, 0
        for piece in pieces():
            covered.append(largest(piece.values, self._rounding.group))
            squares += float(np.square(piece.values, dtype=np.float64).sum())
            elements += piece.values.size
        every = np.max(covered) if self._rounding.group == TENSOR else np.concatenate(covered)
        step = self._rounding.step_of(name) * float(np.sqrt(squares / max(elements, 1)))
        self._scales = scales_of(np.asarray(every, np.float32), step)

    def apply(self, piece: Piece) -> None:
        piece.values = integers(piece.values, self._of_rows(piece), self._rounding.group)

    def columns(self, block: Piece) -> Fix:
        steps = steps_of(self._of_rows(block), self._rounding.group, block.columns, len(block.values))

        def fix(column: int, values: Floats) -> Floats:
            rounded = np.clip(np.rint(values / steps[:, column]), -LEVELS, LEVELS).astype(np.float32)
            return np.asarray(rounded * steps[:, column], np.float32)

        return fix

    def end(self, name: str, stored: NDArray[Any], tally: Mapping[str, int]) -> int:
        scales, by_row = self._scales, self._rounding.row_factors.get(name)
        if by_row is not None:
            scales = scales * (by_row if self._rounding.group == ROW else by_row[:, None])
        self._counts[name], self._placed[name] = counts(stored), scales
        return self._graph.fill_scales(name, scales)

    def found(self, name: str) -> dict[str, Any]:
        """The scales, which the graph has, are let go."""
        scales = self._placed.pop(name)
        packed = base64.b64encode(scales.astype("<f4").tobytes()).decode()
        return {"counts": self._counts[name].tolist(), "scales": packed, "shape": list(scales.shape)}

    def restore(self, name: str, found: dict[str, Any]) -> bool:
        content = base64.b64decode(found["scales"], validate=True)
        scales = np.frombuffer(content, "<f4").reshape(found["shape"]).astype(np.float32)
        occurrences = np.asarray(found["counts"], np.int64)
        if scales.size != self._rounding.scale_count(self._shapes[name]):
            return False
        self._graph.fill_scales(name, scales)
        self._counts[name] = occurrences
        return True

    def report(self, compensated: bool) -> dict[str, Any]:
        quantized = sum(int(each.sum()) for each in self._counts.values())
        pooled = sum(entropy_bits(each) * int(each.sum()) for each in self._counts.values())
        return {
            "pass": self.name,
            "dtype": "int8",
            "granularity": self._granularity,
            "step": round(self._rounding.step, 6),
            "compensated": compensated,
            "weights": quantized,
            "entropy_bits": round(pooled / max(quantized, 1), 4),
        }

    def _of_rows(self, piece: Piece) -> Floats:
        """The scales of a piece's rows."""
        return self._scales if self._rounding.group == TENSOR or piece.rows is None else self._scales[piece.rows]
