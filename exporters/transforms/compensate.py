"""What a weight loses, its neighbours in the row make up for: error compensation while columns are pruned or rounded.

Column after column is fixed, and its error is spread over the columns not yet fixed so that the product changes least
on the calibration text: Hassibi and Stork's optimal brain surgeon, in the order and with the Cholesky factor of Frantar
and Alistarh (SparseGPT, arXiv 2301.00774; GPTQ, arXiv 2210.17323). Needs the second moments of pairs of input channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from exporters.transforms.pieces import Fix, Floats

BLOCK = 128  # columns: what is pruned in a row is chosen for so many at a time
_DAMPING = 0.01  # of the mean of the diagonal
_GROUP_BYTES = 512 << 20  # of second moments in memory at once

Fixes = Callable[[Floats, slice], Sequence[Fix]]  # (a block, its columns) -> what is done to each column in order


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


def compensated(weights: Floats, factor: Floats, fixes: Fixes) -> Floats:
    """Fix the columns of [rows, columns] from the left, block by block; return what the weights become, in their unit.

    `fixes` are asked anew for every block, as the blocks before it have left it.
    """
    result: Floats = weights.copy()
    columns = weights.shape[1]
    for begin in range(0, columns, BLOCK):
        part = slice(begin, min(begin + BLOCK, columns))
        block = result[:, part].copy()
        errors = _fix_block(block, factor[part, part], fixes(block, part))
        result[:, part] = block
        if part.stop < columns:
            result[:, part.stop :] -= errors @ factor[part, part.stop :]
    return result


def _fix_block(block: Floats, factor: Floats, fixes: Sequence[Fix]) -> Floats:
    """Fix the block's columns in place; return the errors that the later columns have to make up for."""
    errors = np.empty_like(block)
    for j in range(block.shape[1]):
        column = block[:, j].copy()
        fixed = column
        for fix in fixes:
            fixed = fix(j, fixed)
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
