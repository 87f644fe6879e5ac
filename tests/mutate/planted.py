"""Faults planted on purpose, to see that the harness finds them: `python -m mutate.planted PLACE` prints what it says.

A process of its own, as `make mutate` is: it forks, and has limits of address space.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, ClassVar

os.environ["OPENBLAS_NUM_THREADS"] = "1"

from mutate import child, harness, packages, verdict
from mutate.cases import Case, Mutators, Step, Weights
from mutate.verdict import REFUSED, SAME, Verdict, failed

_SHORT_SECONDS = 1.5
_FOREVER_SECONDS = 60
_MOST_BYTES = 160 << 20


def _say(*lines: str, status: int = 1) -> None:
    print(*lines, sep="\n", file=sys.stderr)
    sys.exit(status)


def _raise() -> None:
    raise KeyError("bool")


def _deepen() -> None:
    _deepen()


def _answer_and_fail() -> None:
    print("a token")
    _say("prog: no")


def _take_memory() -> None:
    bytearray(b"x") * _MOST_BYTES


COMMANDS: dict[str, Callable[[], None]] = {
    "fine": lambda: None,
    "refused": lambda: _say("prog: x.json: is 1, expected 2"),
    "warned_and_refused": lambda: _say("prog: warning: odd", "prog: x.json: is 1, expected 2"),
    "usage": lambda: _say("Usage: prog", "Try 'prog --help'", status=2),
    "traceback": _raise,
    "recursion": _deepen,
    "unexpected": lambda: _say("prog: KeyError: 'a' (unexpected; run with --debug for the traceback)"),
    "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "abort": os.abort,
    "hang": lambda: time.sleep(_FOREVER_SECONDS),
    "memory": _take_memory,
    "address_space": lambda: bytearray(2 * child.ADDRESS_BYTES),  # type: ignore[dict-item, return-value]
    "large_file": lambda: os.truncate(os.open("large", os.O_CREAT | os.O_WRONLY), 2 * child.FILE_BYTES),
    "overlong_line": lambda: _say("prog: " + "x" * (verdict.LONGEST_LINE + 1)),
    "escape": lambda: _say("prog: \x1b[31mred"),
    "two_lines": lambda: _say("prog: one", "prog: two"),
    "no_line": lambda: sys.exit(1),
    "foreign_line": lambda: _say("onnxruntime: no"),
    "other_status": lambda: sys.exit(3),
    "answer_and_failure": _answer_and_fail,
}


def judged(place: Path) -> dict[str, list[str]]:
    """Run every planted command; return outcome and reason by name."""
    child.WALL_SECONDS, child._LAST_WORDS_SECONDS = _SHORT_SECONDS, _SHORT_SECONDS
    verdict.PEAK_BYTES = _MOST_BYTES
    found = {}
    for name, command in COMMANDS.items():
        said = verdict.of_end(child.run(command, [], place), "prog") or Verdict(SAME)
        found[name] = [said.outcome, said.reason]
    return found


def _stop_at_once(folder: Path, rng: Random) -> str:
    """A configuration that ends every text: other tokens, and nothing wrong with the file."""
    file = folder / "genai_config.json"
    values = json.loads(file.read_bytes())
    values["model"]["eos_token_id"] = list(range(values["model"]["vocab_size"]))
    file.write_text(json.dumps(values), encoding="ascii")
    return file.name


class _Edited(packages.Packages):
    mutators: ClassVar[Mutators] = {"stop at once": (_stop_at_once, 1)}


def packages_judged(place: Path) -> dict[str, list[str]]:
    """A package whose tokens change: as the product is, sealed anew, and with a product that checks no hash."""
    import edge_runtime.package.folder
    import edge_runtime.provider

    edge_runtime.provider.register()
    kind = _Edited(("lz4",))
    kind.prepare(place / "bases")
    steps = (Step("stop at once", 1),)
    cases = {sealed: Case("package", 1, 1, "lz4", steps, sealed, "run") for sealed in (False, True)}
    found = {
        "edited": harness.attempted(kind, cases[False], place),
        "sealed_anew": harness.attempted(kind, cases[True], place),
    }
    edge_runtime.package.folder.changed_files = lambda *_: []  # type: ignore[assignment, attr-defined]
    found["unchecked"] = harness.attempted(kind, cases[False], place)
    return {name: [said.outcome, said.reason] for name, said in found.items()}


def _append(text: str) -> Callable[[Path, Random], str]:
    def mutator(folder: Path, rng: Random) -> str:
        with (folder / "file").open("a", encoding="ascii") as file:
            file.write(text)
        return text

    return mutator


class Letters:
    """A kind that fails where its input has a `b`."""

    name: ClassVar[str] = "letters"
    mutators: ClassVar[Mutators] = {letter: (_append(letter), 1) for letter in "abc"}
    manners: ClassVar[Weights] = {"read": 1}
    bases = ("empty",)

    def prepare(self, place: Path) -> None:
        """Nothing to make."""

    def attempt(self, case: Case, place: Path) -> Verdict:
        """Mutate an empty file, and look for the letter."""
        from mutate.cases import mutate

        (place / "input").mkdir(parents=True)
        (place / "input" / "file").touch()
        mutate(self, case, place / "input")
        if (place / "input" / "file").read_text(encoding="ascii").count("b"):
            return failed("it has a letter that it must not have")
        return Verdict(REFUSED)

    def script(self, case: Case) -> str:
        """How the kept input is used."""
        return "grep -L b input/file"


def counted(place: Path) -> dict[str, Any]:
    """Try a kind on two jobs; return the counts, and what was kept."""
    tally = harness.try_all(Letters(), 1, range(30), 2, place / "kept", float("inf"))
    kept = {
        folder.name: [(folder / "input" / "file").read_text(encoding="ascii"), os.access(folder / "run.sh", os.X_OK)]
        for folder in (place / "kept").iterdir()
    }
    return {"outcomes": dict(tally.outcomes), "failures": len(tally.failures), "kept": kept}


if __name__ == "__main__":
    here = Path(sys.argv[1])
    found = {"judged": judged(here), "counted": counted(here)}
    child.WALL_SECONDS, verdict.PEAK_BYTES = _FOREVER_SECONDS, child.PEAK_BYTES
    print(json.dumps({**found, "packages": packages_judged(here / "packages")}))
