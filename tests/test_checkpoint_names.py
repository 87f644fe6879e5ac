"""Checkpoints whose tensors have other names, or lie beside files of other tools: what transformers reads, we read."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import CONFIG, random_tensors, write_llama, write_safetensors

from edge_runtime.errors import ExportError
from exporters.checkpoints import source_maps
from exporters.export import ExportResult, export

TIED: dict[str, Any] = {"tie_word_embeddings": True}
TABLE, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def tied_model(folder: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> Path:
    """Write a tied checkpoint with these tensors, and these notes in the header."""
    write_llama(folder, **TIED)
    path = folder / "model.safetensors"
    write_safetensors(path, tensors)
    if metadata:
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        text = json.dumps({"__metadata__": metadata} | json.loads(data[8 : 8 + length])).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    return folder


def same_export(model: Path, usual: Path) -> ExportResult:
    """Export both; graph and weights must be the same bytes."""
    result = export(model, model.with_name("out"))
    export(usual, usual.with_name("usual-out"))
    for name in ("model.onnx", "model.lpc"):
        assert (model.with_name("out") / name).read_bytes() == (usual.with_name("usual-out") / name).read_bytes()
    return result


def renamed(tensors: dict[str, np.ndarray], old: str, new: str) -> dict[str, np.ndarray]:
    return {new + name[len(old) :] if name.startswith(old) else name: array for name, array in tensors.items()}


@pytest.mark.parametrize("metadata", [None, {"format": "pt", TABLE: HEAD}])
def test_tied_checkpoint_that_stores_only_the_head_equals_the_usual(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    usual = write_llama(tmp_path / "usual", **TIED)
    tensors = renamed(random_tensors(CONFIG | TIED), TABLE, HEAD)
    assert not same_export(tied_model(tmp_path / "head", tensors, metadata), usual).warnings


def test_base_model_without_prefix_equals_the_usual(tmp_path: Path) -> None:
    usual = write_llama(tmp_path / "usual", **TIED)
    tensors = renamed(random_tensors(CONFIG | TIED), "model.", "")
    same_export(tied_model(tmp_path / "base", tensors), usual)


def test_norms_that_share_their_data_by_metadata_are_read(tmp_path: Path) -> None:
    tensors = random_tensors(CONFIG | TIED)
    first, second = "model.layers.0.input_layernorm.weight", "model.layers.1.input_layernorm.weight"
    tensors[second] = tensors[first]
    usual = tied_model(tmp_path / "usual", tensors)
    del tensors[second]
    same_export(tied_model(tmp_path / "shared", tensors, {second: first}), usual)


def test_untied_checkpoint_without_its_table_is_refused(tmp_path: Path) -> None:
    model = write_llama(tmp_path / "model")
    tensors = random_tensors(CONFIG)
    del tensors[TABLE]
    write_safetensors(model / "model.safetensors", tensors)
    with pytest.raises(ExportError, match=f"1 tensor missing: {TABLE}"):
        export(model, tmp_path / "out")


def test_files_of_other_tools_beside_the_model_are_left_out(tmp_path: Path) -> None:
    model = write_llama(tmp_path / "model")
    (model / "model.safetensors").rename(model / "weights.safetensors")
    for name in ("consolidated.safetensors", "consolidated.00-of-01.safetensors", "adapter_model.safetensors"):
        write_safetensors(model / name, {"tok_embeddings.weight": np.zeros((4, 4), np.float32)})
    (model / "original").mkdir()
    (model / "original" / "consolidated.00.pth").write_bytes(b"not read")
    result = export(model, tmp_path / "out")
    assert [line for line in result.warnings if "adapter_model.safetensors: an adapter beside the model" in line]
    assert len(result.warnings) == 1


@pytest.mark.parametrize("keep_config", [True, False])
def test_folder_that_is_an_adapter_is_refused_and_says_to_merge_it(tmp_path: Path, keep_config: bool) -> None:
    model = write_llama(tmp_path / "model")
    (model / "model.safetensors").rename(model / "adapter_model.safetensors")
    (model / "adapter_config.json").write_text("{}")
    if not keep_config:
        (model / "config.json").unlink()
    with pytest.raises(ExportError, match=r"is an adapter \(LoRA\) and no model; merge it .*merge_and_unload"):
        export(model, tmp_path / "out")


def test_folder_with_consolidated_weights_alone_is_refused_by_name(tmp_path: Path) -> None:
    model = write_llama(tmp_path / "model")
    (model / "model.safetensors").rename(model / "consolidated.safetensors")
    with pytest.raises(ExportError, match=r"consolidated\*\.safetensors are not in the layout of transformers"):
        export(model, tmp_path / "out")


def test_checkpoint_of_more_shards_than_files_may_be_open_is_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_llama(tmp_path / "model", shards=20)
    monkeypatch.setattr(source_maps, "_OPEN_AT_ONCE", 3)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 16, limits[1]))
    try:
        assert export(model, tmp_path / "out").verified
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
