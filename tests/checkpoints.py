"""Tiny random Llama checkpoints, written with numpy alone, and a way to run an export without the native library."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 112,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 96,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "attention_bias": False,
    "mlp_bias": False,
}
NUMPY = {"BF16": np.dtype(ml_dtypes.bfloat16), "F16": np.dtype(np.float16), "F32": np.dtype(np.float32)}


def shared_folder(*parts: str) -> Path:
    """Return a folder of the shared data, or skip the test where it is not there."""
    root = Path(os.environ.get("LPC_SHARED", Path(__file__).parents[2] / "shared"))
    path = root.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"shared data not found: {path} (set LPC_SHARED)")
    return path


def llama_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of a Llama's tensors, as transformers saves them."""
    hidden, inner, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    q = config["num_attention_heads"] * config["head_dim"]
    kv = config["num_key_value_heads"] * config["head_dim"]
    block: dict[str, tuple[int, ...]] = {
        "input_layernorm.weight": (hidden,),
        "post_attention_layernorm.weight": (hidden,),
    }
    linears = {
        "self_attn.q_proj": (q, hidden),
        "self_attn.k_proj": (kv, hidden),
        "self_attn.v_proj": (kv, hidden),
        "self_attn.o_proj": (hidden, q),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }
    for name, shape in linears.items():
        block[f"{name}.weight"] = shape
        if config["attention_bias" if name.startswith("self_attn") else "mlp_bias"]:
            block[f"{name}.bias"] = shape[:1]
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocab, hidden), "model.norm.weight": (hidden,)}
    for i in range(config["num_hidden_layers"]):
        shapes.update({f"model.layers.{i}.{name}": shape for name, shape in block.items()})
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocab, hidden)
    return shapes


def random_tensors(config: Mapping[str, Any], dtype: str = "BF16", seed: int = 0) -> dict[str, np.ndarray]:
    """Return random weights: large enough that logits differ clearly, norms about 1."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in llama_shapes(config).items():
        if name.endswith("norm.weight"):
            values = rng.uniform(0.5, 1.5, shape)
        elif name.endswith(".bias"):
            values = rng.normal(0, 0.3, shape)
        else:
            values = rng.normal(0, 1.0 if "embed" in name else shape[-1] ** -0.5 * 1.5, shape)
        tensors[name] = values.astype(np.float32).astype(NUMPY[dtype])
    return tensors


def write_safetensors(path: Path, tensors: Mapping[str, np.ndarray], pad_header: int = 0) -> None:
    """Write a safetensors file; `pad_header` appends spaces to the header, which shifts the data's alignment."""
    names = {dtype: name for name, dtype in NUMPY.items()} | {np.dtype(np.int64): "I64"}
    header, position = {}, 0
    for name, array in tensors.items():
        header[name] = {
            "dtype": names[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [position, position + array.nbytes],
        }
        position += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8 + pad_header)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(array.tobytes() for array in tensors.values()))


def write_tokenizer(folder: Path, vocab_size: int) -> None:
    """Write a word-level tokenizer: one word a token."""
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"w{i}": i for i in range(3, vocab_size)}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def write_llama(folder: Path, *, dtype: str = "BF16", seed: int = 0, shards: int = 1, **changes: Any) -> Path:
    """Write a whole checkpoint folder; `changes` are put into config.json (None removes a key). Returns `folder`."""
    config = CONFIG | changes
    folder.mkdir(parents=True, exist_ok=True)
    tensors = random_tensors(config, dtype, seed)
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    write_tokenizer(folder, config["vocab_size"])
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors)
        return folder
    names = list(tensors)
    files = [f"model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)]
    for i, file in enumerate(files):
        write_safetensors(folder / file, {name: tensors[name] for name in names[i::shards]})
    weight_map = {name: files[i % shards] for i, name in enumerate(names)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def load(folder: Path) -> tuple[dict[str, Any], onnx.ModelProto, bytes]:
    """Return manifest, graph and data of an export."""
    manifest = json.loads((folder / "lpc.json").read_text())
    return manifest, onnx.load(folder / "model.onnx", load_external_data=False), (folder / "model.lpc").read_bytes()


def damage(path: Path, offset: int) -> None:
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def plain_model(folder: Path) -> onnx.ModelProto:
    """Return an export's graph with every Decompress replaced by the decoded weight: what ONNX alone can run."""
    from edge_runtime import codec

    model = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    data = np.fromfile(folder / "model.lpc", np.uint8)
    external = {}
    for tensor in list(model.graph.initializer):
        if tensor.external_data:
            place = {entry.key: entry.value for entry in tensor.external_data}
            external[tensor.name] = data[int(place["offset"]) :][: int(place["length"])], tensor
            model.graph.initializer.remove(tensor)
    nodes = []
    for node in model.graph.node:
        if node.op_type != "Decompress":
            nodes.append(node)
            continue
        attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        weight = codec.decode(external[node.input[0]][0]).astype(np.float32)
        weight = weight.T if attributes["transpose"] else weight
        model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(weight), node.output[0]))
    for name, (values, tensor) in external.items():
        if tensor.data_type == onnx.TensorProto.FLOAT:
            array = values.view(np.float32).reshape(tuple(tensor.dims))
            model.graph.initializer.append(numpy_helper.from_array(array, name))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


class PlainRunner:
    """Runs `plain_model` in onnxruntime, with the KV cache fed back from call to call."""

    def __init__(self, folder: Path) -> None:
        self.session = onnxruntime.InferenceSession(plain_model(folder).SerializeToString())
        self.cache: dict[str, np.ndarray] = {}
        self.length = 0
        for value in self.session.get_inputs():
            if value.name.startswith("past_key_values."):
                self.cache[value.name] = np.zeros((1, value.shape[1], 0, value.shape[3]), np.float32)

    def step(self, ids: list[int]) -> np.ndarray:
        """Feed more tokens of the one sequence; returns logits [tokens, vocabulary]."""
        positions = np.arange(self.length, self.length + len(ids), dtype=np.int64)[None]
        self.length += len(ids)
        feed = {
            "input_ids": np.array([ids], np.int64),
            "attention_mask": np.ones((1, self.length), np.int64),
            "position_ids": positions,
            **self.cache,
        }
        names = [value.name for value in self.session.get_outputs()]
        outputs = dict(zip(names, self.session.run(None, feed), strict=True))
        self.cache = {name: outputs[name.replace("past_key_values", "present")] for name in self.cache}
        return outputs["logits"][0]

    def greedy(self, prompt: list[int], count: int) -> list[int]:
        """Return `count` greedy tokens after `prompt`."""
        logits = self.step(prompt)
        tokens = [int(logits[-1].argmax())]
        while len(tokens) < count:
            tokens.append(int(self.step(tokens[-1:])[-1].argmax()))
        return tokens


def unseal(folder: Path) -> Path:
    """Take the hashes of its files from an export, as folders of 0.1.0 are, so that it can be edited."""
    manifest = json.loads((folder / "lpc.json").read_text(encoding="utf-8"))
    del manifest["files"]
    (folder / "lpc.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder
