"""Runs many cases on a few processes, counts outcomes, and keeps the smallest input of every new failure."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from mutate import verdict
from mutate.cases import Case, Kind, planned, smallest
from mutate.child import ADDRESS_BYTES, WALL_SECONDS
from mutate.verdict import FAILED, Verdict

_MOST_KEPT = 60
_SAY_SECONDS = 30.0
_MEMORY_FOLDER = Path("/dev/shm")


class Tally:
    """Counts of outcomes, and the failures."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.failures: list[tuple[str, str]] = []

    def add(self, name: str, outcome: str, reason: str) -> None:
        """Count a case."""
        self.outcomes[outcome] += 1
        if outcome == FAILED:
            self.failures.append((name, reason))

    def line(self) -> str:
        """The counts in words."""
        return ", ".join(f"{name} {self.outcomes[name]}" for name in verdict.OUTCOMES if self.outcomes[name])


def try_all(kind: Kind, seed: int, numbers: range, jobs: int, keep: Path, seconds: float) -> Tally:
    """Try the cases; each job is a process of its own that forks once a case. Stops early after `seconds`."""
    tally, deadline = Tally(), time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="mutate-", dir=_work_folder(), ignore_cleanup_errors=True) as name:
        place = Path(name)
        kind.prepare(place / "bases")
        finished = False
        workers = [_start(kind, seed, numbers[job::jobs], place / f"job{job}", keep, deadline) for job in range(jobs)]
        try:
            said = time.monotonic()
            for case, outcome, reason in _results([pipe for _, pipe in workers]):
                tally.add(case, outcome, reason)
                if outcome == FAILED:
                    print(f"{case}: {reason}", file=sys.stderr, flush=True)
                if time.monotonic() - said > _SAY_SECONDS:
                    said = time.monotonic()
                    print(f"{kind.name}: {sum(tally.outcomes.values())} of {len(numbers)}: {tally.line()}", flush=True)
            finished = True
        finally:
            broken = [pid for pid, _ in workers if _end(pid, wait=finished)]
    if broken:
        raise RuntimeError(f"{len(broken)} of {jobs} jobs ended early: see above")
    return tally


def _work_folder() -> Path | None:
    return _MEMORY_FOLDER if os.access(_MEMORY_FOLDER, os.W_OK) else None


def _start(kind: Kind, seed: int, numbers: range, place: Path, keep: Path, deadline: float) -> tuple[int, int]:
    """Fork a job; returns its process and the pipe on which its results come, a JSON line each."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    os.close(reader)
    status = 1
    try:
        place.mkdir(parents=True)
        with open(writer, "w", encoding="utf-8") as results:
            _work(kind, seed, numbers, place, keep, deadline, results)
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def _work(kind, seed, numbers, place, keep, deadline, results) -> None:  # type: ignore[no-untyped-def]
    seen: set[str] = set()
    for number in numbers:
        if time.monotonic() > deadline:
            return
        case = planned(kind, seed, number)
        found = attempted(kind, case, place)
        if found.outcome == FAILED and found.signature not in seen and len(seen) < _MOST_KEPT:
            seen.add(found.signature)
            kept(kind, case, found, place, keep)
        results.write(json.dumps([case.name, found.outcome, found.reason]) + "\n")
        results.flush()


def attempted(kind: Kind, case: Case, place: Path) -> Verdict:
    """Try a case in a fresh folder that is gone afterwards."""
    folder = place / "case"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        return kind.attempt(case, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def kept(kind: Kind, case: Case, found: Verdict, place: Path, keep: Path) -> Case:
    """Find the smallest case that fails in the same way, and keep its input with a script that uses it."""

    def fails(other: Case) -> bool:
        return attempted(kind, other, place).signature == found.signature

    small = smallest(kind, case, fails)
    target = keep / case.name
    shutil.rmtree(target, ignore_errors=True)
    folder = place / "case"
    folder.mkdir()
    kind.attempt(small, folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", "--sparse=always", folder, target], check=False, stderr=subprocess.DEVNULL)
    shutil.rmtree(folder, ignore_errors=True)
    target.mkdir(exist_ok=True)
    (target / "case.json").write_text(json.dumps({"reason": found.reason, **asdict(small)}, indent=1), encoding="utf-8")
    script = target / "run.sh"
    script.write_text(
        f"#!/bin/sh\n# {ascii(found.reason)[1:-1][:400]}\n"
        f'cd "$(dirname "$0")" || exit\nulimit -v {ADDRESS_BYTES >> 10}\n'
        f"PATH={Path(sys.executable).parent}:$PATH exec timeout {WALL_SECONDS:.0f} {kind.script(small)}\n",
        encoding="utf-8",
    )
    script.chmod(0o755)
    return small


def _results(pipes: list[int]) -> Iterator[tuple[str, str, str]]:
    """Yield what the jobs report until all of them have ended."""
    chooser = selectors.DefaultSelector()
    rest = dict.fromkeys(pipes, b"")
    for pipe in pipes:
        chooser.register(pipe, selectors.EVENT_READ)
    while chooser.get_map():
        for key, _ in chooser.select():
            data = os.read(key.fd, 1 << 16)
            if not data:
                chooser.unregister(key.fd)
                os.close(key.fd)
                continue
            *lines, rest[key.fd] = (rest[key.fd] + data).split(b"\n")
            for line in lines:
                name, outcome, reason = json.loads(line)
                yield name, outcome, reason


def _end(pid: int, wait: bool) -> int:
    """Return the exit code of a job that has ended, or that is ended now unless `wait`."""
    if not wait:
        os.kill(pid, signal.SIGTERM)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)
