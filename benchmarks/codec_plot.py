"""The plot of docs/benchmarks/codecs.md: bits a weight against decoding speed, as SVG without a plotting library."""

from __future__ import annotations

import math
from typing import Any
from xml.sax.saxutils import escape

Row = dict[str, Any]

WIDTH, HEIGHT = 860, 460
LEFT, RIGHT, TOP, BOTTOM = 70, 30, 56, 60
BITS = (10.0, 16.5)
OURS, PEERS, INK, GRID = "#0b6e4f", "#b3541e", "#222222", "#dddddd"
_NAMES = {f"packed:{layout}": f"packed {layout}" for layout in ("e2+3", "e3+3", "hi4p")} | {"zstandard-3": "zstd"}


class Axes:
    """Places of bits a weight (linear) and GB/s (logarithmic) in the picture."""

    def __init__(self, rates: list[float]) -> None:
        self.low = min(rates) / 1.4
        self.high = max(rates) * 1.3

    def x(self, bits: float) -> float:
        """Pixels from the left."""
        return LEFT + (bits - BITS[0]) / (BITS[1] - BITS[0]) * (WIDTH - LEFT - RIGHT)

    def y(self, rate: float) -> float:
        """Pixels from the top."""
        share = math.log(rate / self.low) / math.log(self.high / self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def text(x: float, y: float, content: str, fill: str = INK, size: int = 13, extra: str = "") -> str:
    """One line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" {extra}>{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, stroke: str, extra: str = "") -> str:
    """One line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}" {extra}/>'


def grid(axes: Axes) -> list[str]:
    """Grid, ticks and titles."""
    middle = 'text-anchor="middle"'
    parts = []
    for bits in range(math.ceil(BITS[0]), math.floor(BITS[1]) + 1):
        parts.append(line(axes.x(bits), TOP, axes.x(bits), HEIGHT - BOTTOM, GRID))
        parts.append(text(axes.x(bits), HEIGHT - BOTTOM + 20, str(bits), extra=middle))
    for rate in (0.25, 0.5, 1, 2, 4, 8, 16):
        if axes.low <= rate <= axes.high:
            parts.append(line(LEFT, axes.y(rate), WIDTH - RIGHT, axes.y(rate), GRID))
            parts.append(text(LEFT - 8, axes.y(rate) + 4, f"{rate:g}", extra='text-anchor="end"'))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, "bits a weight (BF16 is 16)", extra=middle))
    turned = f'{middle} transform="rotate(-90 20 {HEIGHT / 2})"'
    parts.append(text(20, HEIGHT / 2, "decoded GB/s, one core, DRAM to DRAM", extra=turned))
    return parts


def limits(axes: Axes, bound: float, memcpy: float) -> list[str]:
    """The entropy bound and the rate of memcpy."""
    dashed = 'stroke-dasharray="5 4" stroke-width="1.5"'
    return [
        line(axes.x(bound), TOP, axes.x(bound), HEIGHT - BOTTOM, INK, dashed),
        text(axes.x(bound) + 5, HEIGHT - BOTTOM - 8, f"order-0 bound {bound:.2f}", size=12),
        line(LEFT, axes.y(memcpy), WIDTH - RIGHT, axes.y(memcpy), INK, dashed),
        text(WIDTH - RIGHT - 4, axes.y(memcpy) - 6, "memcpy", size=12, extra='text-anchor="end"'),
    ]


def label_places(axes: Axes, rows: list[Row]) -> list[float]:
    """Heights of the labels, moved apart where two at nearly the same size would touch, and off the line of memcpy."""
    order = sorted(range(len(rows)), key=lambda i: axes.y(rows[i]["decode_gb_per_s"]))
    memcpy = axes.y(rows[0]["memcpy_gb_per_s"])
    places = [axes.y(row["decode_gb_per_s"]) + 4 for row in rows]
    places = [memcpy + 14 if memcpy - 2 < place < memcpy + 14 else place for place in places]
    for place, i in enumerate(order):
        for j in order[:place]:
            near = abs(axes.x(rows[i]["bits_per_weight"]) - axes.x(rows[j]["bits_per_weight"])) < 100
            if near and places[i] - places[j] < 15:
                places[i] = places[j] + 15
    return places


def svg(rows: list[Row]) -> str:
    """The picture of the rows of one source."""
    axes = Axes([row["decode_gb_per_s"] for row in rows] + [rows[0]["memcpy_gb_per_s"]])
    parts = [*grid(axes), *limits(axes, rows[0]["bound_bits_per_weight"], rows[0]["memcpy_gb_per_s"])]
    for row, place in zip(rows, label_places(axes, rows), strict=True):
        x, y = axes.x(min(row["bits_per_weight"], BITS[1])), axes.y(row["decode_gb_per_s"])
        colour = OURS if row["impl"] or row["codec"].startswith("ans") else PEERS
        name = str(_NAMES.get(row["codec"], row["codec"]))
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{colour}"/>')
        left = x > WIDTH - 170
        parts.append(text(x - 10 if left else x + 10, place, name, colour, extra='text-anchor="end"' if left else ""))
    title = "Lossless codecs on random normal(0, 0.02) weights, BF16"
    parts.append(text(LEFT, 24, title, size=16, extra='font-weight="bold"'))
    parts.append(text(LEFT, 44, "better: up and to the left.", size=12))
    parts.append(text(LEFT + 190, 44, "this project", OURS, 12))
    parts.append(text(LEFT + 285, 44, "others", PEERS, 12))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', *parts, "</svg>"]) + "\n"
