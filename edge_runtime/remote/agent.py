"""Talks to `board/` on a board: sends it with every operation, understands its answers."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import shlex
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any, TypeVar

from edge_runtime.errors import RemoteError
from edge_runtime.io.files import parse_json
from edge_runtime.io.printable import printable
from edge_runtime.io.typed_json import Json, Record
from edge_runtime.remote.answers import Answer, Busy, Holder, Refusal, nonsense
from edge_runtime.remote.frames import Token
from edge_runtime.remote.shell import Command, started

SILENCE_SECONDS = 60.0
"""An operation that says nothing for so long is given up; all of them say something every few seconds."""

_BOARD = Path(__file__).with_name("board")
_PACKAGE = "edge_runtime.remote.board"
_Kind = TypeVar("_Kind", bound=Record)
_MODULES = ("common", "place", "lock", "files", "runtime", "jobs", "main")
_BOOT = """
import base64, json, sys, types, zlib
request = json.loads(sys.stdin.buffer.readline())
for name, source in json.loads(zlib.decompress(base64.b64decode(request["modules"]))):
    head, _, last = name.rpartition(".")
    module = sys.modules[name] = types.ModuleType(name)
    if head in sys.modules: setattr(sys.modules[head], last, module)
    exec(compile(source, name, "exec"), module.__dict__)
module.main(request)
"""


class BoardFullError(RemoteError):
    """No space is left on the board."""


class BusyError(RemoteError):
    """Somebody else has the board; `holder` is what it says of them."""

    def __init__(self, message: str, holder: Holder) -> None:
        super().__init__(message)
        self.holder = holder


class Agent:
    """The board's side of one connection: `python` runs there, all is below `root`, `lock` tells clients apart.

    `base`, the folder in which everything lies there (an absolute path), is known once `begin` was answered; `heard`
    counts answers.
    """

    def __init__(self, connection: Any, python: str, root: str, is_default: bool, lock: str, name: str) -> None:
        self.connection = connection
        self.name = name
        self.base = ""
        self.heard = 0
        self._python = python
        self._request = {"root": root, "is_default": is_default, "lock": lock}

    async def call(
        self, operation: str, kind: type[_Kind], *, silence_s: float = SILENCE_SECONDS, total_s: float | None = None,
        **arguments: Json,
    ) -> _Kind:  # fmt: skip
        """Carry out an operation and return its last answer."""
        last = Answer(self.name, {})
        async for answer in self.answers(operation, silence_s=silence_s, total_s=total_s, **arguments):
            last = answer
        return last.read(kind)

    async def answers(
        self, operation: str, *, silence_s: float = SILENCE_SECONDS, total_s: float | None = None, **arguments: Json
    ) -> AsyncGenerator[Answer, None]:
        """Yield an operation's answers as they come; raises RemoteError, LostConnectionError, BoardFullError."""
        async with self.process(operation, **arguments) as process:
            async for answer in self.read(process, silence_s, total_s):
                yield answer

    @contextlib.asynccontextmanager
    async def process(self, operation: str, **arguments: Json) -> AsyncIterator[Command]:
        """Start an operation; its stdin takes bytes."""
        token = Token()
        question = {"token": token.halves, "operation": operation, "arguments": arguments}
        request = {**self._request, **question, "modules": _modules()}
        line = f"exec {shlex.quote(self._python)} -c {shlex.quote(_one_line(_BOOT))} lpc-bench-board {operation}"
        data = json.dumps(request).encode("ascii") + b"\n"
        async with started(self.connection, line, token, self.name, data) as command:
            yield command

    async def read(
        self, command: Command, silence_s: float = SILENCE_SECONDS, total_s: float | None = None
    ) -> AsyncIterator[Answer]:
        """Yield the answers of a started operation to its end."""
        async for line in command.answers(silence_s, total_s):
            answer = self._answer(line)
            self.heard += 1
            if answer.values.get("end") is True:
                await command.over()
                return
            yield answer
        raise await command.ended()

    def _answer(self, line: bytes) -> Answer:
        try:
            values = parse_json(line)
        except ValueError as error:
            raise nonsense(self.name, line.decode("utf-8", "replace"), str(error)) from None
        if not isinstance(values, dict):
            raise nonsense(self.name, values, "expected an object")
        answer = Answer(self.name, values)
        if "error" in answer:
            raise self._error(answer)
        return answer

    def _error(self, answer: Answer) -> RemoteError:
        refusal = answer.read(Refusal)
        text = f"{self.name}: {printable(' '.join(refusal.error.split()))[:1000]}"
        if refusal.kind == "full":
            return BoardFullError(f"{text}: free some space there, or name another place with --board-folder")
        if refusal.kind == "busy":
            return BusyError(text, answer.read(Busy).holder)
        return RemoteError(text)


@functools.cache
def _modules() -> str:
    """Names and sources of what runs on the board, each behind those that it needs; all calls send them."""
    packages = ["edge_runtime", "edge_runtime.remote", _PACKAGE]
    sources = [(f"{_PACKAGE}.{name}", (_BOARD / f"{name}.py").read_text(encoding="utf-8")) for name in _MODULES]
    text = json.dumps([(name, "") for name in packages] + sources)
    return base64.b64encode(zlib.compress(text.encode("ascii"), 9)).decode("ascii")


def _one_line(program: str) -> str:
    """A Python program as an expression without line breaks."""
    return f"exec({program.strip()!r})"
