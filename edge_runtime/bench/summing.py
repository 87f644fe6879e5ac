"""What follows from the samples of a finished run: sums a test, and warnings about the run."""

from __future__ import annotations

from typing import Any

from edge_runtime.bench.disturbance import disturbed, others_share
from edge_runtime.bench.results import label, summary
from edge_runtime.bench.telemetry import Telemetry

NOISE_LIMIT = 0.05
"""Relative deviation of the repetitions above which a figure is called noisy."""

BUSY_LIMIT = 0.15
"""Share of the CPUs used by other programs above which a run is called disturbed."""

_CACHED_LIMIT = 0.01
_SAMPLING_LIMIT = 0.01
_TIMES = ("started", "ended")


def finish_test(test: dict[str, Any], telemetry: Telemetry, zero: float) -> None:
    """Add energy, peak memory and bytes read per token; times count from `zero` on time.monotonic from now on."""
    repetitions = test["repetitions"]
    stretches = [(repetition["started"], repetition["ended"]) for repetition in repetitions]
    for repetition in repetitions:
        for name in _TIMES:
            repetition[f"{name}_s"] = round(repetition.pop(name) - zero, 6)
    if not repetitions:
        return
    tokens = test["tokens"] * len(repetitions)
    energy = telemetry.energy(stretches)
    joules = energy.per_token(tokens)
    test["energy"] = {"unavailable": energy.reason} if joules is None else {"joules_per_token": joules}
    peaks = [repetition["peak_rss_bytes"] for repetition in repetitions if repetition["peak_rss_bytes"] is not None]
    test["peak_rss_bytes"] = max(peaks, default=None)
    counters = [repetition["counters"] for repetition in repetitions]
    test["bytes_read_per_token"] = sum(count["bytes_read"] for count in counters) / tokens if all(counters) else None


def machine_share(tests: list[dict[str, Any]]) -> float | None:
    """Share of the CPUs' time that other programs had while anything was timed; None where that is unknown."""
    return others_share([repetition for test in tests for repetition in test["repetitions"]])


def busy_share(result: dict[str, Any]) -> float:
    """Share of the CPUs' time that other programs had, else just before the run; 0 where it is unknown."""
    during = result["environment"].get("cpu_busy_others")
    return float(result["environment"].get("cpu_busy_before") or 0.0) if during is None else float(during)


def warnings_of(result: dict[str, Any], checks: list[dict[str, Any]], interrupted: bool) -> list[str]:
    """Return what a reader of the result should be careful about."""
    found = ["interrupted: not all repetitions were made"] if interrupted else []
    environment = result["environment"]
    if busy_share(result) > BUSY_LIMIT:
        found.append(f"the machine was busy: other programs used {busy_share(result):.0%} of its CPUs")
    if environment.get("governor") not in (None, "performance"):
        found.append(f"the CPU governor is {environment['governor']!r}: clocks follow the load")
    for check in checks[1:]:
        if check["token_ids"] != checks[0]["token_ids"]:
            found.append(
                f"{check['configuration']} generates other tokens than {checks[0]['configuration']}: "
                "their speeds are not of the same work"
            )
    for test in result["tests"]:
        found += [f"{label(test)}: {warning}" for warning in _test_warnings(test)]
    telemetry = result["telemetry"]
    if telemetry["cpu_fraction"] > _SAMPLING_LIMIT:
        found.append(f"sampling telemetry took {telemetry['cpu_fraction']:.1%} of a core")
    found += telemetry["unreadable"].values()
    throttled = {note for sample in telemetry["samples"] for note in sample.get("notes", {}).values()}
    return found + [f"the board says: {note}" for note in sorted(throttled)]


def _test_warnings(test: dict[str, Any]) -> list[str]:
    if test.get("failed"):
        return [f"failed: {test['failed']}"]
    found = []
    speed = summary(test)
    spread = speed.relative_deviation if speed is not None else None
    if spread is not None and spread > NOISE_LIMIT:
        found.append(f"noisy: repetitions deviate by {spread:.0%}")
    waited = sum(disturbed(repetition) for repetition in test["repetitions"])
    if waited:
        found.append(f"disturbed: {waited} of {len(test['repetitions'])} repetitions waited for other programs")
    cached = max((repetition.get("cached_before") or 0.0 for repetition in test["repetitions"]), default=0.0)
    if cached > _CACHED_LIMIT:
        found.append(
            f"not cold: {cached:.0%} of the model's files stayed in the page cache (tmpfs, or mapped elsewhere)"
        )
    unclaimed = max((repetition["counters"].get("nodes_unclaimed", 0) for repetition in test["repetitions"]), default=0)
    if unclaimed:
        found.append(f"{unclaimed} compressed weights ran through the slower fallback operator")
    return found
