"""A shell on a board's serial console: the right baud rate, login, commands with their exit status, the address.

Everything ends in time: every wait has a limit, and says what was seen instead of what was expected. Commands are run
by `sh`, whatever the login shell is; kernel messages among prompts and answers are only noise.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from edge_runtime.errors import RemoteError
from edge_runtime.remote.serial.text import (
    AGAIN,
    Answer,
    Prompt,
    Stream,
    clean,
    last_line,
    last_prompt,
    readable,
    shown,
)

BAUD_RATES = (115200, 1500000, 921600, 57600, 9600, 38400, 460800, 230400)
"""Rates that "auto" tries, in this order: nearly all boards have the first, those with an RK3588 the second."""

DEFAULT_TIMEOUT_S = 15.0

_PROBE_SECONDS = 1.0
_QUIET_SECONDS = 0.4
_REST_SECONDS = 0.12
_POLL_SECONDS = 0.05
_LINE_LIMIT = 4000  # a terminal in line mode takes 4095 characters
_ENOUGH = 4
_TRIES = 4
_NAME_TRIES = 2
_PRINTINGS = 5
_REFUSAL_SECONDS = 4.0
_MOST_ANSWER_BYTES = 64 << 20
_END_LINE = "\x15"  # ^U: what was typed before is dropped


@dataclass(frozen=True)
class Output:
    """What a command wrote (stdout and stderr as they came) and its exit status."""

    text: str
    status: int


class SerialConsole:
    """A shell behind a serial port; a context manager that logs out, if it logged in, and closes the port."""

    def __init__(self, device: str, baud: int | None = None, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Open `device`; `baud` None finds the rate.

        Raises RemoteError if the port cannot be opened, stays silent, or is unreadable at the rate asked for.
        """
        self.device = device
        self.timeout_s = timeout_s
        self._logged_in = False
        self._secret = ""
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
                self._enter("exit\r")
        self._port.close()

    def login(self, user: str | None = None, password: Callable[[], str] | None = None) -> None:
        """Get to a shell; asks for nothing if there is one already.

        `password` is asked only when the board asks. Raises RemoteError if the login is refused, nobody answers, or
        the board is in its boot loader.
        """
        prompt = self._wake()
        if prompt.kind == "boot loader":
            raise self._error(
                "the board is in its boot loader, not in Linux: let it boot (`boot`), then try again", prompt.line
            )
        if prompt.kind == "asks":
            if user is None:
                raise self._error("the board asks for a login: give --user", prompt.line)
            self._give_name(prompt, user, password)
        self._require_shell()

    def run(self, command: str, timeout_s: float | None = None) -> Output:
        """Run one command in `sh` and return its output and exit status.

        Raises RemoteError when it does not end in `timeout_s` seconds (it is then interrupted with Ctrl-C), or when
        messages keep destroying its answer.
        """
        answer = Answer(command)
        spare = _LINE_LIMIT - len(answer.question.encode("utf-8", "surrogateescape"))
        if spare < 0:
            raise RemoteError(
                f"{self.device}: a command of {len(command)} characters is too long for a serial terminal; "
                f"expected {-spare} fewer"
            )
        try:
            self._ask(answer, f"the end of `{shown(command)}`", timeout_s)
        except BaseException:
            with contextlib.suppress(RemoteError):
                self._send("\x03")
            raise
        output, status = answer.parts()
        if not status.isdecimal():
            raise self._error("the answer makes no sense: it ends without a status", status)
        return Output(output, int(status))

    def _ask(self, answer: Answer, what: str, timeout_s: float | None) -> None:
        """Type a question and have the answer printed until all of it has come."""
        self._send(f"{_END_LINE}{answer.question}\r")
        for printing in range(1, _PRINTINGS + 1):
            self._collect(answer, printing, what, timeout_s)
            if answer.is_whole:
                self._send("\r")
                return
            self._send(f"{AGAIN}\r")
        raise self._error(
            f"{what} came broken {_PRINTINGS} times: other messages come in between; keep the kernel's from the "
            "console (sudo dmesg -n 1), or wait until the board has booted",
            "",
        )

    def _collect(self, answer: Answer, printing: int, what: str, timeout_s: float | None) -> None:
        limit = self.timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + limit
        count, last = 0, b""
        while answer.printings < printing and not answer.is_whole:
            if time.monotonic() >= deadline:
                raise self._late(limit, what, last)
            data = self._receive()
            answer.feed(data)
            count, last = count + len(data), (last + data)[-4096:]
            if count > _MOST_ANSWER_BYTES:
                raise self._error(f"{what} has more than {_MOST_ANSWER_BYTES} bytes", "")

    def follow(self, seconds: float | None = None) -> Iterator[str]:
        """Yield what comes, as it comes, until `seconds` are over (None: for ever), without what steers a terminal."""
        end = None if seconds is None else time.monotonic() + seconds
        stream = Stream()
        while end is None or time.monotonic() < end:
            text = stream.feed(self._receive())
            if text:
                yield text

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
            data = self._enter("\r")
            if len(data) >= _ENOUGH:
                break
        return data

    def _silent(self, where: str) -> RemoteError:
        return RemoteError(
            f"{self.device}: no answer {where}: check that the board is on, that this is its console port, and that "
            "TX and RX are crossed; a board whose console is switched off stays silent too"
        )

    def _wake(self) -> Prompt:
        """Press Enter until a prompt is what comes last, or the same line came last twice."""
        before = ""
        for _ in range(_TRIES):
            data = self._enter("\r")
            if not data:
                raise self._silent(f"at {self.baud} baud")
            text = clean(data)
            if not text.strip():  # a login that was refused a moment ago takes its time
                text = clean(self._read(_REFUSAL_SECONDS))
            prompt, line = last_prompt(text), last_line(text)
            if prompt is not None and prompt.rests:
                return prompt
            if line == before:
                break
            before = line
        return prompt or Prompt(before, "unknown")

    def _give_name(self, prompt: Prompt, user: str, password: Callable[[], str] | None) -> None:
        """Log in from the prompt for a name. What is asked next is the password, unless it is the name once more."""
        for _ in range(_NAME_TRIES):
            self._send(f"{_END_LINE}{user}\r")
            asked = self._next_prompt("a password prompt or a shell", after_echo=True)
            if not asked.bare and not asked.repeats(prompt) and not self._hides_typing():
                asked = self._wake()
            if asked.kind != "asks":
                self._logged_in = True
                return
            if not asked.repeats(prompt):
                self._give_password(prompt, user, password)
                return
        raise self._refused(user, prompt.line)

    def _give_password(self, name: Prompt, user: str, password: Callable[[], str] | None) -> None:
        if password is None:
            raise self._error(f"the board asks for the password of {user}, and there is nobody to ask", "")
        self._secret = password()
        self._send(f"{self._secret}\r")
        self._logged_in = True
        asked = self._next_prompt("the end of the login")
        if not asked.rests or asked.kind == "unknown":
            asked = self._wake()
        if asked.kind == "asks":
            self._logged_in = False
            if asked.repeats(name):
                raise self._refused(user, "")
            raise self._error(f"the board asks {user} for more than a password: log in there once by hand", asked.line)

    def _refused(self, user: str, seen: str) -> RemoteError:
        self._logged_in = False
        return self._error(f"the login as {user} was refused: check name and password", seen)

    def _next_prompt(self, what: str, after_echo: bool = False) -> Prompt:
        """Wait for a prompt, for a line that says that the login is refused, or for quiet after any other line."""

        def done(text: str, quiet_s: float) -> bool:
            text = text.partition("\n")[2] if after_echo else text
            prompt = last_prompt(text)
            if prompt is not None and prompt.rests:
                return quiet_s >= _REST_SECONDS
            return bool(text.strip()) and quiet_s >= _PROBE_SECONDS

        text = self._wait(done, what)
        prompt = last_prompt(text.partition("\n")[2] if after_echo else text)
        return prompt or Prompt(last_line(text), "unknown")

    def _hides_typing(self) -> bool:
        """Whether a character typed now is not shown, as at a prompt for a password; it is taken back."""
        self._port.reset_input_buffer()
        self._send("x")
        shown_there = "x" in clean(self._read(_QUIET_SECONDS))
        self._send(_END_LINE)
        return not shown_there

    def _require_shell(self) -> None:
        """Prove that a shell answers, by a word that the echo of the command does not contain."""
        word = secrets.token_hex(4)
        deadline = time.monotonic() + self.timeout_s
        text = ""
        while time.monotonic() < deadline:
            self._send(f"{_END_LINE} echo {word[:4]}''{word[4:]}\r")
            text += clean(self._read(_PROBE_SECONDS, lambda data: word in clean(data)))
            if word in text:
                return
        raise self._error("no shell answers (a program may be running there)", text)

    def _wait(self, done: Callable[[str, float], bool], what: str) -> str:
        """Read until `done(text, seconds of quiet)`."""
        started = last = time.monotonic()
        data = b""
        while time.monotonic() < started + self.timeout_s:
            chunk = self._receive()
            last = time.monotonic() if chunk else last
            data += chunk
            if done(clean(data), time.monotonic() - last):
                return clean(data)
        raise self._late(self.timeout_s, what, data)

    def _late(self, limit: float, what: str, data: bytes) -> RemoteError:
        if data and not readable(data):
            return self._error(f"what comes is not readable at {self.baud} baud: try --baud auto", "")
        return self._error(f"waited {limit:g} s for {what}", clean(data))

    def _enter(self, keys: str) -> bytes:
        """Type something in place of what was typed before, and return what comes up to the next prompt."""
        self._port.reset_input_buffer()
        self._send(_END_LINE + keys)

        def at_rest(data: bytes) -> bool:
            prompt = last_prompt(clean(data)) if readable(data) else None
            return prompt is not None and prompt.rests

        return self._read(_PROBE_SECONDS, at_rest)

    def _read(self, seconds: float, done: Callable[[bytes], bool] | None = None) -> bytes:
        """Read until it is quiet, for at most `seconds` without a byte at the start, and twice that in all.

        Where `done`, a shorter quiet is enough.
        """
        started = last = time.monotonic()
        data = b""
        while True:
            chunk = self._receive()
            now = time.monotonic()
            data += chunk
            last = now if chunk else last
            quiet = now - last
            if quiet > (_QUIET_SECONDS if data else seconds) or now - started > 2 * seconds:
                return data
            if done is not None and quiet > _REST_SECONDS and done(data):
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
            self._port.write(text.encode("utf-8", "surrogateescape"))
            self._port.flush()
        except OSError as error:  # SerialException and its time-out are ones
            raise RemoteError(f"{self.device}: the port failed while writing ({error}): unplugged?") from error

    def _error(self, what: str, seen: str) -> RemoteError:
        last = shown(seen.replace(self._secret, "...") if self._secret else seen)
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
