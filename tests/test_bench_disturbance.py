"""What others did to a repetition, and how often to repeat: counters of a real process, rules on made-up ones."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from bench_results import a_test
from real_models import RunPython

from edge_runtime.bench import precision, results
from edge_runtime.bench.disturbance import Disturbance, disturbed, others_share
from edge_runtime.bench.precision import LEAST_ROUNDS, Precision, half_width, missed, rounds
from edge_runtime.bench.results import CpuTimes, Repetition
from edge_runtime.bench.samples import sample
from edge_runtime.bench.telemetry.procfs import cpu_times, machine_times

# Works for 0.2 s of CPU time on one CPU, alone or beside another process that wants it.
_WORK = """
import json, os, subprocess, sys, time
from edge_runtime.bench.disturbance import Disturbance
from edge_runtime.io.typed_json import write
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
rival = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if sys.argv[1] == "rival" else None
before, started = Disturbance.now(), time.perf_counter()
while time.process_time() - before.cpu < 0.2:
    pass
found = write(Disturbance.now().seconds(before)) | {"seconds": time.perf_counter() - started}
if rival:
    rival.kill()
print(json.dumps(found))
"""


def repetition(seconds: float, times: CpuTimes) -> Repetition:
    return Repetition(seconds=seconds, tokens_per_s=1.0, times=times)


def test_disturbance_counts_the_wait_for_a_cpu(run_python: RunPython) -> None:
    done = run_python(_WORK, "rival")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["cpu_seconds"] == pytest.approx(0.2, abs=0.05)
    # All the time that was not worked was waited, but for the reading of the counters itself.
    assert found["wait_seconds"] == pytest.approx(found["seconds"] - found["cpu_seconds"], abs=0.02)
    assert disturbed(repetition(found.pop("seconds"), CpuTimes(**found)))
    assert found["others_seconds"] > 0.05


def test_disturbance_where_the_system_does_not_tell_is_unknown_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_runtime.bench.disturbance._waits", dict)
    monkeypatch.setattr("edge_runtime.bench.disturbance.machine_times", lambda: None)
    found = Disturbance.now().seconds(Disturbance.now())
    assert [name for name, value in asdict(found).items() if value is not None] == ["cpu_seconds"]
    assert not disturbed(repetition(1.0, found))
    assert others_share([repetition(1.0, found)]) is None


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
    assert disturbed(repetition(1.0, CpuTimes(**counters))) is expected


def test_machine_times_tell_what_the_host_took_apart(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("cpu  10 20 30 400 50 6 7 80 9 9\ncpu0 1 2 3\n", encoding="ascii")
    assert machine_times(tmp_path) == (73, 80, 603)
    assert cpu_times(tmp_path) == (153, 603)


def made(speeds: list[list[float]], limit: Precision | None, least: int = 1) -> tuple[int, results.Test]:
    """Rounds that are made when these speeds come out, one round after the other, the last one again and again."""
    tests, count = [replace(a_test("tg", [1.0]), repetitions=())], 0
    for number in rounds(limit, least, lambda: tests, lambda line: None):
        new = a_test("tg", speeds[min(number, len(speeds) - 1)]).repetitions
        more = tuple(replace(each, round=number) for each in new)
        tests[0] = replace(tests[0], repetitions=tests[0].repetitions + more)
        count += 1
    return count, tests[0]


def test_rounds_without_precision_are_a_fixed_number() -> None:
    assert made([[10.0], [20.0]], None, least=7)[0] == 7


def test_rounds_end_as_soon_as_the_mean_is_precise() -> None:
    steady, wild = [[10.0, 10.1], [10.05, 10.0]], [[10.0], [12.0], [9.0], [11.0], [10.0]]
    assert made(steady * 3, Precision(0.03))[0] == LEAST_ROUNDS
    count, test = made(wild * 100, Precision(0.03))
    assert count > 30
    assert (half_width(test) or 1) <= 0.03
    assert missed([test], Precision(0.03)) == []


def test_rounds_end_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(precision.time, "monotonic", lambda: float(next(clock)))
    limit = Precision(0.001, at_most_s=45)
    count, test = made([[10.0], [20.0]] * 20, limit)
    assert count == 4
    assert "the precision of 0.1% was not reached in 45 s" in missed([test], limit)[0]


def test_rounds_of_failed_tests_end() -> None:
    test = a_test("tg", [], failed="killed")
    assert list(rounds(Precision(0.01), 1, lambda: [test], lambda line: None)) == [0]


def test_sample_counts_all_repetitions_only_where_too_few_were_undisturbed() -> None:
    speeds, waits = [100.0] * 4 + [50.0] * 4, [0.0] * 4 + [0.5] * 4
    good = sample(a_test("tg", speeds, waits=waits))
    assert (good.alone, good.disturbed, good.tokens_per_s) == (True, 4, pytest.approx(100))
    waits[0] = 0.5
    bad = sample(a_test("tg", speeds, waits=waits))
    assert (bad.alone, bad.disturbed, len(bad.speeds)) == (False, 5, 8)
