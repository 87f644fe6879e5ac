"""Speed over the memory budget, measured and predicted: from the smallest budget that works to all weights decoded.

    python benchmarks/streaming_sweep.py build/tinyllama-lz4 --rate 400 --svg docs/images/budget-sweep.svg

As root. Reads are limited by the kernel, memory is counted, not limited: the budget alone decides. The prediction is
the plan's, from a profile that lpc-board measured under the same limit. Exits 1 if tokens/s fall by more than --noise
from one budget to the next larger one, or if a peak exceeds its budget.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from streaming import Machine, Run, measured_profile, run, table, tool

from edge_runtime.chart import Axis, Line, plane


@dataclass(frozen=True)
class Point:
    """One budget in bytes, and what came of it."""

    budget: int
    done: Run

    @property
    def measured(self) -> float:
        """Tokens per second."""
        return 1 / self.done.seconds_per_token

    @property
    def planned(self) -> float:
        """Tokens per second, by the plan."""
        return 1 / self.done.planned


def needed(model: Path, options: list[str]) -> int:
    """The smallest budget that works, in bytes."""
    command = [tool("lpc-run"), str(model), "--plan", "--json", "--memory-budget", "1MB", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)
    return int(json.loads(done.stdout)["needed_bytes"])


def budgets(least: int, most: int, steps: int) -> list[int]:
    """From `least` to `most` at equal distances, in whole MB."""
    return [-(-(least + (most - least) * step // (steps - 1)) // 10**6) * 10**6 for step in range(steps)]


def plot(points: list[Point], title: str) -> str:
    """An SVG file: measured and predicted tokens per second over the budget."""
    measured = [(point.budget / 1e6, point.measured) for point in points]
    planned = [(point.budget / 1e6, point.planned) for point in points]
    lines = [Line(measured, "s0", "measured"), Line(planned, "s1", "predicted by the plan", dashed=True)]
    return plane(Axis("memory budget, MB"), Axis("tokens/s"), lines=lines, height=330).standalone(title)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--rate", type=float, default=400, help="MB/s")
    parser.add_argument("--most", type=int, help="MB of the last budget  [default: all weights decoded]")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=6)
    parser.add_argument("--noise", type=float, default=0.05)
    parser.add_argument("--context", default="256")
    parser.add_argument("--board", type=Path, help="profile to plan with  [default: measured first, in the limits]")
    parser.add_argument("--svg", type=Path, help="write the plot here")
    options = parser.parse_args()
    machine = Machine(read=int(options.rate * 1e6))
    points: list[Point] = []
    with tempfile.TemporaryDirectory() as folder:
        board = options.board or measured_profile(options.model, machine, Path(folder) / "limited.toml")
        extra = ["--context", options.context, "--board", str(board)]
        least = needed(options.model, extra)
        totals = json.loads((options.model / "lpc.json").read_text(encoding="utf-8"))["totals"]
        most = options.most * 10**6 if options.most else least + totals["source_bytes"]
        for budget in budgets(least, most, options.steps):
            done = run(options.model, machine, options.tokens, [*extra, "--memory-budget", str(budget)])
            points.append(Point(budget, done))
            print(f"{budget / 1e6:.0f} MB: {done.seconds_per_token:.3f} s, planned {done.planned:.3f}", file=sys.stderr)
    rows = [["budget", "peak", "read/token", "tokens/s", "s/token", "min", "max", "planned s", "planned/measured"]]
    for point in points:
        done = point.done
        rows.append(
            [
                f"{point.budget / 1e6:.0f} MB", f"{done.memory_peak / 1e6:.0f} MB",
                f"{done.bytes_per_token / 1e6:.0f} MB", f"{point.measured:.3f}", f"{done.seconds_per_token:.3f}",
                f"{min(done.steady):.3f}", f"{max(done.steady):.3f}", f"{done.planned:.3f}",
                f"{done.planned / done.seconds_per_token:.2f}",
            ]
        )  # fmt: skip
    print(table(rows))
    if options.svg:
        options.svg.write_text(plot(points, f"{options.model.name}, reads limited to {options.rate:.0f} MB/s"))
    falls = [after.measured / before.measured for before, after in itertools.pairwise(points)]
    within = all(point.done.memory_peak <= point.budget for point in points)
    same = all(point.done.token_ids == points[0].done.token_ids for point in points)
    print(f"smallest step: {min(falls):.3f} of the speed before; peaks within budgets: {within}; ids equal: {same}")
    return 0 if min(falls) >= 1 - options.noise and within and same else 1


if __name__ == "__main__":
    sys.exit(main())
