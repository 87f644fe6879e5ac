"""Speed-adaptive decoding: the fraction of `ans` segments that partial_fraction chooses for a bus, against a sweep.

    python benchmarks/make_checkpoint.py tinyllama-1.1b build/tinyllama-4 --layers 4
    python benchmarks/partial_sweep.py build/tinyllama-4 build/sweep

Everything is streamed with the smallest budget that works, from the page cache through --bus-limit, on one processor
(taskset): one thread's worth of decoding, products included. The rates that the choice is made from are measured by
runs without a limit, of the model uncompressed and of it compressed wholly, in turns. For every bus all fractions take
turns, round after round; all must give the same tokens. The exit status is 1 if at any bus the chosen fraction needs
10 % more time than the best of the sweep. Random weights: synthetic, sigma 0.02.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from edge_runtime import codec
from exporters.export import ExportOptions, export

RATE_ROUNDS = 3
FRACTIONS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
PROMPT = "Once upon a time"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path, help="for the exported models, which are kept")
    parser.add_argument("--buses", type=float, nargs="+", default=[0.5, 1, 2, 4], help="GB/s")
    parser.add_argument("--tokens", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--prepare", type=float, nargs="*", help="only export, these fractions too")
    options = parser.parse_args()
    models = {fraction: exported(options, fraction) for fraction in (*FRACTIONS, *(options.prepare or []))}
    if options.prepare is not None:
        return 0
    plain, whole = models[0.0], models[1.0]
    ratio = stored_bytes(whole) / stored_bytes(plain)
    work = stored_bytes(plain)
    unlimited = [(run(plain, None, options.tokens), run(whole, None, options.tokens)) for _ in range(RATE_ROUNDS)]
    copy, decode = (work / median(list(runs)) for runs in zip(*unlimited, strict=True))
    print(
        f"one processor: {copy / 1e9:.2f} GB/s of raw and {decode / 1e9:.2f} GB/s of encoded weights; ratio {ratio:.3f}"
    )
    print(f"{'bus':>5} {'fraction':>8} {'':>6} {'s/token':>8} {'min':>7} {'max':>7} {'model':>8} {'peak memory':>11}")
    failed = False
    for bus in options.buses:
        chosen = codec.partial_fraction(bus * 1e9, decode, ratio, copy)
        failed |= not sweep(options, models, bus, round(chosen, 3))
    return 1 if failed else 0


def sweep(options: argparse.Namespace, models: dict[float, Path], bus: float, chosen: float) -> bool:
    """Print a bus's rows; whether the chosen fraction is within 10 % of the best."""
    models.setdefault(chosen, exported(options, chosen))
    sides = {fraction: models[fraction] for fraction in sorted({*FRACTIONS, chosen})}
    results: dict[float, list[dict[str, Any]]] = {fraction: [] for fraction in sides}
    for _ in range(options.rounds):
        for fraction, model in sides.items():
            results[fraction].append(run(model, bus * 1e9, options.tokens))
    if len({tuple(result["token_ids"]) for runs in results.values() for result in runs}) != 1:
        raise SystemExit("the fractions gave different tokens")
    best = min(median(runs) for runs in results.values())
    for fraction, runs in results.items():
        seconds = [each for result in runs for each in result["token_seconds"][1:]]
        peak = max(result["peak_rss_bytes"] for result in runs) / 1e6
        mark = "chosen" if fraction == chosen else ""
        print(
            f"{bus:>5} {fraction:>8} {mark:>6} {median(runs):>8.3f} {min(seconds):>7.3f} {max(seconds):>7.3f} "
            f"{stored_bytes(sides[fraction]) / 1e6:>5.0f} MB {peak:>8.0f} MB"
        )
    ratio = median(results[chosen]) / best
    print(f"{bus:>5} the chosen fraction takes {ratio:.2f} times the best", flush=True)
    return ratio <= 1.1


def median(runs: list[dict[str, Any]]) -> float:
    """Seconds a token after the first two, over all runs."""
    return statistics.median(each for result in runs for each in result["token_seconds"][1:])


def exported(options: argparse.Namespace, fraction: float) -> Path:
    """The model with that fraction of segments encoded, made if it is not there."""
    out: Path = options.folder / f"ans-{fraction:g}"
    if not out.exists():
        name = "stored" if fraction == 0 else f"ans@{fraction}"
        export(options.checkpoint, out, ExportOptions(codec=name, verify=False))
    return out


def stored_bytes(model: Path) -> int:
    """Bytes that a token streams: all weights but the table of embeddings."""
    tensors = json.loads((model / "lpc.json").read_text(encoding="utf-8"))["tensors"]
    return sum(tensor["bytes"] for tensor in tensors if tensor["layer"] > 0)


def run(model: Path, bus: float | None, tokens: int) -> dict[str, Any]:
    """Generate on one processor with everything streamed from the page cache."""
    command = ["taskset", "-c", "0", str(Path(sys.executable).parent / "lpc-run"), str(model), "-p", PROMPT]
    command += ["-n", str(tokens), "--greedy", "--json", "--threads", "1", "--context", "64"]
    command += ["--read-mode", "buffered", "--memory-budget", f"{smallest_budget(model)}"]
    command += [] if bus is None else ["--bus-limit", f"{bus / 1e9}GB/s"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")
    return dict(json.loads(done.stdout))


@functools.cache
def smallest_budget(model: Path) -> int:
    """Bytes, as the plan tells; and the weights are brought into the page cache."""
    subprocess.run(["cat", str(model / "model.lpc")], stdout=subprocess.DEVNULL, check=True)
    lpc_run = str(Path(sys.executable).parent / "lpc-run")
    command = [lpc_run, str(model), "--plan", "--json", "--threads", "1", "--context", "64", "--memory-budget", "1MB"]
    plan = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    return int(plan["needed_bytes"])


if __name__ == "__main__":
    sys.exit(main())
