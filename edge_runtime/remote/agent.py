"""Talks to `board_side.py` on a board: puts it there, calls its operations, understands its answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from edge_runtime.errors import RemoteError
from edge_runtime.remote.connection import LostConnectionError

SILENCE_SECONDS = 60.0
"""An operation that says nothing for so long is given up; all of them say something every few seconds."""

_SCRIPT = Path(__file__).with_name("board_side.py")
_LAST_CHARACTERS = 300


class BoardFullError(RemoteError):
    """No space is left on the board."""


class Agent:
    """The board's side of one connection: `python` runs what lies in the folder `base` there (absolute paths)."""

    def __init__(self, connection: Any, python: str, base: str, name: str) -> None:
        self.connection = connection
        self.base = base
        self.name = name
        self.python = python

    async def install(self) -> None:
        """Put the script into the base folder, which is made if it is not there; raises RemoteError."""
        base = shlex.quote(self.base)
        command = (
            f"umask 077; mkdir -p {base} && cat >{base}/agent.new && mv {base}/agent.new {base}/agent.py || "
            f"{{ rm -f {base}/agent.new; rmdir {base}; exit 1; }} 2>/dev/null"
        )
        await run(self.connection, command, self.name, data=_SCRIPT.read_bytes())

    async def leave(self, paths: list[str]) -> None:
        """Remove paths below the base, and script and base themselves if nothing else is there; raises RemoteError."""
        script = shlex.quote(f"{self.base}/agent.py")
        test = f"if [ -f {script} ]; then echo there; fi"
        if "there" in await run(self.connection, test, self.name):
            await self.call("clean", paths=paths)

    async def call(self, operation: str, *, silence_s: float = SILENCE_SECONDS, **arguments: Any) -> dict[str, Any]:
        """Carry out an operation and return its last answer."""
        last: dict[str, Any] = {}
        async for answer in self.answers(operation, silence_s=silence_s, **arguments):
            last = answer
        return last

    async def answers(
        self, operation: str, *, silence_s: float = SILENCE_SECONDS, **arguments: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield an operation's answers as they come; raises RemoteError, LostConnectionError, BoardFullError."""
        async with self.process(operation, **arguments) as process:
            async for answer in self.read(process, silence_s):
                yield answer

    @contextlib.asynccontextmanager
    async def process(self, operation: str, **arguments: Any) -> AsyncIterator[Any]:
        """Start an operation; its stdin and stdout take and give bytes."""
        words = [self.python, f"{self.base}/agent.py", operation, json.dumps(arguments)]
        with _translated(self.name):
            process = await self.connection.create_process(shlex.join(words), encoding=None)
        try:
            yield process
        finally:
            process.close()

    async def read(self, process: Any, silence_s: float = SILENCE_SECONDS) -> AsyncIterator[dict[str, Any]]:
        """Yield the answers of a started operation to its end."""
        while True:
            with _translated(self.name):
                try:
                    line = await asyncio.wait_for(process.stdout.readline(), silence_s)
                except asyncio.TimeoutError:
                    raise LostConnectionError(f"{self.name}: the board said nothing for {silence_s:g} s") from None
            if not line.endswith(b"\n"):
                break
            yield self._answer(json.loads(line))
        with _translated(self.name):
            await asyncio.wait_for(process.wait_closed(), silence_s)
            errors = (await process.stderr.read()).decode("utf-8", "replace")
        if process.exit_status is None and process.exit_signal is None:
            raise LostConnectionError(f"{self.name}: the connection ended")
        if process.exit_status != 0:
            last = " ".join(errors.split())[-_LAST_CHARACTERS:] or f"exit status {process.exit_status}"
            raise RemoteError(f"{self.name}: the board's side failed: {last}")

    def _answer(self, answer: dict[str, Any]) -> dict[str, Any]:
        if "error" not in answer:
            return answer
        text = f"{self.name}: {answer['error']}"
        if answer["kind"] == "full":
            raise BoardFullError(f"{text}: free some space there, or name another place with --board-folder")
        if answer["kind"] == "busy":
            raise RemoteError(f"{text}: attach to it with --resume, or end it with --clean")
        raise RemoteError(text)


async def run(connection: Any, command: str, name: str, *, data: bytes | None = None, timeout_s: float = 30.0) -> str:
    """Run a shell command and return what it wrote; raises RemoteError if it fails or does not end in time."""
    with _translated(name):
        try:
            done = await asyncio.wait_for(connection.run(command, input=data or b"", encoding=None), timeout_s)
        except asyncio.TimeoutError:
            raise LostConnectionError(f"{name}: a command did not end within {timeout_s:g} s") from None
    if done.exit_status is None:
        raise LostConnectionError(f"{name}: the connection ended")
    if done.exit_status:
        last = " ".join(done.stderr.decode("utf-8", "replace").split())[-_LAST_CHARACTERS:]
        raise RemoteError(f"{name}: a command failed on the board: {last or f'exit status {done.exit_status}'}")
    text: str = done.stdout.decode("utf-8", "replace")
    return text


@contextlib.contextmanager
def _translated(name: str) -> Any:
    """Turn what a dying connection raises into LostConnectionError."""
    import asyncssh

    try:
        yield
    except (asyncssh.ConnectionLost, asyncssh.DisconnectError, asyncssh.ChannelOpenError, OSError) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise LostConnectionError(f"{name}: the connection was lost ({reason})") from None


def lost(name: str) -> Any:
    """The same for callers: a context manager that turns a dying connection's exceptions into LostConnectionError."""
    return _translated(name)
