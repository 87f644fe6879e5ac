"""Damaged models and unusable surroundings: one clear line, exit code 1, no traceback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import onnx
import pytest
from checkpoints import unseal
from onnx import TensorProto, helper
from real_models import LPC_RUN, ROOT, ExportModel, RunPython

from edge_runtime.errors import FormatError, LpcError
from edge_runtime.session import load

HEADER_BYTES = 96
PROVIDERS = ("lpc", "cpu")


@pytest.fixture
def folder(export_model: ExportModel, tmp_path: Path) -> Path:
    """A copy of a real exported folder without hashes, to be damaged."""
    return unseal(Path(shutil.copytree(export_model("demo_model", "lz4"), tmp_path / "model")))


def tensor(folder: Path, name: str) -> dict[str, Any]:
    """The manifest's entry of a weight."""
    tensors: list[dict[str, Any]] = json.loads((folder / "lpc.json").read_text(encoding="utf-8"))["tensors"]
    return next(entry for entry in tensors if entry["name"] == name)


def flip_bit(folder: Path, offset: int) -> None:
    with open(folder / "model.lpc", "r+b") as data:
        data.seek(offset)
        byte = data.read(1)[0]
        data.seek(offset)
        data.write(bytes([byte ^ 4]))


def one_error_line(done: CompletedProcess[str]) -> str:
    assert (done.returncode, done.stdout.strip()) == (1, ""), done.stderr
    assert done.stderr.startswith("lpc-run: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("name", ["model.layers.2.self_attn.q_proj.weight", "model.embed_tokens.weight"])
def test_weight_with_a_flipped_bit_names_tensor_and_segment(
    folder: Path, lpc_run: RunPython, name: str, provider: str
) -> None:
    place = tensor(folder, name)
    flip_bit(folder, place["offset"] + place["bytes"] // 2)
    message = one_error_line(lpc_run(str(folder), "-p", "x", "--greedy", "--provider", provider))
    assert name in message
    assert "segment" in message
    assert "checksum" in message
    assert "export it again" in message


@pytest.mark.parametrize("provider", PROVIDERS)
def test_weight_with_a_damaged_header_names_tensor(folder: Path, lpc_run: RunPython, provider: str) -> None:
    name = "model.layers.1.mlp.down_proj.weight"
    flip_bit(folder, tensor(folder, name)["offset"] + HEADER_BYTES + 3)
    message = one_error_line(lpc_run(str(folder), "-p", "x", "--greedy", "--provider", provider))
    assert name in message
    assert "checksum" in message


@pytest.mark.parametrize("provider", PROVIDERS)
def test_weight_with_wrong_magic_names_tensor(folder: Path, lpc_run: RunPython, provider: str) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    flip_bit(folder, tensor(folder, name)["offset"])
    message = one_error_line(lpc_run(str(folder), "-p", "x", "--greedy", "--provider", provider))
    assert name in message
    assert "magic" in message


@pytest.mark.parametrize("provider", PROVIDERS)
def test_weight_of_a_newer_format_version_names_tensor(folder: Path, lpc_run: RunPython, provider: str) -> None:
    name = "model.layers.0.mlp.gate_proj.weight"
    flip_bit(folder, tensor(folder, name)["offset"] + 4)
    message = one_error_line(lpc_run(str(folder), "-p", "x", "--greedy", "--provider", provider))
    assert name in message
    assert "version" in message


def test_weight_damaged_raises_format_error_every_time(folder: Path) -> None:
    place = tensor(folder, "model.layers.2.self_attn.q_proj.weight")
    flip_bit(folder, place["offset"] + place["bytes"] // 2)
    model = load(folder)
    for _ in range(2):
        with pytest.raises(FormatError, match="q_proj"):
            list(model.generate("x", greedy=True))


def test_truncated_data_file_says_both_sizes(folder: Path, lpc_run: RunPython) -> None:
    data = folder / "model.lpc"
    size = data.stat().st_size
    data.write_bytes(data.read_bytes()[: size // 2])
    message = one_error_line(lpc_run(str(folder), "-p", "x"))
    assert f"model.lpc: has {size // 2} bytes where lpc.json says {size}" in message


def test_data_file_that_shrinks_after_loading_is_an_error(folder: Path) -> None:
    model = load(folder)
    with open(folder / "model.lpc", "r+b") as data:
        data.truncate(4096)
    with pytest.raises(LpcError, match=r"model\.lpc"):
        list(model.generate("x", greedy=True))


@pytest.mark.parametrize("content", [b"", b"no protobuf at all, but long enough to be read as one"])
def test_broken_graph_names_the_file(folder: Path, lpc_run: RunPython, content: bytes) -> None:
    (folder / "model.onnx").write_bytes(content)
    assert "model.onnx" in one_error_line(lpc_run(str(folder), "-p", "x"))


def test_foreign_graph_is_refused(folder: Path, lpc_run: RunPython) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "foreign", values[:1], values[1:])
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])
    onnx.save(model, folder / "model.onnx")
    message = one_error_line(lpc_run(str(folder), "-p", "x"))
    assert "model.onnx: " in message
    assert "expected a graph as lpc-export writes it" in message


def test_missing_folder_is_an_error(lpc_run: RunPython, tmp_path: Path) -> None:
    assert "does not exist" in one_error_line(lpc_run(str(tmp_path / "nothing"), "-p", "x"))


def test_missing_data_file_is_named(folder: Path, lpc_run: RunPython) -> None:
    (folder / "model.lpc").unlink()
    assert "model.lpc: missing" in one_error_line(lpc_run(str(folder), "-p", "x"))


def test_checkpoint_instead_of_export_says_how_to_export(lpc_run: RunPython) -> None:
    assert "lpc-export" in one_error_line(lpc_run(str(ROOT / "examples" / "demo_model"), "-p", "x"))


def test_prompt_beyond_the_context_is_an_error(folder: Path, lpc_run: RunPython) -> None:
    assert "the context holds 512" in one_error_line(lpc_run(str(folder), "-p", "word " * 1000))
    message = one_error_line(lpc_run(str(folder), "-p", "Once upon a time", "--context", "4"))
    assert "the context holds 4 and one must be left" in message


def test_context_beyond_the_model_is_an_error(folder: Path, lpc_run: RunPython) -> None:
    assert "expected 2 to 512" in one_error_line(lpc_run(str(folder), "-p", "x", "--context", "1000"))


def test_old_onnxruntime_says_which_is_needed(folder: Path, run_python: RunPython) -> None:
    code = "import onnxruntime; onnxruntime.__version__ = '1.22.1'\n" + LPC_RUN
    message = one_error_line(run_python(code, str(folder), "-p", "x"))
    assert "onnxruntime 1.22.1 is too old" in message
    assert "1.23.1" in message


def test_missing_onnxruntime_says_how_to_install(folder: Path, run_python: RunPython) -> None:
    code = "import sys; sys.modules['onnxruntime'] = None\n" + LPC_RUN
    assert "pip install" in one_error_line(run_python(code, str(folder), "-p", "x"))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_missing_library_names_the_path(folder: Path, lpc_run: RunPython, tmp_path: Path, provider: str) -> None:
    missing = str(tmp_path / "liblpc.so")
    done = lpc_run(str(folder), "-p", "x", "--provider", provider, env={"LPC_LIBRARY": missing})
    assert missing in one_error_line(done)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_library_that_is_none_names_the_path(folder: Path, lpc_run: RunPython, tmp_path: Path, provider: str) -> None:
    wrong = tmp_path / "liblpc.so"
    wrong.write_bytes(b"not a library")
    done = lpc_run(str(folder), "-p", "x", "--provider", provider, env={"LPC_LIBRARY": str(wrong)})
    assert str(wrong) in one_error_line(done)


def test_debug_shows_the_traceback(lpc_run: RunPython, tmp_path: Path) -> None:
    done = lpc_run(str(tmp_path / "nothing"), "-p", "x", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
