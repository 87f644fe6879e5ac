"""`lpc-export inspect` and `lpc-export verify`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from checkpoints import damage, load, write_llama
from test_export_cli import run

from edge_runtime.errors import ConfigError, ExportError, FormatError
from exporters.export import ExportOptions, export
from exporters.package.inspect import sheet, summary
from exporters.package.verify import verify_against


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "model")


@pytest.fixture
def out(model: Path, tmp_path: Path) -> Path:
    return export(model, tmp_path / "out").out


def test_inspect_shows_every_tensor_and_layer(out: Path) -> None:
    text = str(sheet(out))
    manifest = load(out)[0]
    for tensor in manifest["tensors"]:
        line = next(line for line in text.splitlines() if line.startswith(f"{tensor['name']} "))
        assert f"{tensor['bits_per_weight']:.2f}" in line
        assert "x".join(map(str, tensor["shape"])) in line
    for layer in manifest["layers"]:
        assert any(line.startswith(f"{layer['name']} ") for line in text.splitlines())


def test_inspect_json_sums_up_by_codec(out: Path) -> None:
    result = run("inspect", out, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    tensors = load(out)[0]["tensors"]
    assert found == summary(out)
    assert found["tensors"] == tensors
    assert found["codecs"]["lz4"]["tensors"] == len(tensors)
    assert sum(entry["bytes"] for entry in found["codecs"].values()) == found["totals"]["blob_bytes"]


def test_inspect_of_something_else_is_one_line(model: Path) -> None:
    with pytest.raises(ConfigError, match=r"model: has no lpc\.json, so it was not written by lpc-export"):
        summary(model)
    result = run("inspect", model)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1


def test_inspect_of_damaged_manifest_names_it(out: Path) -> None:
    (out / "lpc.json").write_text("{")
    with pytest.raises(FormatError, match=r"lpc\.json: not readable as JSON"):
        summary(out)


def test_verify_command_against_the_source(model: Path, out: Path) -> None:
    result = run("verify", out, "--against", model, "--json")
    assert result.returncode == 0, result.stderr
    expected = {"folder": str(out), "tensors": 16, "files": 5, "verified": True, "against": str(model)}
    assert json.loads(result.stdout) == expected


def test_verify_command_of_a_flipped_bit_fails(out: Path) -> None:
    tensor = load(out)[0]["tensors"][3]
    damage(out / "model.lpc", tensor["offset"] + tensor["bytes"] // 2)
    result = run("verify", out)
    assert result.returncode == 1
    assert tensor["name"] in result.stderr
    assert result.stderr.count("\n") == 1


def test_verify_against_another_model_names_the_weight(out: Path, tmp_path: Path) -> None:
    write_llama(tmp_path / "other", seed=3)
    with pytest.raises(ExportError, match=r"model\.embed_tokens\.weight differs from .*other.*: not made from this"):
        verify_against(out, str(tmp_path / "other"))
    write_llama(tmp_path / "larger", num_hidden_layers=3)
    with pytest.raises(ExportError, match=r"model\.layers\.2\..* is in only one of"):
        verify_against(out, str(tmp_path / "larger"))


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32"])
def test_verify_against_the_source_of_a_converted_export(tmp_path: Path, dtype: str) -> None:
    model = write_llama(tmp_path / "model", dtype="F32")
    export(model, tmp_path / "out", ExportOptions(dtype=dtype))
    assert verify_against(tmp_path / "out", str(model)) == 16
