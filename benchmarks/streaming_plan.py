"""This machine measured, then planned, then run: prediction and measurement side by side.

    python benchmarks/streaming_plan.py build/tinyllama-lz4 build/tinyllama-packed --budgets 400,800,1200,3000

Nothing is limited but lpc-run's own budget. Needs root for counting memory.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from streaming import Machine, measured_profile, run, table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--budgets", default="400,800,1200,3000", help="MB, separated by commas")
    parser.add_argument("--tokens", type=int, default=12)
    parser.add_argument("--context", default="256")
    options = parser.parse_args()
    rows = [["model", "budget", "planned s", "s/token", "min", "max", "planned/measured", "peak", "read/token", "rate"]]
    with tempfile.TemporaryDirectory() as folder:
        board = measured_profile(options.models[0], Machine(), Path(folder) / "here.toml")
        for model in options.models:
            for budget in options.budgets.split(","):
                extra = ["--context", options.context, "--board", str(board), "--memory-budget", f"{budget}MB"]
                done = run(model, Machine(), options.tokens, extra)
                seconds = done.seconds_per_token
                rows.append(
                    [
                        model.name, f"{budget} MB", f"{done.planned:.3f}", f"{seconds:.3f}", f"{min(done.steady):.3f}",
                        f"{max(done.steady):.3f}", f"{done.planned / seconds:.2f}", f"{done.memory_peak / 1e6:.0f} MB",
                        f"{done.bytes_per_token / 1e6:.0f} MB", f"{done.bytes_per_token / seconds / 1e9:.2f} GB/s",
                    ]
                )  # fmt: skip
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
