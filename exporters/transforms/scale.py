"""Compression-aware scaling: the channels of an activation change size, and the weights around it take it up.

After Wang et al., "When Compression Meets Model Compression" (Double Compression): a weight's column is multiplied by
s_j, and what makes the activation, a norm or another weight, is divided by it, so the product is what it was. INT8 then
errs less in the columns that meet large activations and more in the others. With a step that is the same in all
columns, the least bits for a given error have s_j proportional to the activation's root mean square (reverse
water-filling); what the source takes, its maximum, is near that. The strength is the exponent of s_j; it is searched,
for every activation by itself, for the fewest bits at an error that is no larger than without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xxhash
from numpy.typing import NDArray

from exporters.graphs.interface import NormFold, RowsFold, Site
from exporters.transforms.calibrate import Activations
from exporters.transforms.quantize import counts, entropy_bits, integers, largest, scales_of, spread

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
_RANGE = 64.0  # factors lie in 1 / _RANGE to _RANGE
_BISECTIONS = 14
_MOST_STEP = 4.0  # times the root mean square: everything is zero
Floats = NDArray[np.float32]
Rows = Callable[[str], Floats]  # some rows of a weight by its name


@dataclass
class Factors:
    """What tensors and parameters are multiplied with, and the step of each tensor relative to its root mean square."""

    columns: dict[str, Floats] = field(default_factory=dict)
    rows: dict[str, Floats] = field(default_factory=dict)
    parameters: dict[str, tuple[Floats, float]] = field(default_factory=dict)  # with the offset that is added later
    steps: dict[str, float] = field(default_factory=dict)

    def digest(self) -> str:
        """A hash of all of them."""
        digest = xxhash.xxh3_128(repr(sorted(self.steps.items())).encode())
        offsets = {name: factors for name, (factors, _) in self.parameters.items()}
        for kind in (self.columns, self.rows, offsets):
            for name, factors in sorted(kind.items()):
                digest.update(f"{name} {factors.shape}".encode())
                digest.update(np.ascontiguousarray(factors).tobytes())
        return str(digest.hexdigest())


@dataclass(frozen=True)
class Strength:
    """The choice for one activation: bits per weight before and after at the same error, from sampled rows."""

    x: str
    strength: float
    bits_before: float
    bits_after: float


def search(sites: Sequence[Site], activations: Mapping[str, Activations], rows: Rows, group: int,
           step: Callable[[str], float]) -> tuple[Factors, list[Strength]]:  # fmt: skip
    """Choose the strength of every site whose channels can be rescaled; `step` is each tensor's without scaling."""
    factors, chosen = Factors(), []
    for site in sites:
        if site.fold is None:
            continue
        entry = activations[site.tensors[0]]
        samples = [rows(tensor) for tensor in site.tensors]
        before = [step(tensor) for tensor in site.tensors]
        best = _best(site, samples, entry.mean_square, group, before)
        chosen.append(Strength(site.x, best.strength, best.bits_before, best.bits))
        for tensor, relative in zip(site.tensors, best.steps, strict=True):
            factors.steps[tensor] = relative
        if best.strength:
            _fold(factors, site, best.factors)
    return factors, chosen


def channel_factors(site: Site, mean_square: Floats, strength: float) -> Floats:
    """Return s_j of a site, geometric mean 1; where an attention repeats a head's values they are the same."""
    squares = mean_square.astype(np.float64)
    if isinstance(site.fold, RowsFold) and site.fold.heads is not None:
        queries, values, size = site.fold.heads
        shared = squares.reshape(values, queries // values, size).mean(1, keepdims=True)
        squares = np.broadcast_to(shared, (values, queries // values, size)).reshape(-1)
    floor = max(float(squares.max(initial=0.0)) * 1e-8, 1e-30)
    logs = 0.5 * strength * np.log(np.maximum(squares, floor))
    return np.asarray(np.clip(np.exp(logs - logs.mean()), 1 / _RANGE, _RANGE), np.float32)


@dataclass(frozen=True)
class _Trial:
    strength: float
    factors: Floats
    steps: tuple[float, ...]
    bits: float
    bits_before: float


def _best(site: Site, samples: Sequence[Floats], mean_square: Floats, group: int, before: Sequence[float]) -> _Trial:
    one = np.ones_like(mean_square)
    error, bits = _error_and_bits(samples, one, mean_square, group, before)
    best = _Trial(0.0, one, tuple(before), bits, bits)
    for strength in STRENGTHS[1:]:
        factors = channel_factors(site, mean_square, strength)
        steps = _steps_for(error, samples, factors, mean_square, group)
        if steps is None:
            continue
        trial_bits = _error_and_bits(samples, factors, mean_square, group, steps)[1]
        if trial_bits < best.bits:
            best = _Trial(strength, factors, tuple(steps), trial_bits, bits)
    return best


def _steps_for(
    error: float, samples: Sequence[Floats], factors: Floats, mean_square: Floats, group: int
) -> list[float] | None:
    """The largest common step whose error is at most `error`; None if even the finest is coarser."""

    def found(step: float) -> float:
        return _error_and_bits(samples, factors, mean_square, group, [step] * len(samples))[0]

    if found(0.0) > error:
        return None
    low, high = 0.0, _MOST_STEP
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if found(middle) <= error else (low, middle)
    return [low] * len(samples)


def _error_and_bits(
    samples: Sequence[Floats], factors: Floats, mean_square: Floats, group: int, steps: Sequence[float]
) -> tuple[float, float]:
    """Expected squared error of the products' outputs, and entropy in bits per weight, over the samples."""
    error = bits = 0.0
    elements = sum(sample.size for sample in samples)
    importance = mean_square.astype(np.float64) / factors.astype(np.float64) ** 2
    for sample, step in zip(samples, steps, strict=True):
        scaled = sample * factors
        scales = scales_of(largest(scaled, group), step * root_mean_square(scaled))
        values = integers(scaled, scales, group)
        off = values * spread(scales, group, scaled.shape[1]) - scaled
        error += float((np.square(off, dtype=np.float64).sum(0) * importance).sum())
        bits += entropy_bits(counts(values)) * sample.size / max(elements, 1)
    return error, bits


def root_mean_square(weights: Floats) -> float:
    """Of all elements."""
    return float(np.sqrt(np.square(weights, dtype=np.float64).mean())) if weights.size else 0.0


def _fold(factors: Factors, site: Site, s: Floats) -> None:
    for tensor in site.tensors:
        factors.columns[tensor] = s
    inverse = (1 / s).astype(np.float32)
    if isinstance(site.fold, NormFold):
        factors.parameters[site.fold.weight] = (inverse, site.fold.offset)
        if site.fold.bias is not None:
            factors.parameters[site.fold.bias] = (inverse, 0.0)
    elif isinstance(site.fold, RowsFold):
        if site.fold.heads is not None:
            queries, values, size = site.fold.heads
            inverse = inverse.reshape(values, queries // values, size)[:, 0].reshape(-1)
        factors.rows[site.fold.tensor] = inverse
        if site.fold.bias is not None:
            factors.parameters[site.fold.bias] = (inverse, 0.0)
