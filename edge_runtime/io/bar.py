"""A line on a terminal that shows how far something is, redrawn in place by rich."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from edge_runtime.io.printable import printable
from edge_runtime.io.screen import console, width_of

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

_FIGURES = 46  # columns that they may take
_SHORTEST_LABEL, _SHORTEST_BAR, _LONGEST_BAR = 10, 8, 20


class Bar:
    """Label, bar and figures in one line. It starts no thread, and the cursor stays visible: whatever ends the process
    leaves the terminal usable.
    """

    def __init__(self, label: str, stream: TextIO) -> None:
        from rich.cells import cell_len, set_cell_size
        from rich.progress import Progress

        width = width_of(stream)
        label, longest = printable(label), max(_SHORTEST_LABEL, width - _FIGURES)
        label = label if cell_len(label) <= longest else set_cell_size(label, longest)
        self._progress = Progress(
            *_columns(width - cell_len(label) - _FIGURES), console=console(stream), auto_refresh=False,
            redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        self._task = self._progress.add_task(label, figures="")

    def show(self, done: float, total: float, figures: str) -> None:
        """Draw the line anew."""
        self._progress.update(self._task, completed=done, total=total, figures=printable(figures))
        self._progress.start()  # nothing where it was started before
        self._progress.refresh()

    def close(self, *, erase: bool) -> None:
        """Take the line away, or leave it as it is; the cursor is at the start of a line then."""
        self._progress.live.transient = erase
        self._progress.stop()


def _columns(room: int) -> list[ProgressColumn]:
    """Label, figures and between them a bar, where there is `room` for one."""
    from rich.progress import BarColumn, TextColumn
    from rich.table import Column

    def text(form: str) -> TextColumn:
        return TextColumn(form, markup=False, style="", table_column=Column(no_wrap=True, overflow="crop"))

    if room < _SHORTEST_BAR:
        return [text("{task.description}: {task.fields[figures]}")]
    bar = BarColumn(bar_width=min(room, _LONGEST_BAR), style="dim", complete_style="green", finished_style="green")
    return [text("{task.description}:"), bar, text("{task.fields[figures]}")]
