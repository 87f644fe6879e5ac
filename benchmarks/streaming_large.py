"""A model of 7 billion weights in 3 GB of memory: seconds per token, bytes per token, and where the time goes.

    python benchmarks/make_checkpoint.py llama-2-7b build/llama-2-7b
    lpc-export build/llama-2-7b --out build/llama-2-7b-lz4 --codec lz4 --json
    python benchmarks/streaming_large.py build/llama-2-7b-lz4

As root; 23 GB of disk (the checkpoint is not needed after the export, whose peak memory is `peak_rss_bytes`).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from streaming import Machine, measured_profile, run

from edge_runtime.bench.token_time import TokenTime
from edge_runtime.cli.run import attribution


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--memory", type=int, default=3000, help="MB of the memory group and of the budget")
    parser.add_argument("--tokens", type=int, default=6)
    parser.add_argument("--context", default="256")
    options = parser.parse_args()
    machine = Machine(memory=options.memory * 1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        board = measured_profile(options.model, machine, Path(folder) / "here.toml")
        extra = ["--context", options.context, "--board", str(board), "--memory-budget", f"{options.memory}MB"]
        done = run(options.model, machine, options.tokens, extra)
    print(f"{options.model.name} in a memory group of {options.memory} MB")
    print(f"memory.max_usage {done.memory_peak / 1e6:.0f} MB, killed for memory {done.kills} times")
    print(f"seconds per token: {', '.join(f'{seconds:.2f}' for seconds in done.result['token_seconds'])}")
    print(attribution(TokenTime(**done.result["token_time"]), done.planned))
    return 0 if done.kills == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
