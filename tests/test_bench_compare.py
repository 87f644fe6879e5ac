"""Comparing two results: equal runs, slower runs, noise; the statistics against tables and properties."""

from __future__ import annotations

import json
import math
import random
import statistics
from pathlib import Path
from typing import Any

import pytest
from bench_results import make_result, make_test
from hypothesis import given
from hypothesis import strategies as st
from real_models import RunPython

from edge_runtime.bench.compare import compare, differences
from edge_runtime.bench.results import save_result
from edge_runtime.bench.statistics import ratio_of_means, student_quantile, summarise

LPC_BENCH = "from edge_runtime.cli.bench import main; main()"
POSITIVE = st.lists(st.floats(0.1, 1e4), min_size=2, max_size=12)


def noisy(rng: random.Random, factor: float, noise: float, count: int = 5) -> dict[str, Any]:
    """A run of two tests; it also has a mood of its own (1 %) that its repetitions share."""
    mood = factor * rng.lognormvariate(0, 0.01)
    return make_result(
        make_test("pp", [400 * mood * rng.lognormvariate(0, noise) for _ in range(count)]),
        make_test("tg", [20 * mood * rng.lognormvariate(0, noise) for _ in range(count)]),
    )


@pytest.mark.parametrize("noise", [0.002, 0.02, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_compare_of_equal_runs_says_no_difference_19_times_in_20(noise: float, seed: int) -> None:
    rng = random.Random(seed)
    verdicts = [{item.verdict for item in compare(noisy(rng, 1, noise), noisy(rng, 1, noise))} for _ in range(20)]
    assert verdicts.count({"no difference"}) >= 19


@pytest.mark.parametrize("seed", range(3))
def test_compare_of_a_run_10_percent_slower_finds_it(seed: int) -> None:
    rng = random.Random(seed)
    found = [compare(noisy(rng, 1, 0.015), noisy(rng, 0.9, 0.015)) for _ in range(20)]
    assert sum(all(item.verdict == "slower" for item in items) for items in found) >= 19
    assert all(abs(item.ratio - 0.9) < 0.06 for items in found for item in items)


def test_compare_of_a_run_with_itself_has_ratio_one() -> None:
    result = noisy(random.Random(1), 1, 0.02)
    assert [(item.ratio, item.verdict) for item in compare(result, result)] == [(1.0, "no difference")] * 2


def test_compare_finds_faster_and_warns_of_noise() -> None:
    quiet = make_result(make_test("tg", [10.0, 10.1, 9.9]))
    assert compare(quiet, make_result(make_test("tg", [20.0, 20.1, 19.9])))[0].verdict == "faster"
    wild = compare(quiet, make_result(make_test("tg", [5.0, 10.0, 20.0])))[0]
    assert wild.verdict == "no difference"
    assert "B is noisy: its repetitions deviate by 65%" in wild.warnings
    assert any("only a difference above" in warning for warning in wild.warnings)


def test_compare_small_sure_difference_is_none() -> None:
    a, b = make_result(make_test("tg", [100.0, 100.001])), make_result(make_test("tg", [101.0, 101.001]))
    assert compare(a, b)[0].verdict == "no difference"


def test_compare_of_runs_beside_other_programs_takes_only_large_differences() -> None:
    a, b = make_result(make_test("tg", [10.0, 10.1])), make_result(make_test("tg", [8.0, 8.1]))
    assert compare(a, b)[0].verdict == "slower"
    a["environment"]["cpu_busy_others"] = 0.2
    assert compare(a, b)[0].verdict == "no difference"
    assert compare(a, make_result(make_test("tg", [4.0, 4.1])))[0].verdict == "slower"


def test_compare_one_repetition_gives_no_verdict() -> None:
    found = compare(make_result(make_test("tg", [10.0])), make_result(make_test("tg", [20.0])))[0]
    assert (found.verdict, found.low) == ("unknown", None)
    assert found.ratio == pytest.approx(2)
    assert "A has one repetition: measure with -r 5 or more" in found.warnings


def test_compare_matches_only_the_same_configuration() -> None:
    a = make_result(make_test("tg", [1.0, 2.0], threads=1), make_test("tg", [1.0, 2.0], threads=2))
    b = make_result(make_test("tg", [1.0, 2.0], threads=2), make_test("tg", [1.0, 2.0], threads=2, mode="cold"))
    assert [item.test for item in compare(a, b)] == ["tg128, lpc, 2 threads, warm"]


def test_compare_leaves_failed_tests_out() -> None:
    a = make_result(make_test("tg", [], failed="killed"))
    assert compare(a, make_result(make_test("tg", [1.0, 2.0]))) == []


def test_differences_name_what_else_changed() -> None:
    a = make_result(make_test("tg", [1.0]))
    b = make_result(make_test("tg", [1.0]), build={"version": "0.1.0", "isa": "avx2"}, check={"token_ids": [9]})
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


@given(POSITIVE, POSITIVE)
def test_ratio_is_of_geometric_means_and_inside_its_interval(a: list[float], b: list[float]) -> None:
    found = ratio_of_means(a, b, 0.99, 0.01)
    assert found.ratio == pytest.approx(statistics.geometric_mean(b) / statistics.geometric_mean(a))
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.ratio < found.high
    back = ratio_of_means(b, a, 0.99, 0.01)
    assert back.low == pytest.approx(1 / found.high)


@given(POSITIVE, st.floats(0.1, 10))
def test_ratio_of_a_scaled_run_is_the_scale(a: list[float], scale: float) -> None:
    assert ratio_of_means(a, [scale * value for value in a], 0.95).ratio == pytest.approx(scale)


def test_ratio_interval_agrees_with_a_worked_example() -> None:
    """Welch on logarithms 0, 1, 2 and 1, 3, 5: difference 2, variance 1/3 + 4/3, 2.9412 degrees of freedom."""
    found = ratio_of_means([math.exp(x) for x in (0, 1, 2)], [math.exp(x) for x in (1, 3, 5)], 0.95)
    assert found.high is not None
    half = math.log(found.high) - 2
    assert half == pytest.approx(3.2213 * math.sqrt(5 / 3), rel=2e-3)


def test_ratio_without_the_slowest_is_not_moved_by_interference() -> None:
    rng = random.Random(3)
    a = [100 * rng.lognormvariate(0, 0.01) for _ in range(20)]
    b = [value * (0.7 if index % 5 == 0 else 1) for index, value in enumerate(a)]
    plain, trimmed = ratio_of_means(a, b, 0.99), ratio_of_means(a, b, 0.99, trim=0.25)
    assert plain.ratio < 0.95
    assert trimmed.ratio == pytest.approx(1, abs=0.01)
    assert trimmed.low is not None
    assert trimmed.high is not None
    assert trimmed.low < 1 < trimmed.high < 1.02


def test_ratio_without_the_slowest_agrees_with_a_worked_example() -> None:
    a, b = ([math.exp(x) for x in values] for values in ((0, 4, 5, 6), (1, 4, 6, 8)))
    found = ratio_of_means(a, b, 0.95, trim=0.25)
    # Means of 4, 5, 6 and 4, 6, 8; winsorised 4, 4, 5, 6 and 4, 4, 6, 8: variances 11/12, 11/3, times 3 / (3 x 2).
    variances = (11 / 24, 11 / 6)
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / 2 + variances[1] ** 2 / 2)
    half = student_quantile(0.975, freedom) * math.sqrt(sum(variances))
    assert math.log(found.ratio) == pytest.approx(1)
    assert (math.log(found.low or 0), math.log(found.high or 0)) == pytest.approx((1 - half, 1 + half))


def test_summarise_one_sample_has_no_deviation() -> None:
    found = summarise([3.0])
    assert (found.deviation, found.relative_deviation) == (None, None)


def test_command_prints_verdicts_and_fails_when_asked(tmp_path: Path, run_python: RunPython) -> None:
    save_result(tmp_path / "a.json", make_result(make_test("tg", [10.0, 10.1, 9.9])))
    save_result(tmp_path / "b.json", make_result(make_test("tg", [5.0, 5.1, 4.9])))
    arguments = ("compare", str(tmp_path / "a.json"), str(tmp_path / "b.json"))
    done = run_python(LPC_BENCH, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "10.00 -> 5.00 tokens/s, ratio 0.500" in done.stdout
    assert ": slower" in done.stdout
    assert run_python(LPC_BENCH, *arguments, "--fail-slower").returncode == 1
    values = json.loads(run_python(LPC_BENCH, *arguments, "--json").stdout)
    assert values["tests"][0]["verdict"] == "slower"


def test_command_without_a_common_test_says_what_to_do(tmp_path: Path, run_python: RunPython) -> None:
    save_result(tmp_path / "a.json", make_result(make_test("tg", [1.0])))
    save_result(tmp_path / "b.json", make_result(make_test("pp", [1.0])))
    done = run_python(LPC_BENCH, "compare", str(tmp_path / "a.json"), str(tmp_path / "b.json"))
    assert done.returncode == 1
    assert "have no test in common: measure both with the same options" in done.stderr
