"""What a board answers, told from everything else that comes: an answer is `TOKEN ANSWER` up to the end of a line.

A token is random and new for every command, and no command holds it in one piece: nobody's greeting, trace or echo can
look like an answer.
"""

from __future__ import annotations

import secrets

from edge_runtime.errors import RemoteError
from edge_runtime.io.printable import printable

MOST_ANSWER_BYTES = 1 << 16
MOST_NOISE_BYTES = 4 << 20
"""More than any greeting; a board that writes without end is given up."""

_SHOWN_CHARACTERS = 300


class Token:
    """A new token; `halves` are what a command may hold."""

    def __init__(self) -> None:
        self.halves = (secrets.token_hex(8), secrets.token_hex(8))

    @property
    def whole(self) -> bytes:
        """What answers begin with."""
        return "".join(self.halves).encode("ascii")


class Frames:
    """Takes bytes as they come and gives the answers in them; keeps the last words of the rest."""

    def __init__(self, token: Token, name: str) -> None:
        self._token = token.whole
        self._name = name
        self._buffer = b""
        self.noise = Tail(name)

    def feed(self, data: bytes) -> list[bytes]:
        """Return the answers that are whole now; RemoteError for one, or for noise, that does not end."""
        self._buffer += data
        found = []
        while (start := self._buffer.find(self._token)) >= 0:
            end = self._buffer.find(b"\n", start)
            if end < 0:
                break
            found.append(self._buffer[start + len(self._token) : end].strip())
            self._skip(start)
            self._buffer = self._buffer[end + 1 - start :]
        self._skip(start if start >= 0 else max(0, len(self._buffer) - len(self._token) + 1))
        if len(self._buffer) > MOST_ANSWER_BYTES:
            raise RemoteError(f"{self._name}: the board's answer has no end: {len(self._buffer)} bytes came")
        return found

    def _skip(self, count: int) -> None:
        self.noise.add(self._buffer[:count])
        self._buffer = self._buffer[count:]

    def words(self) -> str:
        """The last of what was no answer, in one line."""
        return Tail.shown(self.noise.last + self._buffer)


class Tail:
    """The end of what comes, of which there may be much, but not without end."""

    def __init__(self, name: str) -> None:
        self.last = b""
        self._name = name
        self._count = 0

    def add(self, data: bytes) -> None:
        """Take some; raises RemoteError when it is too much."""
        self._count += len(data)
        self.last = (self.last + data)[-_SHOWN_CHARACTERS:]
        if self._count > MOST_NOISE_BYTES:
            raise RemoteError(
                f"{self._name}: the board writes without end ({self._count} bytes that are no answer; it said "
                f"{self.words()!r}): look at what its login files print (~/.bashrc, /etc/profile)"
            )

    def words(self) -> str:
        """What there is, in one line."""
        return self.shown(self.last)

    @staticmethod
    def shown(data: bytes) -> str:
        """Bytes in one printable line."""
        return printable(" ".join(data.decode("utf-8", "replace").split()))[-_SHOWN_CHARACTERS:]
