"""Terminals of the tests: a real pty, what was written to it, and what a person sees of that."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from edge_runtime.io.streams import ShownStream

SETTINGS = ("NO_COLOR", "COLUMNS", "FORCE_COLOR", "COLORTERM", "PYTHONIOENCODING")


class Pty:
    """A pty with a stream that writes to it."""

    def __init__(self, columns: int, encoding: str = "utf-8") -> None:
        self.master, self.slave = pty.openpty()
        set_size(self.slave, columns)
        os.set_blocking(self.master, False)
        self.stream = ShownStream(io.FileIO(self.slave, "w", closefd=False), encoding, True)

    def written(self) -> str:
        """Everything that was written so far, line ends as \\n."""
        found = b""
        while True:
            try:
                found += os.read(self.master, 1 << 16)
            except BlockingIOError:
                return found.decode("utf-8").replace("\r\n", "\n")

    def close(self) -> None:
        self.stream.close()
        os.close(self.slave)
        os.close(self.master)


@contextmanager
def terminal(columns: int, encoding: str = "utf-8") -> Iterator[Pty]:
    """A pty of so many columns."""
    made = Pty(columns, encoding)
    try:
        yield made
    finally:
        made.close()


def set_size(descriptor: int, columns: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


def run_on_terminal(
    arguments: Sequence[str], columns: int = 80, interrupt_after: str = "", **environment: str
) -> tuple[int, str]:
    """Run a Python command whose terminal is a pty; Ctrl-C is typed once `interrupt_after` was written.

    Returns the exit status and what was written, line ends as \\n.
    """
    master, slave = pty.openpty()
    set_size(slave, columns)
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    command = [sys.executable, *arguments]
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, close_fds=True,
        env={**kept, "TERM": "xterm-256color", **environment},
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(slave)
    found, deadline = b"", time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            try:
                piece = os.read(master, 1 << 16)
            except OSError:
                break
            found += piece
            if not piece:
                break
            if interrupt_after and interrupt_after.encode() in found:
                os.write(master, b"\x03")
                interrupt_after = ""
        return process.wait(timeout=60), found.decode("utf-8", "replace").replace("\r\n", "\n")
    finally:
        process.kill()
        process.wait()
        os.close(master)


def unstyled(text: str) -> str:
    """Without colours and bold."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def seen(text: str) -> list[str]:
    """The lines that a person sees in the end; only what progress and tables use is known."""
    lines, row, column = [""], 0, 0
    for part in re.split(r"(\x1b\[[0-9;]*[A-Za-z]|\r|\n)", unstyled(text)):
        if part == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            column = 0
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part == "\x1b[K":
            lines[row] = lines[row][:column]
        elif part == "\x1b[1A":
            row -= 1
        else:
            assert "\x1b" not in part, part
            lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in lines]
