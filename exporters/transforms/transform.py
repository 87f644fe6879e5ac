"""Runs the passes over one plan: what each weight becomes, decided before the first one is written."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.planning.plan import Plan
from exporters.transforms import registry
from exporters.transforms.calibrate import Calibration
from exporters.transforms.compensate import Moments, compensated
from exporters.transforms.options import LossyOptions
from exporters.transforms.passes import Pass
from exporters.transforms.pieces import Fix, Floats, Piece, chunks
from exporters.transforms.subject import Subject


class Transform:
    """Rewrites the weights of a plan as they are read. The plan's graph is changed when this is made.

    With `moments` the rest of a row makes up for what is lost. Raises ExportError for a plan whose weights are not
    floats, and for a target that cannot be reached.
    """

    def __init__(
        self, plan: Plan, options: LossyOptions, calibration: Calibration, moments: Moments | None = None
    ) -> None:
        self.options, self._calibration = options, calibration
        self._moments = moments if options.compensate else None
        self._decided: list[Pass] = []
        self._subject = Subject(plan, calibration, self._leave)
        self._passes = registry.asked(options)
        for each in self._passes:
            each.decide(self._subject)
            self._decided.append(each)
        for each in self._passes:
            if each.changes_graph:
                each.rewrite(plan.graph)

    # ---- what the writer asks ----

    @property
    def key(self) -> str:
        """Identifies the passes, what they were decided from, and what was decided for all weights together."""
        asked = dataclasses.asdict(self.options) | {"calibration": self._calibration.digest()}
        for place in ("text", "reference", "measure"):
            asked.pop(place)
        by_type = {type(each): each.decided() for each in self._passes}
        decided = [what for known in registry.PASSES for what in by_type.get(known, known.undecided)]
        return json.dumps([asked, decided], default=str, sort_keys=True)

    def weight(self, name: str, array: NDArray[Any]) -> tuple[NDArray[Any], int, int]:
        """Return what becomes of a weight, how many elements changed, and the bytes of its scales."""
        if name not in self._subject.names:
            return array, 0, 0
        stored = self._subject.stored(name, array)
        acting = self._acting(name)
        if not acting:
            return np.ascontiguousarray(stored), 0, 0
        for at, each in enumerate(acting):
            each.begin(name, functools.partial(_previews, name, stored, acting[:at]))
        tally: Counter[str] = Counter()
        result = np.empty(stored.shape, acting[-1].stores or stored.dtype)
        changed = 0
        for rows in chunks(*stored.shape):
            piece = Piece.of(name, stored, rows, tally)
            self._run(piece, acting)
            result[rows] = piece.values.astype(result.dtype, copy=False)
            same = result.dtype == stored.dtype
            changed += int(np.count_nonzero(result[rows] != stored[rows])) if same else result[rows].size
        return result, changed, sum(each.end(name, result, tally) for each in acting)

    def found(self, name: str) -> dict[str, Any]:
        """Return, for JSON, what `restore` takes; asked once."""
        if name not in self._subject.names:
            return {}
        return {key: value for each in self._passes for key, value in each.found(name).items()}

    def restore(self, name: str, found: dict[str, Any]) -> bool:
        """Take a weight over that another process has written; False if it is not as the passes would leave it."""
        if name not in self._subject.names:
            return not found
        try:
            return all(each.restore(name, found) for each in self._passes)
        except (KeyError, TypeError, ValueError):
            return False

    def parameter(self, name: str, array: Floats) -> Floats:
        """Return what becomes of a small tensor."""
        for each in self._passes:
            array = each.parameter(name, array) if each.changes_graph else array
        return array

    def report(self) -> list[dict[str, Any]]:
        """What each pass changed, for the manifest; complete once every weight was written."""
        reports = [each.report(self._moments is not None) for each in sorted(self._passes, key=lambda p: not p.exact)]
        calibrated = [{"pass": "calibrate", "tokens": self._calibration.tokens}]
        return (calibrated if registry.calibrates(self.options) else []) + [
            each for each in reports if each is not None
        ]

    # ---- doing ----

    def _acting(self, name: str) -> list[Pass]:
        """The passes that change a weight; what stores comes last."""
        return sorted((each for each in self._passes if each.touches(name)), key=lambda each: each.stores is not None)

    def _leave(self, piece: Piece) -> None:
        """Do what the passes that have decided will do, but for what is stored."""
        for each in self._decided:
            if each.stores is None and each.touches(piece.name):
                each.apply(piece)

    def _run(self, piece: Piece, acting: Sequence[Pass]) -> None:
        """Apply all; others make up for what is lost, where moments are known."""
        lossy = [each for each in acting if not each.exact]
        if self._moments is None or not self._moments.knows(piece.name) or not lossy:
            for each in acting:
                each.apply(piece)
            return
        for each in acting:
            if each.exact:
                each.apply(piece)

        def fixes(block: Floats, columns: slice) -> list[Fix]:
            return [each.columns(piece.part(columns, block)) for each in lossy]

        piece.values = compensated(piece.values, self._moments.factor(piece.name, piece.unit), fixes)
        for each in acting:
            if each.stores is not None:
                each.apply(piece)


def _previews(name: str, stored: NDArray[Any], before: Sequence[Pass]) -> Iterator[Piece]:
    """Yield a weight piece by piece as the passes before leave it, with nothing that makes up for it."""
    for rows in chunks(*stored.shape):
        piece = Piece.of(name, stored, rows)
        for each in before:
            each.apply(piece)
        yield piece
