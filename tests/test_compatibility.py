"""Older folders with this version, and what newer ones are told (docs/compatibility.md)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from checkpoints import unseal, write_llama
from real_models import RunPython, with_old_onnxruntime

from edge_runtime.errors import FormatError, LpcError
from edge_runtime.package import Package
from edge_runtime.provider import register
from edge_runtime.session import ProviderName, load
from exporters.export import export
from exporters.package.inspect import summary
from exporters.package.reseal import reseal
from exporters.package.verify import verify

GOLDEN = Path(__file__).parent / "golden" / "package-0.1.0"
OLD_FOLDER = GOLDEN / "folder"
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))
# The same products as then, but sums of at most 112 float32 products in another order elsewhere.
RELATIVE_TOLERANCE = 1e-5
RUN = """
import json, sys, edge_runtime
model = edge_runtime.load(sys.argv[1], provider=sys.argv[2])
generation = model.generate(json.loads(sys.argv[3]), max_new_tokens=int(sys.argv[4]), greedy=True)
list(generation)
print(list(generation.report.token_ids))
"""


@pytest.fixture
def old_folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD_FOLDER, tmp_path / "old"))


@pytest.mark.parametrize(("provider", "transcode"), [("lpc", "auto"), ("lpc", "off"), ("cpu", "off")])
def test_folder_of_0_1_0_gives_what_it_gave(provider: ProviderName, transcode: str) -> None:
    model = load(OLD_FOLDER, provider=provider, transcode=transcode)
    generation = model.generate(EXPECTED["prompt"], max_new_tokens=len(EXPECTED["greedy"]) + 5, greedy=True)
    list(generation)
    assert list(generation.report.token_ids) == EXPECTED["greedy"]
    logits, expected = model.logits(EXPECTED["prompt"])[-1], np.array(EXPECTED["logits_of_last"], np.float32)
    assert np.abs(logits - expected).max() <= RELATIVE_TOLERANCE * np.ptp(expected)


@pytest.mark.parametrize("provider", ["lpc", "cpu"])
def test_folder_of_0_1_0_with_onnxruntime_1_23_gives_what_it_gave(provider: str, run_python: RunPython) -> None:
    arguments = (str(OLD_FOLDER), provider, json.dumps(EXPECTED["prompt"]), str(len(EXPECTED["greedy"]) + 5))
    done = run_python(RUN, *arguments, env=with_old_onnxruntime())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == EXPECTED["greedy"]


def test_folder_of_0_1_0_is_verified_inspected_and_sealed(old_folder: Path) -> None:
    assert verify(old_folder) == 16
    assert summary(old_folder)["generator"] == "lpc-export 0.1.0"
    files = {file.name for file in OLD_FOLDER.iterdir()} - {"lpc.json"}
    assert set(reseal(old_folder).added) == files
    assert Package.open(old_folder).path == old_folder
    assert verify(old_folder) == 16


def test_folder_of_this_version_is_what_0_1_0_knows_and_more(tmp_path: Path) -> None:
    """0.1.0 ignores keys that it does not know: the others, the version and the operators must be as they were."""
    export(write_llama(tmp_path / "model"), tmp_path / "out")
    new, old = (json.loads((folder / "lpc.json").read_text()) for folder in (tmp_path / "out", OLD_FOLDER))
    assert set(new) - set(old) == {"operators", "files"}
    assert set(old) <= set(new)
    assert (new["format_version"], new["operators"]) == (old["format_version"], {"lpc": 1})
    assert [set(tensor) for tensor in new["tensors"]] == [set(tensor) for tensor in old["tensors"]]
    assert decompress_nodes(tmp_path / "out") == decompress_nodes(OLD_FOLDER)


def decompress_nodes(folder: Path) -> tuple[dict[str, int], list[tuple[list[str], set[str]]]]:
    """Operator sets, and inputs and attributes of every Decompress node."""
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    nodes = [node for node in model.graph.node if node.op_type == "Decompress"]
    attributes = [(list(node.input), {attribute.name for attribute in node.attribute}) for node in nodes]
    return {entry.domain: entry.version for entry in model.opset_import}, attributes


def test_newer_operators_in_the_manifest_say_update(old_folder: Path) -> None:
    manifest = json.loads((old_folder / "lpc.json").read_text())
    manifest["operators"] = {"lpc": 2}
    (old_folder / "lpc.json").write_text(json.dumps(manifest))
    with pytest.raises(FormatError, match=r"operators\.lpc is 2; expected at most 1: update lpc-edge-runtime"):
        Package.open(old_folder)


@pytest.mark.parametrize("operators", [{"lpc": 0}, {"lpc": "1"}, {}, [], {"lpc": 1 << 70}])
def test_operators_that_are_no_version_are_an_error(old_folder: Path, operators: object) -> None:
    manifest = json.loads((old_folder / "lpc.json").read_text())
    manifest["operators"] = operators
    (old_folder / "lpc.json").write_text(json.dumps(manifest))
    with pytest.raises(FormatError, match=r"lpc\.json: operators"):
        Package.open(old_folder)


def test_newer_operators_in_the_graph_say_update(old_folder: Path) -> None:
    register()
    model = onnx.load(old_folder / "model.onnx", load_external_data=False)
    next(entry for entry in model.opset_import if entry.domain == "lpc").version = 2
    onnx.save(model, old_folder / "model.onnx")
    with pytest.raises(LpcError) as caught:
        load(old_folder)
    message = str(caught.value)
    assert "operator set lpc: got version 2, expected at most 1" in message
    assert message.endswith("update lpc-edge-runtime to run this model")


def test_unseal_makes_a_folder_as_0_1_0_did(tmp_path: Path) -> None:
    export(write_llama(tmp_path / "model"), tmp_path / "out")
    assert "files" not in json.loads((unseal(tmp_path / "out") / "lpc.json").read_text())
    assert verify(tmp_path / "out") == 16
