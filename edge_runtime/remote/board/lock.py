"""One run a board at a time: who has it, since when, and when that is over.

A record lies in the board's own folder for temporary files, one for each account, so that a home on several boards
does not matter and everybody sees it. It holds while its run lives, or while its client is heard from: times are those
of the machine's uptime, which no clock moves. Only one process at a time looks and writes: it has bound a name that
the kernel forgets with the process.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypedDict

from edge_runtime.remote.board.common import (
    POLL_SECONDS,
    Record,
    boot_id,
    living,
    number,
    open_regular,
    read,
    say,
    texts,
    this_process,
    write,
)
from edge_runtime.remote.board.place import board_id, old_jobs


class Owner(TypedDict):
    """Who has the board, for people; as a client names itself; and for how many seconds."""

    who: str
    client: Record
    token: str
    age_s: float | None


_MUTEX_SECONDS = 10.0
_GRACE_SECONDS, _END_SECONDS = 2.0, 4.0
_RECORD_BYTES = 65536
_OLDEST = 1e9
_CLIENT_TEXTS = ("who", "user", "host", "start", "boot")
CONNECTED_SECONDS = 20.0
"""A client that is heard from so often is connected; its operations answer every few seconds."""


def uptime() -> float:
    """Seconds since the machine started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    deadline = time.monotonic() + _MUTEX_SECONDS
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as name:
        while True:
            try:
                name.bind(f"\0lpc-bench-{board_id()}")
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS / 10)
        yield


class Lock:
    """The board's lock as one client sees it; `base` holds the record where there is no folder for temporary files."""

    def __init__(self, base: Path, token: str) -> None:
        self._base = base
        self._token = token
        shared = Path(os.environ.get("TMPDIR") or "/tmp")
        self._folder = shared if os.access(shared, os.W_OK) else base.parent
        self.file = self._folder / f"lpc-bench-{board_id()}-{os.getuid()}.lock"

    def take(self, client: Record, lease_s: float, resume: bool, replaces: str) -> list[str] | None:
        """Take it, and return what a dead owner left in this base; None, having said who has it, if somebody has.

        `replaces`: a token whose client is known to be dead. `resume`: a run whose client is gone may go on.
        """
        with _alone():
            for record in self._others():
                holds = _holds(record, replaces, resume)
                if holds:
                    say(error="the board is taken", kind="busy", holder={**_described(record), "holds": holds})
                    return None
            mine = self._mine() or {}
            if mine and not resume:
                say(took_over=_described(mine))
            inherited = texts(mine.get("made")) if mine.get("base") == str(self._base) else []
            self._end_operation(mine)
            record = {"token": self._token, "client": client, "since": uptime(), "lease_s": lease_s, "made": inherited}
            self._write({**record, "base": str(self._base), "job": mine.get("job") if resume else None})
        return inherited

    def hold(self, **changes: object) -> None:
        """Say that the client is still there; ValueError if the lock is somebody else's by now."""
        with _alone():
            record = self._owned()
            self._write({**record, **changes})

    def begin_operation(self) -> None:
        """Be the one operation of the client: an older one, of a connection that is lost, is ended."""
        with _alone():
            record = self._owned()
            self._end_operation(record)
            self._write({**record, "operation": this_process()})

    def release(self) -> None:
        """Give it back."""
        with _alone():
            if (self._mine() or {}).get("token") == self._token:
                self.file.unlink(missing_ok=True)

    def is_ours(self) -> bool:
        """Whether the client still has it."""
        return (self._mine() or {}).get("token") == self._token

    def break_open(self) -> Owner | None:
        """Remove this account's record whoever has it; returns who had it, if it still held."""
        with _alone():
            record = self._mine()
            if record is None:
                return None
            held = _holds(record, "", False)
            self._end_operation(record)
            self.file.unlink(missing_ok=True)
            return _described(record) if held else None

    def _owned(self) -> Record:
        record = self._mine()
        if record is None:
            raise ValueError("the lock on the board is gone: somebody ended this run there with --clean")
        if record.get("token") != self._token:
            who = _described(record)
            raise ValueError(f"the board was taken over by {who['who']} while nothing was heard from here")
        return record

    def _write(self, record: Mapping[str, object]) -> None:
        write(self.file, {**record, "beat": uptime(), "boot": boot_id()})

    def _mine(self) -> Record | None:
        return read(self.file)

    def _others(self) -> Iterator[Record]:
        """Records of all accounts, this one's and what version 0.1.0 runs included."""
        for path in self._folder.glob(f"lpc-bench-{board_id()}-*.lock"):
            record = _checked(path)
            if record is not None and record.get("token") != self._token:
                yield record
        for job in (*old_jobs(self._base.parent), *old_jobs(self._base.parent.parent)):
            yield {"job": read(job / "started"), "client": {"who": "lpc-bench 0.1.0"}}

    def _end_operation(self, record: Record) -> None:
        """End an operation whose client is gone; it has a moment to store what it has received."""
        process = record.get("operation")
        pid = process.get("pid") if isinstance(process, dict) else None
        began = time.monotonic()
        while isinstance(pid, int) and living(process) and pid != os.getpid():
            waited = time.monotonic() - began
            if waited > _GRACE_SECONDS:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGTERM if waited < _END_SECONDS else signal.SIGKILL)
            time.sleep(POLL_SECONDS)


def _checked(path: Path) -> Record | None:
    """A record that is what its name says: of the account in it. Others can put anything into that folder."""
    with contextlib.suppress(OSError, ValueError, RecursionError), open(open_regular(path), "rb") as file:
        if os.fstat(file.fileno()).st_uid == int(path.stem.rpartition("-")[2]):
            record = json.loads(file.read(_RECORD_BYTES))
            if isinstance(record, dict):
                return record
    return None


def _holds(record: Record, replaces: str, resume: bool) -> str:
    """What keeps the lock held: its `run`, or its `client`; empty if nothing does."""
    gone = bool(replaces) and record.get("token") == replaces
    if living(record.get("job")) and not (resume and (gone or _silence(record) > CONNECTED_SECONDS)):
        return "run"
    limit = CONNECTED_SECONDS if resume else number(record.get("lease_s")) or 0.0
    return "" if gone or _silence(record) > limit else "client"


def _silence(record: Record) -> float:
    """Seconds since the client was heard from; endless if it was before this start of the machine."""
    beat = number(record.get("beat"))
    return uptime() - beat if beat is not None and record.get("boot") == boot_id() else float("inf")


def _described(record: Record) -> Owner:
    """What the client needs to know of an owner: nothing but texts and numbers, whoever wrote the record."""
    client, since = _client(record), number(record.get("since"))
    age = uptime() - since if since is not None and record.get("boot") == boot_id() else None
    if age is not None and not abs(age) < _OLDEST:
        age = None
    who, token = str(client.get("who", "somebody")), str(record.get("token", ""))[:200]
    return {"who": who, "client": client, "token": token, "age_s": age}


def _client(record: Record) -> Record:
    """How the owner names itself, as far as that makes sense."""
    client = record.get("client")
    known = client if isinstance(client, dict) else {}
    found: Record = {name: known[name][:200] for name in _CLIENT_TEXTS if isinstance(known.get(name), str)}
    return found | ({"pid": known["pid"]} if number(known.get("pid")) and isinstance(known["pid"], int) else {})
