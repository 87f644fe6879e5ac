"""Exported folders in onnxruntime-genai, unmodified, with our library registered; alone and beside onnxruntime.

Needs a Python with onnxruntime-genai (and onnxruntime): this one, or the one that LPC_GENAI_PYTHON names.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest
from real_models import ROOT, ExportModel, checkpoint_folder

from edge_runtime import native

GENERATE = """
import json, sys
import onnxruntime_genai as og
from edge_runtime import native

folder, golden = sys.argv[1:3]
og.register_execution_provider_library("LpcExecutionProvider", str(native.library_path()))
config = og.Config(folder)
config.set_provider_option("LpcExecutionProvider", "session_id", "genai")
model = og.Model(config)
tokens = []
for record in json.load(open(golden, encoding="utf-8")):
    params = og.GeneratorParams(model)
    params.set_search_options(do_sample=False, max_length=len(record["prompt_ids"]) + len(record["greedy_ids"]))
    generator = og.Generator(model, params)
    generator.append_tokens(record["prompt_ids"])
    while not generator.is_done():
        generator.generate_next_token()
    tokens.append([int(token) for token in generator.get_sequence(0)][len(record["prompt_ids"]):])
stats = native.session_stats("genai")
result = {"tokens": tokens, "claimed": stats.nodes_claimed, "unclaimed": stats.nodes_unclaimed}
"""

# The same library and file in the two onnxruntimes of one process.
BESIDE = (
    """
import sys
import numpy as np
import onnxruntime as ort
from edge_runtime import native
ort.register_execution_provider_library("LpcExecutionProvider", str(native.library_path()))
options = ort.SessionOptions()
devices = [device for device in ort.get_ep_devices() if device.ep_name == "LpcExecutionProvider"]
options.register_custom_ops_library(str(native.library_path()))
options.add_provider_for_devices(devices[:1], {"session_id": "plain"})
session = ort.InferenceSession(sys.argv[1] + "/model.onnx", options)

def first_token(ids):
    feeds = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64),
             "position_ids": np.arange(len(ids))[None]}
    for value in session.get_inputs():
        if value.name not in feeds:
            feeds[value.name] = np.zeros((1, value.shape[1], 0, value.shape[3]), np.float32)
    return int(session.run(["logits"], feeds)[0][0, -1].argmax())
"""
    + GENERATE
    + """
result["first"] = [first_token(record["prompt_ids"]) for record in json.load(open(golden, encoding="utf-8"))]
result["plain_unclaimed"] = native.session_stats("plain").nodes_unclaimed
"""
)


def genai_python() -> str:
    chosen = os.environ.get("LPC_GENAI_PYTHON")
    if chosen:
        return chosen
    if importlib.util.find_spec("onnxruntime_genai") is None:
        pytest.skip("onnxruntime-genai is not installed, and LPC_GENAI_PYTHON names no Python that has it")
    return sys.executable


def run(code: str, *arguments: str) -> dict[str, object]:
    done = subprocess.run(
        [genai_python(), "-c", f"{code}\nprint(json.dumps(result))", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "LPC_LIBRARY": str(native.library_path())},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize("codec", ["stored", "lz4"])
@pytest.mark.parametrize("model_name", ["stories260k", "demo_model"])
def test_genai_greedy_equals_transformers(model_name: str, codec: str, export_model: ExportModel) -> None:
    golden = checkpoint_folder(model_name) / "golden.json"
    result = run(GENERATE, str(export_model(model_name, codec)), str(golden))
    records = json.loads(golden.read_text(encoding="utf-8"))
    assert result["tokens"] == [record["greedy_ids"] for record in records]
    assert isinstance(result["claimed"], int)
    assert result["claimed"] > 30
    assert result["unclaimed"] == 0


def test_genai_beside_onnxruntime_in_one_process_both_run(export_model: ExportModel) -> None:
    golden = checkpoint_folder("stories260k") / "golden.json"
    result = run(BESIDE, str(export_model("stories260k", "lz4")), str(golden))
    records = json.loads(golden.read_text(encoding="utf-8"))
    assert result["tokens"] == [record["greedy_ids"] for record in records]
    assert result["first"] == [record["greedy_ids"][0] for record in records]
    assert result["unclaimed"] == result["plain_unclaimed"] == 0
