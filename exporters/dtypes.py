"""Weight dtypes: the names of docs/format.md, and conversion between them that counts what it changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

BF16, FP16, FP32 = "bf16", "fp16", "fp32"
NUMPY: dict[str, np.dtype[Any]] = {
    BF16: np.dtype(ml_dtypes.bfloat16),
    FP16: np.dtype(np.float16),
    FP32: np.dtype(np.float32),
}
_NAMES = {dtype: name for name, dtype in NUMPY.items()}
_CHUNK = 1 << 20  # elements converted at a time


def name_of(dtype: np.dtype[Any]) -> str:
    """Return the format's name of a numpy dtype, such as "bf16"."""
    return _NAMES[dtype]


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
