"""Streaming with reads really limited by the kernel: how much of the limit is used, and what the plan said before.

    python benchmarks/streaming_bus.py build/tinyllama-lz4 --rates 200,400

As root. For each rate (MB/s) lpc-board measures the limited machine, lpc-run plans with that profile and generates in
the same limits. A token's bytes over the limit is the least time that it can take.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from streaming import Machine, measured_profile, run, table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--rates", default="200,400", help="MB/s, separated by commas")
    parser.add_argument("--memory", type=int, default=700, help="MB of the memory group and of the budget")
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--context", default="256")
    options = parser.parse_args()
    rows = [["limit", "read/token", "read rate", "of limit", "s/token", "bytes/limit", "ratio", "planned", "ratio"]]
    good = True
    for rate in [float(text) * 1e6 for text in options.rates.split(",")]:
        machine = Machine(memory=options.memory * 1_000_000, read=int(rate))
        with tempfile.TemporaryDirectory() as folder:
            board = measured_profile(options.model, machine, Path(folder) / "limited.toml")
            extra = ["--board", str(board), "--memory-budget", f"{options.memory}MB", "--context", options.context]
            done = run(options.model, machine, options.tokens, extra)
        seconds, least = done.seconds_per_token, done.bytes_per_token / rate
        mean = sum(done.steady) / len(done.steady)
        achieved = done.bytes_per_token / mean / rate
        good = good and achieved >= 0.95 and abs(seconds / least - 1) <= 0.05 and abs(done.planned / seconds - 1) <= 0.1
        rows.append(
            [
                f"{rate / 1e6:.0f} MB/s",
                f"{done.bytes_per_token / 1e6:.0f} MB",
                f"{done.bytes_per_token / mean / 1e6:.1f} MB/s",
                f"{achieved:.1%}",
                f"{seconds:.3f} ({min(done.steady):.3f}-{max(done.steady):.3f})",
                f"{least:.3f}",
                f"{seconds / least:.3f}",
                f"{done.planned:.3f}",
                f"{done.planned / seconds:.3f}",
            ]
        )
    print(table(rows))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
