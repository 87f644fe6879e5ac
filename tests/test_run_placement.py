"""Where the weights live: budgets, plans, a limited bus; the tokens never change."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from real_models import ExportModel, RunPython

import edge_runtime
from edge_runtime.codec import fastest_packed_layout
from edge_runtime.errors import BudgetError, ConfigError

MIB = 1 << 20
PROMPT = "Once upon a time"


def tokens(folder: Path, **options: object) -> list[int]:
    model = edge_runtime.load(folder, **options)  # type: ignore[arg-type]
    generation = model.generate(PROMPT, max_new_tokens=12, greedy=True)
    for _ in generation:
        pass
    return list(generation.report.token_ids)


@pytest.mark.parametrize("codec", ["stored", "lz4"])
def test_load_any_placement_gives_the_same_tokens(export_model: ExportModel, tmp_path: Path, codec: str) -> None:
    folder = export_model("demo_model", codec)
    expected = tokens(folder)
    budget = json_plan_needed(folder)
    assert tokens(folder, memory_budget=budget) == expected
    assert tokens(folder, memory_budget=500 * MIB) == expected
    assert tokens(folder, read_mode="buffered", memory_budget=budget) == expected
    assert tokens(folder, bus_limit=50e6, memory_budget=budget, trace=tmp_path / "trace.json") == expected


def json_plan_needed(folder: Path) -> int:
    """The smallest budget that works, by the plan itself."""
    from edge_runtime.machine.board import figures_for
    from edge_runtime.package import Package
    from edge_runtime.plan import plan_for

    plan = plan_for(Package.open(folder), figures_for(None), 1)
    return plan.needed_bytes + 2 * MIB  # rounded for people


@pytest.mark.parametrize("transcode", ["auto", "hi4p", "e2+3", "hi3"])
@pytest.mark.parametrize("codec", ["stored", "ans", "packed:e3+3"])
def test_load_transcodes_once_what_stays_in_memory(export_model: ExportModel, codec: str, transcode: str) -> None:
    folder = export_model("demo_model", codec)
    model = edge_runtime.load(folder, transcode=transcode)
    generation = model.generate(PROMPT, max_new_tokens=12, greedy=True)
    assert len(list(generation)) == 12
    assert list(generation.report.token_ids) == tokens(folder, transcode="off")
    stats = model.stats()
    assert stats is not None
    assert stats.bytes_read < 2 * (folder / "model.lpc").stat().st_size
    assert stats.layers_decompressed == len(model.package.layers) - 1  # the embedding's rows are fetched one by one
    assert 0 < stats.transcoded_from_bytes < (folder / "model.lpc").stat().st_size
    assert stats.pinned_bytes >= stats.transcoded_bytes > 0
    assert stats.ring_bytes == 0


def test_load_packed_for_this_machine_has_nothing_to_transcode(export_model: ExportModel) -> None:
    model = edge_runtime.load(export_model("demo_model", f"packed:{fastest_packed_layout()}"))
    assert len(list(model.generate(PROMPT, max_new_tokens=3, greedy=True))) == 3
    stats = model.stats()
    assert stats is not None
    assert stats.transcoded_bytes == 0
    assert stats.pinned_bytes > 0


def test_load_with_a_budget_plans_transcoded_layers(export_model: ExportModel) -> None:
    folder = export_model("demo_model", "ans")
    model = edge_runtime.load(folder, memory_budget=500 * MIB)
    assert model.placement is not None
    assert model.placement.plan is not None
    assert set(model.placement.plan.states[1:]) == {"transcoded"}
    generation = model.generate(PROMPT, max_new_tokens=12, greedy=True)
    assert len(list(generation)) == 12
    stats = model.stats()
    assert stats is not None
    assert 0 < stats.transcoded_bytes <= model.placement.plan.memory.transcoded
    assert list(generation.report.token_ids) == tokens(folder, memory_budget=500 * MIB, transcode="off")


def test_load_unknown_layout_is_an_error(export_model: ExportModel) -> None:
    with pytest.raises(ConfigError, match=r"transcode is 'hi5'; expected auto, off, or a layout: e2\+3, "):
        edge_runtime.load(export_model("demo_model", "lz4"), transcode="hi5")


def test_load_without_transcoding_keeps_everything_as_it_is_stored(export_model: ExportModel) -> None:
    folder = export_model("demo_model", "lz4")
    model = edge_runtime.load(folder, transcode="off")
    list(model.generate(PROMPT, max_new_tokens=12, greedy=True))
    stats = model.stats()
    assert stats is not None
    assert stats.bytes_read < 2 * (folder / "model.lpc").stat().st_size
    assert stats.layers_decompressed > 12 * 4  # decoded for every token all the same


def test_load_budget_too_small_says_the_smallest_that_works(export_model: ExportModel) -> None:
    folder = export_model("demo_model", "lz4")
    with pytest.raises(BudgetError, match="needs at least"):
        edge_runtime.load(folder, memory_budget=json_plan_needed(folder) - 4 * MIB)


def test_load_keeps_the_callers_prefill_chunk(export_model: ExportModel) -> None:
    model = edge_runtime.load(export_model("demo_model", "lz4"), memory_budget=500 * MIB, prefill_chunk=7)
    assert model.placement is not None
    assert model.placement.plan is not None
    assert model.placement.plan.prefill_chunk == 7
    assert model.prompt_passes(15) == 3


def test_generate_memory_gone_since_the_plan_is_an_error(
    export_model: ExportModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = edge_runtime.load(export_model("demo_model", "lz4"), memory_budget=500 * MIB)
    monkeypatch.setattr("edge_runtime.session.available_bytes", lambda: 1000)
    with pytest.raises(BudgetError, match=r"only 1\.00 kB are left.*has shrunk since the plan"):
        model.generate(PROMPT)
    monkeypatch.undo()
    assert len(list(model.generate(PROMPT, max_new_tokens=3, greedy=True))) == 3


def test_lpc_run_plans_with_the_named_board(export_model: ExportModel, lpc_run: RunPython, tmp_path: Path) -> None:
    folder = str(export_model("demo_model", "lz4"))
    named = lpc_run(
        folder, "--plan", "--memory-budget", "2GiB", "--board", "raspberry-pi-5", "--storage", "sd", "--json"
    )
    figures = json.loads(named.stdout)["figures"]
    assert (figures["name"], figures["bus"]["gb_per_s"]) == ("raspberry-pi-5", pytest.approx(0.092))
    limited = lpc_run(
        folder, "--plan", "--memory-budget", "2GiB", "--board", "raspberry-pi-5", "--bus-limit", "50MB/s", "--json"
    )
    assert json.loads(limited.stdout)["figures"]["bus"]["gb_per_s"] == 0.05
    (tmp_path / "broken.toml").write_text("schema = 7\n")
    for board in ("no-such-board", str(tmp_path / "broken.toml")):
        done = lpc_run(folder, "-p", "x", "--memory-budget", "500MB", "--board", board)
        assert (done.returncode, done.stdout) == (1, "")
        assert board in done.stderr
        assert "Traceback" not in done.stderr


def test_lpc_run_with_a_plan_says_where_a_tokens_time_went(export_model: ExportModel, lpc_run: RunPython) -> None:
    folder = str(export_model("demo_model", "lz4"))
    arguments = (folder, "-p", PROMPT, "-n", "6", "--greedy", "--memory-budget", "500MB")
    done = lpc_run(*arguments)
    line = done.stderr.splitlines()[1]
    number = r"[\d.]+ m?s"
    assert re.fullmatch(
        rf"per token: {number} \(planned {number}\) = {number} waiting for weights \+ {number} multiplying \+ "
        rf"{number} other; meanwhile [\d.]+ [kM]?B read at [\d.]+ [kM]?B/s, {number} decoding \(all threads\)",
        line,
    )
    result = json.loads(lpc_run(*arguments, "--json").stdout)
    time = result["token_time"]
    assert len(result["token_seconds"]) == time["tokens"] == 5
    assert time["seconds"] == pytest.approx(time["wait"] + time["compute"] + time["other"])
    assert result["planned_seconds_per_token"] > 0


def test_lpc_run_budget_too_small_exits_1(export_model: ExportModel, lpc_run: RunPython) -> None:
    done = lpc_run(str(export_model("demo_model", "lz4")), "-p", "x", "--memory-budget", "10MB")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "needs at least" in done.stderr
    assert "Traceback" not in done.stderr


def test_lpc_run_plan_prints_and_runs_nothing(export_model: ExportModel, lpc_run: RunPython) -> None:
    folder = str(export_model("demo_model", "lz4"))
    table = lpc_run(folder, "--plan", "--memory-budget", "2GiB")
    assert table.returncode == 0
    assert "fits" in table.stdout
    plan = json.loads(lpc_run(folder, "--plan", "--memory-budget", "2GiB", "--json").stdout)
    assert plan["verdict"] == "fits"
    impossible = lpc_run(folder, "--plan", "--memory-budget", "1MB", "--json")
    assert (impossible.returncode, json.loads(impossible.stdout)["verdict"]) == (1, "impossible")


@pytest.mark.parametrize(
    ("option", "value"), [("--memory-budget", "lots"), ("--memory-budget", "0"), ("--bus-limit", "fast")]
)
def test_lpc_run_bad_size_exits_2(export_model: ExportModel, lpc_run: RunPython, option: str, value: str) -> None:
    done = lpc_run(str(export_model("demo_model", "lz4")), "-p", "x", option, value)
    assert done.returncode == 2
    assert "expected" in done.stderr


def test_lpc_run_without_prompt_exits_2(export_model: ExportModel, lpc_run: RunPython) -> None:
    done = lpc_run(str(export_model("demo_model", "lz4")))
    assert done.returncode == 2
    assert "--prompt" in done.stderr
