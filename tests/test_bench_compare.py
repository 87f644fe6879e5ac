"""Comparing two results: equal runs, slower runs, noise; the statistics against tables and properties."""

from __future__ import annotations

import json
import math
import random
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench_results import a_result, make_test
from hypothesis import given
from hypothesis import strategies as st
from real_models import RunPython

from edge_runtime.bench.comparison import compare, differences
from edge_runtime.bench.result_file import save_result
from edge_runtime.bench.results import Result
from edge_runtime.bench.statistics import Estimate, Ratio, estimate, ratio, student_quantile, summarise

LPC_BENCH = "from edge_runtime.cli.bench import main; main()"
RECORDED = json.loads((Path(__file__).parent / "recorded_runs.json").read_text(encoding="utf-8"))
POSITIVE = st.lists(st.floats(0.1, 1e4), min_size=2, max_size=7)
ROUNDS = 5


def noisy(rng: random.Random, factor: float, noise: float, mood: float = 0.004) -> Result:
    """A run of two tests in rounds; each round has a mood of its own that its repetitions share."""

    def test(kind: str, speed: float) -> dict[str, Any]:
        moods = [rng.lognormvariate(0, mood) for _ in range(ROUNDS)]
        speeds = [speed * factor * one * rng.lognormvariate(0, noise) for one in moods for _ in range(5)]
        return make_test(kind, speeds, rounds=ROUNDS, waits=[0.002] * len(speeds))

    return a_result(test("pp", 400), test("tg", 20))


def braked(rng: random.Random, factor: float, share: float, others: float) -> Result:
    """A run beside programs that take a CPU away in a `share` of the repetitions, for about half of the time."""
    waits = [rng.uniform(0.3, 0.7) if rng.random() < share else 0.003 for _ in range(40)]
    speeds = [factor * 400 * (1 - wait) * rng.lognormvariate(0, 0.01) for wait in waits]
    return a_result(make_test("pp", speeds, rounds=8, waits=waits, others=others))


@pytest.mark.parametrize(("noise", "mood"), [(0.002, 0.004), (0.02, 0.02), (0.2, 0.004)])
@pytest.mark.parametrize("seed", range(3))
def test_compare_of_equal_runs_says_no_difference_19_times_in_20(noise: float, mood: float, seed: int) -> None:
    rng = random.Random(seed)
    pairs = [(noisy(rng, 1, noise, mood), noisy(rng, 1, noise, mood)) for _ in range(40)]
    verdicts = [{item.verdict for item in compare(a, b)} for a, b in pairs]
    assert verdicts.count({"no difference"}) >= 38


@pytest.mark.parametrize("seed", range(3))
def test_compare_of_a_run_10_percent_slower_finds_it(seed: int) -> None:
    rng = random.Random(seed)
    found = [compare(noisy(rng, 1, 0.03, 0.005), noisy(rng, 0.9, 0.03, 0.005)) for _ in range(20)]
    assert sum(all(item.verdict == "slower" for item in items) for items in found) >= 19
    assert all(abs(item.ratio - 0.9) < 0.06 for items in found for item in items)


@pytest.mark.parametrize("seed", range(3))
def test_compare_leaves_out_what_waited_for_other_programs(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(10):
        first = braked(rng, 1, 0.3, 0.1)
        equal, slower = compare(first, braked(rng, 1, 0.6, 0.1))[0], compare(first, braked(rng, 0.9, 0.6, 0.1))[0]
        assert (equal.verdict, slower.verdict) == ("no difference", "slower")
        assert equal.ratio == pytest.approx(1, abs=0.02)
        assert not [warning for warning in equal.warnings if "disturbed" in warning]


def test_compare_where_everything_waited_gives_no_verdict() -> None:
    rng = random.Random(5)
    first = braked(rng, 1, 0.2, 0.05)
    found = compare(first, braked(rng, 0.9, 1.0, 0.7))[0]
    assert found.verdict == "unknown"
    assert "B is disturbed: 40 of 40 repetitions waited for other programs: measure it again" in found.warnings
    assert any("quieten the machine, or measure with --precision" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ("quiet", "quiet again", "no difference"),
        ("quiet", "quiet, slower", "slower"),
        ("one process", "one process again", "no difference"),
        ("one process", "one process, slower", "slower"),
        ("one process", "one process beside others", "no difference"),
        ("quiet", "beside others", "no difference"),
        ("quiet, slower", "beside others", "faster"),
        ("quiet", "under load", "unknown"),
        ("quiet", "under load, slower", "unknown"),
    ],
)
def test_compare_of_recorded_runs(a: str, b: str, verdict: str) -> None:
    """Runs of one model, and of one with 20 layers for 18 ("slower"), recorded by benchmarks/compare_check.py."""
    found = compare(recorded(a), recorded(b))[0]
    assert found.verdict == verdict
    if "load" not in b:
        assert found.ratio == pytest.approx(0.9 if "slower" in b else 1.11 if "slower" in a else 1, abs=0.025)
    else:
        assert any("is disturbed" in warning for warning in found.warnings)


