"""The run on the board: detached from the connection, its log followed, its result fetched and checked."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import time
from dataclasses import dataclass, field

from edge_runtime.bench.result_file import MOST_RESULT_BYTES, parse_result
from edge_runtime.bench.results import Result
from edge_runtime.errors import FormatError, RemoteError
from edge_runtime.io.printable import printable
from edge_runtime.remote.agent import Agent
from edge_runtime.remote.answers import (
    Answer,
    Done,
    Ended,
    Log,
    Lost,
    ResultDigest,
    ResultPiece,
    ResultSize,
    nonsense,
)
from edge_runtime.remote.connection import LostConnectionError
from edge_runtime.remote.upload import Say

_LOG_KEPT = 2000
_FETCH_SECONDS = 60.0
_SLOWEST_LINK = 20_000.0
"""Bytes per second with which a result comes at least; all tries together have the time that this takes."""


class TooSlowError(RemoteError):
    """The time is over in which a result can be expected; the run is still on the board."""


@dataclass
class Job:
    """A run: its folder below the base, how much of its log was seen, its last words, its exit code once it ended."""

    folder: str
    offset: int = 0
    last: str = ""
    code: int | None = None
    data: bytearray = field(default_factory=bytearray)
    fetch_began: float | None = None
    size: int = 0


async def start(agent: Agent, job: Job, command: list[str], path: str, made: list[str]) -> None:
    """Start it, with `path` in front of $PATH; from now on it goes on without us.

    `made` is what is to be removed from the board once its result is fetched.
    """
    answer = await agent.call("start", Done, job=job.folder, command=command, path=path, made=made)
    if not answer.done:
        raise RemoteError(f"{agent.name}: the run could not be started on the board")


async def follow(agent: Agent, job: Job, say: Say) -> None:
    """Show the log until the job has ended; raises RemoteError if it was lost, LostConnectionError if we were."""
    async with contextlib.aclosing(agent.answers("follow", job=job.folder, offset=job.offset)) as answers:
        async for answer in answers:
            if "log" in answer:
                log = answer.read(Log)
                _show(job, log.log, say)
                job.offset = log.offset
            elif "ended" in answer:
                job.code = answer.read(Ended).ended
                return
            elif "lost" in answer:
                why = printable(answer.read(Lost).lost)
                raise RemoteError(f"{agent.name}: the run did not end by itself: {why}; start it again")
    raise LostConnectionError(f"{agent.name}: the connection ended")


def _show(job: Job, text: str, say: Say) -> None:
    for line in filter(None, map(str.rstrip, text.splitlines())):
        job.last = (job.last + "\n" + line)[-_LOG_KEPT:]
        say(line)


async def fetch(agent: Agent, job: Job) -> Result:
    """Return the result, checked; raises RemoteError with the run's last words if there is none.

    A second call goes on where a lost connection ended the first, within the time that both have together.
    """
    began = job.fetch_began = time.monotonic() if job.fetch_began is None else job.fetch_began
    left = began + _FETCH_SECONDS + job.size / _SLOWEST_LINK - time.monotonic()
    if left <= 0:
        raise TooSlowError(
            f"{agent.name}: the result did not arrive in time: {len(job.data)} of {job.size} bytes in "
            f"{time.monotonic() - began:.0f} s"
        )
    limit = _FETCH_SECONDS if job.size == 0 else left
    silence_s, at_most = min(left, _FETCH_SECONDS), MOST_RESULT_BYTES
    async for answer in agent.answers(
        "fetch", silence_s=silence_s, job=job.folder, offset=len(job.data), at_most=at_most
    ):
        if "missing" in answer:
            words = " ".join(job.last.split("\n")[-4:]).removeprefix("lpc-bench: ").strip()
            raise RemoteError(f"{agent.name}: the run failed with exit code {job.code}: {words or 'it said nothing'}")
        if "size" in answer:
            job.size = _size(answer)
            limit = _FETCH_SECONDS + job.size / _SLOWEST_LINK
        elif "data" in answer:
            job.data += _bytes(answer)
        elif "sha256" in answer:
            return _checked(agent, job, answer.read(ResultDigest).sha256)
        if len(job.data) > job.size:
            raise nonsense(agent.name, len(job.data), f"a result of {job.size} bytes")
        if time.monotonic() - began > limit:
            raise LostConnectionError(f"{agent.name}: the result comes too slowly")
    raise LostConnectionError(f"{agent.name}: the result did not arrive whole")


def _size(answer: Answer) -> int:
    size = answer.read(ResultSize).size
    if not 0 <= size <= MOST_RESULT_BYTES:
        raise nonsense(answer.name, size, f"a result of at most {MOST_RESULT_BYTES} bytes")
    return size


def _bytes(answer: Answer) -> bytes:
    try:
        return base64.b64decode(answer.read(ResultPiece).data, validate=True)
    except ValueError as error:
        raise nonsense(answer.name, answer.values, str(error)) from None


def _checked(agent: Agent, job: Job, digest: str) -> Result:
    """The result: whole, of the schema, with nothing in its texts that steers a terminal."""
    data, job.data = bytes(job.data), bytearray()
    if hashlib.sha256(data).hexdigest() != digest:
        raise LostConnectionError(f"{agent.name}: the result was damaged on its way")
    try:
        return parse_result(data, f"{agent.name}: result")
    except FormatError as error:
        raise RemoteError(str(error)) from None
