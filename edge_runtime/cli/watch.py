"""Beside a running generation: Ctrl-C stops it between two operators, a slow token shows that it is alive."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import TextIO

from edge_runtime.cli.fence import EXIT_INTERRUPTED
from edge_runtime.io.terminal import StatusLine

SLOW_SECONDS = 1.0

_REFRESH_SECONDS = 0.25
_STOP = b"\0"


class Watch:
    """A context manager around a loop that writes text.

    The main thread of a command is inside onnxruntime nearly all the time, where Python runs no signal handler. So a
    thread waits for the byte that Python's own C handler writes to a pipe, and calls `cancel`; a second Ctrl-C ends the
    process at once. Where `stderr` is a terminal and nothing was written for over a second, the thread shows
    `describe(seconds)` there, and takes it away before the next text.
    """

    def __init__(
        self, cancel: Callable[[], None], describe: Callable[[float], str], stdout: TextIO, stderr: TextIO
    ) -> None:
        self._cancel = cancel
        self._describe = describe
        self._line = StatusLine(stdout, stderr)
        self._since = monotonic()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="lpc-watch", daemon=True)

    def __enter__(self) -> Watch:
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)
        self._takes_signal = (
            threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) != signal.SIG_IGN
        )
        if self._takes_signal:
            self._old_fd = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
            self._old_handler = signal.signal(signal.SIGINT, lambda _number, _frame: None)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._takes_signal:
            signal.signal(signal.SIGINT, self._old_handler)
            signal.set_wakeup_fd(self._old_fd)
        os.write(self._write_fd, _STOP)
        self._thread.join()
        self.clear()
        os.close(self._read_fd)
        os.close(self._write_fd)

    def clear(self) -> None:
        """Take the progress away and start the clock anew; call it before text is written."""
        with self._lock:
            self._since = monotonic()
            self._line.clear()

    def wrote(self, text: str) -> None:
        """Tell which text was written to `stdout`, so that progress finds room beside it."""
        self._line.wrote(text)

    def _watch(self) -> None:
        interrupts = 0
        while True:
            ready = select.select([self._read_fd], [], [], _REFRESH_SECONDS if self._line.shows else None)[0]
            if not ready:
                self._show()
                continue
            for number in os.read(self._read_fd, 64):
                if number == _STOP[0]:
                    return
                interrupts += number == signal.SIGINT
            if interrupts > 1:
                os._exit(EXIT_INTERRUPTED)
            if interrupts:
                self._cancel()

    def _show(self) -> None:
        with self._lock:
            seconds = monotonic() - self._since
            if seconds < SLOW_SECONDS:
                return
            self._line.show(self._describe(seconds))