def recorded(name: str) -> Result:
    """A run whose repetitions were recorded on a real machine, quiet or not."""
    names, runs = RECORDED["columns"], RECORDED["runs"]
    test = make_test("pp", [1.0])
    test["repetitions"] = [dict(zip(names, values, strict=True)) for values in runs[name]]
    for repetition in test["repetitions"]:
        repetition["tokens_per_s"] = 64 / repetition["seconds"]
    return a_result(test)


def test_compare_beside_a_busy_neighbour_widens_the_interval() -> None:
    def width(others: float) -> float:
        a = a_result(make_test("tg", [10.0, 10.1, 9.9] * 5, rounds=5, waits=[0.001] * 15, others=others))
        found = compare(a, a)[0]
        return math.log(found.high or 0)

    assert width(0.0) == pytest.approx(2.576 * math.sqrt(2) * 0.01, rel=0.01)
    assert width(0.5) == pytest.approx(2.576 * math.sqrt(2) * math.hypot(0.01, 0.05), rel=0.01)


def test_compare_of_a_run_with_itself_has_ratio_one() -> None:
    result = noisy(random.Random(1), 1, 0.02)
    assert [(item.ratio, item.verdict) for item in compare(result, result)] == [(1.0, "no difference")] * 2


def test_compare_finds_faster_and_warns_of_noise() -> None:
    quiet = a_result(make_test("tg", [10.0, 10.1, 9.9]))
    assert compare(quiet, a_result(make_test("tg", [20.0, 20.1, 19.9])))[0].verdict == "faster"
    wild = compare(quiet, a_result(make_test("tg", [5.0, 10.0, 20.0])))[0]
    assert wild.verdict == "no difference"
    assert "B is noisy: its repetitions deviate by 65%" in wild.warnings
    assert any("only a difference above" in warning for warning in wild.warnings)


def test_compare_small_sure_difference_is_none() -> None:
    a, b = a_result(make_test("tg", [100.0, 100.001])), a_result(make_test("tg", [101.0, 101.001]))
    assert compare(a, b)[0].verdict == "no difference"


def test_compare_of_runs_beside_other_programs_takes_only_large_differences() -> None:
    a, b = a_result(make_test("tg", [10.0, 10.1])), a_result(make_test("tg", [8.0, 8.1]))
    assert compare(a, b)[0].verdict == "slower"
    a = replace(a, environment=replace(a.environment, cpu_busy_others=0.2))
    assert compare(a, b)[0].verdict == "no difference"
    assert compare(a, a_result(make_test("tg", [4.0, 4.1])))[0].verdict == "slower"


def test_compare_one_repetition_gives_no_verdict() -> None:
    found = compare(a_result(make_test("tg", [10.0])), a_result(make_test("tg", [20.0])))[0]
    assert (found.verdict, found.low) == ("unknown", None)
    assert found.ratio == pytest.approx(2)
    assert "A has one repetition: measure with -r 5 or more" in found.warnings


def test_compare_matches_only_the_same_configuration() -> None:
    a = a_result(make_test("tg", [1.0, 2.0], threads=1), make_test("tg", [1.0, 2.0], threads=2))
    b = a_result(make_test("tg", [1.0, 2.0], threads=2), make_test("tg", [1.0, 2.0], threads=2, mode="cold"))
    assert [item.test for item in compare(a, b)] == ["tg128, lpc, 2 threads, warm"]


def test_compare_leaves_failed_tests_out() -> None:
    a = a_result(make_test("tg", [], failed="killed"))
    assert compare(a, a_result(make_test("tg", [1.0, 2.0]))) == []


def test_differences_name_what_else_changed() -> None:
    a = a_result(make_test("tg", [1.0]))
    b = a_result(make_test("tg", [1.0]), build={"version": "0.1.0", "isa": "avx2"}, check={"token_ids": [9]})
    assert differences(a, a) == []
    assert differences(a, b) == [
        "build.isa: neon -> avx2",
        f"build.library_sha256: {'ab' * 6}... -> None",
        "the generated token ids differ: the two did not do the same work",
    ]


@pytest.mark.parametrize(
    ("probability", "freedom", "expected"),
    [(0.975, 1, 12.7062), (0.975, 4, 2.77645), (0.995, 8, 3.35539), (0.9, 30, 1.31042), (0.975, 1e9, 1.95996)],
)
def test_student_quantile_agrees_with_tables(probability: float, freedom: float, expected: float) -> None:
    assert student_quantile(probability, freedom) == pytest.approx(expected, rel=1e-5)


