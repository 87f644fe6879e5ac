"""The published JSON Schema of results: what it accepts is what is read, and files of old versions are."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench_results import make_result, make_test
from mutate import json_
from real_models import ROOT

from edge_runtime.bench.comparison import compare
from edge_runtime.bench.page import page
from edge_runtime.bench.result_file import from_json, to_json
from edge_runtime.bench.result_schema import schema_text
from edge_runtime.bench.results import CpuTimes
from edge_runtime.errors import FormatError

jsonschema = pytest.importorskip("jsonschema")
FILE = ROOT / "docs/results.schema.json"


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json.loads(FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_schema_file_is_that_of_the_types() -> None:
    assert FILE.read_text(encoding="utf-8") == schema_text(), (
        "after a change: python -m edge_runtime.bench.result_schema > docs/results.schema.json"
    )


def old_result() -> dict[str, Any]:
    """What version 0.1.0 wrote before results were typed; a test of each kind is left."""
    found: dict[str, Any] = json.loads((Path(__file__).parent / "old_result.json").read_text(encoding="utf-8"))
    return found


def first_result() -> dict[str, Any]:
    """The same as the first writer of version 1 had it: without rounds, times of others, layers, unreadable lines."""
    result = old_result()
    environment = result["environment"]
    environment["load_average_1min"] = environment.pop("cpu_busy_before")
    del environment["cpu_busy_others"], result["layers"], result["telemetry"]["unreadable"]
    del result["settings"]["precision"], result["settings"]["at_most_s"]
    for repetition in (repetition for test in result["tests"] for repetition in test["repetitions"]):
        for name in ("round", "cpu_seconds", "wait_seconds", "others_seconds", "stolen_seconds", "machine_seconds"):
            del repetition[name]
    return result


def full_result() -> dict[str, Any]:
    layers = [{"name": "layers.0", "read_s": 0.1, "decode_s": 0.1, "compute_s": 0.1, "wait_s": 0.1}]
    remote = {"target": "board", "before": {"machine": "aarch64", "clock_skew_s": 0.0}}
    result = make_result(make_test("tg", [1.0, 2.0]), layers=layers, remote=remote)
    del result["telemetry"]["samples"][2:]
    for repetition in result["tests"][0]["repetitions"]:
        del repetition["pass_seconds"][2:]
    return result


@pytest.mark.parametrize("make", [old_result, first_result, full_result])
def test_schema_accepts_old_and_new_results(validator: Any, make: Callable[[], dict[str, Any]]) -> None:
    validator.validate(make())
    validator.validate(to_json(from_json(make())))


def test_result_of_the_last_writer_is_read_and_written_again_the_same() -> None:
    assert json.dumps(to_json(from_json(old_result()))) == json.dumps(old_result())


def test_result_of_the_first_writer_is_read_shown_and_compared() -> None:
    result = from_json(first_result())
    assert (result.tests[0].repetitions[0].round, result.tests[0].repetitions[0].times) == (0, CpuTimes())
    assert result.environment.other == {"load_average_1min": 1.0}
    assert "load average 1min" in page([("first", result)])
    assert [item.verdict for item in compare(result, result)] == ["no difference"] * 2
    assert to_json(result)["layers"] is None


PLACES = (
    "", "model", "environment", "board", "build", "settings", "check", "telemetry", "telemetry.samples.0", "tests.0",
    "tests.0.repetitions.0", "plan", "layers.0", "remote", "remote.before",
)  # fmt: skip


def at(value: Any, place: str) -> dict[str, Any]:
    """The object at a place such as "tests.0"."""
    for step in filter(None, place.split(".")):
        value = value[int(step) if step.isdigit() else step]
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("place", PLACES)
def test_result_of_a_newer_writer_keeps_what_is_not_known_here(validator: Any, place: str) -> None:
    result = full_result()
    at(result, place)["new_in_0_9"] = news = {"list": [1, None, {"deep": "text"}]}
    validator.validate(result)
    assert at(to_json(from_json(result)), place)["new_in_0_9"] == news


NUMBERS = (
    "tests.0.tokens", "tests.0.depth", "tests.0.threads", "tests.0.load_seconds", "tests.0.peak_rss_bytes",
    "tests.0.repetitions.0.seconds", "tests.0.repetitions.0.round", "tests.0.repetitions.0.tokens",
    "tests.0.repetitions.0.counters.wait_ns", "telemetry.interval_s", "telemetry.cpu_fraction",
    "telemetry.samples.0.power_w", "model.bits_per_weight", "environment.cpus_usable", "plan.budget_bytes",
    "remote.before.clock_skew_s", "layers.0.read_s",
)  # fmt: skip


@pytest.mark.parametrize("place", NUMBERS)
@pytest.mark.parametrize("value", [10**400, -(10**31), "7", True, [1]])
def test_number_that_none_can_compute_with_is_refused_wherever_it_is(validator: Any, place: str, value: Any) -> None:
    result = full_result()
    above, _, name = place.rpartition(".")
    at(result, above)[name] = value
    assert not validator.is_valid(result)
    with pytest.raises(FormatError, match=re.escape(re.sub(r"\.(\d+)", r"[\1]", place))) as caught:
        from_json(result)
    assert len(str(caught.value)) < 200


def test_schema_and_reader_agree_on_results_changed_anywhere(validator: Any) -> None:
    original, agreed = full_result(), {True: 0, False: 0}
    for seed in range(400):
        text, _ = json_.mutated(original, random.Random(seed))
        try:
            changed = json.loads(text, parse_constant=refused)
        except (ValueError, RecursionError):
            continue
        valid = validator.is_valid(changed)
        assert valid == accepted(changed), (seed, list(validator.iter_errors(changed))[:1])
        agreed[valid] += 1
    assert min(agreed.values()) > 60


def refused(constant: str) -> float:
    """NaN and infinities are no JSON."""
    raise ValueError(constant)


def accepted(value: Any) -> bool:
    try:
        from_json(value)
    except FormatError:
        return False
    return True
