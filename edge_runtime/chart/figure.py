"""A drawn chart: inside a page, or a picture of its own; and the colours of both, light and dark."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from edge_runtime.io.printable import printable

WIDTH = 860
_CHARACTER = 6.9
_NO_XML = {0xFFFE: "\\ufffe", 0xFFFF: "\\uffff"}
_MARGIN, _ROW = 20, 20


@dataclass(frozen=True)
class _Theme:
    paper: str
    ink: str
    soft: str
    line: str
    series: Sequence[str]
    parts: Sequence[str]

    def rules(self) -> str:
        """The colours as style sheet rules; marks take theirs from the class of their series."""
        fixed = (
            f".chart .paper{{fill:{self.paper}}}.chart text{{fill:{self.soft}}}.chart .grid{{stroke:{self.line}}}"
            f".chart .title,.chart .dot{{fill:{self.ink}}}.chart .rule{{stroke:{self.ink}}}.ink{{color:{self.ink}}}\n"
        )
        named = [(f"s{index}", colour) for index, colour in enumerate(self.series)]
        named += [(f"p{index}", colour) for index, colour in enumerate(self.parts)]
        return fixed + "".join(f".{name}{{color:{colour}}}" for name, colour in named) + "\n"


_LIGHT = _Theme(
    "#fff", "#1c2127", "#5b6570", "#dfe3e8",
    ("#3465a4", "#c05a00", "#1f7a4d", "#a83279", "#7a5c00", "#0f7c8c", "#b03a2e", "#5d6d7e"),
    ("#4c8c5c", "#c9a227", "#9aa5b1", "#b5533c"),
)  # fmt: skip
_DARK = _Theme(
    "#16191d", "#e8eaed", "#a0a8b2", "#3a414a",
    ("#7ba7e6", "#f0a050", "#63c593", "#dc86bd", "#cdb04a", "#5cc4d4", "#ec8b7d", "#a3b1bf"),
    ("#6fb481", "#d9b84a", "#8a96a3", "#d5765f"),
)  # fmt: skip

STYLE = (
    _LIGHT.rules()
    + f"@media (prefers-color-scheme: dark) {{\n{_DARK.rules()}}}\n"
    + """.chart { font: 12px system-ui, sans-serif }
.chart .fill, .chart text.own { fill: currentColor }
.chart .dot { fill-opacity: .45 }
.chart .line { fill: none; stroke: currentColor; stroke-width: 1.8 }
.chart .rule, .chart .dashed { stroke-dasharray: 6 4 }
.chart .title { font-size: 16px; font-weight: bold }
.legend span { margin-right: 1.4em; font-size: 13px }
.legend i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; background: currentColor }
.legend i.dashed { height: 0; background: none; border-top: 2px dashed; width: 1.4em; vertical-align: middle }
"""
)
"""The style sheet of figures inside a page."""


@dataclass(frozen=True)
class Key:
    """A colour's class and what it stands for."""

    style: str
    name: str
    dashed: bool = False

    @property
    def mark(self) -> str:
        """The classes of its mark."""
        return f"{self.style} dashed" if self.dashed else self.style


@dataclass(frozen=True)
class Figure:
    """A drawn chart, WIDTH wide and `height` high, and the names of its colours."""

    height: float
    body: str
    keys: Sequence[Key] = ()

    def inline(self) -> str:
        """Return the chart for a page that has STYLE: the SVG element and its legend."""
        opening = f'<svg class="chart" viewBox="0 0 {WIDTH} {self.height:.0f}" role="img">'
        return f"{opening}{self.body}</svg>{legend(self.keys) if self.keys else ''}"

    def standalone(self, title: str, note: str = "") -> str:
        """Return the chart as an SVG file, with `title`, a line of `note` and the legend above it."""
        rows = [text(_MARGIN, 28, title, style="title", room=(WIDTH - 2 * _MARGIN) * 0.75)]
        y = 28.0
        if note:
            y += _ROW
            rows.append(text(_MARGIN, y, note, room=WIDTH - 2 * _MARGIN))
        keys, y = _rows_of_keys(self.keys, y)
        height = y + 14 + self.height
        size = f'width="{WIDTH}" height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" {size} role="img" aria-label="{safe(title)}">\n'
            f'<style>\n{STYLE}</style>\n<rect class="paper" width="100%" height="100%"/>\n{"".join(rows)}{keys}\n'
            f'<g transform="translate(0 {y + 14:.0f})">{self.body}</g>\n</svg>\n'
        )


def legend(keys: Sequence[Key]) -> str:
    """Return the names of the colours as HTML."""
    names = "".join(f'<span><i class="{key.mark}"></i>{safe(key.name)}</span>' for key in keys)
    return f'<p class="legend">{names}</p>'


def safe(name: str) -> str:
    """Return text from elsewhere as it may stand in SVG and HTML, in a text or an attribute."""
    return escape(printable(name).translate(_NO_XML))


def text(x: float, y: float, content: str, anchor: str = "start", *, style: str = "", room: float | None = None) -> str:
    """Return one line of text; longer than `room`, it loses its middle and tells all of itself as a hint."""
    shown = printable(content)
    shortened = shown if room is None else _shortened(shown, room)
    hint = "" if shortened == shown else f"<title>{safe(shown)}</title>"
    named = f' class="{style}"' if style else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{safe(shortened)}{hint}</text>'


def text_width(content: str) -> float:
    """Return about how wide a text is, in pixels."""
    return _CHARACTER * sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in content)


def _shortened(content: str, room: float) -> str:
    if text_width(content) <= room:
        return content
    kept = max(2, int(len(content) * room / text_width(content)) - 1)
    return f"{content[: kept - kept // 2]}\u2026{content[len(content) - kept // 2 :]}"


def _rows_of_keys(keys: Sequence[Key], y: float) -> tuple[str, float]:
    """The legend as SVG below `y`, in as many rows as it needs, and where the last one is."""
    parts = []
    x = float(WIDTH)
    for key in keys:
        room = WIDTH - 2 * _MARGIN - 44.0
        wide = min(text_width(printable(key.name)), room) + 44
        if x + wide > WIDTH:
            x, y = float(_MARGIN), y + _ROW
        if key.dashed:
            parts.append(f'<path class="line {key.mark}" d="M{x:.1f} {y - 4:.1f}h16"/>')
        else:
            parts.append(f'<rect class="fill {key.mark}" x="{x + 3:.1f}" y="{y - 9:.1f}" width="10" height="10"/>')
        parts.append(text(x + 22, y, key.name, room=room))
        x += wide
    return "".join(parts), y
