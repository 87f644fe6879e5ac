"""What others did to a repetition, and how often to repeat: counters of a real process, rules on made-up ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bench_results import make_test
from real_models import RunPython

from edge_runtime.bench import precision
from edge_runtime.bench.disturbance import FIELDS, Disturbance, disturbed, others_share
from edge_runtime.bench.precision import LEAST_ROUNDS, Precision, half_width, missed, rounds
from edge_runtime.bench.samples import sample
from edge_runtime.bench.telemetry.procfs import cpu_times, machine_times

# Works for 0.2 s of CPU time on one CPU, alone or beside another process that wants it.
_WORK = """
import json, os, subprocess, sys, time
from edge_runtime.bench.disturbance import Disturbance
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
rival = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if sys.argv[1] == "rival" else None
before, started = Disturbance.now(), time.perf_counter()
while time.process_time() - before.cpu < 0.2:
    pass
found = Disturbance.now().seconds(before) | {"seconds": time.perf_counter() - started}
if rival:
    rival.kill()
print(json.dumps(found))
"""


def test_disturbance_counts_the_wait_for_a_cpu(run_python: RunPython) -> None:
    done = run_python(_WORK, "rival")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["cpu_seconds"] == pytest.approx(0.2, abs=0.05)
    # All the time that was not worked was waited, but for the reading of the counters itself.
    assert found["wait_seconds"] == pytest.approx(found["seconds"] - found["cpu_seconds"], abs=0.02)
    assert disturbed(found)
    assert found["others_seconds"] > 0.05


def test_disturbance_where_the_system_does_not_tell_is_unknown_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_runtime.bench.disturbance._waits", dict)
    monkeypatch.setattr("edge_runtime.bench.disturbance.machine_times", lambda: None)
    found = Disturbance.now().seconds(Disturbance.now())
    assert [name for name in FIELDS if found[name] is None] == [name for name in FIELDS if name != "cpu_seconds"]
    assert not disturbed({"seconds": 1.0, **found})
    assert others_share([{"seconds": 1.0, **found}]) is None


@pytest.mark.parametrize(
    ("counters", "expected"),
    [
        ({"cpu_seconds": 0.9, "wait_seconds": 0.019}, False),
        ({"cpu_seconds": 0.9, "wait_seconds": 0.03}, True),
        ({"cpu_seconds": 3.9, "wait_seconds": 0.06}, False),  # four threads that waited 1.5 % each
        ({"cpu_seconds": 0.1, "wait_seconds": 0.015}, False),  # it waited for its storage, not for a CPU
        ({"cpu_seconds": 0.9, "wait_seconds": 0.0, "stolen_seconds": 0.1, "machine_seconds": 2.0}, True),
        ({}, False),
    ],
)
def test_disturbed_is_a_matter_of_the_share_waited(counters: dict[str, float], expected: bool) -> None:
    assert disturbed({"seconds": 1.0, **counters}) is expected


def test_machine_times_tell_what_the_host_took_apart(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("cpu  10 20 30 400 50 6 7 80 9 9\ncpu0 1 2 3\n", encoding="ascii")
    assert machine_times(tmp_path) == (73, 80, 603)
    assert cpu_times(tmp_path) == (153, 603)


def made(test: dict[str, Any], speeds: list[list[float]], limit: Precision | None, least: int = 1) -> int:
    """Rounds that are made when these speeds come out, one round after the other, the last one again and again."""
    test["repetitions"].clear()
    count = 0
    for number in rounds(limit, least, [test], lambda line: None):
        new = make_test("tg", speeds[min(number, len(speeds) - 1)])["repetitions"]
        test["repetitions"] += [repetition | {"round": number} for repetition in new]
        count += 1
    return count


def test_rounds_without_precision_are_a_fixed_number() -> None:
    assert made(make_test("tg", [1.0]), [[10.0], [20.0]], None, least=7) == 7


def test_rounds_end_as_soon_as_the_mean_is_precise() -> None:
    steady, wild = [[10.0, 10.1], [10.05, 10.0]], [[10.0], [12.0], [9.0], [11.0], [10.0]]
    test = make_test("tg", [1.0])
    assert made(test, steady * 3, Precision(0.03)) == LEAST_ROUNDS
    count = made(test, wild * 100, Precision(0.03))
    assert count > 30
    assert (half_width(test) or 1) <= 0.03
    assert missed([test], Precision(0.03)) == []


def test_rounds_end_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(precision.time, "monotonic", lambda: float(next(clock)))
    test = make_test("tg", [1.0])
    limit = Precision(0.001, at_most_s=45)
    assert made(test, [[10.0], [20.0]] * 20, limit) == 4
    assert "the precision of 0.1% was not reached in 45 s" in missed([test], limit)[0]


def test_rounds_of_failed_tests_end() -> None:
    test = make_test("tg", [], failed="killed")
    assert list(rounds(Precision(0.01), 1, [test], lambda line: None)) == [0]


def test_sample_counts_all_repetitions_only_where_too_few_were_undisturbed() -> None:
    speeds, waits = [100.0] * 4 + [50.0] * 4, [0.0] * 4 + [0.5] * 4
    good = sample(make_test("tg", speeds, waits=waits))
    assert (good.alone, good.disturbed, good.tokens_per_s) == (True, 4, pytest.approx(100))
    waits[0] = 0.5
    bad = sample(make_test("tg", speeds, waits=waits))
    assert (bad.alone, bad.disturbed, len(bad.speeds)) == (False, 5, 8)
