"""Exports in little memory, of checkpoints that `benchmarks/make_checkpoint.py` makes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from test_export_cli import run
from tokenizers import Tokenizer

from exporters.checkpoints.checkpoint import Checkpoint

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "make_checkpoint.py"
BASE_BYTES = 130e6  # interpreter, numpy, onnx and the native library


def make(folder: Path, *args: str) -> Path:
    subprocess.run([sys.executable, str(SCRIPT), args[0], str(folder), *args[1:]], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("dtype", ["keep", "fp32"])
def test_export_peak_memory_is_twice_the_largest_tensor(tmp_path: Path, dtype: str) -> None:
    model = make(tmp_path / "model", "tinyllama-1.1b", "--layers", "1")
    largest = max(info.nbytes for info in Checkpoint(model).tensors.values()) * (2 if dtype == "fp32" else 1)
    result = run(model, "-o", tmp_path / "out", "--json", "--dtype", dtype)
    assert result.returncode == 0, result.stderr
    peak = json.loads(result.stdout)["peak_rss_bytes"]
    assert peak < BASE_BYTES + 2.1 * largest, f"{peak / 1e6:.0f} MB, largest tensor {largest / 1e6:.0f} MB"


def test_made_checkpoint_has_the_asked_distribution(tmp_path: Path) -> None:
    model = make(tmp_path / "model", "tiny")
    checkpoint = Checkpoint(model)
    weights = checkpoint.read("model.layers.0.mlp.up_proj.weight")
    assert weights.dtype == ml_dtypes.bfloat16
    values = weights.astype(np.float64)
    assert abs(values.mean()) < 2e-4
    assert values.std() == pytest.approx(0.02, rel=0.01)
    assert (checkpoint.read("model.norm.weight").astype(np.float32) == 1).all()


def test_made_checkpoint_does_not_depend_on_threads(tmp_path: Path) -> None:
    one = make(tmp_path / "one", "tiny", "--threads", "1", "--layers", "2")
    four = make(tmp_path / "four", "tiny", "--threads", "4", "--layers", "2")
    other = make(tmp_path / "other", "tiny", "--seed", "1", "--layers", "2")
    name = "model.safetensors"
    assert (one / name).read_bytes() == (four / name).read_bytes() != (other / name).read_bytes()


def test_made_checkpoint_has_a_tokenizer_that_fits(tmp_path: Path) -> None:
    model = make(tmp_path / "model", "tiny", "--layers", "1")
    vocab_size = json.loads((model / "config.json").read_text())["vocab_size"]
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == vocab_size
    text = "Once upon a time, \u00e9\u4e16!"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert tokenizer.decode([vocab_size - 1]) == f" w{vocab_size - 1}"


def test_made_checkpoint_can_be_exported(tmp_path: Path) -> None:
    result = run(make(tmp_path / "model", "tiny"), "-o", tmp_path / "out", "--json")
    assert json.loads(result.stdout)["verified"] is True
