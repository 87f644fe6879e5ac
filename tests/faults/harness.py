"""Exports that are killed, or whose disk becomes full, at chosen moments; what must hold afterwards.

    python tests/faults/harness.py --kills 50 --full 20      takes some minutes; prints a table

After every fault: what lay beside OUT is as it was; with --force OUT holds the old export or the new one, whole; the
same command then ends with the files of an export that was never disturbed, takes over every weight that was noted, and
leaves nothing else behind.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# What a user may have beside OUT, of all names that the export itself uses or used.
NEIGHBOURS = (
    "out.partial-2", "out.replaced", "out.reference", "out.trial", "out.replaced-1", ".lpc-notes",
)  # fmt: skip
LOSSLESS, LOSSY = ("--codec", "lz4"), ("--codec", "ans", "--quantize", "int8", "--no-compensation", "--no-loss")
NEEDS_ROOM = ("write", "fsync", "fdatasync", "mkdir", "create", "link")
NOT_REACHED = "not reached"
DEMO = ROOT / "examples" / "demo_model"


def compiled(folder: Path) -> Path | None:
    """Compile the shim into `folder`; None without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    library = folder / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, HERE / "shim.c", "-ldl"], check=True)
    return library


class Driver:
    """A process that exports in children of its own."""

    def __init__(self, shim: Path, folder: Path) -> None:
        environment = os.environ | {
            "LD_PRELOAD": str(shim), "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, HERE / "driver.py", folder / "output.txt"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def run(self, arguments: list[str], **fault: Any) -> tuple[int, str]:
        """Export; return exit status (-9: killed) and output."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"arguments": arguments, **fault}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer["status"], answer["output"]

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@dataclass(frozen=True)
class Way:
    """A way to export that faults are tried on."""

    options: tuple[str, ...]
    force: bool
    without_exchange: bool = False

    @property
    def name(self) -> str:
        """For the table."""
        kind = "lossy" if self.options == LOSSY else "lossless"
        return f"{kind}{', --force' if self.force else ''}{', no exchange' if self.without_exchange else ''}"


WAYS = (
    Way(LOSSLESS, False), Way(LOSSLESS, True), Way(LOSSLESS, True, True),
    Way(LOSSY, False), Way(LOSSY, True), Way(LOSSY, True, True),
)  # fmt: skip


class Site:
    """A folder in which one way of exporting one model is disturbed again and again."""

    def __init__(self, driver: Driver, model: Path, folder: Path, way: Way) -> None:
        self._driver, self._folder, self._way = driver, folder, way
        self._out, self._old, text = folder / "place" / "out", folder / "old", folder / "text.txt"
        folder.mkdir()
        text.write_text((DEMO / "held_out.txt").read_text(encoding="utf-8")[:1500], encoding="utf-8")
        options = [*way.options, "--threads", "1", *(["--calibration", str(text)] if way.options == LOSSY else [])]
        self._arguments = [str(model), "-o", str(self._out), *options, "--json", *(["--force"] if way.force else [])]
        if way.force:
            self._ends([str(model), "-o", str(self._old), "--codec", "stored"])
        self._ends([str(model), "-o", str(folder / "new"), *options])
        self._whole = contents(folder / "new")
        self.calls = self._calls()

    def _calls(self) -> list[str]:
        """The names of the calls of an export that nobody disturbs, in order."""
        self._prepare()
        log = self._folder / "calls.txt"
        status, output = self._fault("count", 0, str(log))
        assert status == 0, output
        return log.read_text().split()

    def kill(self, at: int) -> str:
        """Kill an export at its call `at`, check everything, and return what was found ("" if the export ended)."""
        self._prepare()
        status, output = self._fault("kill", at)
        if status != -9:
            assert status == 0, f"status {status}: {output}"
            return ""
        return self._goes_on(f"killed before call {at}")

    def fill(self, at: int, again: int = 0) -> str:
        """Let the disk be full from call `at` on; `again`: also while going on, from that call of it on."""
        self._prepare()
        faults = [at, again] if again else [at]
        for moment in faults:
            status, output = self._fault("full", moment)
            if status == 0:
                return ""
            assert status == 1, f"status {status}: {output}"
            last = output.strip().splitlines()[-1]
            assert last.startswith("lpc-export: "), output
            assert "No space left on device" in last, output
            assert "Traceback" not in output, output
        return self._goes_on(f"disk full from call {faults}")

    def _fault(self, mode: str, at: int, log: str = "") -> tuple[int, str]:
        return self._driver.run(
            self._arguments, mode=mode, at=at, log=log, below=str(self._out.parent),
            without_exchange=self._way.without_exchange,
        )  # fmt: skip

    def _prepare(self) -> None:
        """OUT's place as it is before: neighbours of a user's, and an old export for --force."""
        shutil.rmtree(self._out.parent, ignore_errors=True)
        for name in NEIGHBOURS:
            (self._out.parent / name).mkdir(parents=True)
            (self._out.parent / name / "notes.txt").write_text("three days of work")
        if self._way.force:
            shutil.copytree(self._old, self._out)

    def _goes_on(self, when: str) -> str:
        """Check what a fault left, go on, and check the end."""
        self._check_neighbours(when)
        noted = len(noted_weights(self._out.parent))
        there = contents(self._out) if self._out.exists() else None
        old = contents(self._old) if self._way.force else None
        between = there is None and self._way.without_exchange
        assert there in (old, self._whole) or between, f"{when}: OUT is neither the old export nor the new one"
        status, output = self._driver.run(self._arguments)
        if self._way.force or there is None:
            settled = status == 1 and "exists already" in output and not self._way.force
            assert status == 0 or settled, f"{when}: {output}"
            if status == 0 and there != self._whole and not between:
                resumed = json.loads(output[output.index("{") :])["resumed"]
                assert resumed >= noted, f"{when}: {noted} weights were noted, {resumed} taken over"
        else:
            assert status == 1, f"{when}: {output}"
            assert "exists already" in output, f"{when}: {output}"
        assert contents(self._out) == self._whole, f"{when}: not the files of an undisturbed export"
        self._check_neighbours(when)
        left = {path.name for path in self._out.parent.iterdir()} - {"out", *NEIGHBOURS}
        assert not left, f"{when}: left behind: {left}"
        if there == self._whole:
            return "in its place"
        return "between two renames" if between else "resumed" if noted else "anew"

    def _check_neighbours(self, when: str) -> None:
        for name in NEIGHBOURS:
            kept = self._out.parent / name / "notes.txt"
            assert kept.read_text() == "three days of work", f"{when}: {kept}"

    def _ends(self, arguments: list[str]) -> None:
        status, output = self._driver.run(arguments)
        assert status == 0, output


def noted_weights(place: Path) -> list[str]:
    """The weights of the export itself, not of its reference, that were noted in a journal."""
    names = []
    for journal in place.glob("out.partial/journal.jsonl"):
        for line in journal.read_text(encoding="utf-8").splitlines(keepends=True)[1:]:
            if line.endswith("\n"):
                names.append(json.loads(line)["name"])
    return names


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def moments(calls: list[str], count: int, seed: int) -> list[int]:
    """`count` calls, from 1: those around every rename first, the others at random."""
    renames = [index + 1 for index, name in enumerate(calls) if name == "rename"]
    near = sorted({at for rename in renames for at in (rename, rename + 1) if at <= len(calls)})
    chosen = random.Random(seed)
    if len(near) >= count:
        return sorted(chosen.sample(near, count))
    rest = [at for at in range(1, len(calls) + 1) if at not in near]
    return sorted([*near, *chosen.sample(rest, min(count - len(near), len(rest)))])


def main() -> int:
    """Run the command: 1 for a fault after which something was lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=50, help="for each way of exporting")
    parser.add_argument("--full", type=int, default=20, help="for each way of exporting; every second one twice")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", type=Path, default=DEMO)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shim = compiled(Path(folder))
        if shim is None:
            sys.exit("needs a C compiler (cc)")
        driver = Driver(shim, Path(folder))
        lost = sum(tried(Site(driver, args.model, Path(folder) / str(n), way), way, args) for n, way in enumerate(WAYS))
        driver.close()
    return 1 if lost else 0


