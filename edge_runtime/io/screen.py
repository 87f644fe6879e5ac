"""What people see on a terminal, drawn by rich: sheets, colours, progress. Pipes and files never come here.

Text from elsewhere is made printable and is never taken for markup. Colour is left out where NO_COLOR is set or the
terminal is dumb. Rich is imported when something is drawn, as importing it takes a tenth of a second.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, TextIO, cast

from edge_runtime.io.printable import printable
from edge_runtime.io.sheet import STYLES, Sheet, Tone
from edge_runtime.io.streams import charset, write_raw

if TYPE_CHECKING:
    from rich.console import Console

_ROWS = 25  # of no meaning here, but rich takes a width only with a height
_COLUMNS = 80  # where a terminal does not tell
_DIGITS = 5  # of COLUMNS, at most
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


def show(sheet: Sheet, stream: TextIO | None = None) -> None:
    """Write a sheet to stdout or `stream`: drawn to the terminal's width, or as plain lines into anything else."""
    stream = stream or sys.stdout
    if is_terminal(stream):
        from edge_runtime.io.drawing import drawn

        screen = console(stream)
        for part in sheet.parts:
            screen.print(*drawn(part, screen.width), sep="\n")
    else:
        stream.write(f"{sheet}\n")
    stream.flush()


def say(head: str, text: str, tone: Tone = "bad") -> None:
    """Write "head: text" to stderr as one line; on a terminal the head shows the tone."""
    stream = sys.stderr
    if is_terminal(stream):
        with contextlib.suppress(ImportError, MemoryError):  # an error is said without rich too
            from rich.text import Text

            line = Text.assemble((f"{printable(head)}:", STYLES[tone]), " ", printable(text))
            console(stream).print(line, soft_wrap=True)
            return
    stream.write(f"{head}: {text}\n")
    stream.flush()


def is_terminal(stream: TextIO) -> bool:
    """Return whether a person reads `stream`."""
    return not stream.closed and stream.isatty()


def is_dumb() -> bool:
    """Return whether the terminal knows no more than to write lines."""
    return os.environ.get("TERM", "").lower() in ("dumb", "unknown")


def width_of(stream: TextIO) -> int:
    """Return how wide the terminal behind `stream` is; COLUMNS wins."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and len(given) <= _DIGITS and int(given) > 0:
        return int(given)
    try:
        return os.get_terminal_size(stream.fileno()).columns or _COLUMNS
    except OSError:
        return _COLUMNS


def console(stream: TextIO) -> Console:
    """Return rich's console on the terminal behind `stream`."""
    from rich.console import Console

    plain = is_dumb() or os.environ.get("NO_COLOR", "") != ""
    return Console(
        file=cast("TextIO", _Raw(stream)), width=width_of(stream), height=_ROWS, force_terminal=True,
        force_jupyter=False, legacy_windows=False, color_system=None if plain else "auto", markup=False, emoji=False,
        highlight=False,
    )  # fmt: skip


class _Raw:
    """A stream to which rich writes what steers the terminal; names in it were made printable before.

    The cursor stays visible: a process that is ended while it is hidden would leave it so.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:
        return charset(self._stream)

    def write(self, text: str) -> int:
        write_raw(self._stream, text.replace(_HIDE_CURSOR, "").replace(_SHOW_CURSOR, ""))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return True
