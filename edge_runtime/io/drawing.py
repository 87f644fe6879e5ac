"""Sheets as rich draws them: tables that fit a width, texts with a tone. Imports rich: only for terminals."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rich import box
from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table as Drawn
from rich.text import Text

from edge_runtime.io.printable import printable
from edge_runtime.io.sheet import STYLES, Column, Note, Part, Table, Tone

_GAP = 2
_MOST_ROWS = 2000
_LONGEST = 16  # characters of a text that are never broken into lines; figures never are


def drawn(part: Part, width: int) -> Iterable[RenderableType]:
    """Return what shows `part` on a terminal of `width` columns. Names in it are text, never markup."""
    if isinstance(part, Table):
        below = [f"{part.rows[index][0]}: {note}" for index, notes in part.notes.items() for note in notes]
        return [*_table(part, width), *(Text(printable(line), "dim") for line in below)]
    note = Note(part) if isinstance(part, str) else part
    return [Text(printable(note.text, "\n\t"), STYLES[note.tone])]


def _table(table: Table, width: int) -> Iterable[RenderableType]:
    """A table; one that is too wide says once what all rows have in common; if that is not enough, row by row.

    A very long one is lines of text: drawing takes about half a millisecond a row.
    """
    if len(table.rows) > _MOST_ROWS:
        safe = replace(table, rows=[[printable(cell) for cell in row] for row in table.rows])
        return [Text(safe.text(), no_wrap=True, overflow="ignore")]
    if _fits(table, width):
        return [_grid(table, width)]
    common = [index for index in range(len(table.columns)) if len({row[index] for row in table.rows}) == 1]
    shorter = _with(table, [index for index in range(len(table.columns)) if index not in common])
    if len(table.rows) > 1 and shorter.columns and _fits(shorter, width):
        return [*_records(replace(_with(table, common), tones=()), 1), _grid(shorter, width)]
    return _records(table, len(table.rows))


def _with(table: Table, kept: Sequence[int]) -> Table:
    rows = [[row[index] for index in kept] for row in table.rows]
    return replace(table, columns=[table.columns[index] for index in kept], rows=rows)


def _grid(table: Table, width: int) -> RenderableType:
    made = Drawn(
        box=box.SIMPLE_HEAD if table.headed else None, show_header=table.headed, show_edge=False, pad_edge=False,
        padding=(0, _GAP - table.headed, 0, 0),
    )  # fmt: skip
    for column, wide in zip(table.columns, _widths(table, width), strict=True):
        head = Text(printable(column.head))
        made.add_column(head, justify="right" if column.right else "left", overflow="fold", width=wide)
    for row, tone in _toned(table):
        made.add_row(*(Text(printable(cell)) for cell in row), style=STYLES[tone])
    return made


def _records(table: Table, count: int) -> Iterable[RenderableType]:
    """The first `count` rows, each as lines of head and cell, and an empty line."""
    for row, tone in itertools.islice(_toned(table), count):
        made = Drawn.grid(padding=(0, _GAP, 0, 0))
        for head, cell in zip(table.heads, row, strict=True):
            made.add_row(Text(printable(head), "dim"), Text(printable(cell), overflow="fold"), style=STYLES[tone])
        yield made
        yield Text()


def _toned(table: Table) -> Iterable[tuple[Sequence[str], Tone]]:
    without: list[Tone] = [""] * (len(table.rows) - len(table.tones))
    return zip(table.rows, [*table.tones, *without], strict=True)


def _fits(table: Table, width: int) -> bool:
    return sum(_least(table)) + _GAP * (len(table.columns) - 1) <= width


def _widths(table: Table, width: int) -> list[int]:
    """What each column gets of `width`: what it needs, and an equal share of the rest as far as it wants it."""
    widths = _least(table)
    wanted = [max(map(_width, cells)) for cells in _cells(table)]
    spare = width - sum(widths) - _GAP * (len(widths) - 1)
    hungry = sorted(range(len(widths)), key=lambda index: wanted[index] - widths[index])
    for served, index in enumerate(hungry):
        more = min(max(0, wanted[index] - widths[index]), spare // (len(hungry) - served))
        widths[index] += more
        spare -= more
    return widths


def _least(table: Table) -> list[int]:
    """The width of each column below which its figures, short texts or words of its head would be broken."""
    return [
        max(_least_of_head(column, table.headed), *(_least_of_cell(row[index], column) for row in table.rows), 1)
        for index, column in enumerate(table.columns)
    ]


def _least_of_head(column: Column, headed: bool) -> int:
    words = printable(column.head).split() if headed else []
    return min(_LONGEST, max(map(cell_len, words), default=0))


def _least_of_cell(cell: str, column: Column) -> int:
    return _width(cell) if column.right else min(_LONGEST, _width(cell))


def _cells(table: Table) -> list[list[str]]:
    """The texts of each column, its head among them."""
    heads = table.heads if table.headed else [""] * len(table.columns)
    return [[head, *(row[index] for row in table.rows)] for index, head in enumerate(heads)]


def _width(cell: str) -> int:
    return cell_len(printable(cell))