def ratio_of(a: list[float], b: list[float], confidence: float = 0.99, deviation: float = 0.0) -> Ratio:
    return ratio(estimate([a], deviation), estimate([b], deviation), confidence)


@given(POSITIVE, POSITIVE)
def test_ratio_is_of_geometric_means_and_inside_its_interval(a: list[float], b: list[float]) -> None:
    found = ratio_of(a, b, 0.99, 0.01)
    assert found.ratio == pytest.approx(statistics.geometric_mean(b) / statistics.geometric_mean(a))
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.ratio < found.high
    back = ratio_of(b, a, 0.99, 0.01)
    assert back.low == pytest.approx(1 / found.high)


@given(POSITIVE, st.floats(0.1, 10))
def test_ratio_of_a_scaled_run_is_the_scale(a: list[float], scale: float) -> None:
    assert ratio_of(a, [scale * value for value in a]).ratio == pytest.approx(scale)


def test_ratio_interval_agrees_with_a_worked_example() -> None:
    """Welch on logarithms 0, 1, 2 and 1, 3, 5: difference 2, variance 1/3 + 4/3, 2.9412 degrees of freedom."""
    found = ratio_of([math.exp(x) for x in (0, 1, 2)], [math.exp(x) for x in (1, 3, 5)], 0.95)
    assert found.high is not None
    half = math.log(found.high) - 2
    assert half == pytest.approx(3.2213 * math.sqrt(5 / 3), rel=2e-3)


def test_estimate_of_rounds_takes_each_for_one_value() -> None:
    """Rounds of logarithms whose means without the slowest quarter are 1, 2 and 3: variance of the mean 1/3."""
    rounds = [[math.exp(mean + x) for x in (-5, -0.1, 0, 0.1)] for mean in (1, 2, 3)]
    found = estimate(rounds)
    assert found == Estimate(pytest.approx(2), pytest.approx(1 / 3), 2.0)
    assert found.half_width(0.95) == pytest.approx(student_quantile(0.975, 2) / math.sqrt(3))
    assert estimate([[math.e]]).half_width(0.95) is None


def test_estimate_leaves_out_rounds_that_something_slowed_down() -> None:
    rounds = [[100.0 + number / 10, 99.0] for number in range(7)] + [[50.0, 51.0, 52.0]] * 2
    found = estimate(rounds)
    assert math.exp(found.log_mean) == pytest.approx(99.6, rel=2e-3)
    assert 0 < (found.half_width(0.99) or 1) < 0.01


def test_estimate_without_the_slowest_agrees_with_a_worked_example() -> None:
    """Logarithms 0, 0, 4 ... 6 winsorise to 4, 4, 4 ... 6: Yuen's variance by hand."""
    logs = [0, 0, 4, 4, 5, 5, 6, 6]
    found = estimate([[math.exp(x) for x in logs]])
    assert found.log_mean == pytest.approx(5)
    winsorised = [4, 4, 4, 4, 5, 5, 6, 6]
    assert found.variance == pytest.approx(statistics.variance(winsorised) * 7 / (6 * 5))
    assert found.freedom == 5


def test_summarise_one_sample_has_no_deviation() -> None:
    found = summarise([3.0])
    assert (found.deviation, found.relative_deviation) == (None, None)


def test_command_prints_verdicts_and_fails_when_asked(tmp_path: Path, run_python: RunPython) -> None:
    save_result(tmp_path / "a.json", a_result(make_test("tg", [10.0, 10.1, 9.9])))
    save_result(tmp_path / "b.json", a_result(make_test("tg", [5.0, 5.1, 4.9])))
    arguments = ("compare", str(tmp_path / "a.json"), str(tmp_path / "b.json"))
    done = run_python(LPC_BENCH, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "10.00 -> 5.00 tokens/s, ratio 0.500" in done.stdout
    assert ": slower" in done.stdout
    assert run_python(LPC_BENCH, *arguments, "--fail-slower").returncode == 1
    values = json.loads(run_python(LPC_BENCH, *arguments, "--json").stdout)
    assert values["tests"][0]["verdict"] == "slower"


def test_command_without_a_common_test_says_what_to_do(tmp_path: Path, run_python: RunPython) -> None:
    save_result(tmp_path / "a.json", a_result(make_test("tg", [1.0])))
    save_result(tmp_path / "b.json", a_result(make_test("pp", [1.0])))
    done = run_python(LPC_BENCH, "compare", str(tmp_path / "a.json"), str(tmp_path / "b.json"))
    assert done.returncode == 1
    assert "have no test in common: measure both with the same options" in done.stderr
