"""The real checkpoints that the tests run, and what transformers computed for them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from checkpoints import shared_folder

ROOT = Path(__file__).resolve().parents[1]
CODECS = ("stored", "lz4")
MODELS = ("stories260k", "demo_model")
LPC_RUN = "from edge_runtime.cli.run import main; main()"  # what the console script does

# Types of the fixtures in conftest.py.
ExportModel = Callable[[str, str], Path]
RunPython = Callable[..., CompletedProcess[str]]


def checkpoint_folder(model: str) -> Path:
    """Return a real checkpoint: the demo model, or one of the shared data (skips the test where that is not there)."""
    return ROOT / "examples" / "demo_model" if model == "demo_model" else shared_folder("models", model)


def golden(model: str) -> list[dict[str, Any]]:
    """Return the records of a checkpoint: prompt, prompt_ids, greedy_ids, text, last_logits_first8."""
    records: list[dict[str, Any]] = json.loads((checkpoint_folder(model) / "golden.json").read_text(encoding="utf-8"))
    return records


def old_onnxruntime() -> Path:
    """Return the folder that holds onnxruntime 1.23.2; skips the test where there is none."""
    old = os.environ.get("LPC_ORT_1_23")
    if not old:
        pytest.skip("LPC_ORT_1_23 is not set: the folder of `pip install --target FOLDER onnxruntime==1.23.2`")
    return Path(old).resolve()


def with_old_onnxruntime() -> dict[str, str]:
    """Return the environment of a process that imports it; skips as `old_onnxruntime`."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(old_onnxruntime()), os.environ.get("PYTHONPATH")]))}
