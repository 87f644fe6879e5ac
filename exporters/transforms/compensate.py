"""What a weight loses, its neighbours in the row make up for: error compensation while columns are pruned or rounded.

Column after column is fixed, and its error is spread over the columns not yet fixed so that the product changes least
on the calibration text: Hassibi and Stork's optimal brain surgeon, in the order and with the Cholesky factor of Frantar
and Alistarh (SparseGPT, arXiv 2301.00774; GPTQ, arXiv 2210.17323). Needs the second moments of pairs of input channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from exporters.transforms.prune import Mask
from exporters.transforms.quantize import LEVELS

BLOCK = 128  # columns: what is pruned in a row is chosen for so many at a time
_DAMPING = 0.01  # of the mean of the diagonal
_GROUP_BYTES = 512 << 20  # of second moments in memory at once

Floats = NDArray[np.float32]
Choose = Callable[[Floats, slice], Mask]  # weights of some columns -> which of them become zero


class Moments:
    """Second moments [channels, channels] of activations, measured a few activations at a time in the order of use.

    `places` maps activations to their weights; `measure` runs the model for some activations.
    """

    def __init__(
        self, places: Mapping[str, Sequence[str]], widths: Mapping[str, int],
        measure: Callable[[Sequence[str]], dict[str, Floats]],
    ) -> None:  # fmt: skip
        self._of = {tensor: value for value, tensors in places.items() for tensor in tensors}
        self._groups, self._measure = _groups(list(places), widths), measure
        self._kept: dict[str, Floats] = {}
        self._factor: tuple[str, Floats] | None = None

    def knows(self, tensor: str) -> bool:
        """Whether the weight is multiplied with activations of its own."""
        return tensor in self._of

    def factor(self, tensor: str, scaling: Floats | None) -> Floats:
        """Return the upper Cholesky factor of the inverse moments of a weight's input, its channels divided by
        `scaling`."""
        value = self._of[tensor]
        if self._factor is None or self._factor[0] != value:
            if value not in self._kept:
                self._kept = self._measure(next(group for group in self._groups if value in group))
            self._factor = (value, _inverse_factor(self._kept[value], scaling))
        return self._factor[1]


def _groups(order: Sequence[str], widths: Mapping[str, int]) -> list[list[str]]:
    """Activations whose moments are in memory together: always the same ones, wherever an export goes on."""
    groups: list[list[str]] = [[]]
    size = 0
    for value in order:
        size += 4 * widths[value] ** 2
        if groups[-1] and size > _GROUP_BYTES:
            groups.append([])
            size = 4 * widths[value] ** 2
        groups[-1].append(value)
    return groups


def compensated(weights: Floats, factor: Floats, choose: Choose | None, scales: Floats | None) -> tuple[Floats, int]:
    """Prune (`choose`) and round (`scales`, that broadcast to the weights) columns from the left; return what the
    weights become, still in their own unit, and the number of zeros chosen."""
    result = weights.copy()
    columns, zeros = weights.shape[1], 0
    for begin in range(0, columns, BLOCK):
        part = slice(begin, min(begin + BLOCK, columns))
        block = result[:, part].copy()
        mask = None if choose is None else choose(block, part)
        zeros += 0 if mask is None else int(np.count_nonzero(mask))
        steps = None if scales is None else np.broadcast_to(scales, weights.shape)[:, part]
        errors = _fix_block(block, factor[part, part], mask, steps)
        result[:, part] = block
        if part.stop < columns:
            result[:, part.stop :] -= errors @ factor[part, part.stop :]
    return result, zeros


def _fix_block(block: Floats, factor: Floats, mask: Mask | None, steps: Floats | None) -> Floats:
    """Fix the block's columns in place; return the errors that the later columns have to make up for."""
    errors = np.empty_like(block)
    for j in range(block.shape[1]):
        column = block[:, j].copy()
        fixed = column if mask is None else np.where(mask[:, j], np.float32(0), column)
        if steps is not None:
            fixed = np.clip(np.rint(fixed / steps[:, j]), -LEVELS, LEVELS).astype(np.float32) * steps[:, j]
        block[:, j] = fixed
        errors[:, j] = (column - fixed) / factor[j, j]
        block[:, j + 1 :] -= errors[:, j, None] * factor[j, None, j + 1 :]
    return errors


def _inverse_factor(moments: Floats, scaling: Floats | None) -> Floats:
    wide = moments.astype(np.float64)
    if scaling is not None:
        wide /= scaling.astype(np.float64)[:, None] * scaling.astype(np.float64)
    diagonal = np.diag(wide)
    wide[np.diag_indices_from(wide)] += max(_DAMPING * float(diagonal.mean()), 1e-12)
    inverse = np.linalg.inv(wide)
    return np.ascontiguousarray(np.linalg.cholesky((inverse + inverse.T) / 2).T.astype(np.float32))
