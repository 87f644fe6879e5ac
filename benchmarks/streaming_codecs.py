"""The codecs on the same slow bus with the same memory: what compression is worth when weights are streamed.

    for codec in stored lz4 ans packed; do
      lpc-export build/tinyllama --out build/tinyllama-$codec --codec $codec
    done
    lpc-export build/tinyllama --out build/tinyllama-ans-half --codec ans --partial 0.5
    python benchmarks/streaming_codecs.py build/tinyllama-{stored,lz4,ans,packed,ans-half} --rate 400

As root. The first model is what the others are compared with. They take turns, round after round, in groups of the same
limits and with the same plan figures; the tokens of all of them must be the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from streaming import Machine, Run, measured_profile, run, table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--rate", type=float, default=400, help="MB/s")
    parser.add_argument("--memory", type=int, default=700, help="MB of the memory group and of the budget")
    parser.add_argument("--tokens", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--context", default="256")
    parser.add_argument("--board", type=Path, help="profile to plan with  [default: measured first, in the limits]")
    options = parser.parse_args()
    machine = Machine(memory=options.memory * 1_000_000, read=int(options.rate * 1e6))
    runs: dict[Path, list[Run]] = {model: [] for model in options.models}
    with tempfile.TemporaryDirectory() as folder:
        board = options.board or measured_profile(options.models[0], machine, Path(folder) / "limited.toml")
        extra = ["--memory-budget", f"{options.memory}MB", "--context", options.context, "--board", str(board)]
        for _ in range(options.rounds):
            for model, done in runs.items():
                done.append(run(model, machine, options.tokens, extra))
    expected = runs[options.models[0]][0].token_ids
    base = [seconds for done in runs[options.models[0]] for seconds in done.steady]
    rows = [["model", "bits", "read/token", "rate", "s/token", "min", "max", "waiting", "speed-up", "ids equal"]]
    same = True
    for model, done in runs.items():
        steady = [seconds for each in done for seconds in each.steady]
        median, equal = statistics.median(steady), all(each.token_ids == expected for each in done)
        same = same and equal
        rows.append(
            [
                model.name,
                bits(model),
                f"{done[0].bytes_per_token / 1e6:.0f} MB",
                f"{done[0].bytes_per_token / median / 1e6:.0f} MB/s",
                f"{median:.3f}",
                f"{min(steady):.3f}",
                f"{max(steady):.3f}",
                f"{done[0].result['token_time']['wait'] / done[0].result['token_time']['seconds']:.0%}",
                f"{statistics.median(base) / median:.2f}x",
                "yes" if equal else "NO",
            ]
        )
    print(table(rows))
    return 0 if same else 1


def bits(model: Path) -> str:
    """Bits per weight of an exported model."""
    totals = json.loads((model / "lpc.json").read_text(encoding="utf-8"))["totals"]
    return f"{totals['blob_bytes'] / totals['source_bytes'] * 16:.2f}"


if __name__ == "__main__":
    sys.exit(main())
