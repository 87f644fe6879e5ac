"""`lpc-eval`: figures against numpy, and wrong use."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from real_models import ROOT, ExportModel

from edge_runtime.bench.evaluation import Estimate, evaluate, generated_windows, text_windows
from edge_runtime.cli.eval import command
from edge_runtime.errors import ConfigError
from edge_runtime.session import load

TEXT = ROOT / "examples" / "demo_model" / "held_out.txt"


def test_estimate_interval_covers_the_mean_of_blocks() -> None:
    values = np.random.default_rng(0).normal(2.0, 1.0, 3200)
    found = Estimate.of(values)
    assert found.low < 2.0 < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 / math.sqrt(3200), rel=0.3)
    assert math.isnan(Estimate.of(values[:40]).low)


def test_evaluate_equals_numpy(export_model: ExportModel) -> None:
    model = load(export_model("demo_model", "lz4"))
    ids = model.tokenizer.encode(TEXT.read_text(encoding="utf-8"))[:100]
    logits = model.logits(ids).astype(np.float64)[:-1]
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    expected = math.exp(-logs[np.arange(99), ids[1:]].mean())
    assert evaluate(model, [ids], "text").perplexity.value == pytest.approx(expected, rel=1e-9)


def test_eval_against_itself_finds_no_difference(export_model: ExportModel) -> None:
    folder = str(export_model("demo_model", "lz4"))
    result = CliRunner().invoke(
        command, [folder, "--against", folder, "--text", str(TEXT), "--tokens", "600", "--json"], standalone_mode=False
    )
    found = json.loads(result.stdout)  # progress goes to stderr
    assert found["tokens"] == 600
    assert found["kl"]["value"] == 0
    assert found["top1_agreement"]["value"] == 1
    assert found["perplexity_change"]["value"] == 0


def test_text_windows_begin_as_a_text_does_and_keep_documents_apart(export_model: ExportModel, tmp_path: Path) -> None:
    model = load(export_model("demo_model", "lz4"))
    documents = TEXT.read_text(encoding="utf-8").split("\n\n")[:4]
    file = tmp_path / "documents.txt"
    file.write_text("\n\n\n".join(documents), encoding="utf-8")
    apart = text_windows(model, file, documents=True)
    assert apart == [model.tokenizer.encode(document.strip()) for document in documents]
    together = text_windows(model, file, 100)
    assert all(ids[0] == model.package.bos_id and len(ids) == 100 for ids in together[:-1])
    assert [id for ids in together for id in ids[1:]] == model.tokenizer.encode(file.read_text(encoding="utf-8"))[1:]
    assert sum(len(ids) - 1 for ids in text_windows(model, file, 100, 150, documents=True)) == 150


def test_eval_without_text_uses_what_the_model_writes(export_model: ExportModel) -> None:
    result = CliRunner().invoke(command, [str(export_model("demo_model", "lz4"))], standalone_mode=False)
    assert "written by demo_model-lz4" in result.output


def test_eval_of_wrong_files_is_an_error(export_model: ExportModel, tmp_path: Path) -> None:
    folder = str(export_model("demo_model", "lz4"))
    with pytest.raises(Exception, match="not readable as UTF-8"):
        CliRunner().invoke(command, [folder, "--text", str(tmp_path)], standalone_mode=False, catch_exceptions=False)
    with pytest.raises(Exception, match="expected at most the model's context"):
        CliRunner().invoke(
            command, [folder, "--text", str(TEXT), "--window", "99999"], standalone_mode=False, catch_exceptions=False
        )


@pytest.mark.parametrize("window", [1, 2])
def test_eval_window_without_a_pair_says_which_are_possible(export_model: ExportModel, window: int) -> None:
    model = load(export_model("demo_model", "lz4"))
    for windows in (lambda: text_windows(model, TEXT, window), lambda: generated_windows(model, window)):
        with pytest.raises(ConfigError, match=f"window is {window}; expected 3 or more"):
            windows()


def test_eval_window_of_a_pair_is_the_smallest(export_model: ExportModel) -> None:
    model = load(export_model("demo_model", "lz4"))
    windows = text_windows(model, TEXT, 3, 100)
    assert all(ids[0] == model.package.bos_id and len(ids) == 3 for ids in windows)
    assert len(windows) == 50
    assert math.isfinite(evaluate(model, windows[:40], "text").perplexity.value)


def test_eval_model_whose_context_is_too_short_is_told(export_model: ExportModel) -> None:
    model = load(export_model("demo_model", "lz4"), context_length=2)
    with pytest.raises(ConfigError, match="the context of the model is 2; expected 3 or more"):
        text_windows(model, TEXT)
