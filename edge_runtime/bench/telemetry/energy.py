"""Energy of a stretch of time from power samples."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Energy:
    """`joules` of the watched stretches, or None and the `reason` why it is unavailable."""

    joules: float | None
    reason: str | None = None

    def per_token(self, tokens: int) -> float | None:
        """Joules per token, idle power included; None where there is no energy or no token."""
        return None if self.joules is None or tokens < 1 else self.joules / tokens


def energy_between(
    samples: Sequence[tuple[float, float]], stretches: Sequence[tuple[float, float]], max_gap_s: float
) -> Energy:
    """Integrate power over stretches of time.

    `samples` are (seconds, watts) in order of time, `stretches` (start, end) in seconds of the same clock. Between two
    samples power is taken as a straight line. Unavailable where samples are missing: none within
    `max_gap_s` of an end of a stretch, a gap longer than that, or fewer than two samples near all stretches together.
    """
    near = [t for t, _ in samples if any(a - max_gap_s <= t <= b + max_gap_s for a, b in stretches)]
    if len(near) < 2:
        return Energy(None, f"{len(near)} power samples in this time; at least 2 are needed (run longer)")
    total = 0.0
    for start, end in stretches:
        joules = _integral(samples, start, end, max_gap_s)
        if joules is None:
            return Energy(None, f"power samples are missing for over {max_gap_s:g} s of this time")
        total += joules
    return Energy(total)


def _integral(samples: Sequence[tuple[float, float]], start: float, end: float, max_gap_s: float) -> float | None:
    if start < samples[0][0] - max_gap_s or end > samples[-1][0] + max_gap_s:
        return None
    points = [(samples[0][0] - max_gap_s, samples[0][1]), *samples, (samples[-1][0] + max_gap_s, samples[-1][1])]
    total = 0.0
    for (t0, w0), (t1, w1) in itertools.pairwise(points):
        low, high = max(t0, start), min(t1, end)
        if low >= high:
            continue
        if t1 - t0 > max_gap_s * 1.001:
            return None
        slope = (w1 - w0) / (t1 - t0)
        total += (high - low) * (w0 + slope * ((low + high) / 2 - t0))
    return total
