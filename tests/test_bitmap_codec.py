"""Codec `bitmap`: sizes on pruned weights, signed zeros, the second coder, and malformed segments."""

from __future__ import annotations

import blob_edit
import codec_arrays
import numpy as np
import oracle
import pytest

from edge_runtime import codec
from edge_runtime.errors import CodecError, FormatError


def pruned(dtype: str, shape: tuple[int, ...], sparsity: float) -> codec_arrays.Array:
    array = codec_arrays.normal(dtype, shape)
    array[np.random.default_rng(5).random(shape) < sparsity] = 0
    return array


@pytest.mark.parametrize("sparsity", [0.5, 0.7])
@pytest.mark.parametrize("name", ["bitmap", "bitmap:stored"])
def test_bitmap_takes_one_bit_and_the_non_zeros(name: str, sparsity: float) -> None:
    array = pruned("bf16", (1024, 2048), sparsity)
    values = np.ascontiguousarray(array[array.view(np.uint16) != 0])
    inner = codec.describe(codec.encode(values, "ans")).bits_per_weight if name == "bitmap" else 16
    bits = codec.describe(codec.encode(array, name)).bits_per_weight
    expected = 1 + values.size / array.size * inner
    print(f"{name} at {sparsity}: {bits:.3f} bits, 1 + (1 - s) x {inner:.2f} = {expected:.3f}")
    assert bits <= 1.02 * expected


@pytest.mark.parametrize("dtype", oracle.DTYPES)
def test_bitmap_blob_of_second_encoder_gives_the_array(dtype: str) -> None:
    for array in (pruned(dtype, (9, 131), 0.6), np.zeros((9, 131), oracle.DTYPES[dtype].numpy)):
        blob = oracle.encode(array, oracle.BITMAP, 4)
        codec_arrays.assert_same(codec.decode(blob), array)
        codec_arrays.assert_same(oracle.decode(blob), array)


@pytest.mark.parametrize("name", ["bitmap", "bitmap:stored"])
def test_bitmap_negative_zeros_and_payloads_survive(name: str) -> None:
    array = np.zeros((16, 333), codec.numpy_dtype("bf16"))
    bits = array.view(np.uint16)
    bits[:, ::7], bits[3, 5], bits[4, 6], bits[5] = 0x8000, 0x7FC1, 1, 0
    blob = codec.encode(array, name)
    assert codec.describe(blob).raw_segment_count == 0
    codec_arrays.assert_same(codec.decode(blob), array)
    codec_arrays.assert_same(oracle.decode(blob), array)


@pytest.mark.parametrize("name", ["bitmap", "bitmap:stored"])
def test_bitmap_widths_around_vectors_survive(name: str) -> None:
    for dtype in ("bf16", "int8", "fp32"):
        for columns in range(1, 70):
            array = pruned(dtype, (40, columns), 0.8)
            codec_arrays.assert_same(codec.decode(codec.encode(array, name)), array)


def damaged_segments() -> dict[str, tuple[bytes, str]]:
    """Segments of (40, 100) bf16, kept as they are, with one defect each; the library's message."""
    plain = blob_edit.segment(codec.encode(pruned("bf16", (40, 100), 0.5), "bitmap:stored").tobytes(), 0)
    bitmap = 8 + 4 * 40
    return {
        "non_zeros": (blob_edit.put(plain, 0, 1, 4), r"non_zeros \(offset 0\): got 1"),
        "inner_encoding": (blob_edit.put(plain, 4, 2, 1), r"inner_encoding \(offset 4\): got 2"),
        "inner_encoding_stored": (blob_edit.put(plain, 4, 1, 1), r"inner_encoding \(offset 4\): got 1, expected 0"),
        "reserved": (blob_edit.put(plain, 6, 1, 1), r"reserved \(offset 6\): got 1"),
        "row_table": (blob_edit.put(plain, 8 + 4 * 7, 2**32 - 1, 4), r"row_table\[7\] \(offset 36\)"),
        "bitmap": (blob_edit.put(plain, bitmap, plain[bitmap] ^ 1, 1), r"row_table\[0\] \(offset 8\)"),
        "trailing": (plain + b"\0", r"non-zeros \(offset 704\)"),
        "short": (plain[:-2], r"non-zeros \(offset 704\)"),
        "too_short": (plain[:703], r"segment\[0\]\.bytes \(offset 104\): got 703, expected at least 704"),
    }


@pytest.mark.parametrize("defect", damaged_segments())
def test_bitmap_damaged_segment_is_refused(defect: str) -> None:
    stored, message = damaged_segments()[defect]
    blob = codec.encode(pruned("bf16", (40, 100), 0.5), "bitmap:stored").tobytes()
    damaged = blob_edit.with_segment(blob, 0, stored)
    with pytest.raises(FormatError, match=message):
        codec.decode(damaged)
    with pytest.raises(oracle.OracleError):
        oracle.decode(damaged)


@pytest.mark.parametrize(("offset", "value"), [(0, 1), (0, 4), (3, 1)])
def test_bitmap_malformed_parameter_is_refused(offset: int, value: int) -> None:
    blob = codec.encode(pruned("bf16", (40, 100), 0.5), "bitmap:stored").tobytes()
    damaged = blob_edit.seal(blob_edit.put(blob, oracle.HEADER_BYTES + oracle.ENTRY_BYTES + offset, value, 1))
    with pytest.raises(FormatError, match=r"codec_params\.(inner_codec|reserved)"):
        codec.describe(damaged)
    with pytest.raises(oracle.OracleError):
        oracle.decode(damaged)


def test_bitmap_unknown_layout_is_refused() -> None:
    with pytest.raises(CodecError, match="bitmap:stored, bitmap:ans"):
        codec.encode(np.zeros(4, np.float32), "bitmap:lz4")
