"""One operation of the client: what it may ask for, under the board's lock, and how errors become answers."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TypedDict

from edge_runtime.remote.board import files, jobs, place, runtime
from edge_runtime.remote.board.common import Record, begin_answers, inside, on_answer, remove, say
from edge_runtime.remote.board.lock import Lock

_FULL = (28, 122)  # ENOSPC, EDQUOT
_BEAT_SECONDS = 5.0


class Operations:
    """What the client asks for; each method's arguments are those that it sends, its answers are lines."""

    def __init__(self, root: str, is_default: bool, lock: str) -> None:
        self.base = place.base_of(root)
        self._is_default = is_default
        self._lock = Lock(self.base, lock)

    def begin(self, client: Record, lease_s: float, resume: bool, replaces: str) -> None:
        """Take the board, and tell what is there."""
        inherited = self._lock.take(client, lease_s, resume, replaces)
        if inherited is None:
            return
        try:
            place.make(self.base, self._is_default)
        except BaseException:
            self._lock.release()
            raise
        models, complete = files.stored(self.base)
        here = jobs.listed(self.base)
        say(base=str(self.base), inherited=inherited, jobs=here, models=models, complete=complete)

    def again(self) -> None:
        """The client is back after its connection was lost."""
        self._held()
        say(done=True)

    def making(self, paths: list[str]) -> None:
        """Write down what the client is about to make, for whoever has to remove it if the client dies."""
        self._held()
        self._lock.hold(made=paths)
        say(done=True)

    def hash(self, folder: str, names: list[str], chunk: int) -> None:
        """See files.hash_files."""
        self._held()
        files.hash_files(self.base, folder, names, chunk)

    def receive(self, folder: str, sizes: dict[str, int]) -> None:
        """See files.receive."""
        self._held()
        files.receive(self.base, folder, sizes)

    def install(self, folder: str, wheel: str, carried: str | None, shared: bool) -> None:
        """See runtime.install."""
        self._held()
        runtime.install(self.base, folder, wheel, carried, shared)

    def start(self, job: str, command: list[str], path: str, made: list[str]) -> None:
        """See jobs.start."""
        self._held()
        self._lock.hold(job=jobs.start(self.base, job, command, path, made))
        say(done=True)

    def follow(self, job: str, offset: int) -> None:
        """See jobs.follow."""
        self._held()
        jobs.follow(self.base, job, offset)

    def fetch(self, job: str, offset: int, at_most: int) -> None:
        """See jobs.fetch."""
        self._held()
        jobs.fetch(self.base, job, offset, at_most)

    def leave(self, paths: list[str], job: str | None, stop: bool) -> None:
        """Remove what the client made, its run first if asked; nothing if the board is somebody else's by now."""
        if not self._lock.is_ours():
            say(left=[], taken=True)
            return
        self._held()
        if job is not None and stop:
            jobs.stop(inside(self.base, job))
        for name in [*paths, *([job] if job is not None else [])]:
            remove(inside(self.base, name))
        place.drop(self.base)
        say(left=[name for name in paths if inside(self.base, name).exists()], taken=False)
        self._lock.release()

    def clean(self) -> None:
        """End what runs for this account and remove everything of ours, of older versions too."""
        holder = self._lock.break_open()
        old = self.base.parent if self._is_default else self.base.parent.parent
        ended = [jobs.stop(job) for job in (*jobs.jobs(self.base), *place.old_jobs(old))]
        place.clean(self.base)
        place.clean_old(old, self._is_default)
        say(ended=sum(ended), holder=holder, left=place.left(self.base))

    def _held(self) -> None:
        """Be the client's one operation, and tell the lock with every answer that the client is there."""
        self._lock.begin_operation()
        said = time.monotonic()

        def beat() -> None:
            nonlocal said
            if time.monotonic() - said > _BEAT_SECONDS:
                said = time.monotonic()
                self._lock.hold()

        on_answer(beat)


class Question(TypedDict):
    """What the client asks: an operation of Operations, where, and as whom; `token` marks the answers."""

    token: list[str]
    root: str
    is_default: bool
    lock: str
    operation: str
    arguments: dict[str, object]


def main(request: Question) -> None:
    """Carry out one operation; errors are an answer, and `end` is the last one whatever happened."""
    begin_answers("".join(request["token"]))
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))
    os.umask(0o077)
    try:
        operations = Operations(request["root"], request["is_default"], request["lock"])
        getattr(operations, request["operation"])(**request["arguments"])
        say(end=True)
    except BrokenPipeError:
        os._exit(1)
    except OSError as error:
        kind = "full" if error.errno in _FULL else "system"
        name = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else request["root"]
        say(error=f"{name}: {error.strerror or error}", kind=kind)
    except Exception as error:  # the board's last fence: the client shows it in one line
        say(error=str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}", kind="failed")
