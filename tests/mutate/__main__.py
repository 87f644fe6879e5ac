"""The command `make mutate`: see docs/security.md."""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a process that forks has no threads

from mutate import child, harness, kinds


def main() -> int:
    """Try the cases; exit code 1 if one failed."""
    options = _options()
    warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
    child.warm_up()
    wanted = options.only or list(kinds.KINDS)
    ok = True
    for name in wanted:
        count = getattr(options, name)
        numbers = range(count) if options.cases is None else options.cases
        if not numbers:
            continue
        started = time.monotonic()
        kind = kinds.KINDS[name](tuple(base for base in kinds.KINDS[name].bases if base in options.bases))
        tally = harness.try_all(kind, options.seed, numbers, options.jobs, options.keep, options.seconds)
        done = sum(tally.outcomes.values())
        print(f"{name}: {done} of {len(numbers)} in {time.monotonic() - started:.0f} s: {tally.line()}", flush=True)
        ok = ok and not tally.failures and (done == len(numbers) or options.seconds != float("inf"))
    if not ok:
        print(f"the smallest inputs that fail, with a run.sh each, are in {options.keep}", file=sys.stderr)
    return 0 if ok else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("mutate", description="Try mutated inputs, each in a process of its own.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=kinds.KINDS, help="this kind only; may be repeated")
    parser.add_argument("--cases", type=_span, metavar="A..B", help="these cases of each kind, B included")
    parser.add_argument(
        "--bases", type=lambda text: text.split(","), default=(), help="where a kind has one of these, these only"
    )
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no case of a kind after so long")
    parser.add_argument("--keep", type=Path, default=Path("build/mutate"), help="where inputs that fail are kept")
    for name, count in kinds.COUNTS.items():
        parser.add_argument(f"--{name}", type=int, default=count, metavar="N", help=f"so many cases [{count}]")
    options = parser.parse_args()
    options.keep = options.keep.resolve()
    return options


def _span(text: str) -> range:
    first, _, last = text.partition("..")
    return range(int(first), int(last or first) + 1)


if __name__ == "__main__":
    sys.exit(main())
