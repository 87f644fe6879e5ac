"""A GGUF file with unquantized weights as a checkpoint: keys and names mapped back to those of transformers.

llama.cpp's converter renames the tensors, and for the Llama architecture reorders the rows of the query and key
projections (pairs of rotary positions side by side); both are undone here, exactly.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import re
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import ExportError, FormatError
from exporters.checkpoint import Checkpoint
from exporters.config import ConfigReader
from exporters.safetensors_file import TensorInfo

_NUMPY: dict[str, np.dtype[Any]] = {
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
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


def open_gguf(path: Path) -> Checkpoint:
    """Open a GGUF file; ExportError for one that is quantized or of another family, FormatError if malformed."""
    reader = _read(path)
    fields = _Fields(path, reader)
    config = _config(fields, {tensor.name: tensor for tensor in reader.tensors})
    file = GgufFile(path, reader, config)
    return Checkpoint(path, ConfigReader(path, config), [file])


def _read(path: Path) -> Any:
    try:
        import gguf
    except ImportError:
        raise ExportError(f"{path}: reading GGUF needs a package: pip install 'lpc-edge-runtime[gguf]'") from None
    try:
        return gguf.GGUFReader(path)
    except OSError as error:
        raise ExportError(f"{path}: cannot be read ({error.strerror}); expected a GGUF file") from None
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise FormatError(f"{path}: is not GGUF, or is cut short ({error}); fetch it again", file=str(path)) from None


class GgufFile:
    """The tensors of one file under transformers' names, memory-mapped."""

    def __init__(self, path: Path, reader: Any, config: dict[str, Any]) -> None:
        self.path = path
        self.metadata: dict[str, Any] = {}
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.tensors: dict[str, TensorInfo] = {}
        self._reorder: dict[str, int] = {}
        for tensor in reader.tensors:
            if tensor.name == _ROPE_FACTORS:
                continue
            name, kind = _mapped(path, tensor.name)
            self._add(name, tensor)
            if kind in ("attn_q", "attn_k") and config["model_type"] in _PERMUTED:
                heads = "num_attention_heads" if kind == "attn_q" else "num_key_value_heads"
                self._reorder[name] = config[heads]

    def dtype(self, name: str) -> np.dtype[Any]:
        """Return the dtype of a tensor."""
        return np.dtype(_NUMPY[self.tensors[name].dtype])

    def read(self, name: str) -> NDArray[Any]:
        """Return a tensor: a view on the file, or a copy with its rows in transformers' order."""
        info = self.tensors[name]
        dtype = self.dtype(name)
        array = np.frombuffer(self._map, dtype, info.nbytes // dtype.itemsize, info.offset).reshape(info.shape)
        heads = self._reorder.get(name)
        return array if heads is None else unpermute(array, heads)

    def prefetch(self, name: str) -> None:
        """Let the system begin to read the tensor."""
        self._advise(self.tensors[name], mmap.MADV_WILLNEED)

    def release(self, name: str) -> None:
        """Give the tensor's pages back."""
        self._advise(self.tensors[name], mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Unmap the file."""
        with contextlib.suppress(BufferError):
            self._map.close()

    def _add(self, name: str, tensor: Any) -> None:
        dtype = tensor.tensor_type.name
        if dtype not in _NUMPY:
            raise ExportError(
                f"{self.path}: {tensor.name} is {dtype}, expected {', '.join(_NUMPY)}: quantized weights are not what "
                "the model was; convert it with convert_hf_to_gguf.py --outtype bf16, or export the original"
            )
        shape = tuple(int(extent) for extent in tensor.shape[::-1])  # GGUF counts extents from the fastest
        nbytes, offset = math.prod(shape) * _NUMPY[dtype].itemsize, int(tensor.data_offset)
        if offset + nbytes > len(self._map):
            raise FormatError(
                f"{self.path}: {tensor.name} ends at byte {offset + nbytes}, but the file has {len(self._map)}; fetch "
                "it again", file=str(self.path), field=tensor.name, offset=offset,
            )  # fmt: skip
        self.tensors[name] = TensorInfo(name, dtype, shape, self.path, offset, nbytes)

    def _advise(self, info: TensorInfo, advice: int) -> None:
        begin = info.offset - info.offset % mmap.PAGESIZE
        self._map.madvise(advice, begin, info.offset + info.nbytes - begin)


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
    raise ExportError(f"{path}: tensor {name} is none of the {', '.join(_FAMILIES)} families; export the original")


class _Fields:
    """The file's metadata under the architecture's prefix."""

    def __init__(self, path: Path, reader: Any) -> None:
        self.path, self._reader = path, reader
        self.family = str(self.optional("general.architecture"))
        if self.family not in _FAMILIES:
            raise ExportError(
                f"{path}: general.architecture is {self.family!r}, expected {' or '.join(_FAMILIES)}; export the "
                "original Hugging Face folder"
            )

    def optional(self, key: str) -> Any:
        """Return a value by its whole name, or None."""
        entry = self._reader.get_field(key)
        return None if entry is None else entry.contents()

    def of(self, key: str, default: Any = None) -> Any:
        """Return a value of the architecture; FormatError if it is absent and has no default."""
        value = self.optional(f"{self.family}.{key}")
        if value is None and default is None:
            raise FormatError(f"{self.path}: has no {self.family}.{key}", file=str(self.path), field=key)
        return default if value is None else value


def _config(fields: _Fields, tensors: dict[str, Any]) -> dict[str, Any]:
    """Return config.json as transformers would have it."""
    heads, hidden = int(fields.of("attention.head_count")), int(fields.of("embedding_length"))
    config: dict[str, Any] = {
        "model_type": fields.family,
        "hidden_size": hidden,
        "num_hidden_layers": int(fields.of("block_count")),
        "num_attention_heads": heads,
        "num_key_value_heads": int(fields.of("attention.head_count_kv", heads)),
        "head_dim": int(fields.of("attention.key_length", hidden // heads)),
        "intermediate_size": int(fields.of("feed_forward_length")),
        "max_position_embeddings": int(fields.of("context_length")),
        "rms_norm_eps": float(fields.of("attention.layer_norm_rms_epsilon")),
        "rope_theta": float(fields.of("rope.freq_base", 10000.0)),
        "vocab_size": int(tensors["token_embd.weight"].shape[1]) if "token_embd.weight" in tensors else 1,
        "tie_word_embeddings": "output.weight" not in tensors,
        "hidden_act": "silu",
        "attention_bias": "blk.0.attn_q.bias" in tensors and fields.family == "llama",
    }
    if fields.family != "llama":
        config.pop("attention_bias")
    for name in ("bos", "eos"):
        token = fields.optional(f"tokenizer.ggml.{name}_token_id")
        if token is not None:
            config[f"{name}_token_id"] = int(token)
    scaling = _rope_scaling(fields, tensors, config)
    if scaling is not None:
        config["rope_scaling"] = scaling
    return config


def _rope_scaling(fields: _Fields, tensors: dict[str, Any], config: dict[str, Any]) -> dict[str, Any] | None:
    """Return rope_scaling: linear is in the metadata; Llama 3's is only there as the factors it makes."""
    kind = str(fields.of("rope.scaling.type", "none"))
    if kind == "linear":
        return {"rope_type": "linear", "factor": float(fields.of("rope.scaling.factor"))}
    if kind != "none":
        raise ExportError(f"{fields.path}: rope.scaling.type is {kind!r}, expected none or linear; export the original")
    if _ROPE_FACTORS not in tensors:
        return None
    factors = np.array(tensors[_ROPE_FACTORS].data, np.float32).reshape(-1)
    factor = float(round(float(factors.max())))
    scaling = {
        "rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }  # fmt: skip
    expected = _llama3_factors(config["rope_theta"], config["head_dim"], factor)
    if factors.shape != expected.shape or not np.allclose(factors, expected, rtol=1e-4):
        raise ExportError(f"{fields.path}: {_ROPE_FACTORS} is no scaling of Llama 3.x known here; export the original")
    return scaling


def _llama3_factors(theta: float, head_dim: int, factor: float) -> NDArray[np.float32]:
    """What convert_hf_to_gguf.py writes for low_freq_factor 1, high_freq_factor 4 and 8192 trained positions."""
    wavelengths = 2 * math.pi * theta ** (np.arange(0, head_dim, 2) / head_dim)
    smooth = np.clip((8192 / wavelengths - 1) / 3, 0, 1)
    return np.asarray(1 / ((1 - smooth) / factor + smooth), np.float32)
