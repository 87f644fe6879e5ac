"""Mutations of what a board answers: edits of the bytes that its commands write, made while they pass.

An edit belongs to the n-th command of a case (or to the line of a serial console). The folder's edits.json holds them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mutate import json_
from mutate.bytes_ import extended, flipped
from mutate.cases import NotApplicable

EDITS = "edits.json"
COMMANDS = 10
_MOST_BYTES = 8 << 20
_STATUSES = (0, 1, 2, 127, 255)
_NOISE = (
    b"[   12.345678] usb 1-1: new high-speed USB device\r\n", b"\x1b[2J\x1b[1;1H\x1b]0;title\x07\r\n", b"motd\n",
    b"{}\n", b'{"ended": 0}\n', b'{"error": "x", "kind": "full"}\n', b"null\n", b"[]\n", b"\xff\xfe\x00\x80\n",
    b"\n" * 50, b"end\n", b"say\n", b"login: ", b"Password: ", b"# ", b"x" * 70_000 + b"\n", b"\0" * 1000,
)  # fmt: skip
WAYS = ("json", "json", "json", "json", "flip", "flip", "cut", "noise", "noise", "twice", "gone", "stretched", "status",
        "status", "errors", "close", "flood", "order")  # fmt: skip


def edit(folder: Path, rng: random.Random) -> str:
    """One more edit of what passes."""
    file = folder / EDITS
    edits = json.loads(file.read_bytes())
    edits.append({"command": rng.randrange(COMMANDS), "way": rng.choice(WAYS), "seed": rng.getrandbits(32)})
    file.write_text(json.dumps(edits), encoding="utf-8")
    return f"{edits[-1]['way']} in command {edits[-1]['command']}"


class Editor:
    """Edits the output of one command, line by line; `status` is the exit status to tell, if not the real one."""

    def __init__(self, edits: list[dict[str, Any]]) -> None:
        self.status: int | None = None
        self.closes = False
        self.errors = b""
        self._rest = b""
        self._lines = 0
        self._held: list[bytes] = []
        self._edits = [(entry["way"], random.Random(entry["seed"])) for entry in edits]
        self._at = [rng.choice((0, 0, 1, 2, 5)) for _, rng in self._edits]
        for way, rng in self._edits:
            if way == "status":
                self.status = rng.choice(_STATUSES)
            if way == "errors":
                self.errors = rng.choice(_NOISE) * rng.choice((1, 100))

    def feed(self, data: bytes) -> bytes:
        """Take what the command wrote; return what is passed on now."""
        if not self._edits:
            return data
        *lines, self._rest = (self._rest + data).split(b"\n")
        return b"".join(self._edited(line + b"\n") for line in lines)

    def finish(self) -> bytes:
        """Return what was held back, at the end of the command."""
        rest, self._rest = self._rest, b""
        held, self._held = b"".join(self._held), []
        return (self._edited(rest) if rest else b"") + held

    def _edited(self, line: bytes) -> bytes:
        number, self._lines = self._lines, self._lines + 1
        for (way, rng), at in zip(self._edits, self._at, strict=True):
            if number == at:
                line = self._changed(way, line, rng)
            elif way == "cut" and number > at:
                line = b""
        return line

    def _changed(self, way: str, line: bytes, rng: random.Random) -> bytes:
        try:
            if way == "close":
                self.closes = True
            elif way == "order":
                self._held.append(line)
                return b""
            return _CHANGES.get(way, _same)(line, rng)
        except NotApplicable:
            return line


def _json(line: bytes, rng: random.Random) -> bytes:
    """The JSON of an answer changed, whatever frame it has."""
    begin = line.find(b"{")
    try:
        text, _ = json_.mutated(json.loads(line[begin:]), rng)
    except (ValueError, RecursionError):
        raise NotApplicable from None
    return line[:begin] + text.replace("\n", " ").encode("utf-8", "surrogatepass")[:_MOST_BYTES] + b"\n"


def _cut(line: bytes, rng: random.Random) -> bytes:
    return line[: rng.randrange(len(line) + 1)]


def _noise(line: bytes, rng: random.Random) -> bytes:
    noise, at = rng.choice(_NOISE), rng.choice((0, len(line), rng.randrange(len(line) + 1)))
    return line[:at] + noise + line[at:]


def _flood(line: bytes, rng: random.Random) -> bytes:
    return rng.choice((line, rng.choice(_NOISE), b"x")) * rng.choice((1000, 100_000))


def _same(line: bytes, rng: random.Random) -> bytes:
    return line


_CHANGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "json": _json,
    "flip": flipped,
    "cut": _cut,
    "noise": _noise,
    "twice": lambda line, rng: line * 2,
    "gone": lambda line, rng: b"",
    "stretched": extended,
    "flood": lambda line, rng: _flood(line, rng)[:_MOST_BYTES],
}
