"""A GGUF file with unquantized weights as a checkpoint: keys and names mapped back to those of transformers.

llama.cpp's converter renames the tensors, and for the Llama architecture reorders the rows of the query and key
projections (pairs of rotary positions side by side); both are undone here, exactly.
"""

from __future__ import annotations

import math
import mmap
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.config.reader import LARGEST_INTEGER, ConfigReader
from edge_runtime.errors import ExportError, FormatError
from edge_runtime.io.printable import printable
from exporters.checkpoints.checkpoint import Checkpoint
from exporters.checkpoints.gguf_file import DTYPES, Array, GgufFile, shown
from exporters.checkpoints.gguf_tokenizer import tokenizer_json
from exporters.checkpoints.safetensors_file import TensorInfo
from exporters.checkpoints.source_maps import SourceMaps

_FAMILIES = ("llama", "qwen2", "qwen3")
_PERMUTED = ("llama",)
_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_BLOCK = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
_NAME = re.compile(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)")
_ROPE_FACTORS = "rope_freqs.weight"
_PART = re.compile(r"(.*-)(\d{5})-of-(\d{5})\.gguf", re.DOTALL)
_MOST_PARTS = 9999
# Keys of the architecture that are carried out, or that change nothing, and values of others that change nothing.
_CARRIED_OUT = frozenset(
    {
        "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.layer_norm_epsilon",
        "attention.layer_norm_rms_epsilon", "block_count", "context_length", "embedding_length", "feed_forward_length",
        "rope.freq_base", "rope.scale_linear", "rope.scaling.factor", "rope.scaling.finetuned",
        "rope.scaling.original_context_length", "rope.scaling.type", "vocab_size",
    }
)  # fmt: skip
_CHANGES_NOTHING: dict[str, tuple[Any, ...]] = {
    "attention.causal": (True,),
    "expert_count": (0,),
    "expert_used_count": (0,),
    "rope.scaling.attn_factor": (1.0,),
    "tensor_data_layout": ("reference",),
    "use_parallel_residual": (False,),
}


def open_gguf(path: Path) -> tuple[Checkpoint, Callable[[], bytes | None]]:
    """Open a GGUF file, or all parts of the split one that `path` is a part of; also what makes its tokenizer.json.

    Raises ExportError for one that is quantized, big-endian, incomplete or of another family, FormatError if malformed.
    """
    maps = SourceMaps()
    parts = _parts(GgufFile(path, maps), maps)
    fields = _Fields(parts[0])
    stored = {name: part for part in parts for name in part.tensors}
    config = _config(fields, stored)
    fields.refuse_unread(config["head_dim"])
    path = parts[0].path
    checkpoint = Checkpoint(path, ConfigReader(path, config), [_Renamed(part, maps, config) for part in parts])
    return checkpoint, lambda: tokenizer_json(parts[0])


def _parts(file: GgufFile, maps: SourceMaps) -> list[GgufFile]:
    """Return the files of a split model in order; ExportError if one is missing or belongs to another."""
    count = file.values.get("split.count", 1)
    if type(count) is not int or not 1 <= count <= _MOST_PARTS:
        raise FormatError(
            f"{file.path}: split.count is {shown(count)}, expected 1 to {_MOST_PARTS}",
            file=str(file.path), field="split.count",
        )  # fmt: skip
    if count == 1:
        return [file]
    found = _PART.fullmatch(file.path.name)
    if found is None or int(found[3]) != count:
        raise ExportError(
            f"{file.path}: is a part of a model in {count} files, expected a name that ends with "
            f"-NNNNN-of-{count:05}.gguf; give the parts the names that they had"
        )
    paths = [file.path.with_name(f"{found[1]}{number:05}-of-{count:05}.gguf") for number in range(1, count + 1)]
    absent = [path.name for path in paths if not path.exists()]
    if absent:
        raise ExportError(
            f"{file.path}: is a part of a model in {count} files, and {len(absent)} of them "
            f"{'are' if len(absent) > 1 else 'is'} not beside it: {printable(', '.join(absent[:4]))}; fetch the rest"
        )
    parts = [file if path == file.path else GgufFile(path, maps) for path in paths]
    for number, part in enumerate(parts):
        told = part.values.get("split.no"), part.values.get("split.count")
        if told != (number, count):
            raise ExportError(
                f"{part.path}: says that it is part {shown(told[0])} (counted from 0) of {shown(told[1])}, expected "
                f"{number} of {count}; fetch it again"
            )
    return parts


