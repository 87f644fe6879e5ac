"""What a command says in rows: the same cells as text for pipes and files, as Markdown, and drawn on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from edge_runtime.io.printable import printable

Tone = Literal["", "good", "bad", "warning", "quiet"]
"""How a text is meant."""
STYLES: dict[Tone, str] = {"": "", "good": "green", "bad": "bold red", "warning": "yellow", "quiet": "dim"}
"""How a terminal shows it, in rich's words."""


@dataclass(frozen=True)
class Column:
    """A column's head and side. In text it is `width` characters wide, or as wide as its cells where that is None."""

    head: str = ""
    right: bool = False
    width: int | None = None


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns; `tones` are of the rows, in order, and may be fewer.

    As text, columns are `gap` apart, rows start with `indent`, and heads are written if `headed`. `notes` are lines
    below a row, by its index.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    headed: bool = True
    gap: str = "  "
    indent: str = ""
    tones: Sequence[Tone] = ()
    notes: Mapping[int, Sequence[str]] = field(default_factory=dict)

    @property
    def heads(self) -> list[str]:
        """The heads of all columns."""
        return [column.head for column in self.columns]

    def text(self) -> str:
        """Return aligned lines."""
        head = [self.heads] if self.headed else []
        widths = [
            max((len(line[index]) for line in [*head, *self.rows]), default=0) if column.width is None else column.width
            for index, column in enumerate(self.columns)
        ]
        lines = [self._line(line, widths) for line in head]
        for index, row in enumerate(self.rows):
            lines += [self._line(row, widths), *(f"{self.indent}  {note}" for note in self.notes.get(index, ()))]
        return "\n".join(lines)

    def _line(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        aligned = [
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, column, width in zip(cells, self.columns, widths, strict=True)
        ]
        if not self.columns[-1].right:
            aligned[-1] = cells[-1]
        line = self.indent + self.gap.join(aligned)
        return line if cells[-1] else line.rstrip()

    def markdown(self) -> str:
        """Return a table in Markdown, a line a row, whatever is in the cells."""
        lines = [self.heads, ["---"] * len(self.columns), *([_cell(cell) for cell in row] for row in self.rows)]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(frozen=True)
class Note:
    """A text between tables, of one line or more."""

    text: str
    tone: Tone = ""


Part: TypeAlias = "Note | Table | str"


@dataclass(frozen=True)
class Sheet:
    """Texts and tables in order; an empty text is an empty line."""

    parts: Sequence[Part]

    def __str__(self) -> str:
        """Return it as plain lines."""
        return "\n".join(_text(part) for part in self.parts)

    def markdown(self) -> str:
        """Return it in Markdown: every part a paragraph."""
        return "\n\n".join(
            part.markdown() if isinstance(part, Table) else printable(_text(part), "\n\t") for part in self.parts
        )


def _text(part: Part) -> str:
    return part if isinstance(part, str) else part.text() if isinstance(part, Table) else part.text


def _cell(cell: str) -> str:
    return printable(cell).replace("|", "\\|")
