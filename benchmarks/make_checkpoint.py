"""Write a checkpoint with random weights in the shape of a real model: for measuring size, speed and memory.

Weights are normal(0, 0.02), norms 1. Numbers come from numpy alone and depend on seed and shape, not on threads;
memory stays at some dozen MB because they are made and written in pieces.

    python benchmarks/make_checkpoint.py tinyllama-1.1b build/tinyllama
    python benchmarks/make_checkpoint.py llama-2-13b build/llama-2-13b-8 --layers 8
    python benchmarks/make_checkpoint.py opt-13b build/opt-13b-8 --layers 8
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

_KEYS = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size",
    "vocab_size", "max_position_embeddings", "rope_theta",
)  # fmt: skip
SHAPES: dict[str, tuple[int, int, int, int, int, int, int, float]] = {
    "llama-100mb": (768, 4, 12, 12, 2048, 16000, 2048, 10000.0),
    "tiny": (256, 4, 8, 4, 688, 1024, 512, 10000.0),
    "tinyllama-1.1b": (2048, 22, 32, 4, 5632, 32000, 2048, 10000.0),
    "llama-3.2-1b": (2048, 16, 32, 8, 8192, 128256, 8192, 500000.0),
    "llama-2-7b": (4096, 32, 32, 32, 11008, 32000, 4096, 10000.0),
    "llama-3-8b": (4096, 32, 32, 8, 14336, 128256, 8192, 500000.0),
    "llama-2-13b": (5120, 40, 40, 40, 13824, 32000, 4096, 10000.0),
}
_TIED = {"llama-3.2-1b"}
# Other families: their own config.json; the exporter says which tensors it means.
OTHERS: dict[str, dict[str, Any]] = {
    "gpt2": {
        "model_type": "gpt2", "vocab_size": 50257, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024,
    },
    "opt-1.3b": {
        "model_type": "opt", "vocab_size": 50272, "hidden_size": 2048, "num_hidden_layers": 24, "ffn_dim": 8192,
        "num_attention_heads": 32, "max_position_embeddings": 2048, "word_embed_proj_dim": 2048,
    },
    "opt-13b": {
        "model_type": "opt", "vocab_size": 50272, "hidden_size": 5120, "num_hidden_layers": 40, "ffn_dim": 20480,
        "num_attention_heads": 40, "max_position_embeddings": 2048, "word_embed_proj_dim": 5120,
    },
    "mistral-7b": {
        "model_type": "mistral", "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
        "max_position_embeddings": 32768, "sliding_window": 4096,
    },
    "qwen2.5-0.5b": {
        "model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864,
        "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "rope_theta": 1000000.0,
        "max_position_embeddings": 32768, "tie_word_embeddings": True,
    },
    "qwen3-0.6b": {
        "model_type": "qwen3", "vocab_size": 151936, "hidden_size": 1024, "intermediate_size": 3072, "head_dim": 128,
        "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "rope_theta": 1000000.0,
        "max_position_embeddings": 40960, "tie_word_embeddings": True,
    },
    "phi-3-mini": {
        "model_type": "phi3", "vocab_size": 32064, "hidden_size": 3072, "intermediate_size": 8192,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32, "sliding_window": 2047,
        "max_position_embeddings": 4096,
    },
    "gemma-2-2b": {
        "model_type": "gemma2", "vocab_size": 256000, "hidden_size": 2304, "intermediate_size": 9216,
        "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
        "max_position_embeddings": 8192,
    },
    "mixtral-8x7b": {
        "model_type": "mixtral", "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "num_local_experts": 8,
        "num_experts_per_tok": 2, "max_position_embeddings": 32768, "rope_theta": 1000000.0,
    },
}  # fmt: skip
_DTYPES: dict[str, tuple[str, np.dtype[Any], str]] = {
    "bf16": ("BF16", np.dtype(ml_dtypes.bfloat16), "bfloat16"),
    "fp16": ("F16", np.dtype(np.float16), "float16"),
    "fp32": ("F32", np.dtype(np.float32), "float32"),
}
_CHUNK = 1 << 20  # elements drawn at a time; each chunk has a generator of its own
_SIGMA = np.float32(0.02)
_SPECIAL = ("<unk>", "<s>", "</s>")


def make_config(shape: str, layers: int | None, dtype: str) -> dict[str, Any]:
    """Return config.json for a shape, with another number of layers if given."""
    if shape in OTHERS:
        config = {"bos_token_id": 1, "eos_token_id": 2, "torch_dtype": _DTYPES[dtype][2], **OTHERS[shape]}
        key = "n_layer" if "n_layer" in config else "num_hidden_layers"
        return config | ({key: layers} if layers is not None else {})
    config = dict(zip(_KEYS, SHAPES[shape], strict=True))
    if layers is not None:
        config["num_hidden_layers"] = layers
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **config,
        "head_dim": config["hidden_size"] // config["num_attention_heads"],
        "rms_norm_eps": 1e-05,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": shape in _TIED,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": _DTYPES[dtype][2],
    }


def tensor_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the checkpoint's tensors in the order in which they are written."""
    if config["model_type"] != "llama":
        return _shapes_by_exporter(config)
    hidden, inner, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    kv = config["num_key_value_heads"] * config["head_dim"]
    block: dict[str, tuple[int, ...]] = {
        "input_layernorm": (hidden,),
        "mlp.down_proj": (hidden, inner),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "post_attention_layernorm": (hidden,),
        "self_attn.k_proj": (kv, hidden),
        "self_attn.o_proj": (hidden, hidden),
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.v_proj": (kv, hidden),
    }
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocab, hidden)}
    for layer in range(config["num_hidden_layers"]):
        shapes.update({f"model.layers.{layer}.{name}.weight": shape for name, shape in block.items()})
    shapes["model.norm.weight"] = (hidden,)
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocab, hidden)
    return shapes


