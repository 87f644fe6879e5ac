"""A run that goes on whatever happens to the connection; its log and its result lie in its folder."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from edge_runtime.remote.board.common import (
    BEAT_SECONDS,
    POLL_SECONDS,
    Process,
    Record,
    boot_id,
    inside,
    living,
    open_regular,
    read,
    remove,
    say,
    start_time,
    texts,
    write,
)


class Listed(TypedDict):
    """A run that left something here: its folder, whether it still runs, what is to be removed after it."""

    job: str
    alive: bool
    made: list[str]


END_SECONDS = 5.0
_PIECE = 2048


def start(base: Path, job: str, command: list[str], path: str, made: list[str]) -> Process:
    """Start a command and return the record of its supervisor; ValueError if it does not start.

    `path` goes in front of $PATH; `made` is what whoever fetches the result removes from here afterwards.
    """
    place = inside(base, job)
    remove(place)
    (place / "tmp").mkdir(mode=0o700, parents=True)
    (place / "log").touch(mode=0o600)
    write(place / "made", {"paths": made})
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            supervise(place, command, path)
        os._exit(0)
    os.wait()
    deadline = time.monotonic() + END_SECONDS
    while (pid := _pid(place)) is None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS / 10)
    if pid is None:
        raise ValueError(f"{job}: the run could not be started on the board")
    # Read from here, because an emulator may show a process another start than it shows others.
    started: Process = {"pid": pid, "start": start_time(pid), "boot": boot_id()}
    write(place / "started", started)
    return started


def _pid(place: Path) -> int | None:
    """The number of a job's supervisor; None while it has not begun."""
    pid = (read(place / "started") or {}).get("pid")
    return pid if isinstance(pid, int) else None


def supervise(place: Path, command: list[str], path: str) -> None:
    """The detached process: runs the command and writes down how it ended; it never returns."""
    null = os.open(os.devnull, os.O_RDWR)
    log = os.open(place / "log", os.O_WRONLY | os.O_APPEND)
    for source, target in ((null, 0), (null, 1), (log, 2)):
        os.dup2(source, target)
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.chdir(place)
    search = ":".join([path, os.environ.get("PATH", os.defpath), "/usr/local/sbin:/usr/sbin:/sbin"])
    try:
        write(place / "started", {"pid": os.getpid(), "start": None, "boot": boot_id()})
        # What libraries leave in folders for caches and temporary files (onnxruntime: .ses) goes with the job.
        folders = {"XDG_CACHE_HOME": str(place / "cache"), "TMPDIR": str(place / "tmp")}
        process = subprocess.Popen(
            command, env={**os.environ, **folders, "PATH": search}, restore_signals=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        code = process.wait()
    except OSError as error:
        os.write(2, f"{command[0]}: cannot be started ({error})\n".encode("utf-8", "replace"))
        code = 127
    with contextlib.suppress(OSError):  # a full disk: whoever follows sees that this process has ended
        write(place / "ended", {"code": code})
    os._exit(0)


def jobs(base: Path) -> Iterator[Path]:
    """Folders of the jobs that left something here, the newest last, one that lives behind all others."""
    found = [log.parent for log in base.glob("jobs/*/log") if not log.parent.is_symlink()]
    yield from sorted(found, key=lambda place: (alive(place), place.stat().st_mtime))


def alive(place: Path) -> bool:
    """Whether the job's supervisor is still there."""
    return living(read(place / "started"))


def listed(base: Path) -> list[Listed]:
    """Which jobs are here."""
    return [
        {
            "job": f"jobs/{place.name}",
            "alive": alive(place),
            "made": texts((read(place / "made") or {}).get("paths")),
        }
        for place in jobs(base)
    ]


def follow(base: Path, job: str, offset: int) -> None:
    """Pass on the job's log from a byte on until the job has ended; `ended` or `lost` is the last answer."""
    place = inside(base, job)
    if not place.is_dir():
        say(lost="it is not on the board any more")
        return
    beat = time.monotonic()
    with open(open_regular(place / "log"), "rb") as log:
        log.seek(offset)
        while True:
            ended, living_now = read(place / "ended"), alive(place)
            while text := log.read(_PIECE):
                beat = time.monotonic()
                say(log=text.decode("utf-8", "replace"), offset=log.tell())
            if time.monotonic() - beat > BEAT_SECONDS:
                beat = time.monotonic()
                say(log="", offset=log.tell())
            if ended is not None:
                say(ended=ended.get("code"))
                return
            if not living_now and read(place / "ended") is None:
                say(lost=_why_lost(read(place / "started") or {}))
                return
            time.sleep(POLL_SECONDS)


def _why_lost(started: Record) -> str:
    rebooted = started.get("boot") not in (None, boot_id())
    return "the board was restarted while it ran" if rebooted else "its process was killed on the board"


def fetch(base: Path, job: str, offset: int, at_most: int) -> None:
    """Send the result: its size, then its bytes from `offset` on, then the hash of all of it."""
    file = inside(base, f"{job}/result.json")
    try:
        descriptor = open_regular(file)
    except FileNotFoundError:
        say(missing=True)
        return
    with open(descriptor, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > at_most:
            raise ValueError(f"{file}: has {size} bytes, expected at most {at_most}")
        say(size=size)
        total, sent = hashlib.sha256(), 0
        while sent < size and (piece := stream.read(min(_PIECE, size - sent))):
            total.update(piece)
            sent += len(piece)
            if sent > offset:
                say(data=base64.b64encode(piece[max(0, len(piece) - (sent - offset)) :]).decode("ascii"))
    say(sha256=total.hexdigest())


def stop(place: Path) -> bool:
    """End a job and everything that it started; returns whether it was running."""
    pid = _pid(place)
    if pid is None or not alive(place):
        return False
    with contextlib.suppress(ProcessLookupError):
        group = os.getpgid(pid)
        deadline = time.monotonic() + END_SECONDS
        os.killpg(group, signal.SIGINT)  # the supervisor ignores it, the benchmark ends its own processes
        while alive(place) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        os.killpg(group, signal.SIGKILL)
    return True
