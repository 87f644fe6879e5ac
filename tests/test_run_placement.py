"""Where the weights live: budgets, plans, a limited bus; the tokens never change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from real_models import ExportModel, RunPython

import edge_runtime
from edge_runtime.errors import BudgetError

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
    from edge_runtime.board import figures_for
    from edge_runtime.package import Package
    from edge_runtime.plan import plan_for

    plan = plan_for(Package.open(folder), figures_for(None), 1)
    return plan.needed_bytes + 2 * MIB  # rounded for people


def test_load_without_a_budget_keeps_everything_as_it_is_stored(export_model: ExportModel) -> None:
    folder = export_model("demo_model", "lz4")
    model = edge_runtime.load(folder)
    list(model.generate(PROMPT, max_new_tokens=12, greedy=True))
    stats = model.stats()
    assert stats is not None
    assert stats.bytes_read < 2 * (folder / "model.lpc").stat().st_size
    assert stats.layers_decompressed > 12 * 4  # decoded for every token all the same


def test_load_budget_too_small_says_the_smallest_that_works(export_model: ExportModel) -> None:
    folder = export_model("demo_model", "lz4")
    with pytest.raises(BudgetError, match="needs at least"):
        edge_runtime.load(folder, memory_budget=json_plan_needed(folder) - 4 * MIB)


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