def _shapes_by_exporter(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return what the family needs, in the order of use, from the graph that the exporter builds."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from edge_runtime.config.reader import ConfigReader
    from exporters.architectures.registry import build

    checkpoint: Any = SimpleNamespace(config=ConfigReader(Path("config.json"), config), tensors={})
    return build(checkpoint).graph.shapes()


def make_header(shapes: dict[str, tuple[int, ...]], dtype: str) -> tuple[bytes, int]:
    """Return the safetensors header, length included, and the size of the data in bytes."""
    name, numpy_dtype, _ = _DTYPES[dtype]
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for tensor, shape in shapes.items():
        end = position + math.prod(shape) * numpy_dtype.itemsize
        header[tensor] = {"dtype": name, "shape": list(shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, position


def draw(seed: int, tensor: int, chunk: int, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return `count` random weights; (seed, tensor, chunk) alone decide them."""
    generator = np.random.Generator(np.random.SFC64([seed, tensor, chunk]))
    values = generator.standard_normal(count, np.float32)
    values *= _SIGMA
    return values.astype(dtype)


def pieces(
    shapes: dict[str, tuple[int, ...]], dtype: str, seed: int, pool: ThreadPoolExecutor
) -> Iterator[Future[NDArray[Any]]]:
    """Yield the data in pieces, as work that the pool has begun."""
    numpy_dtype = _DTYPES[dtype][1]
    for tensor, (name, shape) in enumerate(shapes.items()):
        count = math.prod(shape)
        if len(shape) == 1 and name.endswith(".weight"):
            yield pool.submit(np.ones, count, numpy_dtype)
            continue
        for chunk, begin in enumerate(range(0, count, _CHUNK)):
            yield pool.submit(draw, seed, tensor, chunk, min(_CHUNK, count - begin), numpy_dtype)


def write_weights(path: Path, shapes: dict[str, tuple[int, ...]], dtype: str, seed: int, threads: int) -> int:
    """Write the safetensors file and return its size in bytes; it appears only when it is whole."""
    header, data_bytes = make_header(shapes, dtype)
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file, ThreadPoolExecutor(threads) as pool:
            file.write(header)
            begun: deque[Future[NDArray[Any]]] = deque()
            for piece in pieces(shapes, dtype, seed, pool):
                begun.append(piece)
                if len(begun) > 2 * threads:
                    file.write(begun.popleft().result().view(np.uint8).data)
            for piece in begun:
                file.write(piece.result().view(np.uint8).data)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    return len(header) + data_bytes


def write_tokenizer(path: Path, vocab_size: int) -> None:
    """Write a byte-level BPE tokenizer without merges: bytes first, then words that only decoding meets."""
    tokens = [*_SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokens += [f"\u0120w{number}" for number in range(len(tokens), vocab_size)]  # U+0120 stands for a space
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(_SPECIAL))
    tokenizer.save(str(path))


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("shape", choices=sorted([*SHAPES, *OTHERS]))
    parser.add_argument("out", type=Path, help="folder to write; made if it is not there")
    parser.add_argument("--layers", type=int, help="number of layers, if not the model's own")
    parser.add_argument("--dtype", choices=sorted(_DTYPES), default="bf16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    start = time.monotonic()
    config = make_config(args.shape, args.layers, args.dtype)
    args.out.mkdir(parents=True, exist_ok=True)
    size = write_weights(
        args.out / "model.safetensors", tensor_shapes(config), args.dtype, args.seed, max(args.threads, 1)
    )
    (args.out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    write_tokenizer(args.out / "tokenizer.json", config["vocab_size"])
    seconds = time.monotonic() - start
    print(f"{args.out}: {size / 1e6:,.1f} MB in {seconds:.1f} s ({size / 1e6 / seconds:,.0f} MB/s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
