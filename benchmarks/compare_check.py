"""How often `lpc-bench compare` is right on this machine: pairs of equal runs, and runs that really are 10 % slower.

    python benchmarks/compare_check.py out/demo --pairs 20 -p 256 -n 128 --threads 1

A pair are two runs of the same model one after the other, and a third one whose measuring process is stopped (SIGSTOP)
for a tenth of every 20 milliseconds, so that its own clock measures it 10 % slower. Options that are not known here go
to `lpc-bench run`. Prints one JSON object: the verdicts, and the ratios with their intervals.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from edge_runtime.bench.compare import Comparison, compare
from edge_runtime.bench.results import load_result

_WORKER = b"edge_runtime.bench.worker"


class Brake:
    """Beside a run: its measuring process stands still for `share` of the time."""

    def __init__(self, parent: int, share: float, period_s: float = 0.02) -> None:
        self._parent = parent
        self._share = share
        self._period_s = period_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Brake:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        worker: int | None = None
        next_at = time.perf_counter()
        while not self._stop.is_set():
            worker = worker or _child(self._parent)
            next_at = max(next_at + self._period_s, time.perf_counter())
            if worker is not None and not _stand_still(worker, self._period_s * self._share):
                worker = None
            time.sleep(max(0.0, next_at - time.perf_counter()))


def _child(parent: int) -> int | None:
    """The measuring process of a run."""
    for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii").split():
        try:
            if _WORKER in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
        except OSError:
            continue
    return None


def _stand_still(pid: int, seconds: float) -> bool:
    """Stop a process for a moment; False if it is gone."""
    try:
        os.kill(pid, signal.SIGSTOP)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            time.sleep(max(0.0, end - time.perf_counter()))
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return False
    return True


def run(model: Path, out: Path, options: list[str], share: float = 0.0) -> dict[str, Any]:
    """Run `lpc-bench run` in a process of its own, braked for `share` of the time, and return its result."""
    code = "from edge_runtime.cli.bench import main; main()"
    command = [sys.executable, "-c", code, "run", str(model), "-q", "-o", str(out), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    if share:
        with Brake(process.pid, share):
            process.wait()
    if process.wait():
        raise SystemExit(f"lpc-bench run failed with exit code {process.returncode}")
    return load_result(out)


def verdict(found: list[Comparison]) -> str:
    """All verdicts of a comparison in a word or two."""
    return " and ".join(sorted({item.verdict for item in found}))


def shown(found: list[Comparison]) -> list[list[float | None]]:
    """Ratio and interval of each test."""
    return [[item.ratio and round(item.ratio, 4), item.low, item.high] for item in found]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("model", type=Path)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--slower", type=float, default=0.1, help="share of the time that the third run stands still")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the results there")
    arguments, options = parser.parse_known_args()
    counts: dict[str, Counter[str]] = {"equal_runs": Counter(), "slower_runs": Counter()}
    ratios: dict[str, list[Any]] = {"equal_ratios": [], "slower_ratios": []}
    with TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        for number in range(arguments.pairs):
            a, b = (run(arguments.model, folder / f"{number}{name}.json", options) for name in "ab")
            c = run(arguments.model, folder / f"{number}c.json", options, arguments.slower)
            for name, other in (("equal", b), ("slower", c)):
                found = compare(a, other)
                counts[f"{name}_runs"][verdict(found)] += 1
                ratios[f"{name}_ratios"].append(shown(found))
            so_far = {name: dict(count) for name, count in counts.items()}
            print(f"{number + 1} of {arguments.pairs}: {so_far}", file=sys.stderr, flush=True)
    print(json.dumps({"pairs": arguments.pairs, "slower": arguments.slower, **counts, **ratios}))


if __name__ == "__main__":
    main()
