"""Sheets as text and as Markdown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.io.sheet import Column, Note, Sheet, Table


def test_table_text_is_as_wide_as_its_cells_or_as_its_columns_say() -> None:
    columns = [Column("name"), Column("bits", right=True), Column("why")]
    rows = [("a", "10.5", "short"), ("longer", "8", "")]
    assert Table(columns, rows).text() == "name    bits  why\na       10.5  short\nlonger     8"
    fixed = [Column("name", width=4), Column("bits", right=True, width=6)]
    cells = [("a", "10.5"), ("longer", "8")]
    assert Table(fixed, cells, gap=" ", indent="  ").text() == "  name   bits\n  a      10.5\n  longer      8"


def test_table_text_has_notes_below_their_row() -> None:
    table = Table([Column("codec"), Column("bits", right=True)], [("a", "1"), ("b", "2")], notes={0: ["one", "two"]})
    assert table.text().splitlines() == ["codec  bits", "a         1", "  one", "  two", "b         2"]


def test_table_without_rows_is_its_heads() -> None:
    assert Table([Column("a"), Column("b", right=True)], []).text() == "a  b"
    assert Table([Column("a"), Column("b")], [], headed=False).text() == ""
    assert Table([Column("a"), Column("b")], []).markdown() == "| a | b |\n| --- | --- |"


def test_markdown_of_hostile_cells_keeps_its_rows_and_columns() -> None:
    table = Table([Column("a"), Column("b")], [("x | y", "line\nfeed \x1b[2J")])
    assert table.markdown().splitlines()[2:] == ["| x \\| y | line\\nfeed \\x1b[2J |"]


def test_sheet_joins_lines_in_text_and_paragraphs_in_markdown() -> None:
    sheet = Sheet(["head", Table([Column("a")], [("1",)]), Note("careful\x1b", "warning")])
    assert str(sheet) == "head\na\n1\ncareful\x1b"
    assert sheet.markdown() == "head\n\n| a |\n| --- |\n| 1 |\n\ncareful\\x1b"


@given(st.lists(st.tuples(st.text("ab -", max_size=9), st.text("01.", max_size=9)), max_size=5))
def test_table_text_of_any_rows_is_a_line_a_row_and_its_figures_end_together(rows: list[tuple[str, str]]) -> None:
    lines = Table([Column("name"), Column("figure", right=True)], rows).text().split("\n")
    assert len(lines) == 1 + len(rows)
    assert len({len(line) for line, (_, cell) in zip(lines[1:], rows, strict=True) if cell} | {len(lines[0])}) == 1
