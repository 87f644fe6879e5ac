"""What follows from the samples of a finished run: sums a test, and warnings about the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edge_runtime.bench.disturbance import disturbed, others_share
from edge_runtime.bench.results import Check, Result, Test, TestEnergy
from edge_runtime.bench.telemetry import Telemetry

NOISE_LIMIT = 0.05
"""Relative deviation of the repetitions above which a figure is called noisy."""

BUSY_LIMIT = 0.15
"""Share of the CPUs used by other programs above which a run is called disturbed."""

_CACHED_LIMIT = 0.01
_SAMPLING_LIMIT = 0.01


def finished(test: Test, telemetry: Telemetry, zero: float) -> Test:
    """Return a test with energy, peak memory and bytes per token; its times count from `zero` on time.monotonic."""
    repetitions = test.repetitions
    if not repetitions:
        return test
    tokens = test.tokens * len(repetitions)
    stretches = [(zero + (each.started_s or 0.0), zero + (each.ended_s or 0.0)) for each in repetitions]
    energy = telemetry.energy(stretches)
    joules = energy.per_token(tokens)
    peaks = [each.peak_rss_bytes for each in repetitions if each.peak_rss_bytes is not None]
    counters = [each.counters for each in repetitions]
    return replace(
        test,
        energy=TestEnergy(unavailable=energy.reason) if joules is None else TestEnergy(joules_per_token=joules),
        peak_rss_bytes=max(peaks, default=None),
        bytes_read_per_token=sum(each["bytes_read"] for each in counters) / tokens if all(counters) else None,
    )


def machine_share(tests: Sequence[Test]) -> float | None:
    """Share of the CPUs' time that other programs had while anything was timed; None where that is unknown."""
    return others_share([repetition for test in tests for repetition in test.repetitions])


def busy_share(result: Result) -> float:
    """Share of the CPUs' time that other programs had, else just before the run; 0 where it is unknown."""
    during = result.environment.cpu_busy_others
    return float(result.environment.cpu_busy_before or 0.0) if during is None else float(during)


def warnings_of(result: Result, checks: Sequence[Check], interrupted: bool) -> list[str]:
    """Return what a reader of the result should be careful about."""
    found = ["interrupted: not all repetitions were made"] if interrupted else []
    if busy_share(result) > BUSY_LIMIT:
        found.append(f"the machine was busy: other programs used {busy_share(result):.0%} of its CPUs")
    if result.environment.governor not in (None, "performance"):
        found.append(f"the CPU governor is {result.environment.governor!r}: clocks follow the load")
    found += [
        f"{check.configuration} generates other tokens than {checks[0].configuration}: their speeds are not of the "
        "same work"
        for check in checks[1:]
        if check.token_ids != checks[0].token_ids
    ]
    found += [f"{test.label}: {warning}" for test in result.tests for warning in _test_warnings(test)]
    telemetry = result.telemetry
    if telemetry.cpu_fraction > _SAMPLING_LIMIT:
        found.append(f"sampling telemetry took {telemetry.cpu_fraction:.1%} of a core")
    found += telemetry.unreadable.values()
    throttled = {note for sample in telemetry.samples for note in sample.notes.values()}
    return found + [f"the board says: {note}" for note in sorted(throttled)]


def _test_warnings(test: Test) -> list[str]:
    if test.failed:
        return [f"failed: {test.failed}"]
    found = []
    speed = test.summary
    spread = speed.relative_deviation if speed is not None else None
    if spread is not None and spread > NOISE_LIMIT:
        found.append(f"noisy: repetitions deviate by {spread:.0%}")
    waited = sum(map(disturbed, test.repetitions))
    if waited:
        found.append(f"disturbed: {waited} of {len(test.repetitions)} repetitions waited for other programs")
    cached = max((each.cached_before or 0.0 for each in test.repetitions), default=0.0)
    if cached > _CACHED_LIMIT:
        found.append(
            f"not cold: {cached:.0%} of the model's files stayed in the page cache (tmpfs, or mapped elsewhere)"
        )
    unclaimed = max((each.counters.get("nodes_unclaimed", 0) for each in test.repetitions), default=0)
    if unclaimed:
        found.append(f"{unclaimed} compressed weights ran through the slower fallback operator")
    return found
