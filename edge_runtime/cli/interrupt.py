"""Ctrl-C while the main thread is inside a library, where Python runs no signal handler: a thread ends the process."""

from __future__ import annotations

import os
import select
import signal
import threading
from types import TracebackType

EXIT_INTERRUPTED = 130

_STOP = b"\0"


class EndsAtOnce:
    """A context manager for the main thread of a command that keeps nothing when it is interrupted.

    Ctrl-C ends the process with one line on stderr, whatever the main thread is doing: it may be reading from a slow
    device, or importing, where a KeyboardInterrupt becomes another error or none.
    """

    def __init__(self, name: str) -> None:
        self._line = f"\n{name}: interrupted\n".encode()
        self._thread = threading.Thread(target=self._watch, name="lpc-interrupt", daemon=True)

    def __enter__(self) -> EndsAtOnce:
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)
        self._thread.start()
        self._old_fd = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        self._old_handler = signal.getsignal(signal.SIGINT)
        if self._old_handler != signal.SIG_IGN:
            signal.signal(signal.SIGINT, lambda _number, _frame: None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._old_handler)
        signal.set_wakeup_fd(self._old_fd)
        os.write(self._write_fd, _STOP)
        self._thread.join()
        os.close(self._read_fd)
        os.close(self._write_fd)

    def _watch(self) -> None:
        while select.select([self._read_fd], [], [])[0]:
            for number in os.read(self._read_fd, 64):
                if number == _STOP[0]:
                    return
                if number == signal.SIGINT:
                    self._end()

    def _end(self) -> None:
        try:
            os.write(2, self._line)
        finally:
            os._exit(EXIT_INTERRUPTED)
