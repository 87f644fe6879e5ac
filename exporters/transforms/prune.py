"""Pruning: the weights of least importance become zero.

A weight's importance is its magnitude times how large its input channel is on the calibration text: the l-infinity norm
as in Wang et al., "When Compression Meets Model Compression", or the root mean square, which bounds the expected error
of the product (Sun et al., "A Simple and Effective Pruning Approach for Large Language Models", arXiv 2306.11695), or
nothing: magnitude pruning.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import ConfigError
from exporters.transforms.calibrate import Activations

SCORES = ("rms", "max", "magnitude")
PATTERNS = ("total", "row", "2:4")
_BINS = 8192  # of the logarithm of scores, for a threshold over all weights
_LOG_LOW, _LOG_HIGH = -40.0, 24.0  # base 2

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Pruning:
    """`sparsity` is the fraction of zeros: over all weights ("total"), in every row, or half in each four ("2:4")."""

    sparsity: float
    pattern: str = "total"
    score: str = "rms"

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise ConfigError(f"sparsity is {self.sparsity:g}; expected 0 or more and less than 1")
        if self.pattern not in PATTERNS or self.score not in SCORES:
            raise ConfigError(f"pruning by {self.pattern!r} and {self.score!r}; expected one of {PATTERNS}, {SCORES}")
        if self.pattern == "2:4" and self.sparsity != 0.5:
            raise ConfigError(f"sparsity is {self.sparsity:g}; the pattern 2:4 has 0.5")


def channel_weights(activations: Activations, score: str) -> Floats:
    """What magnitudes are multiplied with, by column, for a score that looks at activations."""
    return activations.largest if score == "max" else np.sqrt(activations.mean_square)


def pruned(weights: Floats, channels: Floats, pruning: Pruning, threshold: float = 0.0) -> Mask:
    """Return where the weights [rows, columns] become zero; `threshold` is that of `total`."""
    scores = np.abs(weights) * channels
    if pruning.pattern == "total":
        return scores < threshold
    if pruning.pattern == "2:4":
        return _two_of_four(scores)
    mask = np.zeros(weights.shape, np.bool_)
    count = round(pruning.sparsity * weights.shape[1])
    if count:
        lowest = np.argpartition(scores, count - 1, axis=1)[:, :count]
        np.put_along_axis(mask, lowest, True, axis=1)
    return mask


def histogram(scores: Floats, norm: float) -> NDArray[np.int64]:
    """Count scores, relative to `norm`, by their logarithm; zeros count as the smallest."""
    with np.errstate(divide="ignore"):
        logs = np.log2(scores.reshape(-1).astype(np.float64) / max(norm, 1e-300))
    bins = np.clip((logs - _LOG_LOW) * (_BINS / (_LOG_HIGH - _LOG_LOW)), 0, _BINS - 1)
    return np.bincount(bins.astype(np.int64), minlength=_BINS)


def threshold_of(occurrences: NDArray[np.int64], sparsity: float) -> float:
    """Return the relative score below which a fraction `sparsity` of what was counted lies."""
    at = int(np.searchsorted(np.cumsum(occurrences), sparsity * occurrences.sum()))
    return float(2.0 ** (_LOG_LOW + at * (_LOG_HIGH - _LOG_LOW) / _BINS))


def _two_of_four(scores: Floats) -> Mask:
    rows, columns = scores.shape
    whole = columns - columns % 4
    mask = np.zeros(scores.shape, np.bool_)
    fours = scores[:, :whole].reshape(rows, -1, 4)
    order = np.argsort(fours, axis=2, kind="stable")
    chosen = np.zeros(fours.shape, np.bool_)
    np.put_along_axis(chosen, order[:, :, :2], True, axis=2)
    mask[:, :whole] = chosen.reshape(rows, whole)
    return mask
