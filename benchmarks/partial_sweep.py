"""Speed-adaptive decoding: the fraction of segments that partial_fraction chooses for a bus, against a sweep.

    python benchmarks/make_checkpoint.py tinyllama-1.1b build/tinyllama-2 --layers 2
    python benchmarks/partial_sweep.py build/tinyllama-2 build/sweep
    python benchmarks/partial_sweep.py build/tinyllama-2 build/sweep --codec lz4 --impl scalar      a slow decoder

Everything is streamed with the smallest budget that works through --bus-limit, on one processor (taskset): one thread's
worth of decoding, products and copying included. Each run reads a fresh copy of the model on a tmpfs (/dev/shm):
buffered reads leave the page cache as it was, so that later passes would read from the disk; and where a file's pages
happen to lie makes every run up to 12 % slower. Not to be run with a real-time policy: there a thread that has read
waits for one that decodes. The rates that the choice is made from are measured by runs without a limit, of the model
uncompressed and of it compressed wholly, in turns. For every bus all fractions take turns, round after round; all must
give the same tokens. "streamed" is what the weights of a token take as stored, "saved" what that is less than
uncompressed, "peak" the memory of the run. The exit status is 1 if at any bus the chosen fraction needs 10 % more time
than the best of the sweep. --impl is LPC_FORCE_IMPL of the runs. Random weights: synthetic, sigma 0.02.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from edge_runtime import codec
from exporters.export import ExportOptions, export
from exporters.package.codec_choice import CodecChoice

RATE_ROUNDS = 3
FRACTIONS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
PROMPT = "Once upon a time"
MEMORY_FOLDER = "/dev/shm"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path, help="for the exported models, which are kept")
    parser.add_argument("--codec", default="ans", help="ans or lz4  [default: ans]")
    parser.add_argument("--impl", help="scalar, avx2, avx512 or neon  [default: the best there is]")
    parser.add_argument("--buses", type=float, nargs="+", default=[0.5, 1, 2, 4], help="GB/s")
    parser.add_argument("--fractions", type=float, nargs="+", default=FRACTIONS, help="to sweep")
    parser.add_argument("--tokens", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--prepare", action="store_true", help="only export")
    options = parser.parse_args()
    models = {fraction: exported(options, fraction) for fraction in sorted({0.0, *options.fractions, 1.0})}
    if options.prepare:
        return 0
    if options.impl:
        os.environ["LPC_FORCE_IMPL"] = options.impl  # of the runs; all give the same bytes
    plain, whole = models[0.0], models[1.0]
    ratio = stored_bytes(whole) / stored_bytes(plain)
    work = stored_bytes(plain)
    unlimited = [(run(plain, None, options.tokens), run(whole, None, options.tokens)) for _ in range(RATE_ROUNDS)]
    copy, decode = (work / median(list(runs)) for runs in zip(*unlimited, strict=True))
    print(
        f"{options.codec}, {options.impl or 'best'}, one processor: {copy / 1e9:.2f} GB/s of raw and "
        f"{decode / 1e9:.3f} GB/s of encoded weights; ratio {ratio:.3f}"
    )
    print(
        f"{'bus':>5} {'fraction':>8} {'':>6} {'s/token':>8} {'min':>7} {'max':>7} {'streamed':>8} {'saved':>7} "
        f"{'peak':>7}"
    )
    failed = False
    for bus in options.buses:
        chosen = round(codec.partial_fraction(bus * 1e9, decode, ratio, copy), 3)
        failed |= not sweep(options, models, bus, chosen)
    return 1 if failed else 0


def sweep(options: argparse.Namespace, models: dict[float, Path], bus: float, chosen: float) -> bool:
    """Print a bus's rows; whether the chosen fraction is within 10 % of the best."""
    models.setdefault(chosen, exported(options, chosen))
    sides = {fraction: models[fraction] for fraction in sorted({*options.fractions, chosen})}
    results: dict[float, list[dict[str, Any]]] = {fraction: [] for fraction in sides}
    for _ in range(options.rounds):
        for fraction, model in sides.items():
            results[fraction].append(run(model, bus * 1e9, options.tokens))
    if len({tuple(result["token_ids"]) for runs in results.values() for result in runs}) != 1:
        raise SystemExit("the fractions gave different tokens")
    best = min(median(runs) for runs in results.values())
    for fraction, runs in results.items():
        seconds = [each for result in runs for each in result["token_seconds"][1:]]
        stored = stored_bytes(sides[fraction])
        peak = max(result["peak_rss_bytes"] for result in runs) / 1e6
        mark = "chosen" if fraction == chosen else ""
        print(
            f"{bus:>5} {fraction:>8} {mark:>6} {median(runs):>8.3f} {min(seconds):>7.3f} {max(seconds):>7.3f} "
            f"{stored / 1e6:>5.0f} MB {1 - stored / stored_bytes(models[0.0]):>7.1%} {peak:>4.0f} MB"
        )
    ratio = median(results[chosen]) / best
    print(f"{bus:>5} the chosen fraction takes {ratio:.2f} times the best", flush=True)
    return ratio <= 1.1


def median(runs: list[dict[str, Any]]) -> float:
    """Seconds per token after the first two, over all runs."""
    return statistics.median(each for result in runs for each in result["token_seconds"][1:])


def exported(options: argparse.Namespace, fraction: float) -> Path:
    """The model with that fraction of segments encoded, made if it is not there."""
    name = "stored" if fraction == 0 else f"{options.codec}@{fraction:g}"
    out: Path = options.folder / name
    if not out.exists():
        export(options.checkpoint, out, ExportOptions(codec=CodecChoice.parse(name), verify=False))
    return out


@functools.cache
def stored_bytes(model: Path) -> int:
    """Bytes that a token streams: all weights but the table of embeddings."""
    tensors = json.loads((model / "lpc.json").read_text(encoding="utf-8"))["tensors"]
    return sum(tensor["bytes"] for tensor in tensors if tensor["layer"] > 0)


def run(model: Path, bus: float | None, tokens: int) -> dict[str, Any]:
    """Generate on one processor from a fresh copy, with everything streamed."""
    with tempfile.TemporaryDirectory(dir=MEMORY_FOLDER) as folder:
        return generated(shutil.copytree(model, Path(folder) / "model"), bus, tokens, smallest_budget(model))


def generated(model: Path, bus: float | None, tokens: int, budget: int) -> dict[str, Any]:
    """What lpc-run says."""
    command = ["taskset", "-c", "0", str(Path(sys.executable).parent / "lpc-run"), str(model), "-p", PROMPT]
    command += ["-n", str(tokens), "--greedy", "--json", "--threads", "1", "--context", "64"]
    command += ["--read-mode", "buffered", "--memory-budget", f"{budget}"]
    command += [] if bus is None else ["--bus-limit", f"{bus / 1e9}GB/s"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")
    return dict(json.loads(done.stdout))


@functools.cache
def smallest_budget(model: Path) -> int:
    """Bytes, as the plan tells."""
    lpc_run = str(Path(sys.executable).parent / "lpc-run")
    command = [lpc_run, str(model), "--plan", "--json", "--threads", "1", "--context", "64", "--memory-budget", "1MB"]
    plan = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    return int(plan["needed_bytes"])


if __name__ == "__main__":
    sys.exit(main())
