"""The pass that scales channels, so that integers need fewer bits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from exporters.graphs.interface import RowsFold, Site
from exporters.transforms.options import LossyOptions
from exporters.transforms.passes import Pass
from exporters.transforms.pieces import Floats, Piece
from exporters.transforms.quantize import TENSOR
from exporters.transforms.rounding import Rounding
from exporters.transforms.scale import Factors, Strength, search
from exporters.transforms.subject import Subject


class Scale(Pass):
    """Multiplies columns, and divides what makes the channels that meet them: the products are what they were."""

    name = "scale"
    changes_graph = True  # the weights and biases of norms lie in it
    exact = True
    calibrates = True
    undecided = (Factors().digest(),)

    def __init__(self, options: LossyOptions) -> None:
        self._group, self._target = options.group, options.target_bits
        self._factors = Factors()
        self._strengths: list[Strength] = []

    @classmethod
    def of(cls, options: LossyOptions) -> Scale | None:
        return cls(options) if options.quantize and options.scaling else None

    def decide(self, subject: Subject) -> None:
        """Search every activation's strength for the rounding that was decided, and tell what becomes of that."""
        rounding, sample = subject.rounding, functools.cache(subject.sample)
        assert rounding is not None  # `of` asks for integers
        found, names = subject.calibration.activations, set(subject.names)
        sites = [site for site in subject.sites() if _takers(site) <= names]
        self._factors, self._strengths = search(sites, found, sample, self._group, lambda name: rounding.step)
        if self._target is not None and self._strengths:
            self._spend(self._target, subject, rounding, sample)
        rounding.own = self._factors.steps
        # A row's own factor goes into its scale, where it changes no integer; one scale for all has no room for it.
        rounding.row_factors = {} if self._group == TENSOR else self._factors.rows

    def _spend(self, target: float, subject: Subject, rounding: Rounding, sample: Callable[[str], Floats]) -> None:
        """Scaling saved bits at the same error; spend them on a smaller error: all steps shrink by one factor."""
        steps = {name: self._factors.steps.get(name, rounding.step) for name in subject.names}
        base = max(max(steps.values()), 1e-9)
        samples = {name: self._scaled(name, sample(name)) for name in subject.names}
        shapes = {name: subject.shape(name) for name in subject.names}
        step = rounding.step_for(target, samples, shapes, lambda name, step: steps[name] * step / base)
        self._factors.steps = {name: steps[name] * step / base for name in subject.names}
        rounding.step = step

    def decided(self) -> Iterable[Any]:
        return (self._factors.digest(),)

    def touches(self, name: str) -> bool:
        return name in self._factors.columns or (self._group == TENSOR and name in self._factors.rows)

    def apply(self, piece: Piece) -> None:
        piece.values, piece.unit = self._scaled(piece.name, piece.values), self._factors.columns.get(piece.name)
        if self._group == TENSOR and piece.name in self._factors.rows and piece.rows is not None:
            piece.values = piece.values * self._factors.rows[piece.name][piece.rows, None]

    def parameter(self, name: str, array: Floats) -> Floats:
        if name not in self._factors.parameters:
            return array
        factors, offset = self._factors.parameters[name]
        return np.asarray((array + np.float32(offset)) * factors - np.float32(offset), np.float32)

    def report(self, compensated: bool) -> dict[str, Any] | None:
        if not self._strengths:
            return None
        return {
            "pass": self.name,
            "activations": len(self._strengths),
            "rescaled": len([entry for entry in self._strengths if entry.strength]),
            "bits_before": round(float(np.mean([entry.bits_before for entry in self._strengths])), 4),
            "bits_after": round(float(np.mean([entry.bits_after for entry in self._strengths])), 4),
        }

    def _scaled(self, name: str, rows: Floats) -> Floats:
        return rows * self._factors.columns[name] if name in self._factors.columns else rows


def _takers(site: Site) -> set[str]:
    """Every weight that would take a factor."""
    return {*site.tensors, *([site.fold.tensor] if isinstance(site.fold, RowsFold) else [])}
