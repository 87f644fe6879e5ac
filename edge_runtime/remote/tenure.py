"""Having a board: its lock is taken, kept over lost connections, and given back by whoever cleans up.

Boards of one command that turn out to be the same machine wait for each other; another operator's are refused.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import secrets
import socket
from typing import ClassVar

from edge_runtime.errors import RemoteError
from edge_runtime.io.printable import printable
from edge_runtime.io.typed_json import Json, write
from edge_runtime.io.units import format_age
from edge_runtime.remote.agent import Agent, BusyError
from edge_runtime.remote.answers import Answer, Begun, Client, Holder, TakenOver
from edge_runtime.remote.board.common import living, this_process
from edge_runtime.remote.upload import Say

_SPARE_SECONDS = 60.0
_MOST_WAITS = 1000
_OLDEST = 1e9


class Tenure:
    """One visit's lock; `token` names it on the board."""

    _ours: ClassVar[dict[str, asyncio.Event]] = {}
    """Tokens of visits that this process is at, and when they are over."""

    def __init__(self, reconnect_s: float) -> None:
        self.token = secrets.token_hex(8)
        self._lease_s = reconnect_s + _SPARE_SECONDS

    async def begin(self, agent: Agent, say: Say, resume: bool) -> Begun:
        """Take the board and return what is there; raises RemoteError that says who has it."""
        self._ours[self.token] = asyncio.Event()
        replaces = ""
        for _ in range(_MOST_WAITS):
            try:
                return await self._take(agent, say, resume, replaces)
            except BusyError as error:
                holder = str(error.holder.token)
                if holder in self._ours:
                    say("waits: another name in this command is the same board")
                    await self._ours[holder].wait()
                elif holder != replaces and _is_dead(error.holder.client):
                    replaces = holder
                else:
                    raise RemoteError(f"{agent.name}: {_refusal(error.holder)}") from None
        raise RemoteError(f"{agent.name}: the board stays taken")

    async def _take(self, agent: Agent, say: Say, resume: bool, replaces: str) -> Begun:
        found: dict[str, Json] = {}
        async for answer in agent.answers(
            "begin", client=write(client()), lease_s=self._lease_s, resume=resume, replaces=replaces
        ):
            if "took_over" in answer:
                other = answer.read(TakenOver).took_over
                say(f"took the board over from {who(other)}, of whom nothing is heard any more")
            found |= answer.values
        begun = Answer(agent.name, found).read(Begun)
        agent.base = begun.base
        return begun

    def end(self) -> None:
        """Let others of this process go on."""
        event = self._ours.pop(self.token, None)
        if event is not None:
            event.set()


def client() -> Client:
    """Return who asks."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        user = str(os.getuid())
    host = socket.gethostname()
    me = this_process()
    return Client(
        who=f"{user}@{host}, process {os.getpid()}", user=user, host=host, pid=me["pid"], start=me["start"],
        boot=me["boot"],
    )  # fmt: skip


def _is_dead(other: Client | None) -> bool:
    """Whether a client was of this machine and user, and is no more. Within this process `_ours` knows the living."""
    me = client()
    ours = (me.user, me.host, me.boot)
    if other is None or (other.user, other.host, other.boot) != ours or not all(ours):
        return False
    return (other.pid, other.start) == (me.pid, me.start) or not living(write(other))


def _refusal(holder: Holder) -> str:
    goes_on = "its run goes on there: attach to it with --resume, or end it with --clean"
    waits = "try again later, or end its work there and remove everything with --clean"
    return f"{who(holder)} is at work on this board; {goes_on if holder.holds == 'run' else waits}"


def who(holder: Holder) -> str:
    """An owner and for how long."""
    name, age = printable(holder.who), holder.age_s
    return name if age is None or not 0 <= age < _OLDEST else f"{name} (since {format_age(age)})"
