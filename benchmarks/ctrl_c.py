"""Ctrl-C: how long until lpc-run ends, on a slow bus, on a slow device and free, while it loads and while it generates.

    python benchmarks/ctrl_c.py out/demo

Each row is `--runs` runs, interrupted at random moments. The slow device is the folder read through a library that
makes every read as slow (tests/faults/device.c), what onnxruntime and Python read included.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from streaming import table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from faults.interrupted import Slow, compiled_device, seconds_to_end

LIMIT_SECONDS = 0.3


@dataclass(frozen=True)
class Way:
    """How the reads are slow, and the latest moment of an interruption while it loads and while it reads weights."""

    slow: Slow
    loading_s: float
    running_s: float


def ways(device: Path | None) -> dict[str, Way]:
    """What to measure; without a C compiler there is no slow `device`."""
    found = {
        "free": Way(Slow(), 0.5, 0.05),
        "bus, 1 MB/s": Way(Slow(bus="1MB/s"), 0.5, 1.2),
        "bus, 100 kB/s": Way(Slow(bus="100KB/s"), 0.5, 5.0),
    }
    if device is None:
        return found
    return found | {
        "device, 1 MB/s": Way(Slow(device=device, bytes_per_s=1_000_000), 0.6, 1.2),
        "device, 100 kB/s": Way(Slow(device=device, bytes_per_s=100_000), 3.0, 5.0),
    }


def measure(folder: Path, slow: Slow, running: bool, runs: int, latest: float) -> list[float]:
    """Return the seconds of `runs` interrupted runs."""
    return [seconds_to_end(folder, slow, after=random.uniform(0.0, latest), running=running) for _ in range(runs)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random.seed(options.seed)
    rows, worst = [["reads", "while it", "median", "maximum"]], 0.0
    with tempfile.TemporaryDirectory() as place:
        for name, way in ways(compiled_device(Path(place))).items():
            for running, latest in ((False, way.loading_s), (True, way.running_s)):
                found = measure(options.model, way.slow, running, options.runs, latest)
                what = "generates" if running else "loads"
                rows.append([name, what, f"{statistics.median(found):.3f} s", f"{max(found):.3f} s"])
                worst = max(worst, *found)
    print(table(rows))
    return 0 if worst <= LIMIT_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
