"""Which repetitions of a test count, and what they say of its speed: the rule of `compare` and of `--precision`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_runtime.bench.disturbance import disturbed, others_share
from edge_runtime.bench.results import Repetition, Test
from edge_runtime.bench.statistics import LEAST_ROUNDS, Estimate, estimate

CONFIDENCE = 0.99
"""Of all intervals of a comparison together: a false difference is found in one of a hundred pairs of equal runs."""

LEAST_UNDISTURBED = 4
"""Undisturbed repetitions from which on they alone count."""

RUN_DEVIATION = 0.01
"""Relative deviation between two runs of the same thing that even the rounds within a run do not show."""

PROCESS_DEVIATION = 0.02
"""The same where a run was one process: how its memory came to lie is the same in all of its repetitions."""

DEVIATION_BESIDE = 0.1
"""Deviation for each share of the CPUs that others had during repetitions that did not wait: caches and the memory bus
are shared. Measured: 2 to 6 % beside a program that keeps one of two CPUs busy."""

DEVIATION_DISTURBED = 0.5
"""The same if repetitions that did wait count as well: what others take varies by as much."""


@dataclass(frozen=True)
class Sample:
    """The repetitions of a test that count. `alone`: only those that did not wait for others."""

    speeds: tuple[float, ...]
    estimate: Estimate
    alone: bool
    disturbed: int
    count: int

    @property
    def tokens_per_s(self) -> float:
        """The geometric mean that comparisons are made with."""
        return math.exp(self.estimate.log_mean)


def sample(test: Test, others: float = 0.0) -> Sample:
    """Return what a test with at least one repetition says.

    `others` is the share of the CPUs that other programs had, for results that do not tell it by repetition.
    """
    repetitions: Sequence[Repetition] = test.repetitions
    kept: Sequence[Repetition] = [repetition for repetition in repetitions if not disturbed(repetition)]
    alone = len(kept) >= min(LEAST_UNDISTURBED, len(repetitions))
    kept = kept if alone else repetitions
    rounds = list(_rounds(kept))
    share = others_share(kept)
    told = any(repetition.times.wait_seconds is not None for repetition in kept)
    deviation = math.hypot(
        RUN_DEVIATION if len(rounds) >= LEAST_ROUNDS else PROCESS_DEVIATION,
        (DEVIATION_BESIDE if alone and told else DEVIATION_DISTURBED) * (others if share is None else share),
    )
    return Sample(
        speeds=tuple(speed for one in rounds for speed in one),
        estimate=estimate(rounds, deviation),
        alone=alone,
        disturbed=sum(map(disturbed, repetitions)),
        count=len(repetitions),
    )


def _rounds(repetitions: Sequence[Repetition]) -> Iterable[list[float]]:
    """Tokens per second of the repetitions of each round."""
    found: dict[int, list[float]] = {}
    for repetition in repetitions:
        found.setdefault(repetition.round, []).append(float(repetition.tokens_per_s))
    return found.values()
