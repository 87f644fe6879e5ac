"""Weight dtypes: the names of docs/format.md, and conversion between them that counts what it changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

KEEP = "keep"
BF16, FP16, FP32 = "bf16", "fp16", "fp32"
NUMPY: dict[str, np.dtype[Any]] = {
    BF16: np.dtype(ml_dtypes.bfloat16),
    FP16: np.dtype(np.float16),
    FP32: np.dtype(np.float32),
}
_NAMES = {dtype: name for name, dtype in NUMPY.items()}
_CHUNK = 1 << 20  # elements converted at a time
# Bits of +infinity: the patterns above it, as signed and with the sign bit as unsigned numbers, are the NaNs.
_INFINITY: dict[str, tuple[Any, Any, int]] = {
    BF16: (np.int16, np.uint16, 0x7F80),
    FP16: (np.int16, np.uint16, 0x7C00),
    FP32: (np.int32, np.uint32, 0x7F800000),
}


def convert(array: NDArray[Any], dtype: str, release: Callable[[], None]) -> tuple[NDArray[Any], int]:
    """Return `array` as `dtype`, rounded to nearest even, and how many elements cannot be converted back exactly.

    The array itself is returned where the dtype is its own already. `release` is called now and then to give back
    the memory of what was read. OverflowError if a finite element would become infinite.
    """
    target = NUMPY[dtype]
    if array.dtype == target:
        return array, 0
    result = np.empty(array.shape, target)
    source, out = array.reshape(-1), result.reshape(-1)
    changed = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for begin in range(0, source.size, _CHUNK):
            release()
            wide = source[begin : begin + _CHUNK].astype(np.float32)
            narrow = wide.astype(target)
            out[begin : begin + _CHUNK] = narrow
            back = narrow.astype(np.float32)
            if np.any(np.isinf(back) & np.isfinite(wide)):
                raise OverflowError(f"{np.abs(wide[np.isfinite(wide)]).max():g} is out of the range of {dtype}")
            changed += int(np.count_nonzero(back.view(np.uint32) != wide.view(np.uint32)))
    return result, changed


def not_finite(array: NDArray[Any]) -> str:
    """Return "NaN", "Inf" or "NaN and Inf" for a bf16, fp16 or fp32 array that holds them; "" for any other."""
    if array.dtype not in _NAMES or not array.size:
        return ""
    signed, unsigned, infinity = _INFINITY[_NAMES[array.dtype]]
    flat = array.reshape(-1)
    sign = 1 << (8 * array.itemsize - 1)
    if flat.view(signed).max() < infinity and flat.view(unsigned).max() < sign + infinity:
        return ""
    magnitudes = flat.view(unsigned) & (sign - 1)
    kinds = {"NaN": np.any(magnitudes > infinity), "Inf": np.any(magnitudes == infinity)}
    return " and ".join(kind for kind, found in kinds.items() if found)


def narrow(array: NDArray[Any], release: Callable[[], None]) -> NDArray[Any]:
    """Return float32 values that all fit bf16 or fp16 exactly as that, bit for bit; any other array as it is."""
    if array.dtype != NUMPY[FP32] or not array.size:
        return array
    for dtype in (BF16, FP16):
        result = _narrowed(array.reshape(-1), NUMPY[dtype], release)
        if result is not None:
            return result.reshape(array.shape)
    return array


def _narrowed(source: NDArray[Any], target: np.dtype[Any], release: Callable[[], None]) -> NDArray[Any] | None:
    """Return `source` as `target`, or None if a value would not come back with all its bits."""
    result: NDArray[Any] | None = None
    with np.errstate(over="ignore", invalid="ignore"):
        for begin in range(0, source.size, _CHUNK):
            chunk = source[begin : begin + _CHUNK]
            converted = chunk.astype(target)
            if not np.array_equal(converted.astype(np.float32).view(np.uint32), chunk.view(np.uint32)):
                return None
            result = np.empty(source.size, target) if result is None else result
            result[begin : begin + _CHUNK] = converted
            release()
    return result
