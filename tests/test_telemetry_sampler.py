"""The sampling thread: what it costs, energy from its samples, and figures that are unavailable instead of 0."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.bench.telemetry import Reading, Sampler, Sources, discover, energy_between
from edge_runtime.bench.telemetry.sampler import CPU_LIMIT
from edge_runtime.io.typed_json import write

WAIT_SECONDS = 20


class Steady:
    """A source of constant power that takes `work_s` of CPU time a reading."""

    name = "steady"

    def __init__(self, watts: float, work_s: float = 0.0, interval_s: float = 0.0) -> None:
        self.interval_s = interval_s
        self.reads = 0
        self._watts = watts
        self._work_s = work_s

    def read(self) -> Reading:
        self.reads += 1
        end = time.thread_time() + self._work_s
        while time.thread_time() < end:
            pass
        return Reading(power_w=self._watts, power_basis="test bench")

    def close(self) -> None:
        pass


def sample(sampler: Sampler, count: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while len(sampler.telemetry().samples) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_energy_of_constant_power_is_power_times_time() -> None:
    samples = [(float(second), 5.0) for second in range(11)]
    energy = energy_between(samples, [(1.5, 3.25), (7.0, 9.0)], 2.0)
    assert energy.joules == pytest.approx(5 * 3.75)
    assert energy.per_token(15) == pytest.approx(1.25)
    assert energy.per_token(0) is None


def test_energy_of_a_ramp_is_exact_between_samples() -> None:
    assert energy_between([(0, 0), (10, 100)], [(2, 6)], 20).joules == pytest.approx(160)


@settings(deadline=None)  # of a busy machine
@given(
    st.lists(st.floats(0, 100), min_size=3, max_size=30),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_energy_lies_between_least_and_most_power(watts: list[float], one: float, other: float) -> None:
    samples = [(float(index), value) for index, value in enumerate(watts)]
    start, end = sorted((one * (len(watts) - 1), other * (len(watts) - 1)))
    joules = energy_between(samples, [(start, end)], 2.0).joules
    assert joules is not None
    slack = 1e-9 + 1e-9 * max(watts)
    assert min(watts) * (end - start) - slack <= joules <= max(watts) * (end - start) + slack


@pytest.mark.parametrize(
    ("samples", "stretches", "reason"),
    [
        ([], [(0, 1)], "0 power samples"),
        ([(0.5, 3.0)], [(0, 1)], "1 power samples"),
        ([(0, 3.0), (1, 3.0), (9, 3.0)], [(0, 9)], "missing for over 2 s"),
        ([(0, 3.0), (1, 3.0)], [(0, 9)], "missing for over 2 s"),
        ([(8, 3.0), (9, 3.0)], [(0, 9)], "missing for over 2 s"),
    ],
)
def test_energy_without_enough_samples_is_unavailable(
    samples: list[tuple[float, float]], stretches: list[tuple[float, float]], reason: str
) -> None:
    energy = energy_between(samples, stretches, 2.0)
    assert energy.joules is None
    assert energy.per_token(4) is None
    assert reason in (energy.reason or "")


def test_sampler_power_gives_joules_of_a_stretch() -> None:
    with Sampler(Sources((Steady(4.0),), {}), interval_s=0.01) as sampler:
        start = time.monotonic()
        sample(sampler, 10)
        end = time.monotonic()
    energy = sampler.telemetry().energy([(start, end)])
    assert energy.joules == pytest.approx(4.0 * (end - start), rel=1e-6)
    assert sampler.telemetry().record(start).power.basis == "test bench"


def test_sampler_without_power_gives_the_reason_and_no_figure(tmp_path: Path) -> None:
    with Sampler(discover(tmp_path, commands="/nonexistent"), interval_s=0.01) as sampler:
        sample(sampler, 3)
    telemetry = sampler.telemetry()
    energy = telemetry.energy([(0.0, time.monotonic())])
    assert energy.joules is None
    assert "tegrastats: not installed" in (energy.reason or "")
    values = write(telemetry.record(0.0))
    assert values["power"] == {"unavailable": energy.reason}
    assert isinstance(values["samples"], list)
    assert all(set(item) == {"t_s"} for item in values["samples"])


def test_sampler_expensive_source_is_asked_less_often_until_it_costs_under_the_limit() -> None:
    source = Steady(1.0, work_s=0.002)
    with Sampler(Sources((source,), {}), interval_s=0.01) as sampler:
        sample(sampler, 8)
    telemetry = sampler.telemetry()
    assert telemetry.interval_s >= 0.002 / CPU_LIMIT
    gaps = [after[0] - before[0] for before, after in zip(telemetry.samples[-3:], telemetry.samples[-2:], strict=False)]
    assert all(0.002 / gap < CPU_LIMIT for gap in gaps)


def test_sampler_real_sources_cost_under_one_percent() -> None:
    """CPU time of this machine's own sources, by the CPU clock of the thread: what else runs does not count."""
    with Sampler(discover(commands="/nonexistent"), interval_s=0.5) as sampler:
        sample(sampler, 5)
    assert sampler.telemetry().cpu_fraction < CPU_LIMIT


def test_sampler_source_with_an_interval_is_asked_once_in_it() -> None:
    source = Steady(1.0, interval_s=60.0)
    with Sampler(Sources((source,), {}), interval_s=0.01) as sampler:
        sample(sampler, 10)
    assert source.reads == 1
    assert all(reading.power_w == 1.0 for _, reading in sampler.telemetry().samples)


def test_reading_merge_takes_only_what_is_missing() -> None:
    reading = Reading(power_w=2.0, power_basis="rail VDD_IN", temperatures_c={"cpu": 40.0}, unknown=["a"])
    reading.merge(Reading(power_w=9.0, power_basis="RAPL", temperatures_c={"cpu": 1.0, "gpu": 30.0}, unknown=["b"]))
    assert (reading.power_w, reading.power_basis) == (2.0, "rail VDD_IN")
    assert reading.temperatures_c == {"cpu": 40.0, "gpu": 30.0}
    assert reading.unknown == ["a", "b"]
