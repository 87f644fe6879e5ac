"""From values to places on an axis, and the round numbers that are written beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_MOST, _LEAST = 1e300, 1e-300
"""What is drawn of a value; beyond it the arithmetic of places would overflow."""


@dataclass(frozen=True)
class Axis:
    """What an axis shows: its title with the unit, whether it starts at zero, whether it is logarithmic.

    Values of zero and less lie at the foot of a logarithmic axis, which is then marked "0".
    """

    title: str
    from_zero: bool = True
    log: bool = False


@dataclass(frozen=True)
class Scale:
    """An axis with its ends and its marks, (value, text)."""

    low: float
    high: float
    marks: Sequence[tuple[float, str]]
    log: bool = False

    def share(self, value: float) -> float:
        """Return where `value` lies, from 0 at the low end to 1 at the high one."""
        low, high = self.low, self.high
        value = min(max(value, low), high)
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return (value - low) / (high - low)


def scale_of(axis: Axis, values: Iterable[float], count: int = 5) -> Scale:
    """Return the scale of `axis` over the finite ones of `values`, with about `count` marks."""
    seen = [min(max(value, -_MOST), _MOST) for value in values if math.isfinite(value)]
    if axis.log:
        return _logarithmic(seen, count)
    low = min([0.0, *seen] if axis.from_zero or not seen else seen)
    marks = ticks(low, max(seen, default=1.0), count)
    return Scale(marks[0], marks[-1], _named(marks))


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers from at most `low` to at least `high`, about `count` of them, never all the same."""
    if high - low <= max(abs(low) * 1e-12, _LEAST):  # numbers have no steps as small as that would need
        high = low + (abs(low) or 1.0)
    rough = (high - low) / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first = math.floor(low / step)
    return [step * index for index in range(first, math.ceil(high / step - 1e-9) + 1)]


def number(value: float) -> str:
    """Return a value as people read it: three digits, or whole with separators from a thousand on."""
    if value == 0:
        return "0"
    if 1000 <= abs(value) < 1e12:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _logarithmic(values: Sequence[float], count: int) -> Scale:
    positive = [max(value, _LEAST) for value in values if value > 0] or [1.0]
    low, high = min(positive) / 1.5, max(positive) * 1.5
    marks = [(value, number(value)) for value in _log_ticks(low, high, count)]
    if any(value <= 0 for value in values):
        low /= max(2.0, (high / low) ** 0.12)
        marks.insert(0, (low, "0"))
    return Scale(low, high, marks, log=True)


def _log_ticks(low: float, high: float, count: int) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if last - first > 4:
        found = [10.0**power for power in range(first, last + 1, math.ceil((last - first) / (count + 2)))]
    else:
        found = [factor * 10.0**power for power in range(first, last + 1) for factor in (1, 2, 5)]
    inside = [value for value in found if low <= value <= high]
    return inside if len(inside) > 1 else [value for value in ticks(low, high, count) if low <= value <= high]


def _named(marks: Sequence[float]) -> list[tuple[float, str]]:
    """The marks with as many decimals as their distance needs, so that no two read the same."""
    step = marks[1] - marks[0]
    if not (step >= 1e-6 and max(map(abs, marks)) < 1e12):
        return [(mark, number(mark)) for mark in marks]
    decimals = next((d for d in range(9) if abs(step * 10**d - round(step * 10**d)) < 1e-3), 9)
    return [(mark, f"{mark + 0.0:,.{decimals}f}") for mark in marks]
