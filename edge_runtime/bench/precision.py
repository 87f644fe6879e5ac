"""How often to repeat: a fixed number, or until the means are known precisely enough (`--precision`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from edge_runtime.bench.results import Test
from edge_runtime.bench.samples import CONFIDENCE, sample

LEAST_ROUNDS = 5
"""Rounds before a spread between them is believed."""


@dataclass(frozen=True)
class Precision:
    """Repeat until every test's mean is known to within `share`, but for no longer than `at_most_s` seconds."""

    share: float
    at_most_s: float = 300.0


def half_width(test: Test) -> float | None:
    """Half of the interval of a test's mean, as a share of it; None if its repetitions show none.

    It holds the mean with CONFIDENCE as far as this run can tell; what differs between runs is not in it.
    """
    return sample(test).estimate.half_width(CONFIDENCE) if test.repetitions else None


def rounds(
    precision: Precision | None, least: int, tests: Callable[[], Sequence[Test]], say: Callable[[str], None]
) -> Iterator[int]:
    """Yield the number of each round to make: `least`, and more until the tests that have not failed are precise.

    `tests` returns the tests as they are by now.
    """
    started = time.monotonic()
    least = least if precision is None else max(least, LEAST_ROUNDS)
    number = 0
    while True:
        yield number
        number += 1
        going = [test for test in tests() if not test.failed]
        if not going or (number >= least and (precision is None or all(_precise(test, precision) for test in going))):
            return
        if precision is not None and (time.monotonic() - started) * (number + 1) / number > precision.at_most_s:
            return
        if precision is not None and number >= least:
            known = max(half_width(test) or 1.0 for test in going)
            say(f"after {number} rounds the means are known to {known:.1%}; asked for: {precision.share:.1%}")


def missed(tests: Sequence[Test], precision: Precision | None) -> list[str]:
    """Return a line for each test whose mean is not known as precisely as was asked for."""
    found = []
    for test in tests:
        if precision is not None and test.repetitions and not _precise(test, precision):
            width = half_width(test)
            known = "unknown" if width is None else f"{width:.1%}"
            found.append(
                f"{test.label}: the precision of {precision.share:.1%} was not reached in {precision.at_most_s:g} s: "
                f"it is {known}"
            )
    return found


def _precise(test: Test, precision: Precision) -> bool:
    width = half_width(test)
    return width is not None and width <= precision.share and sample(test).alone
