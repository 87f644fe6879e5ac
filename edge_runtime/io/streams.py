"""The commands' stdout and stderr: what is written is shown, never obeyed, and a stream that fails says so in a line.

Text goes through `printable`, so that a name or a log line from elsewhere cannot steer a terminal, whoever prints it.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys
from typing import IO, Any, TextIO

from edge_runtime.io.printable import printable

_LAYOUT = "\n\t"


class ShownStream(io.TextIOWrapper):
    """A text stream that escapes control characters; what its encoding cannot say becomes "?"."""

    def __init__(self, raw: io.FileIO, encoding: str, interactive: bool) -> None:
        self.raw = raw
        super().__init__(
            io.BufferedWriter(raw), encoding=encoding, errors="replace", line_buffering=interactive, newline="\n"
        )

    @property
    def encoding(self) -> str:  # type: ignore[override]  # read-only in TextIOWrapper too
        """Never ASCII: click would go around such a stream, and write UTF-8 where it was not wanted."""
        name = super().encoding
        return "utf-8" if codecs.lookup(name).name == "ascii" else name

    @property
    def charset(self) -> str:
        """What the bytes are really encoded in."""
        return super().encoding

    def write(self, text: str) -> int:
        """Write running text: line feeds and tabs are kept, other control characters are escaped."""
        super().write(printable(text, keep=_LAYOUT))
        return len(text)

    def write_raw(self, text: str) -> int:
        """Write text as it is: our own terminal sequences, and generated text where that is wanted."""
        return super().write(text)


class _Output(io.FileIO):
    """Writing that fails names the stream: "stdout: No space left on device"."""

    discarding = False

    def write(self, data: Any) -> int:
        if self.discarding:
            return len(data)
        try:
            return super().write(data) or 0
        except OSError as error:
            raise OSError(error.errno, error.strerror, "stdout") from error


class _ClosedOutput(_Output):
    def write(self, data: Any) -> int:
        if self.discarding:
            return len(data)
        raise OSError(errno.EBADF, "is closed", "stdout")


class _Notes(io.FileIO):
    """Notes beside the result: where they cannot be written, because of a full disk or a closed pipe, they are left."""

    def write(self, data: Any) -> int:
        with contextlib.suppress(OSError):
            super().write(data)
        return len(data)


def install() -> None:
    """Make this process's streams safe to use, whatever the process was started with.

    A closed stdin is empty, a closed stderr is silent, a closed stdout fails when something is written to it. Streams
    that somebody has replaced, such as a test, stay as they are.
    """
    stdout, stderr = sys.stdout, sys.stderr
    if stdout is not sys.__stdout__ or stderr is not sys.__stderr__:
        return
    _fill_closed_descriptors()
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 (as long as the process)
    if stdout is None:
        sys.stdout = ShownStream(_ClosedOutput(os.devnull, "w"), "utf-8", False)
    else:
        stdout.flush()
        sys.stdout = ShownStream(_Output(1, "w", closefd=False), stdout.encoding, stdout.isatty())
    encoding = stderr.encoding if stderr is not None else "utf-8"
    sys.stderr = ShownStream(_Notes(2, "w", closefd=False), encoding, True)


def write_raw(stream: IO[str], text: str) -> None:
    """Write text to `stream` as it is, with what steers a terminal."""
    (stream.write_raw if isinstance(stream, ShownStream) else stream.write)(text)


def charset(stream: TextIO) -> str:
    """Return the encoding of what `stream` writes."""
    return stream.charset if isinstance(stream, ShownStream) else stream.encoding or "utf-8"


def discard_stdout() -> None:
    """Let what is left for stdout go nowhere, so that the interpreter's last flush cannot fail."""
    if isinstance(sys.stdout, ShownStream) and isinstance(sys.stdout.raw, _Output):
        sys.stdout.raw.discarding = True


def _fill_closed_descriptors() -> None:
    """Without it the next file opened would get the number of a standard stream, and the library's log."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
