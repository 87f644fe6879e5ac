"""One board from the first connection to the last: identify, deploy, upload, run, fetch, leave it as it was."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import importlib.metadata
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from boards import Profile
from edge_runtime.bench.records import BoardRecord, RemoteRecord
from edge_runtime.bench.results import Result
from edge_runtime.errors import RemoteError
from edge_runtime.io.printable import printable
from edge_runtime.io.typed_json import Json
from edge_runtime.io.units import format_bytes
from edge_runtime.native import DISTRIBUTION
from edge_runtime.remote import job as jobs
from edge_runtime.remote.agent import Agent
from edge_runtime.remote.answers import Begun, Cleaned, Done, LeftBehind
from edge_runtime.remote.connection import LostConnectionError, Policy, connected
from edge_runtime.remote.hosts import Target
from edge_runtime.remote.identify import CLOCK_LIMIT_S, Board, identify
from edge_runtime.remote.requirements import (
    RUNTIME_BYTES,
    SHARED_RUNTIME_BYTES,
    check_machine,
    check_memory,
    check_room,
    check_root,
)
from edge_runtime.remote.runtime import Packages, Runtime, install, runtime_for
from edge_runtime.remote.tenure import Tenure, who
from edge_runtime.remote.upload import Say, Transfer, files_of, upload
from edge_runtime.remote.wheels import find_wheel

_LEAVE_SECONDS = 20.0
_CLEAN_SECONDS = 300.0
_MOST_NAMED = 10
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
_MOST_RECONNECTS = 50
_AGENT_BYTES = 1_000_000
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Request:
    """What to do on every board. `arguments` go to `lpc-bench run` there, `load` is what they say about memory."""

    model: Path = Path()
    arguments: tuple[str, ...] = ()
    load: Mapping[str, Json] = field(default_factory=dict)
    wheel: Path | None = None
    packages: Packages = "auto"
    python: str | None = None
    folder: str | None = None
    keep: bool = False
    resume: bool = False
    clean: bool = False
    profile: Profile | None = None
    reconnect_s: float = 120.0


class Visit:
    """One board's turn; `run` or `clean` once.

    `transfer` counts what crossed the wire; `remains` says what could not be removed from the board, if anything.
    """

    def __init__(self, target: Target, policy: Policy, request: Request, say: Say) -> None:
        self.transfer = Transfer()
        self.remains = ""
        self._target = target
        self._policy = policy
        self._request = request
        self._say = say
        self._stack = contextlib.AsyncExitStack()
        self._agent: Agent | None = None
        self._board: Board | None = None
        self._tenure = Tenure(request.reconnect_s)
        self._base = ""
        self._job: jobs.Job | None = None
        self._made: list[str] = []
        self._reconnects = 0
        self._give_up = 0.0

    async def run(self) -> Result:
        """Measure there and return the result, with what is known of the board; raises LpcError.

        The board is as it was afterwards, whatever happened, unless it cannot be reached or `keep` was asked for.
        """
        try:
            async with self._stack:
                board = await self._meet()
                try:
                    result = await (self._attach(board) if self._request.resume else self._measure(board))
                except (LostConnectionError, jobs.TooSlowError) as error:
                    raise RemoteError(f"{error}; {self._what_remains()}") from None
                except BaseException:
                    await self._leave(stop=True)
                    raise
                await self._leave(stop=False)
                return self._described(result, board)
        finally:
            self._tenure.end()

    async def clean(self) -> None:
        """End what runs there and remove everything of ours."""
        async with self._stack:
            board = await self._meet()
            agent = self._ready(board)
            done = await agent.call("clean", Cleaned, total_s=_CLEAN_SECONDS)
            if done.holder is not None:
                self._say(f"ended the work of {who(done.holder)}")
            left = list(map(printable, done.left))
            if left:
                raise RemoteError(f"{agent.name}: these are still there: {', '.join(left[:_MOST_NAMED])}")
            self._say(f"nothing of ours is left in {board.root}")

    async def _meet(self) -> Board:
        self._say("connecting")
        connection = await self._stack.enter_async_context(connected(self._target, self._policy))
        board = await identify(connection, str(self._target), self._request.folder, self._request.python)
        self._board = board
        self._agent = self._agent_of(connection, board)
        self._say(board.describe())
        if abs(board.clock_skew_s) > CLOCK_LIMIT_S:
            self._say(_clock_warning(board))
        return board

    def _agent_of(self, connection: Any, board: Board) -> Agent:
        is_default = self._request.folder is None
        agent = Agent(connection, board.python, board.root, is_default, self._tenure.token, str(self._target))
        agent.base = self._base
        return agent

    def _ready(self, board: Board) -> Agent:
        """The board's side; raises RemoteError where nothing of ours can run."""
        assert self._agent is not None
        check_machine(board, self._agent.name)
        check_root(board, self._agent.name)
        return self._agent

    async def _begin(self, board: Board) -> Begun:
        """Take the board and return what is there already."""
        agent = self._ready(board)
        check_room(board, agent.name, 0)
        there = await self._tenure.begin(agent, self._say, self._request.resume)
        self._base = agent.base
        return there

    async def _measure(self, board: Board) -> Result:
        request, name = self._request, str(self._target)
        machine = check_machine(board, name)
        check_root(board, name)
        runtime = runtime_for(find_wheel(machine, request.wheel), machine, board, request.packages)
        check_memory(board, name, request.model, request.load)
        files = files_of(request.model)
        model = "models/" + (re.sub(r"[^\w.-]", "_", request.model.resolve().name).lstrip(".") or "model")
        there = await self._begin(board)
        complete = await self._prepare(board, runtime, model, sum(path.stat().st_size for path in files), there)
        if not complete:
            self._say(f"installing {runtime.wheel.name}")
            await self._persist(lambda agent: install(agent, runtime, board, self._say, self.transfer))
        await self._persist(lambda agent: upload(agent, files, model, self._say, self.transfer))
        self._job = jobs.Job(f"jobs/{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}")
        environment = f"{self._base}/{runtime.folder}/bin"
        command = [f"{environment}/python", f"{environment}/lpc-bench", "run", f"{self._base}/{model}"]
        self._say("starting: lpc-bench run " + " ".join(request.arguments))
        assert self._agent is not None
        made = [] if request.keep else self._made
        await jobs.start(self._agent, self._job, [*command, *request.arguments, "-o", "result.json"], environment, made)
        return await self._finish(self._job)

    async def _prepare(self, board: Board, runtime: Runtime, model: str, size: int, there: Begun) -> bool:
        """See whether the rest has room, and write down what is made; returns whether the runtime is complete."""
        assert self._agent is not None
        missing = [name for name in (model, runtime.folder, runtime.wheels) if name not in there.complete]
        self._made = list(dict.fromkeys([*there.inherited, *missing]))
        complete = runtime.folder in there.complete
        space = SHARED_RUNTIME_BYTES if runtime.packages == "system" else RUNTIME_BYTES
        needed = max(0, size - there.models.get(model, 0)) + (0 if complete else space)
        check_room(board, self._agent.name, needed + _AGENT_BYTES)
        await self._agent.call("making", Done, paths=[] if self._request.keep else self._made)
        return complete

    async def _attach(self, board: Board) -> Result:
        """Go on with the newest run on the board."""
        there = await self._begin(board)
        assert self._agent is not None
        if not there.jobs:
            raise RemoteError(f"{self._agent.name}: there is no run to attach to; start one without --resume")
        newest = there.jobs[-1]
        self._job = jobs.Job(newest.job)
        self._made = list(newest.made)
        self._say(f"attached to {self._job.folder}" + ("" if newest.alive else ", which has ended"))
        return await self._finish(self._job)

    async def _finish(self, job: jobs.Job) -> Result:
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
        """Connect again within `reconnect_s`, which begin anew only if the last connection was of use."""
        self._say(f"{str(lost).removeprefix(f'{self._target}: ')}; connecting again")
        if self._agent is None or self._agent.heard or not self._give_up:
            self._give_up = time.monotonic() + self._request.reconnect_s
        pause, reason = _FIRST_PAUSE, str(lost)
        while time.monotonic() < self._give_up and self._reconnects < _MOST_RECONNECTS:
            await self._stack.aclose()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            try:
                connection = await self._stack.enter_async_context(connected(self._target, self._policy))
                assert self._board is not None
                self._agent = self._agent_of(connection, self._board)
                await self._agent.call("again", Done)
            except LostConnectionError as error:
                reason = str(error)
                continue
            self._agent.heard = 0
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
                self._leave_behind(f"could not be left clean ({str(error) or 'no answer'})")

    def _leave_behind(self, what: str) -> None:
        self.remains = f"{self._target}: the board {what}: --clean does it later"
        self._say(self.remains.removeprefix(f"{self._target}: "))

    async def _remove(self, stop: bool) -> None:
        if self._agent is None or not self._base:
            return
        paths = [] if self._request.keep else self._made
        job = self._job.folder if self._job is not None else None
        done = await self._agent.call("leave", LeftBehind, paths=paths, job=job, stop=stop)
        left = list(map(printable, done.left))
        if left:
            self._leave_behind(f"still has {', '.join(left[:_MOST_NAMED])} in {self._base}")
        elif done.taken:
            self._say("somebody else has the board by now: nothing was removed from it")

    def _described(self, result: Result, board: Board) -> Result:
        """The result with what only this side knows."""
        remote = RemoteRecord(
            target=str(self._target),
            before=board.before(),
            uploaded=self.transfer.uploaded(),
            reconnects=self._reconnects,
            attached=self._request.resume,
            client=importlib.metadata.version(DISTRIBUTION),
        )
        result = replace(result, remote=remote)
        profile = self._request.profile
        if profile is not None:
            named = BoardRecord(id=profile.id, name=profile.name, exact=False, reasons=("--profile",))
            result = replace(result, board=replace(named, identity=result.board.identity))
        if abs(board.clock_skew_s) > CLOCK_LIMIT_S:
            result = _with_our_time(result, remote, board)
        self._say(f"done; {format_bytes(self.transfer.sent_bytes)} were sent")
        return result


def _with_our_time(result: Result, remote: RemoteRecord, board: Board) -> Result:
    """The result with a time of this machine, if the board's can be read, and a warning."""
    result = replace(result, warnings=(*result.warnings, _clock_warning(board)))
    try:
        there = datetime.datetime.fromisoformat(result.created)
        here = there - datetime.timedelta(seconds=round(board.clock_skew_s))
    except (ValueError, OverflowError):
        return result
    return replace(result, created=here.isoformat(), remote=replace(remote, created_there=result.created))


def _clock_warning(board: Board) -> str:
    side = "ahead" if board.clock_skew_s > 0 else "behind"
    return (
        f"the board's clock is {abs(board.clock_skew_s):.0f} s {side}: set it (sudo timedatectl set-ntp true); the "
        "result has this machine's time, and no measured time depends on it"
    )
