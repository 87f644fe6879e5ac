"""Exported folders that hold only what a plan reads: the manifest, the configuration and a sparse data file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.package import Package
from edge_runtime.plan import Figures, Rate

MIB = 1 << 20
PAGE = 4096


@dataclass(frozen=True)
class Sizes:
    """Widths of a llama-like model, and its compressed share of 16 bits."""

    layers: int = 22
    hidden: int = 2048
    inner: int = 5632
    kv_width: int = 256
    vocab: int = 32000
    ratio: float = 0.7
    codec: str = "lz4"
    direct: bool = False
    tied: bool = False
    dtype: str = "fp16"


def figures(**rates: Any) -> Figures:
    """2 threads: DRAM 20 GB/s, bus 1 GB/s, lz4 4 GB/s, unless `rates` says otherwise."""
    decode = {"lz4": Rate(4e9), "ans": Rate(2e9), "stored": Rate(8e9)}
    return Figures(**{"name": "test", "threads": 2, "dram": Rate(20e9), "bus": Rate(1e9), "decode": decode, **rates})


def write_package(folder: Path, sizes: Sizes = Sizes()) -> Package:
    """Write the folder of a model of these sizes; the data file has no content but the right length."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors, layers = _contents(sizes)
    manifest = {
        "format": "lpc-package", "format_version": 1, "context_length": 2048,
        "data": {"file": "model.lpc", "bytes": tensors[-1]["offset"] + tensors[-1]["bytes"]},
        "tensors": tensors, "layers": layers, "constants": [],
    }  # fmt: skip
    decoder = {
        "filename": "model.onnx", "hidden_size": sizes.hidden, "num_hidden_layers": sizes.layers,
        "num_key_value_heads": 4, "head_size": sizes.kv_width // 4, "num_attention_heads": 32,
    }  # fmt: skip
    config = {"model": {"decoder": decoder, "type": "llama", "vocab_size": sizes.vocab}}
    (folder / "lpc.json").write_text(json.dumps(manifest), encoding="utf-8")
    (folder / "genai_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "model.onnx").touch()
    (folder / "tokenizer.json").touch()
    with (folder / "model.lpc").open("wb") as data:
        data.truncate(manifest["data"]["bytes"])
    return Package.open(folder)


def _contents(sizes: Sizes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    h, i, kv = sizes.hidden, sizes.inner, sizes.kv_width
    block = {"q": (h, h), "k": (kv, h), "v": (kv, h), "o": (h, h), "gate": (i, h), "up": (i, h), "down": (h, i)}
    plan = [("embed_tokens", {"weight": (sizes.vocab, h)})]
    plan += [(f"layers.{n}", block) for n in range(sizes.layers)]
    plan += [("lm_head", {} if sizes.tied else {"weight": (sizes.vocab, h)})]
    tensors: list[dict[str, Any]] = []
    layers: list[dict[str, Any]] = []
    offset = 0
    for index, (name, shapes) in enumerate(plan):
        begin = offset
        for tensor, shape in shapes.items():
            decoded = 2 * shape[0] * shape[1]
            # Layers compress a little differently, as real ones do.
            stored = int(decoded * sizes.ratio * (1 + 0.002 * ((index * 7) % 5)))
            tensors.append(
                {"name": f"{name}.{tensor}", "layer": index, "codec": sizes.codec, "dtype": sizes.dtype, "shape": shape,
                 "offset": offset, "bytes": stored, "decoded_bytes": decoded, "direct": sizes.direct}
            )  # fmt: skip
            offset += -(-stored // PAGE) * PAGE
        own = [tensor for tensor in tensors if tensor["layer"] == index] or tensors[:1]
        layers.append(
            {"index": index, "name": name, "offset": begin if shapes else 0,
             "bytes": own[-1]["offset"] + own[-1]["bytes"] - own[0]["offset"],
             "decoded_bytes": sum(tensor["decoded_bytes"] for tensor in own)}
        )  # fmt: skip
    return tensors, layers
