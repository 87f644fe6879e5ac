"""Progress on stderr: bytes, rate and time left, for whatever takes more than a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from edge_runtime.io.printable import printable
from edge_runtime.io.streams import write_raw

TOKENS = ("tokens", 1.0)
_QUIET_SECONDS = 1.0
_TERMINAL_SECONDS = 0.1
_LINES_SECONDS = 5.0


class Progress:
    """Counts bytes, or what `unit` names, and says now and then how far a phase is: in place on a terminal, else in
    plain lines.

    Leaving the context ends the phase; one that was shown says how long it took.
    """

    def __init__(
        self, label: str, total_bytes: int, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic,
        unit: tuple[str, float] = ("MB", 1e6),
    ) -> None:  # fmt: skip
        self.label, self.total = label, total_bytes
        self._stream = stream or sys.stderr
        self._clock = clock
        self._unit, self._scale = unit
        self._terminal = self._stream.isatty()
        self._start = clock()
        self._next = self._start + _QUIET_SECONDS
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
            self._next = now + (_TERMINAL_SECONDS if self._terminal else _LINES_SECONDS)
            left = (self.total - self.done) * self.seconds / max(self.done, 1)
            total = f"{self.total / self._scale:,.0f} {self._unit}"
            self._show(f"{self.done / self._scale:,.0f} of {total}, {self._rate()}, {_minutes(left)} left")

    def skip(self, count: int) -> None:
        """Leave out `count` bytes that were done before."""
        self.total -= count

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if not self._shown:
            return
        if kind is None:
            self._show(f"{self.done / self._scale:,.0f} {self._unit} in {_minutes(self.seconds)}, {self._rate()}")
        if self._terminal:
            self._stream.write("\n")
            self._stream.flush()

    def _show(self, text: str) -> None:
        self._shown = True
        line = printable(f"{self.label}: {text}")
        write_raw(self._stream, f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
        self._stream.flush()

    def _rate(self) -> str:
        return f"{self.done / self._scale / max(self.seconds, 1e-9):,.0f} {self._unit}/s"


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
