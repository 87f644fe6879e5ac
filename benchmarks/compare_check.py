"""How often `lpc-bench compare` is right on this machine: pairs of equal runs, and runs that really are 10 % slower.

    for layers in 18 20; do
      python benchmarks/make_checkpoint.py tiny build/tiny-$layers --layers $layers
      lpc-export build/tiny-$layers -o build/tiny-$layers-lpc --codec packed
    done
    python benchmarks/compare_check.py build/tiny-18-lpc build/tiny-20-lpc --pairs 20 --triples 10 \\
        -p 64 -n 16 --threads 1 --precision 3%

A pair are two runs of MODEL one after the other; a triple has a third one, of SLOWER, a model with more layers, which
does more work and is slower by that. Options that are not known here go to `lpc-bench run`. Prints one JSON object: the
verdicts, the ratios with their intervals, and the share of the CPUs that other programs had.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edge_runtime.bench.comparison import Comparison, compare
from edge_runtime.bench.result_file import load_result
from edge_runtime.bench.results import Result
from edge_runtime.bench.summing import busy_share


def run(model: Path, out: Path, options: list[str]) -> Result:
    """Run `lpc-bench run` in a process of its own and return its result."""
    code = "from edge_runtime.cli.bench import main; main()"
    command = [sys.executable, "-c", code, "run", str(model), "-q", "-o", str(out), *options]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return load_result(out)


def verdict(found: list[Comparison]) -> str:
    """All verdicts of a comparison in a word or two."""
    return " and ".join(sorted({item.verdict for item in found}))


def shown(found: list[Comparison]) -> list[list[float]]:
    """Ratio and interval of each test."""
    return [[round(value, 4) for value in (item.ratio, item.low, item.high) if value is not None] for item in found]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("model", type=Path)
    parser.add_argument("slower", type=Path)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--triples", type=int, default=10, help="how many of the pairs have a slower run as well")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no new pair after this long")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the results there")
    arguments, options = parser.parse_known_args()
    counts: dict[str, Counter[str]] = {"equal_runs": Counter(), "slower_runs": Counter()}
    lists: dict[str, list[Any]] = {"equal_ratios": [], "slower_ratios": [], "others_share": []}
    started = time.monotonic()
    with TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        for number in range(arguments.pairs):
            if time.monotonic() - started > arguments.seconds:
                break
            others = {"equal": arguments.model} | ({"slower": arguments.slower} if number < arguments.triples else {})
            first = run(arguments.model, folder / f"{number}-first.json", options)
            lists["others_share"].append(round(busy_share(first), 3))
            for name, model in others.items():
                result = run(model, folder / f"{number}-{name}.json", options)
                found = compare(first, result)
                counts[f"{name}_runs"][verdict(found)] += 1
                lists[f"{name}_ratios"].append(shown(found))
                lists["others_share"].append(round(busy_share(result), 3))
            so_far = {name: dict(count) for name, count in counts.items()}
            print(f"{number + 1} of {arguments.pairs}: {so_far}", file=sys.stderr, flush=True)
    print(json.dumps({**counts, **lists}))


if __name__ == "__main__":
    main()
