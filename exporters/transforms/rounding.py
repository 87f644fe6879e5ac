"""How weights become integers, as the passes that have to do with it agree on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edge_runtime.errors import ExportError
from exporters.transforms.pieces import Floats
from exporters.transforms.quantize import ROW, TENSOR, counts, entropy_bits, integers, largest, scales_of
from exporters.transforms.scale import root_mean_square

_STEPS = (0.0, 4.0)  # relative to the root mean square: as fine as eight bits allow; everything is zero
_BISECTIONS = 20
_BLOB_BITS = 8 * 640  # header, table and padding of a blob


@dataclass
class Rounding:
    """`group` as in `group_of`; the least `step` of a weight relative to its root mean square, for some weights their
    `own`; `row_factors` by weight go into the scales, where they change no integer."""

    group: int
    step: float
    own: Mapping[str, float] = field(default_factory=dict)
    row_factors: Mapping[str, Floats] = field(default_factory=dict)

    def step_of(self, name: str) -> float:
        """The least step of one weight."""
        return self.own.get(name, self.step)

    def scale_count(self, shape: tuple[int, ...]) -> int:
        """How many scales a weight [rows, columns] has."""
        rows, columns = shape
        if self.group == TENSOR:
            return 1
        return rows if self.group == ROW else rows * -(-columns // self.group)

    def step_for(
        self, target: float, samples: Mapping[str, Floats], shapes: Mapping[str, tuple[int, ...]],
        relative: Callable[[str, float], float] = lambda name, step: step,
    ) -> float:  # fmt: skip
        """Bisect the step that gives `target` bits per weight, entropy and scales counted; ExportError if none does.

        `samples` are rows of every weight, `shapes` the whole weights'; `relative` gives each its own step.
        """

        def bits(step: float) -> float:
            steps = {name: relative(name, step) for name in samples}
            return self._bits(samples, shapes, steps)

        low, high = _STEPS
        finest, coarsest = bits(low), bits(high)
        if finest <= target:
            return low
        if coarsest > target:
            raise ExportError(f"{target:g} bits per weight cannot be reached: the nearest is {coarsest:.2f}")
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if bits(middle) > target else (low, middle)
        return high

    def _bits(
        self, samples: Mapping[str, Floats], shapes: Mapping[str, tuple[int, ...]], steps: Mapping[str, float]
    ) -> float:
        """Estimated bits per weight of all tensors with these steps."""
        total = elements = 0.0
        for name, sample in samples.items():
            size = int(np.prod(shapes[name]))
            scales = scales_of(largest(sample, self.group), steps[name] * root_mean_square(sample))
            bits = entropy_bits(counts(integers(sample, scales, self.group)))
            total += bits * size + 32 * self.scale_count(shapes[name]) + _BLOB_BITS
            elements += size
        return total / max(elements, 1)
