"""One board from the first connection to the last: identify, deploy, upload, run, fetch, leave it as it was."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import importlib.metadata
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from boards import Profile
from edge_runtime.cli.common import format_bytes
from edge_runtime.errors import RemoteError
from edge_runtime.native import DISTRIBUTION
from edge_runtime.remote import job as jobs
from edge_runtime.remote.agent import Agent
from edge_runtime.remote.connection import LostConnectionError, Policy, connected
from edge_runtime.remote.hosts import Target
from edge_runtime.remote.identify import CLOCK_LIMIT_S, Board, identify
from edge_runtime.remote.requirements import (
    RUNTIME_BYTES,
    SHARED_RUNTIME_BYTES,
    check_machine,
    check_memory,
    check_room,
)
from edge_runtime.remote.runtime import Packages, Runtime, install, runtime_for
from edge_runtime.remote.upload import Say, Transfer, files_of, upload
from edge_runtime.remote.wheels import find_wheel

_LEAVE_SECONDS = 20.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
_MOST_RECONNECTS = 50
_AGENT_BYTES = 1_000_000
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Request:
    """What to do on every board. `arguments` go to `lpc-bench run` there, `load` is what they say about memory."""

    model: Path
    arguments: tuple[str, ...] = ()
    load: dict[str, Any] = field(default_factory=dict)
    wheel: Path | None = None
    packages: Packages = "auto"
    python: str | None = None
    folder: str | None = None
    keep: bool = False
    resume: bool = False
    profile: Profile | None = None
    reconnect_s: float = 120.0


class Visit:
    """One board's turn; `run`, `clean` or `stop` once. `transfer` counts what crossed the wire."""

    def __init__(self, target: Target, policy: Policy, request: Request | None, say: Say) -> None:
        self.transfer = Transfer()
        self._target = target
        self._policy = policy
        self._request = request or Request(Path())
        self._say = say
        self._stack = contextlib.AsyncExitStack()
        self._agent: Agent | None = None
        self._board: Board | None = None
        self._job: jobs.Job | None = None
        self._made: list[str] = []
        self._reconnects = 0

    async def run(self) -> dict[str, Any]:
        """Measure there and return the result, with what is known of the board; raises LpcError.

        The board is as it was afterwards, whatever happened, unless it cannot be reached or `keep` was asked for.
        """
        async with self._stack:
            board = await self._meet()
            try:
                result = await (self._attach() if self._request.resume else self._measure(board))
            except LostConnectionError as error:
                raise RemoteError(f"{error}; {self._what_remains()}") from None
            except BaseException:
                await self._leave(stop=True)
                raise
            await self._leave(stop=False)
            return self._described(result, board)

    async def clean(self) -> None:
        """End what runs there and remove everything of ours."""
        async with self._stack:
            agent = await self._ready(await self._meet())
            for job in await jobs.on_board(agent):
                await agent.call("stop", job=job["job"])
            await agent.call("clean", paths=["jobs", "models", "runtime", "wheels"])
            self._say(f"{agent.base} is gone")

    async def _meet(self) -> Board:
        self._say("connecting")
        connection = await self._stack.enter_async_context(connected(self._target, self._policy))
        board = await identify(connection, str(self._target), self._request.folder, self._request.python)
        self._board = board
        self._agent = Agent(connection, board.python, board.base, str(self._target))
        self._say(board.describe())
        if abs(board.clock_skew_s) > CLOCK_LIMIT_S:
            self._say(_clock_warning(board))
        return board

    async def _ready(self, board: Board) -> Agent:
        """Our script on the board; raises RemoteError where nothing of ours can run."""
        assert self._agent is not None
        check_machine(board, self._agent.name)
        check_room(board, self._agent.name, 0)
        await self._agent.install()
        return self._agent

    async def _measure(self, board: Board) -> dict[str, Any]:
        request, name = self._request, str(self._target)
        machine = check_machine(board, name)
        runtime = runtime_for(find_wheel(machine, request.wheel), machine, board, request.packages)
        check_memory(board, name, request.model, request.load)
        agent = await self._ready(board)
        await self._refuse_if_busy(agent)
        files = files_of(request.model)
        model = "models/" + (re.sub(r"[^\w.-]", "_", request.model.resolve().name).lstrip(".") or "model")
        complete = await self._prepare(agent, board, runtime, model, sum(path.stat().st_size for path in files))
        if not complete:
            self._say(f"installing {runtime.wheel.name}")
            await self._persist(lambda agent: install(agent, runtime, board, self._say, self.transfer))
        await self._persist(lambda agent: upload(agent, files, model, self._say, self.transfer))
        self._job = jobs.Job(f"jobs/{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}")
        environment = f"{board.base}/{runtime.folder}/bin"
        command = [f"{environment}/lpc-bench", "run", f"{board.base}/{model}", *request.arguments, "-o", "result.json"]
        self._say("starting: lpc-bench run " + " ".join(request.arguments))
        assert self._agent is not None
        await jobs.start(self._agent, self._job, command, environment, [] if request.keep else self._made)
        return await self._finish(self._job)

    async def _refuse_if_busy(self, agent: Agent) -> None:
        for other in await jobs.on_board(agent):
            if other["alive"]:
                raise RemoteError(
                    f"{agent.name}: {other['job']} is running on this board: attach to it with --resume, or end it and "
                    "remove everything with --clean"
                )

    async def _prepare(self, agent: Agent, board: Board, runtime: Runtime, model: str, size: int) -> bool:
        """See what is there already, and whether the rest has room; returns whether the runtime is complete."""
        there = await agent.call("list")
        complete = runtime.folder in there["complete"]
        self._made = [name for name in (model, runtime.folder, runtime.wheels) if name not in there["complete"]]
        space = SHARED_RUNTIME_BYTES if runtime.packages == "system" else RUNTIME_BYTES
        needed = max(0, size - there["models"].get(model, 0)) + (0 if complete else space)
        check_room(board, agent.name, needed + _AGENT_BYTES)
        return complete

    async def _attach(self) -> dict[str, Any]:
        """Go on with the newest run on the board."""
        assert self._board is not None
        agent = await self._ready(self._board)
        found = await jobs.on_board(agent)
        if not found:
            raise RemoteError(f"{agent.name}: there is no run to attach to; start one without --resume")
        self._job = jobs.Job(found[-1]["job"])
        self._made = found[-1]["made"]
        self._say(f"attached to {self._job.folder}" + ("" if found[-1]["alive"] else ", which has ended"))
        return await self._finish(self._job)

    async def _finish(self, job: jobs.Job) -> dict[str, Any]:
        await self._persist(lambda agent: jobs.follow(agent, job, self._say))
        return await self._persist(lambda agent: jobs.fetch(agent, job))

    async def _persist(self, operation: Callable[[Agent], Awaitable[_Value]]) -> _Value:
        """Carry out an operation that can be repeated, connecting again whenever the connection is lost."""
        while True:
            try:
                assert self._agent is not None
                return await operation(self._agent)
            except LostConnectionError as error:
                await self._reconnect(error)

    async def _reconnect(self, lost: LostConnectionError) -> None:
        self._say(f"{str(lost).removeprefix(f'{self._target}: ')}; connecting again")
        deadline, pause, reason = time.monotonic() + self._request.reconnect_s, _FIRST_PAUSE, str(lost)
        while time.monotonic() < deadline and self._reconnects < _MOST_RECONNECTS:
            await self._stack.aclose()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            try:
                connection = await self._stack.enter_async_context(connected(self._target, self._policy))
                assert self._board is not None
                self._agent = Agent(connection, self._board.python, self._board.base, str(self._target))
                await self._agent.install()
            except RemoteError as error:
                reason = str(error)
                continue
            self._reconnects += 1
            self._say("connected again")
            return
        raise LostConnectionError(f"{reason} (tried for {self._request.reconnect_s:g} s)")

    def _what_remains(self) -> str:
        if self._job is not None:
            return "the run goes on there: the same command with --resume fetches its result"
        return "what was sent stays there: the same command goes on from it, --clean removes it"

    async def _leave(self, *, stop: bool) -> None:
        """Remove what this visit made, ending its run first. Ctrl-C does not cut it short."""
        task = asyncio.ensure_future(asyncio.wait_for(self._remove(stop), _LEAVE_SECONDS))
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                continue
            except (RemoteError, asyncio.TimeoutError, OSError) as error:
                self._say(f"the board could not be left clean ({str(error) or 'no answer'}): --clean does it later")

    async def _remove(self, stop: bool) -> None:
        if self._agent is None or not self._agent.python:
            return
        if stop and self._job is not None:
            await self._agent.call("stop", job=self._job.folder)
        paths = [] if self._request.keep else list(self._made)
        paths += [self._job.folder] if self._job is not None else []
        await self._agent.leave(paths)

    def _described(self, result: dict[str, Any], board: Board) -> dict[str, Any]:
        """The result with what only this side knows."""
        result["remote"] = {
            "target": str(self._target),
            "before": board.as_dict(),
            "uploaded": self.transfer.as_dict(),
            "reconnects": self._reconnects,
            "attached": self._request.resume,
            "client": importlib.metadata.version(DISTRIBUTION),
        }
        if self._request.profile is not None:
            named = {"id": self._request.profile.id, "name": self._request.profile.name, "exact": False}
            result["board"] = {**named, "reasons": ["--profile"], "identity": result["board"].get("identity", {})}
        if abs(board.clock_skew_s) > CLOCK_LIMIT_S:
            result["warnings"].append(_clock_warning(board))
            with contextlib.suppress(ValueError):
                there = datetime.datetime.fromisoformat(result["created"])
                here = there - datetime.timedelta(seconds=round(board.clock_skew_s))
                result["created"], result["remote"]["created_there"] = here.isoformat(), result["created"]
        self._say(f"done; {format_bytes(self.transfer.sent_bytes)} were sent")
        return result


def _clock_warning(board: Board) -> str:
    side = "ahead" if board.clock_skew_s > 0 else "behind"
    return (
        f"the board's clock is {abs(board.clock_skew_s):.0f} s {side}: set it (sudo timedatectl set-ntp true); the "
        "result has this machine's time, and no measured time depends on it"
    )
