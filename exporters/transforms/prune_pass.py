"""The pass that prunes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.transforms import prune
from exporters.transforms.calibrate import Calibration
from exporters.transforms.options import LossyOptions
from exporters.transforms.passes import Pass
from exporters.transforms.pieces import Fix, Floats, Piece
from exporters.transforms.prune import Mask, Pruning
from exporters.transforms.scale import root_mean_square
from exporters.transforms.subject import Subject


class Prune(Pass):
    """Makes the weights of least importance zero.

    What is looked up in a table, or tied to one, is not pruned; nor is the head.
    """

    name = "prune"
    changes_graph = False
    undecided = (0.0, [])

    def __init__(self, pruning: Pruning) -> None:
        self._pruning = pruning
        self.calibrates, self.changes = pruning.score != "magnitude", pruning.sparsity > 0
        self._threshold = 0.0
        self._norms: dict[str, float] = {}
        self._found: dict[str, tuple[int, int]] = {}  # zeros that were chosen, elements that were looked at

    @classmethod
    def of(cls, options: LossyOptions) -> Prune | None:
        return None if options.pruning is None else cls(options.pruning)

    def decide(self, subject: Subject) -> None:
        """Of the pattern `total`: scores of a weight count relative to their root mean square in it."""
        self._calibration: Calibration = subject.calibration
        self._prunable = [name for name in subject.names if subject.is_inner_factor(name)]
        if self._pruning.pattern != "total":
            return
        total = np.zeros(1, np.int64)
        for name in self._prunable:
            with subject.reading(name) as stored:
                rows = np.ascontiguousarray(stored).astype(np.float32)
            scores = np.abs(rows) * self._channels(name, rows.shape[1])
            self._norms[name] = root_mean_square(scores)
            total = total + prune.histogram(scores, self._norms[name])
        self._threshold = prune.threshold_of(total, self._pruning.sparsity)

    def decided(self) -> Iterable[Any]:
        return self._threshold, sorted(self._norms.items())

    def touches(self, name: str) -> bool:
        return name in self._prunable

    def apply(self, piece: Piece) -> None:
        mask = self._mask(piece)
        piece.values[mask] = 0

    def columns(self, block: Piece) -> Fix:
        """What is pruned is chosen for a whole block."""
        mask = self._mask(block)
        return lambda column, values: np.where(mask[:, column], np.float32(0), values)

    def end(self, name: str, stored: NDArray[Any], tally: Mapping[str, int]) -> int:
        self._found[name] = tally.get(self.name, 0), stored.size
        return 0

    def found(self, name: str) -> dict[str, Any]:
        zeros, pruned = self._found.get(name, (0, 0))
        return {"zeros": zeros, "pruned": pruned}

    def restore(self, name: str, found: dict[str, Any]) -> bool:
        self._found[name] = int(found["zeros"]), int(found["pruned"])
        return True

    def report(self, compensated: bool) -> dict[str, Any]:
        zeros, pruned = (sum(counted) for counted in zip((0, 0), *self._found.values(), strict=True))
        return {
            "pass": self.name,
            **dataclasses.asdict(self._pruning),
            "weights": pruned,
            "zeros": round(zeros / max(pruned, 1), 6),
            "compensated": compensated,
        }

    def _mask(self, piece: Piece) -> Mask:
        """Choose in the weights' own unit, and count."""
        values = piece.in_its_own_unit
        channels = self._channels(piece.name, piece.columns.stop)[piece.columns]
        threshold = self._threshold * self._norms.get(piece.name, 1.0)
        mask = prune.pruned(values, channels, self._pruning, threshold)
        piece.tally[self.name] += int(np.count_nonzero(mask))
        return mask

    def _channels(self, name: str, columns: int) -> Floats:
        if self._pruning.score == "magnitude":
            return np.ones(columns, np.float32)
        return prune.channel_weights(self._calibration.of(name), self._pruning.score)
