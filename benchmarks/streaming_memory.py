"""A model larger than the machine's memory: the kernel's own count of memory, and the same tokens as in memory.

    python benchmarks/make_checkpoint.py tinyllama-1.1b build/tinyllama
    lpc-export build/tinyllama --out build/tinyllama-lz4 --codec lz4
    python benchmarks/streaming_memory.py build/tinyllama-lz4

As root. Once in a memory group of 700 MB, where the page cache counts as well, with the budget that lpc-run finds by
itself; once with --memory-budget 500MB alone, in a group that limits nothing and counts.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from streaming import Machine, in_memory_tokens, run, table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--tokens", type=int, default=32)
    options = parser.parse_args()
    expected = in_memory_tokens(options.model, options.tokens)
    rows = [["", "limit", "memory.max_usage", "peak RSS", "killed", "tokens", "s/token", "ids equal"]]
    good = True
    for name, limit, machine, extra in (
        ("group of 700 MB", 700_000_000, Machine(memory=700_000_000), []),
        ("--memory-budget 500MB", 500_000_000, Machine(), ["--memory-budget", "500MB"]),
    ):
        done = run(options.model, machine, options.tokens, extra)
        same = done.token_ids == expected
        good = good and same and done.kills == 0 and done.memory_peak < limit
        rows.append(
            [
                name,
                f"{limit / 1e6:.0f} MB",
                f"{done.memory_peak / 1e6:.0f} MB",
                f"{done.result['peak_rss_bytes'] / 1e6:.0f} MB",
                str(done.kills),
                str(len(done.token_ids)),
                f"{done.seconds_per_token:.3f}",
                "yes" if same else "NO",
            ]
        )
    print(table(rows))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
