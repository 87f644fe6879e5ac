"""Opening an exported folder: what it tells, and every way in which it can be broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoints import unseal
from real_models import ROOT, ExportModel

from edge_runtime.errors import ConfigError, FormatError, LpcError
from edge_runtime.package import Package
from edge_runtime.tokens import Tokenizer

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def folder(export_model: ExportModel, tmp_path: Path) -> Path:
    """A copy of a real exported folder without hashes, to be damaged."""
    return unseal(Path(shutil.copytree(export_model("demo_model", "lz4"), tmp_path / "model")))


def change_json(file: Path, change: Change) -> None:
    values = json.loads(file.read_text(encoding="utf-8"))
    change(values)
    file.write_text(json.dumps(values), encoding="utf-8")


def message_of(folder: Path, kind: type[LpcError]) -> str:
    with pytest.raises(kind) as caught:
        Package.open(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_open_exported_folder_tells_what_it_holds(folder: Path) -> None:
    package = Package.open(folder)
    config = json.loads((ROOT / "examples/demo_model/config.json").read_text(encoding="utf-8"))
    assert package.model_type == "llama"
    assert package.context_length == config["max_position_embeddings"]
    assert package.vocab_size == config["vocab_size"]
    assert (package.bos_id, package.eos_ids) == (config["bos_token_id"], {config["eos_token_id"]})
    assert [layer.index for layer in package.layers] == list(range(config["num_hidden_layers"] + 2))
    assert all(layer.bytes < layer.decoded_bytes for layer in package.layers)


@pytest.mark.parametrize(("value", "expected"), [(7, {7}), ([7, 9], {7, 9}), (None, set())])
def test_open_end_of_text_is_one_or_several_or_none(folder: Path, value: object, expected: set[int]) -> None:
    change_json(folder / "genai_config.json", lambda config: config["model"].update(eos_token_id=value))
    assert Package.open(folder).eos_ids == expected


def test_open_no_folder_is_an_error(tmp_path: Path) -> None:
    assert "nothing: does not exist" in message_of(tmp_path / "nothing", ConfigError)


def test_open_file_is_an_error(folder: Path) -> None:
    assert "model.lpc: is a file" in message_of(folder / "model.lpc", ConfigError)


def test_open_checkpoint_says_how_to_export_it() -> None:
    checkpoint = ROOT / "examples" / "demo_model"
    assert f"export it first with `lpc-export {checkpoint}`" in message_of(checkpoint, ConfigError)


@pytest.mark.parametrize("name", ["lpc.json", "genai_config.json", "tokenizer.json", "model.onnx", "model.lpc"])
def test_open_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert name in message_of(folder, ConfigError)


def test_open_newer_format_version_says_update(folder: Path) -> None:
    change_json(folder / "lpc.json", lambda manifest: manifest.update(format_version=2))
    message = message_of(folder, FormatError)
    assert "lpc.json: format_version is 2; expected at most 1: update" in message


@pytest.mark.parametrize("version", [0, -1, "1", 1.0, None, True])
def test_open_unknown_format_version_is_an_error(folder: Path, version: object) -> None:
    change_json(folder / "lpc.json", lambda manifest: manifest.update(format_version=version))
    assert "lpc.json: format_version is" in message_of(folder, FormatError)


def test_open_other_format_is_an_error(folder: Path) -> None:
    change_json(folder / "lpc.json", lambda manifest: manifest.update(format="safetensors"))
    assert "lpc.json: format is 'safetensors'; expected 'lpc-package'" in message_of(folder, FormatError)


def test_open_unknown_keys_are_ignored(folder: Path) -> None:
    change_json(folder / "lpc.json", lambda manifest: manifest.update(later={"deep": [1]}))
    assert Package.open(folder).manifest["later"] == {"deep": [1]}


@pytest.mark.parametrize("name", ["lpc.json", "genai_config.json"])
@pytest.mark.parametrize("content", [b"", b'{"format": ', b"\xff\xfe{}", b"[1]", b"[" * 100_000])
def test_open_broken_json_is_named(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert f"{name}: " in message_of(folder, FormatError)


@pytest.mark.parametrize("size_change", [-1, 1, -4096])
def test_open_data_file_of_another_size_is_an_error(folder: Path, size_change: int) -> None:
    data = folder / "model.lpc"
    content = data.read_bytes()
    data.write_bytes(content[:size_change] if size_change < 0 else content + b"\0" * size_change)
    message = message_of(folder, FormatError)
    assert f"model.lpc: has {len(content) + size_change} bytes where lpc.json says {len(content)}" in message
    assert ("cut short" in message) == (size_change < 0)


MANIFEST_DEFECTS: dict[str, tuple[Change, str]] = {
    "no_data": (lambda m: m.pop("data"), "data is nothing"),
    "data_outside": (lambda m: m["data"].update(file="../model.lpc"), "data.file is '../model.lpc'"),
    "data_bytes_text": (lambda m: m["data"].update(bytes="many"), "data.bytes is 'many'"),
    "context_zero": (lambda m: m.update(context_length=0), "context_length is 0"),
    "layers_object": (lambda m: m.update(layers={}), "layers is {}"),
    "layer_number": (lambda m: m.update(layers=[3]), "layers is [3]"),
    "layer_negative": (lambda m: m["layers"][0].update(offset=-1), "layers[0].offset is -1"),
    "layer_outside": (lambda m: m["layers"][1].update(bytes=1 << 40), "layer layers.0 ends at byte"),
}


@pytest.mark.parametrize("defect", MANIFEST_DEFECTS)
def test_open_malformed_manifest_names_the_field(folder: Path, defect: str) -> None:
    change, expected = MANIFEST_DEFECTS[defect]
    change_json(folder / "lpc.json", change)
    message = message_of(folder, FormatError)
    assert "lpc.json: " in message
    assert expected in message


CONFIG_DEFECTS: dict[str, tuple[Change, str]] = {
    "no_model": (lambda c: c.pop("model"), "model is nothing"),
    "no_decoder": (lambda c: c["model"].pop("decoder"), "model.decoder is nothing"),
    "model_outside": (lambda c: c["model"]["decoder"].update(filename="a/b.onnx"), "model.decoder.filename is"),
    "vocab_zero": (lambda c: c["model"].update(vocab_size=0), "model.vocab_size is 0"),
    "eos_text": (lambda c: c["model"].update(eos_token_id="</s>"), "model.eos_token_id is '</s>'"),
    "bos_text": (lambda c: c["model"].update(bos_token_id="<s>"), "model.bos_token_id is '<s>'"),
}


@pytest.mark.parametrize("defect", CONFIG_DEFECTS)
def test_open_malformed_config_names_the_field(folder: Path, defect: str) -> None:
    change, expected = CONFIG_DEFECTS[defect]
    change_json(folder / "genai_config.json", change)
    message = message_of(folder, FormatError)
    assert "genai_config.json: " in message
    assert expected in message


@pytest.mark.parametrize("content", [b"{}", b"not json", b""])
def test_tokenizer_broken_file_is_named(folder: Path, content: bytes) -> None:
    (folder / "tokenizer.json").write_bytes(content)
    with pytest.raises(FormatError, match=r"tokenizer\.json: not a tokenizer"):
        Tokenizer(Package.open(folder))
