"""How often `lpc-bench compare` is right on this machine: pairs of equal runs, and the same runs with one 10 % slower.

    python benchmarks/compare_check.py out/demo --pairs 20 -p 256 -n 128 --threads 1

Each pair are two runs of the same model one after the other; options that are not known here go to `lpc-bench run`. For
the second question the speeds of the second run of each pair, with their real noise, are multiplied by 0.9. Prints one
JSON object.
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edge_runtime.bench.compare import compare
from edge_runtime.bench.results import load_result


def run(model: Path, out: Path, options: list[str]) -> dict[str, Any]:
    """Run `lpc-bench run` in a process of its own and return its result."""
    code = "from edge_runtime.cli.bench import main; main()"
    command = [sys.executable, "-c", code, "run", str(model), "-q", "-o", str(out), *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return load_result(out)


def slower(result: dict[str, Any], factor: float) -> dict[str, Any]:
    """Return the result with every speed multiplied."""
    changed = copy.deepcopy(result)
    for test in changed["tests"]:
        for repetition in test["repetitions"]:
            repetition["tokens_per_s"] *= factor
    return changed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("model", type=Path)
    parser.add_argument("--pairs", type=int, default=20)
    arguments, options = parser.parse_known_args()
    equal: Counter[str] = Counter()
    found: Counter[str] = Counter()
    with TemporaryDirectory() as folder:
        for _ in range(arguments.pairs):
            a, b = (run(arguments.model, Path(folder) / name, options) for name in ("a.json", "b.json"))
            equal[" and ".join(sorted({item.verdict for item in compare(a, b)}))] += 1
            found[" and ".join(sorted({item.verdict for item in compare(a, slower(b, 0.9))}))] += 1
    print(json.dumps({"pairs": arguments.pairs, "equal_runs": equal, "second_10_percent_slower": found}))


if __name__ == "__main__":
    main()
