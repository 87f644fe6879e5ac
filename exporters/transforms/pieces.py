"""A part of a weight on its way through the passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Fix = Callable[[int, Floats], Floats]  # (column of a block, its values) -> what they become
_CHUNK = 1 << 22  # elements widened at a time


@dataclass
class Piece:
    """Some rows and columns of a weight as it is stored: `values` [rows, columns], which passes change or replace.

    `rows` is None for a sample of them. `unit` [columns] is what a pass has multiplied the columns with, None for
    nothing. `tally` counts, by name, what a pass wants to know of the whole weight.
    """

    name: str
    rows: slice | None
    columns: slice
    values: NDArray[Any]
    unit: Floats | None = None
    tally: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, name: str, stored: NDArray[Any], rows: slice, tally: Counter[str] | None = None) -> Piece:
        """Return whole rows of a stored weight, as float32 of their own."""
        values = np.array(stored[rows], np.float32, order="C")
        return cls(name, rows, slice(0, stored.shape[1]), values, tally=Counter() if tally is None else tally)

    def part(self, columns: slice, values: Floats) -> Piece:
        """Return some columns of it, with these values; counts go into the same tally."""
        unit = None if self.unit is None else self.unit[columns]
        return replace(self, columns=columns, values=values, unit=unit)

    @property
    def in_its_own_unit(self) -> Floats:
        """The values before their columns were multiplied."""
        return np.asarray(self.values if self.unit is None else self.values / self.unit, np.float32)


def chunks(rows: int, columns: int) -> Iterator[slice]:
    """Cut rows into pieces that are small when widened."""
    step = max(1, _CHUNK // max(columns, 1))
    for begin in range(0, rows, step):
        yield slice(begin, min(begin + step, rows))
