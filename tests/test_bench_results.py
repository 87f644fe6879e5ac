"""The result schema: every field checked, files written whole; md, csv and jsonl with the same columns."""

from __future__ import annotations

import csv
import io
import json
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench_results import a_result, a_test, make_result, make_test
from mutate import json_

from edge_runtime.bench.comparison import compare, differences, sheet
from edge_runtime.bench.page import page
from edge_runtime.bench.result_file import from_json, load_result, parse_result, save_result
from edge_runtime.bench.tables import COLUMNS, FORMATS, to_csv, to_jsonl, to_markdown
from edge_runtime.errors import ConfigError, FormatError


def test_result_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    result = a_result(make_test("tg", [10.0, 11.0]))
    save_result(tmp_path / "r.json", result)
    assert load_result(tmp_path / "r.json") == result
    assert [file.name for file in tmp_path.iterdir()] == ["r.json"]


def test_result_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    result = a_result(make_test("tg", [10.0]))
    save_result(tmp_path / "r.json", result)
    with pytest.raises(TypeError):
        save_result(tmp_path / "r.json", replace(result, created=object()))  # type: ignore[arg-type]
    assert load_result(tmp_path / "r.json").board.id == "jetson-orin-nano-8gb"
    assert [file.name for file in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[]", "schema is a JSON list"),
        ("{}", "schema is None; expected 'lpc-bench-result'"),
        ('{"schema": 1' + "0" * 4000 + "}", "schema is 1000000"),
        ('{"schema": "\\u001b[31m"}', r"schema is '\\+x1b\[31m'; expected"),
        ('{"schema": "lpc-bench-result", "schema_version": 2}', "schema_version is 2; this lpc-bench reads 1"),
        ('{"schema": "lpc-bench-result", "schema_version": 1}', "created is None; expected a string"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_file_that_is_no_result_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.json").write_text(text, encoding="utf-8")
    with pytest.raises(FormatError, match=message):
        load_result(tmp_path / "r.json")


def test_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing", "binary", ".", "pipe"):
        with pytest.raises(ConfigError, match="cannot be read as a result of lpc-bench"):
            load_result(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tests": {}}, "tests is {}; expected a list"),
        ({"tests": ["tg128"]}, r"tests\[0\] is 'tg128'; expected an object"),
        ({"tests": [make_test("tg", [1.0], kind="xx")]}, r"tests\[0\].kind is 'xx'; expected one of pp, tg"),
        ({"tests": [make_test("tg", [1.0], mode="hot")]}, r"tests\[0\].mode is 'hot'; expected one of warm, cold"),
        ({"tests": [make_test("tg", [1.0], threads=True)]}, r"tests\[0\].threads is True; expected an integer"),
        ({"tests": [make_test("tg", [])]}, r'tests\[0\].repetitions is \[\]; expected at least one, or a "failed"'),
        ({"tests": [make_test("tg", [1.0], repetitions=[7])]}, r"repetitions\[0\] is 7; expected an object"),
        ({"telemetry": None}, "telemetry is None; expected an object"),
        ({"tests": [make_test("tg", [1.0], tokens=0)]}, r"tests\[0\].tokens is 0; expected 1 or more"),
        ({"tests": [make_test("tg", [1.0], peak_rss_bytes="1 GB")]}, r"peak_rss_bytes is '1 GB'; expected a number"),
        ({"tests": [make_test("tg", [1.0], energy=[1])]}, r"tests\[0\].energy is \[1\]; expected an object"),
        ({"model": {"name": ["a"]}}, r"model.name is \['a'\]; expected a string"),
        ({"model": {"blob_bytes": 10**400}}, "model.blob_bytes is 1000.*expected a number"),
        ({"warnings": ["a", 7]}, r"warnings\[1\] is 7; expected a string"),
        (
            {"telemetry": {"samples": [{"t_s": 0, "temperatures_c": {"cpu": "hot"}}]}},
            "temperatures_c.cpu is 'hot'; exp",
        ),
    ],
)
def test_field_of_a_wrong_kind_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        from_json(make_result(**change))


@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan"), "9", None, True])
def test_speed_that_is_no_positive_number_is_named(value: Any) -> None:
    test = make_test("tg", [1.0, 2.0])
    test["repetitions"][1]["tokens_per_s"] = value
    with pytest.raises(FormatError, match=r"tests\[0\].repetitions\[1\].tokens_per_s is .*expected a number above 0"):
        from_json(make_result(test))


def test_summary_is_of_the_repetitions() -> None:
    found = a_test("tg", [8.0, 10.0, 12.0]).summary
    assert found is not None
    assert (found.n, found.mean, found.deviation, found.median) == (3, 10.0, 2.0, 10.0)
    assert a_test("tg", [], failed="x").summary is None


def test_tables_have_the_same_columns_and_every_sample() -> None:
    result = a_result(make_test("pp", [100.0, 110.0]), make_test("tg", [], failed="killed"))
    lines = [json.loads(line) for line in to_jsonl(result).splitlines()]
    table = list(csv.DictReader(io.StringIO(to_csv(result))))
    assert [tuple(line) for line in lines] == [COLUMNS, COLUMNS]
    assert [tuple(row) for row in table] == [COLUMNS, COLUMNS]
    assert lines[0]["tokens_per_s_samples"] == [100.0, 110.0]
    assert table[0]["tokens_per_s_samples"] == "100 110"
    assert (table[0]["joules_per_token"], table[1]["failed"]) == ("0.75", "killed")


def test_markdown_says_what_is_excluded_unavailable_and_doubtful() -> None:
    test = make_test("tg", [10.0, 12.0], energy={"unavailable": "no power sensor is readable"})
    text = to_markdown(a_result(test, warnings=["the machine was busy"]))
    assert "| a model | 1.50 GB | lpc | 4 | warm | tg128 | 11.00 ± 1.41 | 2.00 GB | unavailable |" in text
    assert "Not in the figures: opening the model." in text
    assert "J/token unavailable: no power sensor is readable." in text
    assert "Warning: the machine was busy." in text


def test_label_tells_configurations_apart() -> None:
    assert a_test("tg", [1.0], threads=1).label == "tg128, lpc, 1 thread, warm"
    test = a_test("tg", [1.0], threads=0, load={"memory_budget": "4GiB"})
    assert test.label == "tg128, lpc, automatic threads, warm, memory_budget=4GiB"


def test_result_changed_anywhere_is_shown_or_refused_in_a_line() -> None:
    original = make_result(make_test("tg", [10.0, 11.0]), make_test("pp", [100.0]))
    result = from_json(original)
    shown, refusals = 0, []
    for seed in range(250):
        text, _ = json_.mutated(original, random.Random(seed))
        try:
            changed = parse_result(text.encode("utf-8", "surrogatepass"), "r.json")
        except FormatError as error:
            refusals.append(str(error))
            continue
        texts = [form(changed) for form in FORMATS.values()]
        texts.append(page([("a", changed), ("b", result)]))
        texts.append(str(sheet(compare(changed, result), differences(changed, result))))
        assert not any("\x1b" in text for text in texts)
        shown += 1
    assert min(shown, len(refusals)) > 40
    assert all(line.isprintable() and len(line) < 600 for line in refusals)


def test_cells_that_a_spreadsheet_would_run_are_quoted() -> None:
    result = a_result(make_test("tg", [10.0]), model={"name": "=cmd|' /C calc'!A0"}, board={"id": " @SUM(1)"})
    row = next(csv.DictReader(io.StringIO(to_csv(result))))
    assert row["model"] == "'=cmd|' /C calc'!A0"
    assert row["board"] == "' @SUM(1)"


def test_cells_of_a_table_stay_cells() -> None:
    line = to_markdown(a_result(make_test("tg", [10.0]), model={"name": "a | b\x1b[2J\nc"})).splitlines()[2]
    assert line.startswith(r"| a \| b\x1b[2J\nc | ")