def tried(site: Site, way: Way, args: argparse.Namespace) -> int:
    """Try all faults on one way; print what was found, and return at how many something was lost."""
    found: dict[str, Counter[str]] = {"killed": Counter(), "disk full": Counter()}
    for at in moments(site.calls, args.kills, args.seed):
        _note(found["killed"], way, lambda at=at: site.kill(at))
    chosen = random.Random(args.seed)
    full = [at for at, name in enumerate(site.calls, 1) if name in NEEDS_ROOM]
    for at in chosen.sample(full, len(full)):
        effective = sum(found["disk full"].values()) - found["disk full"][NOT_REACHED]
        if effective == args.full:
            break
        again = chosen.randint(1, len(site.calls) // 2) if effective % 2 else 0
        _note(found["disk full"], way, lambda at=at, again=again: site.fill(at, again))
    for kind, outcomes in found.items():
        text = ", ".join(f"{name} {count}" for name, count in sorted(outcomes.items()))
        print(f"{way.name:<28} {len(site.calls)} calls, {kind} {sum(outcomes.values())}: {text}", flush=True)
    return sum(outcomes["LOST"] for outcomes in found.values())


def _note(found: Counter[str], way: Way, fault: Callable[[], str | None]) -> None:
    try:
        found[fault() or NOT_REACHED] += 1
    except AssertionError as error:
        found["LOST"] += 1
        print(f"{way.name}: {error}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
