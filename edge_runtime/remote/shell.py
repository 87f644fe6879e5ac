"""A command on a board, whatever its login shell is and whatever that writes: answers come framed by a token.

sshd hands the command to the login shell: `sh` is asked for by name, in words that sh, csh and fish read alike. All
else goes in through stdin, of which the first line is a command for that sh.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from edge_runtime.errors import RemoteError
from edge_runtime.remote.connection import LostConnectionError
from edge_runtime.remote.frames import Frames, Tail, Token

LOADER = """sh -c 'IFS= read -r l && eval "$l"'"""
_PIECE = 1 << 16
_CLOSE_SECONDS = 10.0
_OVER_SECONDS = 2.0


class Command:
    """A command that runs; `stdin` takes bytes, `answers` gives what comes back."""

    def __init__(self, process: Any, token: Token, name: str) -> None:
        self._process = process
        self._name = name
        self._frames = Frames(token, name)
        self._errors = Tail(name)
        self._any = False
        self._failure: RemoteError | None = None
        self.stdin = process.stdin

    async def answers(self, silence_s: float, total_s: float | None = None) -> AsyncIterator[bytes]:
        """Yield answers to the end of the command.

        Raises LostConnectionError when no answer comes for `silence_s` seconds (what is no answer does not count) or
        it is not over after `total_s`, RemoteError if no command can be run there.
        """
        end = None if total_s is None else time.monotonic() + total_s
        heard = time.monotonic()
        while True:
            limit = heard + silence_s if end is None else min(end, heard + silence_s)
            data = await self._read(limit, silence_s if limit != end else total_s or 0.0)
            for answer in self._frames.feed(data):
                self._any, heard = True, time.monotonic()
                yield answer
            if not data:
                return

    async def _read(self, limit: float, seconds: float) -> bytes:
        with lost(self._name):
            try:
                if self._failure is not None:
                    raise self._failure
                data: bytes = await asyncio.wait_for(
                    self._process.stdout.read(_PIECE), max(0.0, limit - time.monotonic())
                )
            except asyncio.TimeoutError:
                raise LostConnectionError(f"{self._name}: {self._silent(seconds)}") from None
        return data

    def _silent(self, seconds: float) -> str:
        if self._any:
            return f"the board said nothing of use for {seconds:g} s"
        words = self._frames.words() or self._errors.words()
        return f"no answer from the board's shell within {seconds:g} s" + (f"; it said {words!r}" if words else "")

    async def drain(self) -> None:
        """Take stderr as it comes, or the board would wait for it to be read; too much of it ends the command."""
        try:
            with lost(self._name):
                while data := await self._process.stderr.read(_PIECE):
                    self._errors.add(data)
        except RemoteError as error:
            self._failure = error
            self._process.close()

    async def over(self) -> None:
        """Give a command that has said its last word a moment to be gone, so that nothing of it is left there."""
        with contextlib.suppress(asyncio.TimeoutError, LostConnectionError), lost(self._name):
            await asyncio.wait_for(self._process.wait_closed(), _OVER_SECONDS)

    async def ended(self) -> RemoteError:
        """What to raise for a command that has ended without its last answer."""
        if self._failure is not None:
            return self._failure
        with lost(self._name):
            try:
                await asyncio.wait_for(self._process.wait_closed(), _CLOSE_SECONDS)
            except asyncio.TimeoutError:
                return LostConnectionError(f"{self._name}: the connection ended")
        status, died_of = self._process.exit_status, self._process.exit_signal
        if status is None and died_of is None:
            return LostConnectionError(f"{self._name}: the connection ended")
        how = f"signal {died_of[0]}" if died_of else f"exit status {status}"
        words = self._errors.words() or self._frames.words()
        said = f"it said {words!r}" if words else "it said nothing"
        if self._any:
            return RemoteError(f"{self._name}: the board's side failed ({how}): {words or 'it said nothing'}")
        return RemoteError(
            f"{self._name}: the login there runs no command of ours ({how}; {said}): the account needs a shell that "
            "runs commands (sudo chsh -s /bin/sh NAME; not nologin or false), and no forced command (ForceCommand in "
            "sshd_config, command= in authorized_keys)"
        )


@contextlib.asynccontextmanager
async def started(connection: Any, line: str, token: Token, name: str, data: bytes = b"") -> AsyncIterator[Command]:
    """Start `line`, a command of POSIX sh without line breaks, with `data` in front of its stdin."""
    if "\n" in line:
        raise ValueError("a command has one line")
    with lost(name):
        process = await connection.create_process(LOADER, encoding=None)
        try:
            with contextlib.suppress(BrokenPipeError):  # a login that has ended already: its status says so
                process.stdin.write(line.encode("utf-8", "surrogateescape") + b"\n" + data)
        except BaseException:
            process.close()
            raise
    command = Command(process, token, name)
    errors = asyncio.create_task(command.drain())
    try:
        yield command
    finally:
        process.close()
        errors.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await errors


async def script(connection: Any, text: str, name: str, timeout_s: float = 30.0) -> list[str]:
    """Run a script of POSIX sh, which answers with `say WORDS`, and return its answers; raises RemoteError."""
    token = Token()
    first, second = token.halves
    say = f"say() {{ printf '%s%s %s\\n' {first} {second} \"$1\"; }}\n"
    answers: list[str] = []
    async with started(connection, "exec sh -s", token, name, f"{say}{text}\nsay end\nexit 0\n".encode()) as command:
        with lost(name), contextlib.suppress(BrokenPipeError):
            command.stdin.write_eof()
        async for answer in command.answers(timeout_s, timeout_s):
            if answer == b"end":
                return answers
            answers.append(answer.decode("utf-8", "replace"))
        raise await command.ended()


@contextlib.contextmanager
def lost(name: str) -> Any:
    """Turn what a dying connection raises into LostConnectionError."""
    import asyncssh

    try:
        yield
    except (asyncssh.ConnectionLost, asyncssh.DisconnectError, asyncssh.ChannelOpenError, OSError) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise LostConnectionError(f"{name}: the connection was lost ({reason})") from None
