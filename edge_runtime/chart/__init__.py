"""Charts as SVG: bars, stacked bars, lines and scatter, light and dark. No script, no font, no network.

Callers give data and names; colours, ticks, escaping and where labels go are decided here. Knows nothing of models,
boards or commands.
"""

from edge_runtime.chart.bars import Bar, bars, stacked
from edge_runtime.chart.figure import STYLE, Figure, Key, legend
from edge_runtime.chart.plane import Dot, Line, Rule, plane
from edge_runtime.chart.scale import Axis

__all__ = [
    "Axis", "Bar", "Dot", "Figure", "Key", "Line", "Rule", "STYLE", "bars", "legend", "plane", "stacked",
]  # fmt: skip
