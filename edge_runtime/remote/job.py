"""The run on the board: detached from the connection, its log followed, its result fetched and checked."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from edge_runtime.bench.results import validate
from edge_runtime.errors import RemoteError
from edge_runtime.remote.agent import SILENCE_SECONDS, Agent, lost
from edge_runtime.remote.connection import LostConnectionError
from edge_runtime.remote.upload import Say

MOST_RESULT_BYTES = 256 << 20
_LOG_KEPT = 2000


@dataclass
class Job:
    """A run: its folder below the base, how much of its log was seen, its last words, its exit code once it ended."""

    folder: str
    offset: int = 0
    last: str = ""
    code: int | None = None


async def start(agent: Agent, job: Job, command: list[str], path: str, made: list[str]) -> None:
    """Start it, with `path` in front of $PATH; from now on it goes on without us.

    `made` is what is to be removed from the board once its result is fetched. Raises RemoteError if another one runs.
    """
    answer = await agent.call("start", job=job.folder, command=command, path=path, made=made)
    if not answer.get("done"):
        raise RemoteError(f"{agent.name}: the run could not be started on the board")


async def follow(agent: Agent, job: Job, say: Say) -> None:
    """Show the log until the job has ended; raises RemoteError if it was lost, LostConnectionError if we were."""
    async for answer in agent.answers("follow", job=job.folder, offset=job.offset):
        if "log" in answer:
            job.offset = answer["offset"]
            for line in filter(None, map(str.rstrip, answer["log"].splitlines())):
                job.last = (job.last + "\n" + line)[-_LOG_KEPT:]
                say(line)
        elif "ended" in answer:
            job.code = answer["ended"]
            return
        elif "lost" in answer:
            raise RemoteError(f"{agent.name}: the run did not end by itself: {answer['lost']}; start it again")
    raise LostConnectionError(f"{agent.name}: the connection ended")


async def fetch(agent: Agent, job: Job) -> dict[str, Any]:
    """Return the result, checked; raises RemoteError with the run's last words if there is none."""
    async with agent.process("fetch", job=job.folder) as process:
        with lost(agent.name):
            try:
                head = json.loads(await asyncio.wait_for(process.stdout.readline(), SILENCE_SECONDS) or b"{}")
                size = int(head.get("size", -1))
                if not 0 <= size <= MOST_RESULT_BYTES:
                    raise LostConnectionError(f"{agent.name}: the result did not arrive")
                data = await asyncio.wait_for(process.stdout.readexactly(size), SILENCE_SECONDS) if size else b""
            except (asyncio.TimeoutError, asyncio.IncompleteReadError):
                raise LostConnectionError(f"{agent.name}: the result did not arrive whole") from None
    if not data:
        words = " ".join(job.last.split("\n")[-4:]).removeprefix("lpc-bench: ").strip()
        raise RemoteError(f"{agent.name}: the run failed with exit code {job.code}: {words or 'it said nothing'}")
    if hashlib.sha256(data).hexdigest() != head["sha256"]:
        raise LostConnectionError(f"{agent.name}: the result was damaged on its way")
    result: dict[str, Any] = json.loads(data)
    validate(result, f"{agent.name}: result")
    return result


async def on_board(agent: Agent) -> list[dict[str, Any]]:
    """Return the jobs there, oldest first: `job`, `alive`, `ended`, `made`."""
    return [answer async for answer in agent.answers("jobs") if "job" in answer]
