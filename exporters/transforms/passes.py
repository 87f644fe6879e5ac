"""What a pass is: it decides once, is applied to every weight, and reports."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from exporters.graphs.interface import WeightGraph
from exporters.transforms.options import LossyOptions
from exporters.transforms.pieces import Fix, Floats, Piece
from exporters.transforms.subject import Subject


class Pass(ABC):
    """One way to make weights smaller; a line in registry.py makes it known.

    In this order: `of`; `decide`; `rewrite`, where it changes the graph; then for every weight that it `touches`
    `begin`, `apply` to piece after piece, `end`; and `report`. Passes that store come last.
    """

    name: ClassVar[str]
    changes_graph: ClassVar[bool]  # nodes, or small tensors: only then `rewrite` and `parameter` are asked
    exact: ClassVar[bool] = False  # the products stay what they were, so nothing has to make up for it
    stores: ClassVar[DTypeLike | None] = None  # what `apply` makes of the values at last; None: what they were
    calibrates: bool = False  # whether it asks what is multiplied with the weights
    changes: bool = True  # False: nothing would be done
    undecided: ClassVar[tuple[Any, ...]] = ()  # what `decided` is where nobody asks for the pass

    @classmethod
    @abstractmethod
    def of(cls, options: LossyOptions) -> Pass | None:
        """Return the pass that the options ask for; None if they do not."""

    def decide(self, subject: Subject) -> None:
        """Look at the weights, as the passes before leave them, and decide what holds for all of them."""
        return

    def decided(self) -> Iterable[Any]:
        """What was decided, for JSON: weights that were written under another decision are not taken over."""
        return self.undecided

    def rewrite(self, graph: WeightGraph) -> None:
        """Change the graph; what was decided is known."""
        return

    def touches(self, name: str) -> bool:
        """Whether anything becomes of a weight."""
        return True

    def begin(self, name: str, pieces: Callable[[], Iterable[Piece]]) -> None:
        """Look at a whole weight first, piece by piece, as the passes before would leave it."""
        return

    @abstractmethod
    def apply(self, piece: Piece) -> None:
        """Change the values of a piece, or replace them."""

    def columns(self, block: Piece) -> Fix:
        """Return what `apply` does to a block's columns one after another, while others make up for what is lost."""

        def fix(column: int, values: Floats) -> Floats:
            at = block.columns.start + column
            one = block.part(slice(column, column + 1), values[:, None].copy())
            one.columns = slice(at, at + 1)
            self.apply(one)
            return np.asarray(one.values[:, 0], np.float32)

        return fix

    def end(self, name: str, stored: NDArray[Any], tally: Mapping[str, int]) -> int:
        """Note what became of a weight; return the bytes that it takes beside itself, such as scales."""
        return 0

    def parameter(self, name: str, array: Floats) -> Floats:
        """Return what becomes of a small tensor."""
        return array

    def found(self, name: str) -> dict[str, Any]:
        """Return, for JSON, what `restore` takes; asked once, when the weight is on the device."""
        return {}

    def restore(self, name: str, found: dict[str, Any]) -> bool:
        """Take over what was found in an export that was killed; False, KeyError, TypeError or ValueError if that
        cannot be."""
        return True

    def report(self, compensated: bool) -> dict[str, Any] | None:
        """What was changed, for the manifest; None if nothing. Complete once every weight was written."""
        return None
