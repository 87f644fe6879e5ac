"""Charts: well-formed whatever they are given, safe to show, and every value at its place."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.chart import STYLE, Axis, Bar, Dot, Figure, Key, Line, Rule, bars, legend, plane, stacked
from edge_runtime.chart.labels import Box, places
from edge_runtime.chart.scale import number, scale_of, ticks

HOSTILE = '<script>alert("1")</script>&amp;\x1b[2J\x00\u202ereversed\ud800\ufffe]]>'
VALUES = (
    0.0, -0.0, 1.0, -3.0, 5e-324, 1e-300, 1e300, 1.7e308, -1.7e308, math.inf, -math.inf, math.nan, 1e12 + 1e-3,
)  # fmt: skip


def checked(figure: Figure, title: str = "title", note: str = "") -> ElementTree.Element:
    """The picture as XML: of numbers only finite ones that lie inside it."""
    picture = figure.standalone(title, note)
    assert not re.search(r'"[^"<>]*\b(nan|inf)\b[^"<>]*"', picture)
    root = ElementTree.fromstring(picture)
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    for element in root.iter():
        assert -1 <= float(element.get("x", "0").rstrip("%")) <= width
        assert -1 <= float(element.get("cx", "0")) <= width
        assert -1 <= float(element.get("cy", "0")) <= height
        assert float(element.get("width", "0").rstrip("%")) >= 0
    ElementTree.fromstring(f"<p>{figure.inline()}</p>")
    return root


def words(root: ElementTree.Element) -> str:
    return "\n".join(root.itertext())


def kinds(value: float, name: str = "name") -> list[Figure]:
    """One chart of each kind that shows a value."""
    axes = [Axis("x", from_zero=False), Axis("y", log=True)]
    return [
        bars([(name, [Bar(value, [value], "s0", name)])], name),
        stacked([(name, [value, 1.0])], (name, "second"), name),
        plane(Axis(name), Axis(name), lines=[Line([(value, value)], "s0", name)]),
        plane(Axis(name), Axis(name), lines=[Line([(0, 0), (value, value)], "s0", name, dashed=True)]),
        plane(*axes, dots=[Dot(value, value, "s0", name, name), Dot(1, 1, "s1", "other")], keys=[Key("s0", name)]),
        plane(*axes, dots=[Dot(1, 1, "s0", name)], rules=[Rule("x", value, name), Rule("y", value, name)]),
    ]


@pytest.mark.parametrize("value", VALUES)
def test_chart_of_any_value_is_well_formed_and_inside_the_picture(value: float) -> None:
    for figure in kinds(value):
        checked(figure)


def test_chart_of_hostile_names_shows_them_as_text() -> None:
    for figure in kinds(2.0, HOSTILE):
        picture = figure.standalone(HOSTILE, HOSTILE)
        for text in (picture, figure.inline()):
            assert "<script" not in text
            assert "alert(" in text
            assert not any(char in text for char in "\x1b\x00\u202e\ud800\ufffe")
        assert "\\x1b[2J\\x00\\u202ereversed\\ud800\\ufffe" in words(checked(figure, HOSTILE, HOSTILE))


def test_chart_of_a_name_of_a_thousand_characters_keeps_inside_and_tells_it_all() -> None:
    long = "a" * 500 + "\u6f22" * 500
    figure = bars([(long, [Bar(1, [], "s0", "short")])], "unit")
    root = checked(figure, long)
    shown = [element for element in root.iter() if element.tag.endswith("}text")]
    assert all(len(element.text or "") < 120 for element in shown)
    assert words(root).count(long) >= 2  # as hints, of the title and of the label


def test_chart_of_nothing_has_axes_and_says_so() -> None:
    for figure in (bars([], "unit"), bars([("empty", [])], "unit"), stacked([], ("part",), "unit")):
        assert "unit" in words(checked(figure))
    nothing = plane(Axis("x"), Axis("y"), lines=[Line([], "s0", "an empty series")])
    assert {"no values", "an empty series"} <= set(words(checked(nothing)).splitlines())
    assert "no values" in words(checked(plane(Axis("x", log=True), Axis("y", log=True))))


def test_chart_of_one_value_marks_it() -> None:
    figure = plane(Axis("x"), Axis("y"), lines=[Line([(3, 4)], "s0", "alone")])
    circles = [element for element in checked(figure).iter() if element.tag.endswith("}circle")]
    assert len(circles) == 1


def test_chart_is_light_and_dark_and_fetches_nothing() -> None:
    picture = plane(Axis("x"), Axis("y"), lines=[Line([(0, 1), (1, 2)], "s0", "a")]).standalone("t")
    assert "prefers-color-scheme: dark" in picture
    assert STYLE in picture
    assert not re.search(r"url\(|@import|<image|href|<script", picture)


def test_chart_classes_all_have_a_colour_in_both_themes() -> None:
    light, _, dark = STYLE.partition("@media")
    for name in [*(f"s{index}" for index in range(8)), *(f"p{index}" for index in range(4)), "ink"]:
        assert f".{name}{{color:" in light
        assert f".{name}{{color:" in dark


def test_plot_gives_each_part_the_colour_of_its_legend() -> None:
    plot = stacked([("row", [1.0, 2.0])], ("first", "second"), "s").inline()
    assert re.findall(r'rect class="fill (\w+)"', plot) == re.findall(r'i class="(\w+)"', plot) == ["p0", "p1"]
    lines = plane(Axis("x"), Axis("y"), lines=[Line([(0, 1), (1, 2)], "s3", "name", dashed=True)]).inline()
    assert 'class="line s3 dashed"' in lines
    assert 'i class="s3 dashed"' in lines
    assert legend([Key("s1", "<b>")]) == '<p class="legend"><span><i class="s1"></i>&lt;b&gt;</span></p>'


def test_bar_is_as_long_as_its_value() -> None:
    plot = bars([("g", [Bar(5, [], "s0", "a"), Bar(10, [], "s1", "b"), Bar(-1, [], "s2", "c")])], "s").inline()
    first, second, negative = (float(width) for width in re.findall(r'rect [^>]* width="([\d.]+)"', plot))
    assert (first * 2, negative) == (pytest.approx(second, abs=0.2), 0)


def test_scale_of_a_logarithmic_axis_puts_zero_at_its_foot_below_all_others() -> None:
    scale = scale_of(Axis("loss", log=True), [0.0, 1e-4, 1.0])
    assert scale.marks[0] == (scale.low, "0")
    assert scale.share(0.0) == 0 < scale.share(1e-4) < scale.share(1e-2) < scale.share(1.0) < 1
    assert scale.share(1e-2) - scale.share(1e-4) == pytest.approx(scale.share(1.0) - scale.share(1e-2))
    assert [name for _, name in scale_of(Axis("rate", log=True), [0.9, 12.6]).marks] == ["1", "2", "5", "10"]


@given(st.floats(-1e12, 1e12), st.floats(0, 1e12), st.integers(2, 9))
def test_ticks_cover_the_range_with_few_round_steps(low: float, width: float, count: int) -> None:
    found = ticks(low, low + width, count)
    slack = 1e-9 * max(1e-9, abs(low), abs(low + width))
    assert found[0] <= low + slack
    assert found[-1] >= low + width - slack
    assert found[0] < found[-1]
    assert len(found) <= 2 * count + 4


@given(st.lists(st.floats(), max_size=6), st.booleans(), st.booleans())
def test_scale_of_any_values_has_marks_in_order_inside(values: list[float], log: bool, zero: bool) -> None:
    scale = scale_of(Axis("", zero, log), values)
    shares = [scale.share(mark) for mark, _ in scale.marks]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)
    assert len(shares) >= 1 + (not log)
    assert scale.low < scale.high


def test_marks_close_together_read_differently() -> None:
    names = [name for _, name in scale_of(Axis("", from_zero=False), [100.1, 100.9]).marks]
    assert len(set(names)) == len(names)
    assert [number(value) for value in (0, 0.1234, 1234.5, 1e300)] == ["0", "0.123", "1,234", "1e+300"]


def test_names_of_dots_at_one_place_do_not_cover_each_other() -> None:
    area = Box(0, 0, 800, 400)
    boxes = places([(400.0, 200.0)] * 4, [100.0] * 4, 5, [], area)
    assert not any(a.common(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(box.common(area) == pytest.approx(100 * 16) for box in boxes)
    assert places([(799.0, 200.0)], [100.0], 5, [], area)[0].right < 799  # to the left at the right edge
