"""Having a board: its lock is taken, kept over lost connections, and given back by whoever cleans up.

Boards of one command that turn out to be the same machine wait for each other; another operator's are refused.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import secrets
import socket
from typing import Any, ClassVar

from edge_runtime.errors import RemoteError
from edge_runtime.io.printable import printable
from edge_runtime.io.units import format_age
from edge_runtime.remote.agent import Agent, BusyError
from edge_runtime.remote.board.common import living, number, this_process
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

    async def begin(self, agent: Agent, say: Say, resume: bool) -> dict[str, Any]:
        """Take the board and return what is there; raises RemoteError that says who has it."""
        self._ours[self.token] = asyncio.Event()
        replaces = ""
        for _ in range(_MOST_WAITS):
            try:
                return await self._take(agent, say, resume, replaces)
            except BusyError as error:
                holder = str(error.holder.get("token"))
                if holder in self._ours:
                    say("waits: another name in this command is the same board")
                    await self._ours[holder].wait()
                elif holder != replaces and _is_dead(error.holder.get("client")):
                    replaces = holder
                else:
                    raise RemoteError(f"{agent.name}: {_refusal(error.holder)}") from None
        raise RemoteError(f"{agent.name}: the board stays taken")

    async def _take(self, agent: Agent, say: Say, resume: bool, replaces: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        async for answer in agent.answers(
            "begin", client=client(), lease_s=self._lease_s, resume=resume, replaces=replaces
        ):
            if "took_over" in answer:
                say(f"took the board over from {who(answer['took_over'])}, of whom nothing is heard any more")
            found |= answer
        agent.base = agent.field(found, "base", str)
        return found

    def end(self) -> None:
        """Let others of this process go on."""
        event = self._ours.pop(self.token, None)
        if event is not None:
            event.set()


def client() -> dict[str, Any]:
    """Who asks: `who` for people; user, host and process, by which this machine finds out whether it still runs."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        user = str(os.getuid())
    host = socket.gethostname()
    return {"who": f"{user}@{host}, process {os.getpid()}", "user": user, "host": host, **this_process()}


def _is_dead(other: Any) -> bool:
    """Whether a client was of this machine and user, and is no more. Within this process `_ours` knows the living."""
    me = client()
    if not isinstance(other, dict) or any(other.get(key) != me[key] or not me[key] for key in ("user", "host", "boot")):
        return False
    return (other.get("pid"), other.get("start")) == (me["pid"], me["start"]) or not living(other)


def _refusal(holder: dict[str, Any]) -> str:
    goes_on = "its run goes on there: attach to it with --resume, or end it with --clean"
    waits = "try again later, or end its work there and remove everything with --clean"
    return f"{who(holder)} is at work on this board; {goes_on if holder.get('holds') == 'run' else waits}"


def who(holder: Any) -> str:
    """An owner and for how long."""
    values = holder if isinstance(holder, dict) else {}
    name, age = printable(str(values.get("who", "somebody"))), number(values.get("age_s"))
    return name if age is None or not 0 <= age < _OLDEST else f"{name} (since {format_age(age)})"
