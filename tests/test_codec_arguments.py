"""What the codec functions accept and refuse; memory that they share and do not share."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import codec_arrays
import numpy as np
import oracle
import pytest

from edge_runtime import codec
from edge_runtime.errors import CodecError, FormatError, LpcError


def test_encode_read_only_memory_map_is_taken(tmp_path: Path) -> None:
    array = codec_arrays.normal("bf16", (64, 64))
    array.tofile(tmp_path / "weights")
    mapped = np.memmap(tmp_path / "weights", dtype=array.dtype, mode="r", shape=array.shape)
    codec_arrays.assert_same(codec.decode(codec.encode(mapped)), array)


def test_decode_any_buffer_is_taken(tmp_path: Path) -> None:
    array = codec_arrays.normal("bf16", (64, 64))
    blob = codec.encode(array)
    (tmp_path / "blob").write_bytes(blob)
    with (tmp_path / "blob").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        codec_arrays.assert_same(codec.decode(mapped), array)
    for buffer in (bytes(blob), bytearray(blob), memoryview(bytes(blob))):
        codec_arrays.assert_same(codec.decode(buffer), array)


def test_encode_into_caller_memory_writes_only_within_the_bound() -> None:
    array = codec_arrays.normal("bf16", (64, 64))
    bound = codec.encode_bound(array.shape, array.dtype)
    memory = np.full(bound + 64, 0xEE, np.uint8)
    written = codec.encode_into(array, memory[:bound])
    assert memory[:written].tobytes() == codec.encode(array).tobytes()
    assert (memory[bound:] == 0xEE).all()


def test_encode_into_too_small_memory_is_refused() -> None:
    array = codec_arrays.normal("bf16", (64, 64))
    memory = np.empty(codec.encode_bound(array.shape, array.dtype) - 1, np.uint8)
    with pytest.raises(CodecError, match=r"dst_capacity: got \d+ bytes, expected at least"):
        codec.encode_into(array, memory)


def test_decode_into_larger_memory_leaves_the_rest() -> None:
    array = codec_arrays.normal("bf16", (5, 7))
    memory = np.full(array.nbytes + 10, 0xEE, np.uint8)
    codec.decode_into(codec.encode(array), memory)
    assert memory[: array.nbytes].tobytes() == array.tobytes()
    assert (memory[array.nbytes :] == 0xEE).all()


def test_decode_into_too_small_memory_is_refused() -> None:
    blob = codec.encode(codec_arrays.normal("bf16", (5, 7)))
    with pytest.raises(CodecError, match="dst_capacity: got 69 bytes, expected at least 70"):
        codec.decode_into(blob, np.empty(69, np.uint8))


def test_decode_into_unaligned_memory_is_exact() -> None:
    array = codec_arrays.normal("bf16", (40, 333))
    blob = codec.encode(array)
    for shift in range(1, 64, 6):
        memory = np.empty(array.nbytes + shift, np.uint8)[shift:]
        codec.decode_into(blob, memory)
        assert memory.tobytes() == array.tobytes()
        moved = np.empty(blob.nbytes + shift, np.uint8)[shift:]
        moved[:] = blob
        codec_arrays.assert_same(codec.decode(moved), array)


def refused_arrays() -> dict[str, tuple[Any, str]]:
    array = codec_arrays.normal("fp32", (6, 8))
    return {
        "transposed": (array.T, r"array layout: got strides \(4, 32\), expected dense row-major"),
        "strided": (array[:, ::2], "array layout"),
        "reversed": (array[::-1], "array layout"),
        "big_endian": (array.astype(">f4"), "byte order: got >f4, expected little-endian"),
        "float64": (array.astype(np.float64), "array dtype: got float64, expected one of bf16"),
        "int16": (array.astype(np.int16), "array dtype: got int16"),
        "bool": (array > 0, "array dtype: got bool"),
        "objects": (array.astype(object), "array dtype: got object"),
        "rank_5": (array.reshape(1, 1, 1, 6, 8), "array rank: got 5, expected at most 4"),
        "list": (array.tolist(), "array: got list"),
        "scalar": (array[0, 0], "array: got float32"),
    }


@pytest.mark.parametrize("name", refused_arrays())
def test_encode_array_that_codecs_do_not_take_is_refused(name: str) -> None:
    array, message = refused_arrays()[name]
    with pytest.raises(CodecError, match=message):
        codec.encode(array)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codec": "zip"}, "codec: got 'zip', expected one of stored, lz4"),
        ({"segment_bytes": -1}, "segment_bytes: got -1"),
        ({"segment_bytes": 2**31}, "segment_bytes: got 2147483648"),
        ({"threads": -1}, "threads: got -1"),
    ],
)
def test_encode_option_out_of_range_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CodecError, match=message):
        codec.encode(np.zeros(4, np.float32), **options)


@pytest.mark.parametrize(
    "blob",
    [np.zeros(200, np.int8), np.zeros((2, 200), np.uint8), np.zeros(400, np.uint8)[::2], "text", 7, None],
    ids=["int8", "rank_2", "strided", "str", "int", "none"],
)
def test_decode_object_that_is_no_blob_is_refused(blob: Any) -> None:
    with pytest.raises(CodecError, match="blob: got"):
        codec.decode(blob)


def test_encode_too_many_segments_is_refused() -> None:
    with pytest.raises(CodecError, match=r"16777216 segments, expected less than 2\^24"):
        codec.encode_bound((1 << 24,), np.int8, segment_bytes=1)


def test_encode_row_over_the_limit_is_refused() -> None:
    with pytest.raises(CodecError, match=r"shape\[1\]: got 1073741824, expected a row of at most 2147483647 bytes"):
        codec.encode_bound((0, 1 << 30), np.float16)


def test_dtype_names_go_both_ways() -> None:
    for name, dtype in oracle.DTYPES.items():
        assert codec.dtype_name(dtype.numpy) == name
        assert codec.numpy_dtype(name) == dtype.numpy
    with pytest.raises(CodecError, match="'fp4'"):
        codec.numpy_dtype("fp4")


def test_errors_are_lpc_errors() -> None:
    assert issubclass(CodecError, LpcError)
    assert issubclass(FormatError, LpcError)
