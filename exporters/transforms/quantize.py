"""Symmetric INT8: q = round(w / scale), -127 to 127, a scale a tensor, a row, or a group of columns of a row.

A scale is at least the largest magnitude / 127. `coarse` may ask for more, as a fraction of the weights' root mean
square: a larger step leaves fewer different integers, which an entropy coder stores in fewer bits. Everywhere the same
step relative to the weights is the best that an entropy coder can do with a given error (reverse water-filling).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import ConfigError

LEVELS = 127
TENSOR, ROW = -1, 0  # granularities by the columns that share a scale; a group has its own size
_GROUP_MULTIPLE = 16

Floats = NDArray[np.float32]
Integers = NDArray[np.int8]


def group_of(granularity: str) -> int:
    """Return the columns that share a scale: TENSOR, ROW or N for "group:N"; ConfigError for another name."""
    kind, _, size = granularity.partition(":")
    if granularity in ("tensor", "row"):
        return TENSOR if granularity == "tensor" else ROW
    if kind == "group" and size.isdecimal() and int(size) >= _GROUP_MULTIPLE and int(size) % _GROUP_MULTIPLE == 0:
        return int(size)
    raise ConfigError(
        f"granularity is {granularity!r}; expected tensor, row or group:N with N a multiple of {_GROUP_MULTIPLE}"
    )


def largest(weights: Floats, group: int) -> Floats:
    """Return the largest magnitude that each scale has to cover: [rows] or [rows, groups]; [] for TENSOR."""
    magnitudes = np.abs(weights)
    if group == TENSOR:
        return np.asarray(magnitudes.max(initial=0.0), np.float32)
    if group == ROW:
        return np.asarray(magnitudes.max(1, initial=0.0), np.float32)
    at = np.arange(0, weights.shape[1], group)
    return np.asarray(np.maximum.reduceat(magnitudes, at, axis=1), np.float32)


def scales_of(covered: Floats, step: float) -> Floats:
    """Scales that cover these magnitudes and are at least `step`; 1 where there are only zeros."""
    scales = np.maximum(covered / np.float32(LEVELS), np.float32(step)).astype(np.float32)
    return np.asarray(np.where(covered > 0, scales, np.float32(1)), np.float32)


def spread(scales: Floats, group: int, columns: int) -> Floats:
    """Scales as something that a [rows, columns] array can be divided by."""
    if scales.ndim == 0:
        return scales
    return scales[:, None] if group == ROW else np.repeat(scales, group, axis=1)[:, :columns]


def steps_of(scales: Floats, group: int, columns: slice, rows: int) -> Floats:
    """Scales of some columns of so many rows, one an element."""
    if group > 0:
        return np.asarray(scales[:, np.arange(columns.start, columns.stop) // group], np.float32)
    return np.broadcast_to(scales if group == TENSOR else scales[:, None], (rows, columns.stop - columns.start))


def integers(weights: Floats, scales: Floats, group: int) -> Integers:
    """Round weights to multiples of their scales."""
    steps = np.rint(weights / spread(scales, group, weights.shape[1]))
    return np.asarray(np.clip(steps, -LEVELS, LEVELS), np.int8)


def counts(values: Integers) -> NDArray[np.int64]:
    """How often each of the 256 values occurs."""
    return np.bincount(values.reshape(-1).view(np.uint8), minlength=256)


def entropy_bits(occurrences: NDArray[np.int64]) -> float:
    """Return the entropy of symbols in bits: the least that any coder of single symbols needs on average."""
    total = occurrences.sum()
    if total == 0:
        return 0.0
    shares = occurrences[occurrences > 0] / total
    return float(-(shares * np.log2(shares)).sum())
