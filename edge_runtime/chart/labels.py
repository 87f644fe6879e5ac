"""Where the names of dots go: beside their dot, off other names, dots and rules as far as there is room."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_HIGH = 16
_FARTHER = 1.0  # square pixels of overlap that a place nearer to the dot is worth


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def common(self, other: Box) -> float:
        """Return the area that both have."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, across) * max(0.0, down)


def places(
    dots: Sequence[tuple[float, float]], widths: Sequence[float], radius: float, taken: Sequence[Box], area: Box
) -> list[Box]:
    """Return where each dot's name goes, in the order of `dots`; names keep inside `area` and off `taken`."""
    blocked = [*taken, *(Box(x - radius, y - radius, x + radius, y + radius) for x, y in dots)]
    found: dict[int, Box] = {}
    for index in sorted(range(len(dots)), key=lambda i: (dots[i][1], dots[i][0])):
        choices = list(_choices(*dots[index], widths[index], radius + 4))
        cost = [_cost(box, blocked, area) + _FARTHER * rank for rank, box in enumerate(choices)]
        found[index] = choices[cost.index(min(cost))]
        blocked.append(found[index])
    return [found[index] for index in range(len(dots))]


def along(points: Sequence[tuple[float, float]]) -> list[Box]:
    """Return small boxes that cover a line through `points`."""
    found = []
    for (x1, y1), (x2, y2) in itertools.pairwise(points):
        steps = 1 + int(max(abs(x2 - x1), abs(y2 - y1)) / 6)
        for step in range(steps + 1):
            x, y = x1 + (x2 - x1) * step / steps, y1 + (y2 - y1) * step / steps
            found.append(Box(x - 3, y - 3, x + 3, y + 3))
    return found


def _choices(x: float, y: float, wide: float, away: float) -> Iterator[Box]:
    """Boxes around a dot, the best first: right, left, then step by step higher and lower, at last above and below."""
    for down in (0, 9, -9, 14, -14, 19, -19):
        top = y - _HIGH / 2 + down
        yield Box(x + away, top, x + away + wide, top + _HIGH)
        yield Box(x - away - wide, top, x - away, top + _HIGH)
    for top in (y - away - _HIGH, y + away, y - away - 2 * _HIGH, y + away + _HIGH):
        yield Box(x - wide / 2, top, x + wide / 2, top + _HIGH)


def _cost(box: Box, blocked: Sequence[Box], area: Box) -> float:
    """How much of a box lies on others or outside, in square pixels."""
    outside = (box.right - box.left) * (box.bottom - box.top) - box.common(area)
    return 10 * outside + sum(box.common(other) for other in blocked)
