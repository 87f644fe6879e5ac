"""Exported folders in onnxruntime-genai, unmodified, with our library registered; every family, alone and beside
onnxruntime.

Needs a Python with onnxruntime-genai (and onnxruntime): this one, or the one that LPC_GENAI_PYTHON names.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import families
import pytest
from real_models import ROOT, ExportModel, checkpoint_folder

from edge_runtime import native
from exporters.export import export

GENERATE = """
import json, sys
import onnxruntime_genai as og
from edge_runtime import native, provider

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
stats = provider.session_stats("genai")
result = {"tokens": tokens, "claimed": stats.nodes_claimed, "unclaimed": stats.nodes_unclaimed,
          "residence": native.session_residence("genai")}
"""

END = 2  # the families' end-of-text token

# Greedy tokens of every folder in a folder, after one prompt.
FAMILIES = """
import json, pathlib, sys
import onnxruntime_genai as og
from edge_runtime import native, provider

og.register_execution_provider_library("LpcExecutionProvider", str(native.library_path()))
prompt, count, result = json.loads(sys.argv[2]), int(sys.argv[3]), {}
for folder in pathlib.Path(sys.argv[1]).iterdir():
    config = og.Config(str(folder))
    config.set_provider_option("LpcExecutionProvider", "session_id", folder.name)
    model = og.Model(config)
    params = og.GeneratorParams(model)
    params.set_search_options(do_sample=False, max_length=len(prompt) + count)
    generator = og.Generator(model, params)
    generator.append_tokens(prompt)
    while not generator.is_done():
        generator.generate_next_token()
    stats = provider.session_stats(folder.name)
    tokens = [int(token) for token in generator.get_sequence(0)][len(prompt):]
    result[folder.name] = {"tokens": tokens, "claimed": stats.nodes_claimed, "unclaimed": stats.nodes_unclaimed}
"""

CHAT = """
import json, sys
import onnxruntime_genai as og
from edge_runtime import native, provider

og.register_execution_provider_library("LpcExecutionProvider", str(native.library_path()))
tokenizer = og.Tokenizer(og.Model(sys.argv[1]))
messages = json.dumps([{"role": "user", "content": "Hello"}])
result = {"chat": tokenizer.apply_chat_template(messages, add_generation_prompt=True) if sys.argv[2] else "",
          "tokens": tokenizer.encode("Once upon a time").tolist()}
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
result["plain_unclaimed"] = provider.session_stats("plain").nodes_unclaimed
"""
)


def genai_python() -> str:
    chosen = os.environ.get("LPC_GENAI_PYTHON")
    if chosen:
        return chosen
    if importlib.util.find_spec("onnxruntime_genai") is None:
        pytest.skip("onnxruntime-genai is not installed, and LPC_GENAI_PYTHON names no Python that has it")
    return sys.executable


def run(code: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [genai_python(), "-c", f"{code}\nprint(json.dumps(result))", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "LPC_LIBRARY": str(native.library_path())},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize("codec", ["stored", "lz4"])
@pytest.mark.parametrize("model_name", ["stories260k", "demo_model"])
def test_genai_greedy_equals_transformers(model_name: str, codec: str, export_model: ExportModel) -> None:
    golden = checkpoint_folder(model_name) / "golden.json"
    result = run(GENERATE, str(export_model(model_name, codec)), str(golden))
    records = json.loads(golden.read_text(encoding="utf-8"))
    assert result["tokens"] == [record["greedy_ids"] for record in records]
    assert result["claimed"] > 30
    assert result["unclaimed"] == 0
    assert "streamed" not in result["residence"]  # nobody said where weights live


def test_genai_beside_onnxruntime_in_one_process_both_run(export_model: ExportModel) -> None:
    golden = checkpoint_folder("stories260k") / "golden.json"
    result = run(BESIDE, str(export_model("stories260k", "lz4")), str(golden))
    records = json.loads(golden.read_text(encoding="utf-8"))
    assert result["tokens"] == [record["greedy_ids"] for record in records]
    assert result["first"] == [record["greedy_ids"][0] for record in records]
    assert result["unclaimed"] == result["plain_unclaimed"] == 0


@pytest.fixture(scope="module")
def family_results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What onnxruntime-genai makes of every family, in one process."""
    genai_python()
    folder = tmp_path_factory.mktemp("families")
    for name in families.names():
        model = families.write_checkpoint(folder / "model", families.load(name))
        export(model, folder / "exported" / name)
        shutil.rmtree(model)
    return run(FAMILIES, str(folder / "exported"), json.dumps(families.PROMPT), str(families.NEW_TOKENS))


@pytest.mark.parametrize("name", families.names())
def test_genai_family_greedy_equals_transformers(name: str, family_results: dict[str, Any]) -> None:
    expected = families.load(name)["tokens"]
    result = family_results[name]
    assert result["tokens"] == expected[: expected.index(END) if END in expected else len(expected)]
    assert result["claimed"] > 10
    assert result["unclaimed"] == 0


TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"


@pytest.mark.parametrize("place", ["chat_template.jinja", "tokenizer_config.json", "no_config"])
def test_genai_tokenizer_and_chat_template_of_the_folder_work(tmp_path: Path, place: str) -> None:
    model = tmp_path / "model"
    shutil.copytree(checkpoint_folder("demo_model"), model)
    if place == "no_config":
        (model / "tokenizer_config.json").unlink()
    elif place == "chat_template.jinja":
        (model / place).write_text(TEMPLATE)
    else:
        config = json.loads((model / place).read_text()) | {"chat_template": TEMPLATE}
        (model / place).write_text(json.dumps(config))
    export(model, tmp_path / "out")
    result = run(CHAT, str(tmp_path / "out"), "" if place == "no_config" else "chat")
    assert result == {"chat": "" if place == "no_config" else "<user>Hello", "tokens": [531, 532, 261, 374]}
