"""Values over two axes: lines, named dots, and rules that limit them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edge_runtime.chart.figure import WIDTH, Figure, Key, safe, text, text_width
from edge_runtime.chart.labels import Box, along, places
from edge_runtime.chart.scale import Axis, Scale, scale_of

_RIGHT, _TOP, _BOTTOM = 24, 14, 44
_RADIUS = 5


@dataclass(frozen=True)
class Line:
    """A line: (x, y) points in order, its colour's class and name; `dashed` for what was not measured."""

    points: Sequence[tuple[float, float]]
    style: str
    name: str
    dashed: bool = False


@dataclass(frozen=True)
class Dot:
    """A dot with its name beside it; `hint` is shown while a mouse rests on it."""

    x: float
    y: float
    style: str
    name: str
    hint: str = ""


@dataclass(frozen=True)
class Rule:
    """A dashed line across the chart where `axis` has `value`, with its name."""

    axis: Literal["x", "y"]
    value: float
    name: str


@dataclass(frozen=True)
class _Frame:
    """Where the chart's area lies in the picture."""

    left: float
    height: float
    x: Scale
    y: Scale

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = self.x.share(x) * (WIDTH - _RIGHT - self.left)
        return self.left + across, self.height - _BOTTOM - self.y.share(y) * (self.height - _BOTTOM - _TOP)


def plane(
    x: Axis, y: Axis, *, lines: Sequence[Line] = (), dots: Sequence[Dot] = (), rules: Sequence[Rule] = (),
    keys: Sequence[Key] = (), height: int = 250,
) -> Figure:  # fmt: skip
    """Return what is given over the axes `x` and `y`. The legend has the lines, then `keys`: the colours of dots.

    Points that are no numbers are left out.
    """
    drawn = [(line, [point for point in line.points if _finite(*point)]) for line in lines]
    dots = [dot for dot in dots if _finite(dot.x, dot.y)]
    rules = [rule for rule in rules if math.isfinite(rule.value)]
    at = [point for _, points in drawn for point in points] + [(dot.x, dot.y) for dot in dots]
    xs = scale_of(x, [a for a, _ in at] + [rule.value for rule in rules if rule.axis == "x"], 8)
    ys = scale_of(y, [b for _, b in at] + [rule.value for rule in rules if rule.axis == "y"], 5 if height < 300 else 6)
    left = max(46.0, 34 + max(text_width(name) for _, name in ys.marks))
    frame = _Frame(left, height, xs, ys)
    parts = [_grid(frame, x, y, deep=bool(dots))]
    parts += [_line(line, [frame.at(*point) for point in points]) for line, points in drawn]
    if not at:
        parts.append(text((left + WIDTH - _RIGHT) / 2, (height - _BOTTOM) / 2, "no values", "middle"))
    ruled, taken = _rules(rules, frame)
    if dots:
        taken += [box for _, points in drawn for box in along([frame.at(*point) for point in points])]
    shown = [Key(line.style, line.name, line.dashed) for line in lines]
    return Figure(height, "".join([*parts, ruled, _dots(dots, taken, frame)]), [*shown, *keys])


def _finite(x: float, y: float) -> bool:
    return math.isfinite(x) and math.isfinite(y)


def _grid(frame: _Frame, x: Axis, y: Axis, deep: bool) -> str:
    """The grid with its figures and titles; `deep`: with lines upwards too."""
    foot = frame.height - _BOTTOM
    parts = []
    for value, name in frame.y.marks:
        _, level = frame.at(frame.x.low, value)
        parts.append(f'<path class="grid" d="M{frame.left:.1f} {level:.1f}H{WIDTH - _RIGHT}"/>')
        parts.append(text(frame.left - 8, level + 4, name, "end"))
    for value, name in frame.x.marks:
        across, _ = frame.at(value, frame.y.low)
        parts.append(f'<path class="grid" d="M{across:.1f} {foot + 4:.1f}V{_TOP if deep else foot:.1f}"/>')
        parts.append(text(across, foot + 18, name, "middle"))
    parts.append(text((frame.left + WIDTH - _RIGHT) / 2, frame.height - 6, x.title, "middle"))
    turned = f'transform="translate(14 {(foot + _TOP) / 2:.0f}) rotate(-90)" text-anchor="middle"'
    parts.append(f"<text {turned}>{safe(y.title)}</text>")
    return "".join(parts)


def _line(line: Line, places: Sequence[tuple[float, float]]) -> str:
    hint = f"<title>{safe(line.name)}</title>"
    if len(places) == 1:
        x, y = places[0]
        return f'<circle class="fill {line.style}" cx="{x:.1f}" cy="{y:.1f}" r="3">{hint}</circle>'
    style = f"line {line.style}{' dashed' if line.dashed else ''}"
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polyline class="{style}" points="{path}">{hint}</polyline>'


def _rules(rules: Sequence[Rule], frame: _Frame) -> tuple[str, list[Box]]:
    """The rules and their names, and what they cover."""
    parts, taken = [], []
    foot, right = frame.height - _BOTTOM, WIDTH - _RIGHT
    for rule in rules:
        x, y = frame.at(rule.value, rule.value)
        wide = text_width(rule.name)
        if rule.axis == "x":
            path, line = f"M{x:.1f} {_TOP}V{foot:.1f}", Box(x - 2, _TOP, x + 2, foot)
            end = x - 5 if x + 5 + wide > right else x + 5 + wide
            name = Box(end - wide, foot - 20, end, foot - 4)
        else:
            path, line = f"M{frame.left:.1f} {y:.1f}H{right}", Box(frame.left, y - 2, right, y + 2)
            name = Box(right - 4 - wide, y - 18, right - 4, y - 2)
        parts.append(f'<path class="rule" d="{path}"/>{_name(rule.name, name, x if rule.axis == "x" else right)}')
        taken += [name, line]
    return "".join(parts), taken


def _dots(dots: Sequence[Dot], taken: Sequence[Box], frame: _Frame) -> str:
    spots = [frame.at(dot.x, dot.y) for dot in dots]
    area = Box(frame.left, 2, WIDTH - 2, frame.height - _BOTTOM + 2)
    boxes = places(spots, [text_width(dot.name) for dot in dots], _RADIUS, taken, area)
    parts = []
    for dot, (x, y), box in zip(dots, spots, boxes, strict=True):
        hint = f"<title>{safe(dot.hint or dot.name)}</title>"
        parts.append(f'<circle class="fill {dot.style}" cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS}">{hint}</circle>')
        parts.append(_name(dot.name, box, x, f"own {dot.style}"))
    return "".join(parts)


def _name(name: str, box: Box, x: float, style: str = "") -> str:
    """A name in its box, held at the side towards `x`, as the font's real width is not known."""
    if box.left >= x:
        return text(box.left, box.bottom - 4, name, style=style)
    if box.right <= x:
        return text(box.right, box.bottom - 4, name, "end", style=style)
    return text((box.left + box.right) / 2, box.bottom - 4, name, "middle", style=style)
