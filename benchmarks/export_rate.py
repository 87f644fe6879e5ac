"""How fast lpc-export is, verification included, and what a kill half-way costs.

    python benchmarks/make_checkpoint.py tinyllama-1.1b T
    python benchmarks/export_rate.py T SCRATCH --codecs packed ans auto --repetitions 3
    python benchmarks/export_rate.py T SCRATCH --codecs packed ans --repetitions 1 --kill

Every repetition exports once with each codec, in turn, in a process of its own; its output has been verified by the
export itself. The rate is source bytes by the process's whole wall time, Python's start included; `--cold` drops the
source from the page cache first. `--kill` kills a further export (SIGKILL) once half of its data file is there, starts
it again, and compares every file with that of the export that was left alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import xxhash

_EXPORT = "from exporters.cli import main; main()"
_POLL_SECONDS = 0.005


def command(model: Path, out: Path, codec: str) -> list[str]:
    """Return the command line of one export."""
    return [sys.executable, "-c", _EXPORT, str(model), "-o", str(out), "--codec", codec, "--json"]


def export(model: Path, out: Path, codec: str) -> dict[str, Any]:
    """Export once; return the export's own figures with `wall_s` and `max_rss_bytes` as the system counts them."""
    os.sync()
    start = time.monotonic()
    process = subprocess.Popen(command(model, out, codec), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"export with {codec} failed: exit status {process.returncode}")
    figures: dict[str, Any] = json.loads(text)
    if not (figures["verified"] and figures["lossless"]):
        sys.exit(f"export with {codec} was not verified")
    return figures | {"wall_s": wall, "max_rss_bytes": usage.ru_maxrss * 1024}


def drop_from_cache(model: Path) -> None:
    """Let the system forget what it has cached of the model's files."""
    for path in model.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def digests(folder: Path) -> dict[str, str]:
    """Return a hash of every file."""
    result = {}
    for path in sorted(folder.iterdir()):
        state = xxhash.xxh3_128()
        with path.open("rb") as file:
            while piece := file.read(16 << 20):
                state.update(piece)
        result[path.name] = state.hexdigest()
    return result


def kill_half_way(model: Path, out: Path, codec: str, blob_bytes: int) -> int:
    """Export and kill the process when half of the data file is written; return how many bytes there are."""
    data = out.with_name(f"{out.name}.partial") / "package" / "model.lpc"
    with subprocess.Popen(command(model, out, codec), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not data.exists() or data.stat().st_size < blob_bytes // 2:
            if process.poll() is not None:
                sys.exit(f"export with {codec} ended before it was half-way")
            time.sleep(_POLL_SECONDS)
        process.kill()
    return data.stat().st_size


def resume(model: Path, scratch: Path, codec: str) -> dict[str, Any]:
    """Compare an export that was killed half-way and started again with one that was left alone."""
    whole, out = scratch / "whole", scratch / "killed"
    figures = export(model, whole, codec)
    expected = digests(whole)
    shutil.rmtree(whole)
    left = kill_half_way(model, out, codec, figures["blob_bytes"])
    again = export(model, out, codec)
    same = digests(out) == expected
    shutil.rmtree(out)
    return {
        "codec": codec,
        "killed_at_bytes": left,
        "of_bytes": figures["blob_bytes"],
        "weights_kept": again["resumed"],
        "of_weights": again["tensors"],
        "resumed_s": round(again["wall_s"], 2),
        "whole_s": round(figures["wall_s"], 2),
        "files": len(expected),
        "byte_identical": same,
    }


def row(codec: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum up the runs of one codec."""
    rates = [run["source_bytes"] / 1e6 / run["wall_s"] for run in runs]
    return {
        "codec": codec,
        "mb_per_s": round(statistics.median(rates), 1),
        "least": round(min(rates), 1),
        "most": round(max(rates), 1),
        "seconds": round(statistics.median(run["wall_s"] for run in runs), 2),
        "verify_seconds": round(statistics.median(run["verify_seconds"] for run in runs), 2),
        "max_rss_mb": round(max(run["max_rss_bytes"] for run in runs) / 1e6),
        "bits_per_weight": runs[0]["bits_per_weight"],
        "codecs": runs[0]["codecs"],
    }


def main() -> int:
    """Run the command: 1 if a resumed export differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model", type=Path, help="Hugging Face folder")
    parser.add_argument("scratch", type=Path, help="folder for the exports, which are deleted again")
    parser.add_argument("--codecs", nargs="+", default=["packed", "ans", "auto"])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--cold", action="store_true", help="drop the source from the page cache before each export")
    parser.add_argument("--kill", action="store_true", help="kill one export of each codec half-way, and resume it")
    args = parser.parse_args()
    args.scratch.mkdir(parents=True, exist_ok=True)
    runs: dict[str, list[dict[str, Any]]] = {codec: [] for codec in args.codecs}
    for _ in range(args.repetitions):
        for codec in args.codecs:
            if args.cold:
                drop_from_cache(args.model)
            runs[codec].append(export(args.model, args.scratch / "out", codec))
            shutil.rmtree(args.scratch / "out")
    resumed = [resume(args.model, args.scratch, codec) for codec in args.codecs] if args.kill else []
    result = {
        "model": args.model.name,
        "cpus": len(os.sched_getaffinity(0)),
        "cold": args.cold,
        "repetitions": args.repetitions,
        "rates": [row(codec, done) for codec, done in runs.items() if done],
        "resumed": resumed,
    }
    print(json.dumps(result, indent=1))
    return 0 if all(entry["byte_identical"] for entry in resumed) else 1


if __name__ == "__main__":
    sys.exit(main())
