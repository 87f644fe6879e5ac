"""What comes over a serial console, read: prompts in any language among kernel messages, and answers among all that."""

from __future__ import annotations

import codecs
import re
import secrets
import shlex
from dataclasses import dataclass
from typing import Literal

from edge_runtime.io.printable import printable

Kind = Literal["asks", "shell", "boot loader", "unknown"]

_READABLE_SHARE = 0.9
_SHOWN_CHARACTERS = 120
_MOST_HELD_BACK = 256
_ANSI = re.compile(
    r"\x1b\[[0-9;?<=>]*[ -/]*[@-~]|\x1b[\]P_^X][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][0-9A-B]|\x1b[=>78cDEHM]|\x1b\\"
)
_PART_OF_ANSI = re.compile(r"\x1b(?:\[[0-9;?<=>]*[ -/]*|[\]P_^X][^\x07\x1b]*\x1b?|[()])?$")
_MESSAGE = re.compile(
    r"(?:\r*\n)?(?:\[ *\d+\.\d{3,}\]|\[ *(?:OK|FAILED|DEPEND|TIME|INFO|WARN|SKIP) *\]|\[[ *]{3,6}\])"
    r"[^\r\n]*(?:[\r\n]+|$)"
)
"""What the kernel and systemd write, from wherever the cursor was to the end of the line."""

_ASKS = re.compile(r"[:\uff1a]$")
_SHELL = re.compile(r"[$#%>\u276f\u279c\u00bb\u03bb]$")
_BOOTLOADER = re.compile(r"^(?:=>|U-Boot[>#]|Shell>|grub>)$")
_LEAST_COMMON = 3
_SPECIAL = frozenset("'\"\\!$`%")


def readable(data: bytes) -> bool:
    """Tell whether bytes look like text; at a wrong baud rate they are mostly control characters and high bytes.

    Ctrl-U is text: we type it before Enter, and a program that reads the line as it is sends it back.
    """
    if not data:
        return False
    text = data.decode("utf-8", "ignore")
    good = sum(char in "\t\n\r\x07\x08\x15\x1b" or " " <= char <= "~" for char in text)
    letters = sum(len(char.encode()) for char in text if char.isprintable() and not char.isascii())
    wide = letters if good * 2 > len(data) or len(text.encode()) == len(data) else 0
    return good + wide >= _READABLE_SHARE * len(data)


def clean(data: bytes) -> str:
    """Text without what steers a terminal."""
    return _ANSI.sub("", data.decode("utf-8", "replace"))


class Stream:
    """Text for people from bytes as they come: characters and escape sequences may arrive in pieces."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def feed(self, data: bytes) -> str:
        """Return what can be shown now."""
        text = self._held + self._decoder.decode(data)
        part = _PART_OF_ANSI.search(text)
        cut = part.start() if part and len(text) - part.start() < _MOST_HELD_BACK else len(text)
        cut -= text[:cut].endswith("\r")
        self._held = text[cut:]
        return printable(re.sub(r"\r*\n", "\n", _ANSI.sub("", text[:cut])), "\n\t")


def shown(text: str) -> str:
    """The end of a text in one printable line."""
    return printable(" ".join(text.split())[-_SHOWN_CHARACTERS:])


@dataclass(frozen=True)
class Prompt:
    """A line that waits for input, told by its shape: a name or password is asked for behind a colon in any language.

    `rests`: nothing but messages came behind it; `bare`: nothing at all did.
    """

    line: str
    kind: Kind
    rests: bool = True
    bare: bool = True

    def repeats(self, other: Prompt) -> bool:
        """Whether it asks for the same; of a prompt with a message in it only the end may be left."""
        short, long = sorted((self.line, other.line), key=len)
        return short == long or (len(short) >= _LEAST_COMMON and long.endswith(short))


def last_prompt(text: str) -> Prompt | None:
    """The last line of `text` that may be a prompt."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", _MESSAGE.sub("", text))]
    for line in reversed(lines):
        if (kind := _kind(line)) != "unknown":
            return Prompt(line, kind, line == lines[-1], text.rstrip(" \t\xa0").endswith(line))
    return None


def last_line(text: str) -> str:
    """The last line that is not blank, messages left out."""
    return next((line.strip() for line in reversed(_MESSAGE.sub("\n", text).splitlines()) if line.strip()), "")


def _kind(line: str) -> Kind:
    if _BOOTLOADER.search(line):
        return "boot loader"
    if _ASKS.search(line):
        return "asks"
    return "shell" if _SHELL.search(line) else "unknown"


AGAIN = "again"
"""Typed to have an answer printed once more; an empty line ends it."""

_SCRIPT = (
    "lpc=$(sh -c {command} 2>&1; printf '\\n%d' $?); LC_ALL=C; k=0; "
    "while k=$((k+1)); printf '%s\\n' \"$lpc\" | {{ n=0; while IFS= read -r l; do n=$((n+1)); "
    "printf '\\n%s%s %d %d %s\\n' {first} {second} $n ${{#l}} \"$l\"; done; "
    "for i in 1 2 3; do printf '\\n%s%s end %d %d\\n' {first} {second} $k $n; done; }}; "
    f'IFS= read -r m && test "$m" = {AGAIN}; do :; done'
)


class Answer:
    """A command's output and status, told from all else that comes: `TOKEN NUMBER LENGTH TEXT`, last `TOKEN end ...`.

    A line into which something else was written has another length. It counts once it came whole, or twice alike, so
    an answer that is printed again only has to fill in what the last printing lost. `question` is what to type: it
    means the same to POSIX shells, csh and fish, and does not hold the token in one piece, so its echo is no answer.
    """

    def __init__(self, command: str) -> None:
        first, second = secrets.token_hex(3), secrets.token_hex(3)
        script = _SCRIPT.format(command=shlex.quote(command), first=first, second=second)
        self.question = f""" sh -c 'eval "$(printf %b "{_escaped(script)}")"'"""
        self._token = f"{first}{second}".encode("ascii")
        self._rest = b""
        self._lines: dict[int, bytes] = {}
        self._doubtful: set[tuple[int, bytes]] = set()
        self._count: int | None = None
        self.printings = 0

    def feed(self, data: bytes) -> None:
        """Take bytes as they come."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            for part in line.split(self._token)[1:]:
                self._take(part)

    def _take(self, part: bytes) -> None:
        if end := re.fullmatch(rb" end (\d+) (\d+)\r*", part):
            self.printings, self._count = int(end[1]), int(end[2])
        elif found := re.fullmatch(rb" (\d+) (\d+) (.*)", part, re.DOTALL):
            number, length, text = int(found[1]), int(found[2]), found[3]
            line = text[:length] if not text[length:].strip(b"\r") else text.rstrip(b"\r")
            if len(line) == length or (number, line) in self._doubtful:
                self._lines[number] = line
            self._doubtful.add((number, line))

    @property
    def is_whole(self) -> bool:
        """Whether every line is there."""
        return self._count is not None and all(number in self._lines for number in range(1, self._count + 1))

    def parts(self) -> tuple[str, str]:
        """Output and status of an answer that is whole."""
        text = clean(b"\n".join(self._lines[number] for number in range(1, (self._count or 0) + 1)))
        output, _, status = text.rpartition("\n")
        return output, status


def _escaped(script: str) -> str:
    """A script for `printf %b`, without a character that any shell treats on its own in single quotes."""
    return "".join(char if char.isprintable() and char not in _SPECIAL else _octal(char) for char in script)


def _octal(char: str) -> str:
    return "".join(f"\\0{byte:03o}" for byte in char.encode("utf-8", "surrogateescape"))
