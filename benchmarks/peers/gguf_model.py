"""Write a Llama checkpoint (safetensors) as a GGUF file with the same BF16 weights, for llama.cpp.

    python benchmarks/peers/gguf_model.py build/tinyllama build/tinyllama.gguf

Needs the package gguf. The file has no vocabulary: it is fed with token ids. Tensor after tensor is copied, so memory
stays below the largest one.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

_NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip
_OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def gguf_name(name: str) -> str:
    """The name that llama.cpp gives a tensor of transformers' Llama."""
    stem = name.removesuffix(".weight")
    if stem in _OUTER:
        return f"{_OUTER[stem]}.weight"
    _, _, layer, rest = stem.split(".", 3)
    return f"blk.{layer}.{_NAMES[rest]}.weight"


def permuted(words: NDArray[np.uint16], heads: int) -> NDArray[np.uint16]:
    """Rows of a query or key projection in llama.cpp's order: the halves of a head interleaved, for its rotation."""
    rows, columns = words.shape
    return words.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write(checkpoint: Path, out: Path) -> None:
    """Write `out` from the one safetensors file of `checkpoint`."""
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    data, entries = _open(checkpoint / "model.safetensors")
    writer = gguf.GGUFWriter(out, "llama")
    _write_config(writer, config)
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for name, entry in entries.items():
        writer.add_tensor_info(gguf_name(name), *_info(entry))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, entry in entries.items():
        begin, end = entry["data_offsets"]
        words = np.asarray(data[begin:end]).view("<u2").reshape(entry["shape"])
        projection = name.split(".")[-2]
        if projection in heads:
            words = permuted(words, heads[projection])
        if words.ndim == 1:  # norms are float32 there
            writer.write_tensor_data((words.astype(np.uint32) << 16).view(np.float32))
        else:
            writer.write_tensor_data(np.ascontiguousarray(words).view(np.uint8))
    writer.close()


def _write_config(writer: Any, config: dict[str, Any]) -> None:
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_tokenizer_model("no_vocab")


def _open(file: Path) -> tuple[NDArray[np.uint8], dict[str, dict[str, Any]]]:
    """The data and the tensors' entries, of which all must be BF16."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    wrong = next((name for name, entry in header.items() if entry["dtype"] != "BF16"), None)
    if wrong is not None:
        sys.exit(f"{file}: {wrong} is {header[wrong]['dtype']}, expected BF16")
    return np.memmap(file, np.uint8, "r", 8 + length), header


def _info(entry: dict[str, Any]) -> tuple[Any, ...]:
    shape = list(entry["shape"])
    elements = int(np.prod(shape))
    if len(shape) == 1:
        return shape, np.dtype(np.float32), 4 * elements, gguf.GGMLQuantizationType.F32
    # With raw bytes the writer wants the shape in bytes.
    return [*shape[:-1], 2 * shape[-1]], np.dtype(np.uint8), 2 * elements, gguf.GGMLQuantizationType.BF16


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    write(options.checkpoint, options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:,.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
