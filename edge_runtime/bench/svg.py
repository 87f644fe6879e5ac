"""Plots as inline SVG: bars with samples, stacked bars, lines over time. No script, no font, no network."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 860
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 14, 44
_BAR, _GAP, _GROUP_GAP = 18, 6, 14
_LABEL_WIDTH = 270
_CHARACTER = 6.2


@dataclass(frozen=True)
class Bar:
    """A bar of a group: `value`, the `samples` behind it, its CSS class and what it is of."""

    value: float
    samples: Sequence[float]
    style: str
    title: str


@dataclass(frozen=True)
class Line:
    """A line over time: (x, y) points in order, its CSS class and name; `dashed` for a limit."""

    points: Sequence[tuple[float, float]]
    style: str
    name: str
    dashed: bool = False


def bars(groups: Sequence[tuple[str, Sequence[Bar]]], unit: str) -> str:
    """Return horizontal bars in labelled groups, with a dot for each sample and the value behind the bar."""
    top = max((max([bar.value, *bar.samples]) for _, group in groups for bar in group), default=1.0)
    ticks = _ticks(0, top)
    room = WIDTH - _LABEL_WIDTH - 90
    parts: list[str] = []
    y = 6.0
    for label, group in groups:
        middle = y + (len(group) * (_BAR + _GAP) - _GAP) / 2 + 4
        parts.append(_text(_LABEL_WIDTH - 10, middle, label, "end", _LABEL_WIDTH - 14))
        for bar in group:
            width = bar.value / ticks[-1] * room
            title = f"{bar.title}: {_number(bar.value)} {unit}"
            parts.append(_rect(_LABEL_WIDTH, y, width, bar.style, title))
            parts += [_dot(_LABEL_WIDTH + sample / ticks[-1] * room, y + _BAR / 2) for sample in bar.samples]
            end = _LABEL_WIDTH + max([bar.value, *bar.samples]) / ticks[-1] * room
            parts.append(_text(end + 8, y + _BAR - 5, _number(bar.value), "start"))
            y += _BAR + _GAP
        y += _GROUP_GAP
    return _svg(y + 40, _axis(ticks, room, y, unit) + "".join(parts))


def stacked(rows: Sequence[tuple[str, Sequence[float]]], names: Sequence[str], unit: str) -> str:
    """Return one horizontal bar a row, cut into the parts `names`."""
    top = max((sum(values) for _, values in rows), default=1.0) or 1.0
    ticks = _ticks(0, top)
    room = WIDTH - _LABEL_WIDTH - 90
    parts: list[str] = []
    y = 6.0
    for label, values in rows:
        parts.append(_text(_LABEL_WIDTH - 10, y + _BAR - 5, label, "end", _LABEL_WIDTH - 14))
        x = float(_LABEL_WIDTH)
        for index, value in enumerate(values):
            width = value / ticks[-1] * room
            title = f"{label}, {names[index]}: {_number(value)} {unit}"
            parts.append(_rect(x, y, width, f"p{index}", title))
            x += width
        parts.append(_text(x + 8, y + _BAR - 5, _number(sum(values)), "start"))
        y += _BAR + _GAP
    return _svg(y + 40, _axis(ticks, room, y, unit) + "".join(parts)) + legend(
        [(f"p{i}", name) for i, name in enumerate(names)]
    )


def lines(series: Sequence[Line], x_unit: str, y_unit: str, *, from_zero: bool = True, height: int = 250) -> str:
    """Return lines over a common x axis, with a legend below."""
    xs = [x for line in series for x, _ in line.points]
    ys = [y for line in series for _, y in line.points]
    x_ticks = _ticks(min(xs), max(xs), 8)
    y_ticks = _ticks(0 if from_zero else min(ys), max(ys))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return _LEFT + across * (WIDTH - _LEFT - _RIGHT), height - _BOTTOM - up * (height - _BOTTOM - _TOP)

    parts: list[str] = []
    for tick in y_ticks:
        _, y = place(x_ticks[0], tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(_LEFT - 8, y + 4, _number(tick), "end"))
    for tick in x_ticks:
        x, _ = place(tick, y_ticks[0])
        parts.append(_text(x, height - _BOTTOM + 16, _number(tick), "middle"))
    for line in series:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line.points))
        style = f"line {line.style}{' dashed' if line.dashed else ''}"
        parts.append(f'<polyline class="{style}" points="{points}"><title>{escape(line.name)}</title></polyline>')
        if len(line.points) == 1:
            x, y = place(*line.points[0])
            parts.append(f'<circle class="{line.style}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
    parts.append(_text((WIDTH + _LEFT) / 2, height - 8, x_unit, "middle"))
    middle = (height - _BOTTOM) / 2
    parts.append(
        f'<text transform="translate(14 {middle:.0f}) rotate(-90)" text-anchor="middle">{escape(y_unit)}</text>'
    )
    return _svg(height, "".join(parts)) + legend([(line.style, line.name) for line in series])


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Return the names of the colours."""
    keys = "".join(f'<span><i class="{style}"></i>{escape(name)}</span>' for style, name in entries)
    return f'<p class="legend">{keys}</p>'


def _svg(height: float, body: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img">{body}</svg>'


def _rect(x: float, y: float, width: float, style: str, title: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_BAR}"'
    return f'<rect class="{style}" {place}><title>{escape(title)}</title></rect>'


def _dot(x: float, y: float) -> str:
    return f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>'


def _axis(ticks: Sequence[float], room: float, y: float, unit: str) -> str:
    """The grid behind horizontal bars that end at `y`, its figures and the unit below."""
    parts = [_text(_LABEL_WIDTH + room / 2, y + 32, unit, "middle")]
    for tick in ticks:
        x = _LABEL_WIDTH + tick / ticks[-1] * room
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{y:.1f}"/>')
        parts.append(_text(x, y + 14, _number(tick), "middle"))
    return "".join(parts)


def _text(x: float, y: float, text: str, anchor: str, room: float | None = None) -> str:
    squeeze = (
        f' textLength="{room:.0f}" lengthAdjust="spacingAndGlyphs"' if room and len(text) * _CHARACTER > room else ""
    )
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{squeeze}>{escape(text)}</text>'


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from at most `low` to at least `high`, about `count` of them, never all the same."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    rough = max((high - low) / count, sys.float_info.min)
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first = math.floor(low / step)
    return [step * index for index in range(first, math.ceil(high / step - 1e-9) + 1)]


def _number(value: float) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
