"""Arrays for the codec tests: every bit pattern, and shapes and contents that a codec could trip over."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import oracle

Array = npt.NDArray[Any]

SHAPES: list[tuple[int, ...]] = [
    (),
    (0,),
    (1,),
    (7,),
    (513,),
    (0, 5),
    (5, 0),
    (3, 1),
    (1, 3),
    (17, 129),
    (2, 3, 5),
    (2, 0, 3, 1),
    (3, 2, 2, 7),
]


def bits(dtype: str, values: npt.ArrayLike) -> Array:
    """An array of a dtype from the integers that its elements' bits are."""
    numpy_dtype = oracle.DTYPES[dtype].numpy
    return np.asarray(values).astype(f"<u{numpy_dtype.itemsize}").view(numpy_dtype)


def random_bits(dtype: str, shape: tuple[int, ...], seed: int = 1) -> Array:
    """Uniform bits: NaN payloads, infinities, subnormals, everything."""
    size = oracle.DTYPES[dtype].numpy.itemsize
    return bits(dtype, np.random.default_rng(seed).integers(0, 1 << 8 * size, shape, np.uint64))


def normal(dtype: str, shape: tuple[int, ...], seed: int = 1, sigma: float = 0.02) -> Array:
    """normal(0, sigma) as weights are; the integers scaled to use most of their range."""
    values = np.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32))
    if dtype in ("int8", "uint8"):
        return np.asarray(np.clip(np.rint(values * 30), 0 if dtype == "uint8" else -128, 127)).astype(dtype)
    return np.asarray(values * np.float32(sigma)).astype(oracle.DTYPES[dtype].numpy)


def all_patterns(dtype: str) -> Array:
    """Every bit pattern of an 8- or 16-bit dtype, in order."""
    return bits(dtype, np.arange(1 << 8 * oracle.DTYPES[dtype].numpy.itemsize, dtype=np.uint32))


def contents(dtype: str) -> dict[str, Array]:
    """Arrays of 24 x 131 elements, by name."""
    shape, size = (24, 131), oracle.DTYPES[dtype].numpy.itemsize
    top = 1 << 8 * size - 1
    alternating = np.zeros(shape, np.uint64)
    alternating[:, ::2] = top | 1
    one = np.zeros(shape, np.uint64)
    one[13, 77] = 2 * top - 1
    return {
        "zeros": bits(dtype, np.zeros(shape, np.uint64)),
        "negative_zeros": bits(dtype, np.full(shape, top, np.uint64)),
        "all_ones": bits(dtype, np.full(shape, 2 * top - 1, np.uint64)),
        "all_equal": bits(dtype, np.full(shape, (2 * top - 1) // 3, np.uint64)),
        "alternating": bits(dtype, alternating),
        "one_outlier": bits(dtype, one),
        "subnormals": bits(dtype, np.random.default_rng(3).integers(0, 8, shape, np.uint64)),
        "random_bits": random_bits(dtype, shape),
        "normal": normal(dtype, shape),
    }


def assert_same(got: Array, expected: Array) -> None:
    """Same dtype, shape and bits."""
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    assert got.tobytes() == expected.tobytes()
