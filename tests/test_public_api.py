"""What `import edge_runtime` offers: types, sizes as people write them, models that are closed, extras by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from real_models import ROOT, ExportModel, RunPython

import edge_runtime

PROMPT = "Once upon a time"
SCRIPT = """
import edge_runtime
from edge_runtime import Model, Piece
from edge_runtime.bench import load_result

def pieces(model: Model) -> list[Piece]:
    return list(model.generate("Once upon a time", max_new_tokens=2))

with edge_runtime.load("folder", memory_budget="1GB") as model:
    generation = model.generate("Once")
    print(pieces(model), generation.report, edge_runtime.__version__)
result = load_result("result.json")
test = result.tests[0]
"""
TYPES = """
from collections.abc import Mapping
from typing import Literal
from typing_extensions import assert_type
from edge_runtime.bench import Repetition, Result

assert_type(model, Model)
assert_type(next(generation), Piece)
assert_type(next(generation).token_id, int | None)
assert_type(generation.report.token_ids, tuple[int, ...])
assert_type(generation.report.finish_reason, Literal["stop", "length", "interrupted"] | None)
assert_type(generation.report.generation_tokens_per_s, float | None)
assert_type(result, Result)
assert_type(result.model.bits_per_weight, float | None)
assert_type(result.telemetry.samples[0].power_w, float | None)
assert_type(test.kind, Literal["pp", "tg"])
assert_type(test.repetitions[0], Repetition)
assert_type(test.repetitions[0].tokens_per_s, float)
assert_type(test.repetitions[0].counters, Mapping[str, int])
assert_type(test.repetitions[0].times.wait_seconds, float | None)
"""


@pytest.fixture
def demo(export_model: ExportModel) -> Path:
    return export_model("demo_model", "lz4")


def test_load_budget_and_bus_as_text_are_taken_as_the_command_line_takes_them(demo: Path) -> None:
    with edge_runtime.load(demo, memory_budget="700MB", bus_limit="1GB/s") as model:
        assert model.placement is not None
        assert model.generate(PROMPT, max_new_tokens=2, greedy=True).__next__().text


@pytest.mark.parametrize("budget", ["many", "700 parsecs", "-1", ""])
def test_load_budget_that_is_no_size_is_a_config_error(demo: Path, budget: str) -> None:
    with pytest.raises(edge_runtime.ConfigError, match="expected a number and a unit"):
        edge_runtime.load(demo, memory_budget=budget)


def test_closed_model_says_so_and_a_generation_that_runs_ends_first(demo: Path) -> None:
    with edge_runtime.load(demo) as model:
        expected = [piece.token_id for piece in model.generate(PROMPT, max_new_tokens=8, greedy=True)]
        running = model.generate(PROMPT, max_new_tokens=8, greedy=True)
        first = next(running)
    assert [first.token_id, *(piece.token_id for piece in running)] == expected
    with pytest.raises(edge_runtime.ConfigError, match="the model is closed"):
        model.generate(PROMPT)
    with pytest.raises(edge_runtime.ConfigError, match="the model is closed"):
        model.logits([1])
    model.close()


def test_closed_model_gives_its_budget_back(demo: Path) -> None:
    for _ in range(3):
        with edge_runtime.load(demo, memory_budget="200MB") as model:
            list(model.generate(PROMPT, max_new_tokens=2))


def test_version_is_the_projects() -> None:
    assert f'version = "{edge_runtime.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_user_script_sees_types_of_models_pieces_and_results(tmp_path: Path) -> None:
    """Its last lines are mistakes, which are all that mypy complains of."""
    pytest.importorskip("mypy")
    mistakes = ("result['tests']", "test.speed", "result.created.year", "result.tests.append(test)")
    text = SCRIPT + TYPES + "\n".join(mistakes)
    (tmp_path / "script.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", tmp_path / "cache", "script.py"],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "MYPYPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    errors = [line.split(": error: ") for line in done.stdout.splitlines() if ": error: " in line]
    last = text.count("\n") + 1
    assert [place for place, _ in errors] == [f"script.py:{last - count}" for count in (3, 2, 1, 0)], done.stdout
    assert [what.rpartition("[")[2] for _, what in errors] == ["index]", *["attr-defined]"] * 3]


def test_export_without_onnx_names_the_extra(run_python: RunPython, tmp_path: Path) -> None:
    code = """
import sys
sys.modules["onnx"] = None
from exporters.cli import main
sys.argv = ["lpc-export", *sys.argv[1:]]
main()
"""
    done = run_python(code, "examples/demo_model", "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install 'lpc-edge-runtime[export]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
