"""Horizontal bars: in groups with the samples behind them, or one a row, cut into parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge_runtime.chart.figure import WIDTH, Figure, Key, safe, text
from edge_runtime.chart.scale import Axis, Scale, number, scale_of

_BAR, _GAP, _GROUP_GAP = 18, 6, 14
_LABELS, _RIGHT = 270, 90
_ROOM = WIDTH - _LABELS - _RIGHT


@dataclass(frozen=True)
class Bar:
    """A bar of a group: `value`, the `samples` behind it, its colour's class and what it is of."""

    value: float
    samples: Sequence[float]
    style: str
    title: str


def bars(groups: Sequence[tuple[str, Sequence[Bar]]], unit: str) -> Figure:
    """Return horizontal bars in labelled groups, with a dot for each sample and the value behind the bar."""
    scale = _scale([end for _, group in groups for bar in group for end in (bar.value, *bar.samples)])
    parts: list[str] = []
    y = 6.0
    for label, group in groups:
        middle = y + (len(group) * (_BAR + _GAP) - _GAP) / 2 + 4
        parts.append(text(_LABELS - 10, middle, label, "end", room=_LABELS - 14))
        for bar in group:
            parts.append(_bar(bar, y, scale, unit))
            y += _BAR + _GAP
        y += _GROUP_GAP
    return Figure(y + 40, _grid(scale, y, unit) + "".join(parts))


def stacked(rows: Sequence[tuple[str, Sequence[float]]], names: Sequence[str], unit: str) -> Figure:
    """Return one horizontal bar a row, cut into the parts `names`."""
    scale = _scale([sum(_drawn(value) for value in values) for _, values in rows])
    parts: list[str] = []
    y = 6.0
    for label, values in rows:
        parts.append(text(_LABELS - 10, y + _BAR - 5, label, "end", room=_LABELS - 14))
        done = 0.0
        for index, (name, value) in enumerate(zip(names, values, strict=True)):
            title = f"{label}, {name}: {number(value)} {unit}"
            parts.append(_rect(_x(done, scale), _x(done + _drawn(value), scale), y, f"p{index}", title))
            done += _drawn(value)
        parts.append(text(_x(done, scale) + 8, y + _BAR - 5, number(sum(values))))
        y += _BAR + _GAP
    return Figure(y + 40, _grid(scale, y, unit) + "".join(parts), [Key(f"p{i}", name) for i, name in enumerate(names)])


def _scale(values: Sequence[float]) -> Scale:
    return scale_of(Axis(""), [_drawn(value) for value in values])


def _drawn(value: float) -> float:
    """What is drawn of a value: nothing of one that is negative or no number."""
    return value if math.isfinite(value) and value > 0 else 0.0


def _x(value: float, scale: Scale) -> float:
    return _LABELS + scale.share(_drawn(value)) * _ROOM


def _bar(bar: Bar, y: float, scale: Scale, unit: str) -> str:
    title = f"{bar.title}: {number(bar.value)} {unit}"
    parts = [_rect(_LABELS, _x(bar.value, scale), y, bar.style, title)]
    for sample in bar.samples:
        parts.append(f'<circle class="dot" cx="{_x(sample, scale):.1f}" cy="{y + _BAR / 2:.1f}" r="2.2"/>')
    end = max(_x(value, scale) for value in (bar.value, *bar.samples))
    return "".join(parts) + text(end + 8, y + _BAR - 5, number(bar.value))


def _rect(left: float, right: float, y: float, style: str, title: str) -> str:
    place = f'x="{left:.1f}" y="{y:.1f}" width="{right - left:.1f}" height="{_BAR}"'
    return f'<rect class="fill {style}" {place}><title>{safe(title)}</title></rect>'


def _grid(scale: Scale, y: float, unit: str) -> str:
    """The grid behind bars that end at `y`, its figures and the unit below."""
    parts = [text(_LABELS + _ROOM / 2, y + 32, unit, "middle")]
    for value, name in scale.marks:
        x = _x(value, scale)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{y:.1f}"/>')
        parts.append(text(x, y + 14, name, "middle"))
    return "".join(parts)
