"""What passes look at before the first weight is written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import ExportError
from edge_runtime.io.terminal import Progress
from exporters.checkpoints import dtypes
from exporters.graphs.interface import Site
from exporters.planning.plan import Plan
from exporters.transforms.calibrate import Calibration
from exporters.transforms.pieces import Floats, Piece
from exporters.transforms.rounding import Rounding

_SAMPLE_ROWS = 96
_LEAST_WEIGHTS = 1 << 12  # smaller matrices stay as they are


def refuse_fixed(plan: Plan) -> None:
    """ExportError if the plan's weights are integers already, or floats that the graph fixes."""
    fixed = next((weight.tensor for weight in plan.graph.weights.values() if weight.fixed), None)
    if fixed is not None:
        info = plan.tensors.tensors[fixed]
        raise ExportError(
            f"{info.file}: {fixed} is {info.dtype}, and the graph takes just that: quantization and pruning expected "
            "weights that are multiplied in float32"
        )


class Subject:
    """The weights of a plan, rows as a product's outputs where one product alone has them.

    `names` are those that passes may rewrite, `calibration` is what they are multiplied with, and `rounding` what a
    pass that makes integers tells the others. `left` does to a piece what the passes that have decided will do.
    Raises ExportError for a plan whose weights are not floats, or not finite.
    """

    def __init__(self, plan: Plan, calibration: Calibration, left: Callable[[Piece], None]) -> None:
        refuse_fixed(plan)
        self._tensors, self._graph, self._left = plan.tensors, plan.graph, left
        self.calibration = calibration
        self.rounding: Rounding | None = None
        matrices = [n for n, weight in self._graph.weights.items() if len(weight.shape) == 2]
        self.names = [n for n in matrices if np.prod(self.shape(n)) >= _LEAST_WEIGHTS]
        factors = self._graph.factors()
        self._factors = {n for n in self.names if n in factors and self._graph.use_count(n) == 1}
        self._turned = {n for n in self.names if n in self._factors and self._graph.store_by_output(n)}
        self._refuse_not_finite()

    def shape(self, name: str) -> tuple[int, ...]:
        """Rows and columns of a weight as it is stored."""
        return self._graph.weights[name].shape

    def is_inner_factor(self, name: str) -> bool:
        """Whether one product alone has a weight, and not the last, which tells the tokens apart."""
        return name in self._factors and self._graph.weights[name].layer != len(self._graph.layers) - 1

    def sites(self) -> Sequence[Site]:
        """The places where activations meet weights, as far as they are known."""
        return self._graph.sites()

    def stored(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        """Return a weight of the source as it is stored."""
        return array.T if name in self._turned else array

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[NDArray[Any]]:
        """Give a weight as it is stored; its memory is given back at the end."""
        yield self.stored(name, self._tensors.read(name))
        self._tensors.release(name)

    def sample(self, name: str) -> Floats:
        """Return some rows of a weight, evenly spread, as the passes that have decided leave them."""
        with self.reading(name) as stored:
            at = np.unique(np.linspace(0, len(stored) - 1, _SAMPLE_ROWS).astype(np.int64))
            rows = np.ascontiguousarray(stored[at]).astype(np.float32)
        piece = Piece(name, None, slice(0, rows.shape[1]), rows)
        self._left(piece)
        return piece.values

    def _refuse_not_finite(self) -> None:
        infos = self._tensors.tensors
        with Progress("looking for NaN and Inf", sum(infos[name].nbytes for name in self.names)) as progress:
            for name in self.names:
                found = dtypes.not_finite(self._tensors.read(name))
                if found:
                    raise ExportError(f"{infos[name].file}: {name} holds {found}: it cannot be quantized or pruned")
                self._tensors.release(name)
                progress.advance(infos[name].nbytes)
