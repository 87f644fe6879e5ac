"""What `lpc-bench codec` compresses: tensors of safetensors files, raw files, and random ones."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime import codec
from edge_runtime.errors import ConfigError, FormatError

Array = npt.NDArray[Any]

DTYPES = ("bf16", "fp16", "fp32", "int8", "int8-row", "fp8_e4m3", "fp8_e5m2", "uint8")
_DISTRIBUTIONS = ("gauss", "laplace", "t5")
_SIGMA = 0.02
_SAFETENSORS = {
    "BF16": "bf16",
    "F16": "fp16",
    "F32": "fp32",
    "I8": "int8",
    "U8": "uint8",
    "F8_E4M3": "fp8_e4m3",
    "F8_E5M2": "fp8_e5m2",
}


@dataclass(frozen=True)
class Source:
    """A name for the report, and tensors of at least one element in total."""

    name: str
    tensors: list[Array]

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors)

    @property
    def elements(self) -> int:
        """Elements of all tensors."""
        return sum(tensor.size for tensor in self.tensors)


def load(spec: str, dtype: str | None, sparsity: float = 0.0) -> Source:
    """Load a safetensors file, a raw file of `dtype`, or a random matrix such as "gauss:4096x4096" (bf16 by default).

    sparsity: the part of the elements that is set to zero first, chosen at random. ConfigError for a name that is
    none of these, FormatError for a malformed file.
    """
    kind, _, shape = spec.partition(":")
    if kind in _DISTRIBUTIONS and shape:
        tensors = [random_matrix(kind, _shape(spec, shape), dtype or "bf16")]
    elif not Path(spec).is_file():
        raise ConfigError(f"{spec}: got no such file, expected a file or {'|'.join(_DISTRIBUTIONS)}:ROWSxCOLUMNS")
    elif spec.endswith(".safetensors"):
        tensors = _read_safetensors(Path(spec))
    else:
        tensors = [_read_raw(Path(spec), dtype)]
    tensors = [_pruned(tensor, sparsity) for tensor in tensors if tensor.size]
    if not tensors:
        raise ConfigError(f"{spec}: no tensor with elements of a dtype that the codecs take")
    name = Path(spec).name if Path(spec).is_file() else f"{spec} {dtype or 'bf16'}"
    return Source(name + (f" {sparsity:.0%} zeros" if sparsity else ""), tensors)


def random_matrix(distribution: str, shape: tuple[int, int], dtype: str) -> Array:
    """A random matrix of deviation 0.02; "int8" is quantised by one scale, "int8-row" by one a row, maximum to 127."""
    generator = np.random.default_rng(1)
    if distribution == "laplace":
        values = generator.laplace(0, _SIGMA / np.sqrt(2), shape).astype(np.float32)
    elif distribution == "t5":
        values = (generator.standard_t(5, shape) * (_SIGMA / np.sqrt(5 / 3))).astype(np.float32)
    else:
        values = generator.standard_normal(shape, np.float32) * np.float32(_SIGMA)
    if dtype in ("int8", "int8-row"):
        largest = np.abs(values).max(axis=1, keepdims=True) if dtype == "int8-row" else np.abs(values).max()
        return np.asarray(np.rint(values * (127 / largest))).astype(np.int8)
    if dtype == "uint8":
        return np.asarray(np.clip(np.rint(values * 2000 + 128), 0, 255)).astype(np.uint8)
    return np.asarray(values.astype(codec.numpy_dtype(dtype)))


def order_0_bound(tensor: Array) -> float:
    """Bits an element that no code of the exponents alone, one table a tensor, can go below.

    Entropy of the exponent field plus raw sign and mantissa for bf16, fp16, fp32; entropy of the bytes for the others.
    """
    name = codec.dtype_name(tensor.dtype)
    fields = {"bf16": (7, 255, 8), "fp16": (10, 31, 11), "fp32": (23, 255, 24)}  # shift, mask, raw bits
    shift, mask, raw = fields.get(name, (0, 255, 0))
    words = tensor.reshape(-1).view(f"<u{tensor.itemsize}")
    counts = np.zeros(256, np.int64)
    for begin in range(0, words.size, 1 << 20):
        counts += np.bincount((words[begin : begin + (1 << 20)] >> shift) & mask, minlength=256)
    share = counts[counts > 0] / words.size
    return float(raw - (share * np.log2(share)).sum())


def bitmap_bound(tensor: Array) -> float:
    """Bits an element of a bitmap and the non-zeros at their own order-0 bound."""
    flat = np.ascontiguousarray(tensor).reshape(-1)
    values = flat[flat.view(f"<u{flat.itemsize}") != 0]
    return 1 + (order_0_bound(values) * values.size / flat.size if values.size else 0.0)


def _shape(spec: str, text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", text)
    if not match:
        raise ConfigError(f"{spec}: got shape {text!r}, expected ROWSxCOLUMNS, such as 4096x4096")
    return int(match[1]), int(match[2])


def _pruned(tensor: Array, sparsity: float) -> Array:
    if not sparsity:
        return tensor
    pruned: Array = tensor.copy()
    pruned[np.random.default_rng(2).random(tensor.shape, np.float32) < sparsity] = 0
    return pruned


def _read_raw(path: Path, dtype: str | None) -> Array:
    name = dtype or path.suffix.lstrip(".")
    if name not in DTYPES or name == "int8-row":
        raise ConfigError(f"{path}: a raw file needs --dtype, one of {', '.join(DTYPES)}")
    numpy_dtype = codec.numpy_dtype(name)
    if path.stat().st_size % numpy_dtype.itemsize:
        raise FormatError(f"{path}: got {path.stat().st_size} bytes, expected a multiple of {numpy_dtype.itemsize}")
    values: Array = np.fromfile(path, numpy_dtype)
    columns = 1024 if values.size % 1024 == 0 and values.size else 1
    return values.reshape(-1, columns)


def _read_safetensors(path: Path) -> list[Array]:
    data = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)
    size = int.from_bytes(data[:8].tobytes(), "little")
    if data.size < 8 or size > data.size - 8:
        raise FormatError(f"{path}: header length (offset 0): got {size}, expected at most the file's size")
    try:
        header = json.loads(data[8 : 8 + size].tobytes())
        header.pop("__metadata__", None)
        return [
            _tensor(path, name, data[8 + size :], entry)
            for name, entry in header.items()
            if entry["dtype"] in _SAFETENSORS
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"{path}: header (offset 8): {error!r}, expected safetensors' JSON") from error


def _tensor(path: Path, name: str, data: Array, entry: dict[str, Any]) -> Array:
    begin, end = entry["data_offsets"]
    if not 0 <= begin <= end <= data.size:
        raise FormatError(f"{path}: tensor {name}: data_offsets: got {begin}, {end}, expected within {data.size} bytes")
    tensor = np.frombuffer(data[begin:end].tobytes(), codec.numpy_dtype(_SAFETENSORS[entry["dtype"]]))
    return np.asarray(tensor.reshape(entry["shape"]))
