"""Compare configurations with transformers: `python -m config_fuzz` with tests/ on the path; needs torch.

PYTHONPATH=tests python -m config_fuzz --random 1000 --edited 500 --jobs 2
PYTHONPATH=tests python -m config_fuzz --record       write the records that the tests replay
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from config_fuzz import draw, named, published, records, trial

_KEY = re.compile(r"^MODEL/config\.json: ([\w., ]+) is ")
_PER_FAMILY, _PER_PUBLISHED, _PER_KEY = 5, 2, 1  # records of configurations that are equal, and that are refused


def main() -> int:
    """Run the command: 1 if a result is wrong."""
    parser = argparse.ArgumentParser("config_fuzz", description="Compare random configurations with transformers.")
    parser.add_argument("--random", type=int, default=1000, metavar="N", help="random configurations [1000]")
    parser.add_argument("--edited", type=int, default=500, metavar="N", help="edited published ones [500]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--log", type=Path, help="a line of JSON for each configuration")
    parser.add_argument("--record", action="store_true", help="write the records that the tests replay")
    options = parser.parse_args()
    if options.record:
        records.write(list(_records(options.seed)))
        return 0
    cases = [*_configs("random", options.seed, options.random), *_configs("edited", options.seed, options.edited)]
    counts: dict[str, Counter[str]] = {"random": Counter(), "edited": Counter()}
    log = options.log.open("w", encoding="utf-8") if options.log else None
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        trials = pool.imap(trial.try_one, [config for _, config in cases], chunksize=4)
        for (kind, _), done in zip(cases, trials, strict=True):
            counts[kind][done.outcome] += 1
            if log:
                print(trial.line(done), file=log, flush=True)
            if done.outcome in trial.FAULTS:
                print(trial.line(done), flush=True)
    for kind, outcomes in counts.items():
        for outcome, count in outcomes.most_common():
            print(f"{kind}: {count} {outcome}")
    return 1 if any(outcomes[fault] for outcomes in counts.values() for fault in trial.FAULTS) else 0


def _configs(kind: str, seed: int, count: int) -> Iterator[tuple[str, draw.Config]]:
    for number in range(count):
        random = Random(f"{kind}-{seed}-{number}")
        yield kind, draw.draw(random) if kind == "random" else published.edit(random)


def _records(seed: int) -> Iterator[dict[str, Any]]:
    """Yield records: those with a name; some that are equal of every family and every published configuration, and one
    for each key that is refused."""
    refused: Counter[str] = Counter()
    for name, config in named.NAMED.items():
        yield {"name": name} | _record(trial.try_one(config))
    for family in draw.FAMILIES:
        drawn = (draw.draw(Random(f"{family}-{seed}-{i}"), family) for i in range(1000))
        yield from _first(drawn, _PER_FAMILY, refused)
    for name in published.PUBLISHED:
        edited = (published.edit(Random(f"{name}-{seed}-{i}"), name) for i in range(1000))
        yield from _first(edited, _PER_PUBLISHED, refused)


def _first(configs: Iterable[draw.Config], wanted: int, refused: Counter[str]) -> Iterator[dict[str, Any]]:
    for config in configs:
        done = trial.try_one(config)
        if done.outcome in (trial.EQUAL, *trial.FAULTS):
            wanted -= 1
            yield _record(done)
        elif done.outcome == trial.REFUSED:
            record = _record(done)
            refused[record["refused"]] += 1
            if refused[record["refused"]] <= _PER_KEY:
                yield record
        if not wanted:
            return


def _record(done: trial.Trial) -> dict[str, Any]:
    """Return a record of a trial; ValueError if its result is wrong."""
    record = {"config": done.config, "tensors": records.folded(done.reference.shapes)}
    key = _KEY.match(done.detail)
    if done.outcome == trial.EQUAL and done.reference.logits is not None:
        return record | records.of_logits(done.reference.logits)
    if done.outcome == trial.REFUSED and key:
        return record | {"refused": key[1]}
    raise ValueError(trial.line(done))


if __name__ == "__main__":
    sys.exit(main())
