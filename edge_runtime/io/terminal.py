"""What commands show beside their results: how far a phase is, what a slow token is doing."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import TextIO

from edge_runtime.io.bar import Bar
from edge_runtime.io.printable import printable
from edge_runtime.io.screen import is_dumb, is_terminal, width_of
from edge_runtime.io.streams import write_raw
from edge_runtime.io.units import format_clock

TOKENS, ROUNDS = ("tokens", 1.0), ("rounds", 1.0)
_QUIET_SECONDS = 1.0
_TERMINAL_SECONDS = 0.1
_LINES_SECONDS = 5.0
_TO_THE_END = "\x1b[K"  # clears the line behind the cursor
_SAVE, _RESTORE = "\x1b7", "\x1b8"  # the cursor's place


class Progress:
    """Counts bytes, or what `unit` names, and says now and then how far a phase is: as a bar on a terminal, else in
    plain lines.

    Leaving the context ends the phase; one that was shown says how long it took. Without `lines` only a terminal hears
    of it.
    """

    def __init__(
        self, label: str, total_bytes: int, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic,
        unit: tuple[str, float] = ("MB", 1e6), lines: bool = True,
    ) -> None:  # fmt: skip
        self.label, self.total = label, total_bytes
        self._stream = stream or sys.stderr
        self._clock = clock
        self._unit, self._scale = unit
        self._drawn = is_terminal(self._stream) and not is_dumb()
        self._bar: Bar | None = None
        self._start = clock()
        self._next = self._start + _QUIET_SECONDS if self._drawn or lines else math.inf
        self._shown = False
        self.done = 0

    @property
    def seconds(self) -> float:
        """Seconds since the phase began."""
        return self._clock() - self._start

    def advance(self, count: int) -> None:
        """Count `count` more bytes."""
        self.done += count
        now = self._clock()
        if now >= self._next:
            self._next = now + (_TERMINAL_SECONDS if self._drawn else _LINES_SECONDS)
            left = (self.total - self.done) * self.seconds / max(self.done, 1)
            total = f"{self.total / self._scale:,.0f} {self._unit}"
            self._show(f"{self.done / self._scale:,.0f} of {total}, {self._rate()}, {format_clock(left)} left")

    def skip(self, count: int) -> None:
        """Leave out `count` bytes that were done before."""
        self.total -= count

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._bar is not None:
            self._bar.close(erase=kind is None)
        if self._shown and kind is None:
            self._write(f"{self.done / self._scale:,.0f} {self._unit} in {format_clock(self.seconds)}, {self._rate()}")

    def _show(self, figures: str) -> None:
        self._shown = True
        if not self._drawn:
            self._write(figures)
            return
        self._bar = self._bar or Bar(self.label, self._stream)
        self._bar.show(self.done, self.total, figures)

    def _write(self, figures: str) -> None:
        self._stream.write(printable(f"{self.label}: {figures}") + "\n")
        self._stream.flush()

    def _rate(self) -> str:
        return f"{self.done / self._scale / max(self.seconds, 1e-9):,.0f} {self._unit}/s"


class StatusLine:
    """A line that comes and goes on a terminal, beside text that is being written; nothing where stderr is none."""

    def __init__(self, stdout: TextIO, stderr: TextIO) -> None:
        self.shows = is_terminal(stderr) and not is_dumb()
        self._stderr = stderr
        self._inline = stdout.isatty()
        self._columns = width_of(stderr)
        self._column = 0
        self._shown = False

    def wrote(self, text: str) -> None:
        """Tell which text was written to stdout, so that the line finds room beside it."""
        line = text.rpartition("\n")[2]
        self._column = (len(line) if "\n" in text else self._column + len(line)) % max(1, self._columns)

    def show(self, text: str) -> None:
        """Show a text behind what was written, or alone on its line; nothing where there is no room."""
        text = printable(text)
        if not self._inline:
            write_raw(self._stderr, f"\r{text[: self._columns - 1]}{_TO_THE_END}")
        elif self._column + len(text) + 4 < self._columns:
            write_raw(self._stderr, f"{_SAVE}  [{text}]{_TO_THE_END}{_RESTORE}")
        else:
            return
        self._stderr.flush()
        self._shown = True

    def clear(self) -> None:
        """Take the text away."""
        if self._shown:
            write_raw(self._stderr, _TO_THE_END if self._inline else f"\r{_TO_THE_END}")
            self._stderr.flush()
            self._shown = False


def step(done: int, total: int, text: str) -> None:
    """One line a step on stderr, for steps that each bring a figure."""
    print(f"[{done:>2}/{total}] {printable(text)}", file=sys.stderr)