class _Renamed:
    """The tensors of one file under transformers' names, in transformers' order of rows."""

    def __init__(self, file: GgufFile, maps: SourceMaps, config: Mapping[str, Any]) -> None:
        self.path, self._file, self._maps = file.path, file, maps
        self.metadata: dict[str, Any] = {}
        self.tensors: dict[str, TensorInfo] = {}
        self._stored: dict[str, str] = {}
        self._reorder: dict[str, int] = {}
        for info in file.tensors.values():
            if info.name == _ROPE_FACTORS:
                continue
            name, kind = _mapped(file.path, info.name)
            self.tensors[name], self._stored[name] = replace(info, name=name), info.name
            if kind in ("attn_q", "attn_k") and config["model_type"] in _PERMUTED:
                self._reorder[name] = config["num_attention_heads" if kind == "attn_q" else "num_key_value_heads"]

    def dtype(self, name: str) -> np.dtype[Any]:
        """Return the dtype of a tensor."""
        return DTYPES[self.tensors[name].dtype]

    def read(self, name: str) -> NDArray[Any]:
        """Return a tensor: a view on the file, or a copy with its rows in transformers' order."""
        array, heads = self._file.read(self._stored[name]), self._reorder.get(name)
        return array if heads is None else unpermute(array, heads)

    def prefetch(self, name: str) -> None:
        """Let the system begin to read the tensor."""
        self._file.advise(self._stored[name], mmap.MADV_WILLNEED)

    def release(self, name: str) -> None:
        """Give the tensor's pages back."""
        self._file.advise(self._stored[name], mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Unmap the file."""
        self._maps.close()


def unpermute(array: NDArray[Any], heads: int) -> NDArray[Any]:
    """Undo llama.cpp's order of query or key rows: of each head, pairs (2 i, 2 i + 1) become (i, i + width / 2)."""
    half = array.shape[0] // heads // 2
    pairs = array.reshape(heads, half, 2, *array.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(array.shape)


def _mapped(path: Path, name: str) -> tuple[str, str]:
    """Return transformers' name for a tensor, and GGUF's name for its kind."""
    found = _NAME.fullmatch(name)
    if found:
        block, kind, suffix = found.groups()
        known = (_TOP if block is None else _BLOCK).get(kind)
        if known:
            return (f"{known}.{suffix}" if block is None else f"model.layers.{block}.{known}.{suffix}"), kind
    raise ExportError(
        f"{path}: tensor {printable(name)} is none of the {', '.join(_FAMILIES)} families; export the original"
    )


class _Fields:
    """The file's metadata under the architecture's prefix: errors name file, key, value and what was expected."""

    def __init__(self, file: GgufFile) -> None:
        self.path, self.values = file.path, file.values
        family = file.values.get("general.architecture")
        if family not in _FAMILIES:
            raise ExportError(
                f"{self.path}: general.architecture is {shown(family)}, expected {' or '.join(_FAMILIES)}; export the "
                "original Hugging Face folder"
            )
        self.family = str(family)

    def error(self, key: str, expected: str, instead: str = "convert the model anew") -> FormatError:
        """Return the error for a key, whose value is not as expected."""
        value = self.values.get(key)
        got = "missing" if value is None else shown(value)
        return FormatError(
            f"{self.path}: {key} is {got}, expected {expected}; {instead}", file=str(self.path), field=key
        )

    def integer(self, key: str, default: int | None = None) -> int:
        """Return an integer from 1 on of the architecture; an array of equal ones, one a layer, serves too."""
        key = f"{self.family}.{key}"
        value = self.values.get(key, default)
        if isinstance(value, Array) and value.members:
            if len(set(value.members)) > 1:
                raise self.error(key, "the same number in every layer", "export the original Hugging Face folder")
            value = value.members[0]
        if type(value) is not int or not 1 <= value <= LARGEST_INTEGER:
            raise self.error(key, f"an integer from 1 to {LARGEST_INTEGER}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Return a finite number above 0 of the architecture."""
        key = f"{self.family}.{key}"
        value = self.values.get(key, default)
        if not isinstance(value, (int, float)) or type(value) is bool or not 0 < value < math.inf:
            raise self.error(key, "a number above 0")
        return float(value)

    def token(self, name: str) -> int | None:
        """Return the id of a token by its role, None where the file does not say it."""
        key = f"tokenizer.ggml.{name}_token_id"
        value = self.values.get(key)
        if value is not None and (type(value) is not int or not 0 <= value <= LARGEST_INTEGER):
            raise self.error(key, f"an integer from 0 to {LARGEST_INTEGER}")
        return value

    def refuse_unread(self, head_dim: int) -> None:
        """Refuse every key of the architecture that this export does not carry out, unless it changes nothing."""
        neutral = _CHANGES_NOTHING | {"attention.value_length": (head_dim,), "rope.dimension_count": (head_dim,)}
        prefix = f"{self.family}."
        for key, value in self.values.items():
            name = key.removeprefix(prefix)
            if name == key or name in _CARRIED_OUT or value in neutral.get(name, ()):
                continue
            expected = " or ".join(map(str, neutral.get(name, ()))) or "no such key"
            raise self.error(key, f"{expected}: this export does not carry it out", "export the original")


def _config(fields: _Fields, stored: Mapping[str, GgufFile]) -> dict[str, Any]:
    """Return config.json as transformers would have it."""
    heads, hidden = fields.integer("attention.head_count"), fields.integer("embedding_length")
    config: dict[str, Any] = {
        "model_type": fields.family,
        "hidden_size": hidden,
        "num_hidden_layers": fields.integer("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": fields.integer("attention.head_count_kv", heads),
        "head_dim": fields.integer("attention.key_length", hidden // heads),
        "intermediate_size": fields.integer("feed_forward_length"),
        "max_position_embeddings": fields.integer("context_length"),
        "rms_norm_eps": fields.number("attention.layer_norm_rms_epsilon"),
        "rope_theta": fields.number("rope.freq_base", 10000.0),
        "vocab_size": _vocabulary(stored),
        "tie_word_embeddings": "output.weight" not in stored,
        "hidden_act": "silu",
    }
    if fields.family == "llama":
        config["attention_bias"] = "blk.0.attn_q.bias" in stored
    for name in ("bos", "eos"):
        token = fields.token(name)
        if token is not None:
            config[f"{name}_token_id"] = token
    scaling = _rope_scaling(fields, stored, config)
    if scaling is not None:
        config["rope_scaling"] = scaling
    return config


def _vocabulary(stored: Mapping[str, GgufFile]) -> int:
    """How many rows the embedding has; the check of all shapes names an embedding that is missing or no matrix."""
    name = "token_embd.weight"
    shape: Sequence[int] = stored[name].tensors[name].shape if name in stored else ()
    return shape[0] if len(shape) == 2 else 1


def _rope_scaling(fields: _Fields, stored: Mapping[str, GgufFile], config: dict[str, Any]) -> dict[str, Any] | None:
    """Return rope_scaling: linear is in the metadata; Llama 3's is only there as the factors it makes."""
    kind = fields.values.get(f"{fields.family}.rope.scaling.type", "linear")
    if kind not in ("none", "linear"):
        raise fields.error(f"{fields.family}.rope.scaling.type", "none or linear", "export the original")
    factor = fields.number("rope.scaling.factor", fields.number("rope.scale_linear", 1.0)) if kind == "linear" else 1.0
    if _ROPE_FACTORS not in stored:
        return {"rope_type": "linear", "factor": factor} if factor != 1.0 else None
    factors = np.array(stored[_ROPE_FACTORS].read(_ROPE_FACTORS), np.float32).reshape(-1)
    largest = factors.max().item()
    if factor != 1.0 or not 1 <= largest < math.inf or not _is_llama3(factors, config, round(largest)):
        raise ExportError(f"{fields.path}: {_ROPE_FACTORS} is no scaling of Llama 3.x known here; export the original")
    return {
        "rope_type": "llama3", "factor": float(round(largest)), "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }  # fmt: skip


def _is_llama3(factors: NDArray[np.float32], config: Mapping[str, Any], factor: int) -> bool:
    """Whether this is what low_freq_factor 1, high_freq_factor 4 and 8192 trained positions make of `factor`."""
    theta, head_dim = config["rope_theta"], config["head_dim"]
    if 2 * factors.size != head_dim:
        return False
    wavelengths = 2 * math.pi * theta ** (np.arange(0, head_dim, 2) / head_dim)
    smooth = np.clip((8192 / wavelengths - 1) / 3, 0, 1)
    return bool(np.allclose(factors, 1 / ((1 - smooth) / factor + smooth), rtol=1e-4))
