"""GGUF files as sources: the same weights, bit for bit, as the folder that they were converted from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import CONFIG, load, random_tensors, write_llama, write_tokenizer

from edge_runtime.errors import ExportError, FormatError
from exporters.export import export
from exporters.gguf_source import unpermute

gguf = pytest.importorskip("gguf")
NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


def permute(weights: np.ndarray, heads: int) -> np.ndarray:
    """As llama.cpp's convert_hf_to_gguf.py does it."""
    shape = (heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return weights.reshape(shape).swapaxes(1, 2).reshape(weights.shape)


def gguf_name(name: str) -> str:
    stem, _, suffix = name.rpartition(".")
    if stem in NAMES:
        return f"{NAMES[stem]}.{suffix}"
    _, _, block, kind = stem.split(".", 3)
    return f"blk.{block}.{NAMES[kind]}.{suffix}"


def write_gguf(path: Path, dtype: str, **changes: Any) -> Path:
    """Write the model of `write_llama(dtype=...)` as GGUF, with a tokenizer beside it."""
    config = CONFIG | changes
    writer = gguf.GGUFWriter(path, config["model_type"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    for name, array in random_tensors(config, dtype).items():
        if name.endswith("q_proj.weight"):
            array = permute(array, config["num_attention_heads"])
        if name.endswith("k_proj.weight"):
            array = permute(array, config["num_key_value_heads"])
        if dtype == "BF16":
            data, kind = np.ascontiguousarray(array).view(np.uint8), gguf.GGMLQuantizationType.BF16
            writer.add_tensor(gguf_name(name), data, raw_dtype=kind)
        else:
            writer.add_tensor(gguf_name(name), np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    write_tokenizer(path.parent, config["vocab_size"])
    return path


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_gguf_export_equals_that_of_the_folder(tmp_path: Path, dtype: str) -> None:
    export(write_llama(tmp_path / "folder", dtype=dtype), tmp_path / "a")
    (tmp_path / "gguf").mkdir()
    export(write_gguf(tmp_path / "gguf" / "tiny.gguf", dtype), tmp_path / "b")
    assert load(tmp_path / "a")[2] == load(tmp_path / "b")[2]
    assert (tmp_path / "a" / "model.onnx").read_bytes() == (tmp_path / "b" / "model.onnx").read_bytes()
    configs = [json.loads((tmp_path / out / "genai_config.json").read_text()) for out in ("a", "b")]
    assert configs[0] == configs[1]
    assert load(tmp_path / "b")[0]["source"]["name"] == "tiny"


def test_unpermute_undoes_llama_cpp_order() -> None:
    weights = np.arange(64 * 6, dtype=np.float32).reshape(64, 6)
    for heads in (1, 2, 4, 8):
        assert np.array_equal(unpermute(permute(weights, heads), heads), weights)
        assert not np.array_equal(permute(weights, heads), weights)


def test_gguf_with_quantized_weights_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "q.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for add, value in ((writer.add_context_length, 8), (writer.add_embedding_length, 32), (writer.add_block_count, 1),
                       (writer.add_feed_forward_length, 32), (writer.add_head_count, 1),
                       (writer.add_layer_norm_rms_eps, 1e-5)):  # fmt: skip
        add(value)
    data = np.zeros((32, 34), np.uint8)  # Q8_0: 32 weights in 34 bytes
    writer.add_tensor("token_embd.weight", data, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ExportError, match=r"q\.gguf: token_embd\.weight is Q8_0, expected F32, F16, BF16"):
        export(path, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["q.gguf"]


@pytest.mark.parametrize("defect", ["other_family", "not_gguf", "no_tokenizer"])
def test_bad_gguf_is_one_line_and_leaves_nothing(tmp_path: Path, defect: str) -> None:
    path = tmp_path / "m.gguf"
    expected: tuple[type[Exception], str] = (ExportError, "general.architecture is 'mamba', expected llama or")
    if defect == "not_gguf":
        path.write_bytes(b"not a model at all, but long enough")
        expected = (FormatError, r"m\.gguf: is not GGUF")
    elif defect == "no_tokenizer":
        write_gguf(path, "BF16")
        (tmp_path / "tokenizer.json").unlink()
        expected = (ExportError, r"tokenizer\.json: not found; .*--tokenizer")
    else:
        writer = gguf.GGUFWriter(path, "mamba")
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
    with pytest.raises(expected[0], match=expected[1]) as caught:
        export(path, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.gguf"]
