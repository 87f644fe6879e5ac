"""A shell on a board's serial console: the right baud rate, login, commands with their exit status, the address.

Everything ends in time: every wait has a limit, and says what was seen instead of what was expected.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from edge_runtime.errors import RemoteError

BAUD_RATES = (115200, 1500000, 921600, 57600, 9600, 38400, 460800, 230400)
"""Rates that "auto" tries, in this order: nearly all boards have the first, those with an RK3588 the second."""

DEFAULT_TIMEOUT_S = 15.0

_PROBE_SECONDS = 1.0
_QUIET_SECONDS = 0.4
_POLL_SECONDS = 0.05
_LINE_LIMIT = 3500  # a terminal in line mode takes 4095 characters
_ENOUGH = 4
_READABLE_SHARE = 0.9
_SHOWN_CHARACTERS = 120
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[=>()][0-9A-B]?")
_LOGIN = re.compile(r"login: ?$", re.IGNORECASE)
_PASSWORD = re.compile(r"password(?: for \S+)?: ?$", re.IGNORECASE)
_REFUSED = re.compile(r"login incorrect|authentication failure|maximum number of tries", re.IGNORECASE)
_BOOTLOADER = re.compile(r"(?:^|\n)\s*(?:=>|U-Boot>|Shell>|grub>) ?$")


@dataclass(frozen=True)
class Output:
    """What a command wrote (stdout and stderr as the terminal shows them) and its exit status."""

    text: str
    status: int


def readable(data: bytes) -> bool:
    """Tell whether bytes look like text; at a wrong baud rate they are mostly control characters and high bytes."""
    if not data:
        return False
    good = sum(byte in b"\t\n\r\x07\x08\x1b" or 32 <= byte < 127 for byte in data)
    text = data.decode("utf-8", "ignore").encode()
    return max(good, len(text) if good * 2 > len(data) else 0) >= _READABLE_SHARE * len(data)


class SerialConsole:
    """A shell behind a serial port; a context manager that logs out, if it logged in, and closes the port."""

    def __init__(self, device: str, baud: int | None = None, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Open `device`; `baud` None finds the rate.

        Raises RemoteError if the port cannot be opened, stays silent, or is unreadable at the rate asked for.
        """
        self.device = device
        self.timeout_s = timeout_s
        self._logged_in = False
        self._port = _open(device, baud or BAUD_RATES[0])
        try:
            self.baud = self._find_baud() if baud is None else self._check_baud(baud)
        except BaseException:
            self._port.close()
            raise

    def __enter__(self) -> SerialConsole:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Log out if this object logged in, and close the port."""
        if self._logged_in:
            with contextlib.suppress(RemoteError):
                self._send("\x15exit\r")
                self._read(_QUIET_SECONDS)
        self._port.close()

    def login(self, user: str | None = None, password: Callable[[], str] | None = None) -> None:
        """Get to a shell; does nothing if there is one already.

        `password` is asked only when the board asks. Raises RemoteError if the login is refused, nobody answers, or
        the board is in its boot loader.
        """
        text = self._wake()
        if _BOOTLOADER.search(text):
            raise self._error(
                "the board is in its boot loader, not in Linux: let it boot (`boot`), then try again", text
            )
        if not _LOGIN.search(text) and not _PASSWORD.search(text):
            self._require_shell(text)
            return
        if user is None:
            raise self._error("the board asks for a login: give --user", text)
        if _PASSWORD.search(text):
            self._send("\r")
            self._wait(lambda seen: bool(_LOGIN.search(seen)), "the login prompt")
        self._send(f"{user}\r")
        text = self._wait(lambda seen: bool(_PASSWORD.search(seen)) or _at_rest(seen), "a password prompt or a shell")
        if _PASSWORD.search(text):
            if password is None:
                raise self._error(f"the board asks for the password of {user}, and there is nobody to ask", "")
            self._send(f"{password()}\r")
        self._logged_in = True
        self._require_shell("", user)

    def run(self, command: str, timeout_s: float | None = None) -> Output:
        """Run one command in `sh` and return its output and exit status.

        Raises RemoteError when it does not end in `timeout_s` seconds; it is then interrupted with Ctrl-C.
        """
        tag = secrets.token_hex(6)
        line = (
            f" printf '\\n%s%s\\n' LPC-BEGIN- {tag}; sh -c {shlex.quote(command)}; "
            f"printf '\\n%s%s %d\\n' LPC-END- {tag} $?\r"
        )
        if len(line) > _LINE_LIMIT:
            raise RemoteError(
                f"{self.device}: a command of {len(command)} characters is too long for a serial terminal; "
                f"expected at most about {_LINE_LIMIT - 120}"
            )
        self._send("\x15" + line)
        end = re.compile(rf"\r?\nLPC-END-{tag} (\d+)\r?\n")
        try:
            text = self._wait(lambda seen: bool(end.search(seen)), f"the end of `{command}`", timeout_s)
        except RemoteError:
            self._send("\x03")
            raise
        match = end.search(text)
        _, _, output = text[: match.start() if match else None].partition(f"LPC-BEGIN-{tag}")
        output = output.removeprefix("\r").removeprefix("\n").replace("\r\n", "\n")
        return Output(output, int(match[1]) if match else -1)

    def follow(self, seconds: float | None = None) -> Iterator[str]:
        """Yield what comes, as it comes, until `seconds` are over (None: for ever)."""
        end = None if seconds is None else time.monotonic() + seconds
        while end is None or time.monotonic() < end:
            data = self._receive()
            if data:
                yield data.decode("utf-8", "replace")

    def _find_baud(self) -> int:
        heard: dict[int, bytes] = {}
        for baud in BAUD_RATES:
            heard[baud] = self._probe(baud)
            if len(heard[baud]) >= _ENOUGH and readable(heard[baud]):
                return baud
        if not any(heard.values()):
            raise self._silent(f"at any of {len(BAUD_RATES)} baud rates")
        rates = ", ".join(str(baud) for baud, data in heard.items() if data)
        raise RemoteError(
            f"{self.device}: data comes, but it is readable at none of the baud rates tried (data at {rates}): "
            "the board has another rate (--baud N), a level converter is missing, or the ground wire is"
        )

    def _check_baud(self, baud: int) -> int:
        data = self._probe(baud)
        if not data:
            raise self._silent(f"at {baud} baud")
        if not readable(data):
            raise RemoteError(
                f"{self.device}: what comes is not readable at {baud} baud ({data[:12].hex(' ')} ...): "
                "the baud rate is wrong; try --baud auto"
            )
        return baud

    def _probe(self, baud: int) -> bytes:
        """Press Enter at a rate, twice if little comes, and return the answer."""
        self._port.baudrate = baud
        data = b""
        for _ in range(2):
            self._port.reset_input_buffer()
            self._send("\r")
            data = self._read_bytes(_PROBE_SECONDS)
            if len(data) >= _ENOUGH:
                break
        return data

    def _silent(self, where: str) -> RemoteError:
        return RemoteError(
            f"{self.device}: no answer {where}: check that the board is on, that this is its console port, and that "
            "TX and RX are crossed; a board whose console is switched off stays silent too"
        )

    def _wake(self) -> str:
        self._port.reset_input_buffer()
        self._send("\x15\r")
        text = self._read(_PROBE_SECONDS)
        if not text:
            raise self._silent(f"at {self.baud} baud")
        return text

    def _require_shell(self, text: str, user: str | None = None) -> None:
        """Prove that a shell answers, by a word that the echo of the command does not contain."""
        word = secrets.token_hex(4)
        deadline = time.monotonic() + self.timeout_s
        while time.monotonic() < deadline:
            self._send(f"\x15 echo {word[:4]}''{word[4:]}\r")
            seen = self._read(_PROBE_SECONDS)
            text += seen
            if word in seen:
                return
            if user is not None and _REFUSED.search(text):
                self._logged_in = False
                raise self._error(f"the login as {user} was refused: check name and password", "")
        raise self._error("no shell answers (a program may be running there, or the shell is not a POSIX one)", text)

    def _wait(self, done: Callable[[str], bool], what: str, timeout_s: float | None = None) -> str:
        limit = self.timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + limit
        data = b""
        while time.monotonic() < deadline:
            data += self._receive()
            text = _clean(data)
            if done(text):
                return text
        if data and not readable(data):
            raise self._error(f"what comes is not readable at {self.baud} baud: try --baud auto", "")
        raise self._error(f"waited {limit:g} s for {what}", _clean(data))

    def _read(self, seconds: float) -> str:
        return _clean(self._read_bytes(seconds))

    def _read_bytes(self, seconds: float) -> bytes:
        """Read until it is quiet, for at most `seconds` without a byte at the start, and twice that in all."""
        started = last = time.monotonic()
        data = b""
        while True:
            chunk = self._receive()
            now = time.monotonic()
            data += chunk
            last = now if chunk else last
            quiet = now - last > (_QUIET_SECONDS if data else seconds)
            if quiet or now - started > 2 * seconds:
                return data

    def _receive(self) -> bytes:
        try:
            waiting = self._port.in_waiting
            received: bytes = self._port.read(waiting or 1)
            return received
        except OSError as error:  # SerialException is one
            raise RemoteError(f"{self.device}: the port failed while reading ({error}): unplugged?") from error

    def _send(self, text: str) -> None:
        try:
            self._port.write(text.encode())
            self._port.flush()
        except OSError as error:  # SerialException and its time-out are ones
            raise RemoteError(f"{self.device}: the port failed while writing ({error}): unplugged?") from error

    def _error(self, what: str, seen: str) -> RemoteError:
        last = " ".join(seen.split())[-_SHOWN_CHARACTERS:]
        return RemoteError(f"{self.device}: {what}" + (f"; last seen: {last!r}" if last else ""))


def _open(device: str, baud: int) -> Any:
    try:
        import serial
    except ImportError as error:
        raise RemoteError(
            f'pyserial is missing ({error}); install it: pip install "lpc-edge-runtime[board]"'
        ) from error
    try:
        return serial.Serial(device, baud, timeout=_POLL_SECONDS, write_timeout=5, exclusive=True)
    except (OSError, ValueError) as error:
        hint = ""
        if isinstance(error, OSError) and error.errno == 13:
            hint = "; your user must be in the port's group: sudo usermod -aG dialout $USER, then log in again"
        raise RemoteError(f"{device}: cannot be opened ({error}){hint}") from error


def _clean(data: bytes) -> str:
    return _ANSI.sub("", data.decode("utf-8", "replace"))


def _at_rest(seen: str) -> bool:
    """Whether the text ends in what may be a shell's prompt, or in a refusal."""
    return bool(re.search(r"[#$%>] ?$", seen) or _REFUSED.search(seen))
