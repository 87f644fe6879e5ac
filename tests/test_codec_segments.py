"""Segments: their sizes, rows decoded from some of them, and threads that make no difference."""

from __future__ import annotations

import codec_arrays
import numpy as np
import oracle
import pytest

from edge_runtime import codec
from edge_runtime.errors import CodecError, FormatError
from edge_runtime.facts import codecs


def test_describe_tells_what_was_encoded() -> None:
    array = codec_arrays.normal("bf16", (100, 64))
    blob = codec.encode(array, segment_bytes=1000)
    info = codec.describe(blob)
    assert (info.format_version, info.codec, info.dtype, info.shape) == (1, "lz4", "bf16", (100, 64))
    assert info.numpy_dtype == array.dtype
    assert (info.decoded_bytes, info.blob_bytes) == (array.nbytes, blob.nbytes)
    assert (info.rows, info.row_bytes, info.rows_per_segment, info.segment_count) == (100, 128, 7, 15)
    assert info.header_bytes == 96 + 32 * 15
    assert info.bits_per_weight == blob.nbytes * 8 / array.size


def test_segments_tile_the_rows_at_aligned_offsets() -> None:
    blob = codec.encode(codec_arrays.normal("bf16", (100, 640)), segment_bytes=10_000)
    entries = list(codec.segments(blob))
    assert [entry.first_row for entry in entries] == list(range(0, 100, 7))
    assert sum(entry.row_count for entry in entries) == 100
    assert all(entry.offset % 64 == 0 for entry in entries)
    assert [entry.checksum for entry in entries] == [segment.checksum for segment in oracle.parse(bytes(blob)).segments]


@pytest.mark.parametrize(
    ("segment_bytes", "rows"), [(1, 1), (127, 1), (128, 1), (255, 1), (256, 2), (0, 300), (1 << 30, 300)]
)
def test_encode_segment_bytes_are_rounded_down_to_whole_rows(segment_bytes: int, rows: int) -> None:
    blob = codec.encode(codec_arrays.normal("bf16", (300, 64)), segment_bytes=segment_bytes)
    assert codec.describe(blob).rows_per_segment == rows


def test_encode_default_segments_are_of_1_mib() -> None:
    blob = codec.encode(codec_arrays.normal("bf16", (1025, 1024)))
    info = codec.describe(blob)
    assert (info.rows_per_segment, info.segment_count) == (512, 3)


def test_encode_incompressible_segment_is_kept_raw() -> None:
    array = np.concatenate([codec_arrays.normal("bf16", (8, 512)), codec_arrays.random_bits("bf16", (8, 512))])
    blob = codec.encode(array, segment_bytes=8 * 1024)
    assert [entry.raw for entry in codec.segments(blob)] == [False, True]
    assert codec.describe(blob).raw_segment_count == 1
    codec_arrays.assert_same(oracle.decode(blob), array)


def test_encode_stored_segments_are_all_raw_and_not_counted() -> None:
    blob = codec.encode(codec_arrays.normal("bf16", (8, 512)), "stored", segment_bytes=1024)
    assert all(entry.raw for entry in codec.segments(blob))
    assert codec.describe(blob).raw_segment_count == 0


def test_encode_never_exceeds_the_bound() -> None:
    for dtype in oracle.DTYPES:
        for name in codecs():
            array = codec_arrays.random_bits(dtype, (33, 77))
            bound = codec.encode_bound(array.shape, array.dtype, name, 500)
            assert codec.encode(array, name, 500).nbytes <= bound


@pytest.mark.parametrize("name", codecs())
@pytest.mark.parametrize("dtype", ["bf16", "fp32", "int8"])
def test_encode_threads_give_identical_blobs(dtype: str, name: str) -> None:
    array = codec_arrays.normal(dtype, (257, 300))
    blobs = [codec.encode(array, name, 4096, threads).tobytes() for threads in (1, 2, 3, 7, 0)]
    assert blobs.count(blobs[0]) == len(blobs)


def test_decode_threads_give_identical_arrays() -> None:
    array = codec_arrays.normal("bf16", (257, 300))
    blob = codec.encode(array, segment_bytes=4096)
    for threads in (1, 2, 5, 0):
        codec_arrays.assert_same(codec.decode(blob, threads), array)


@pytest.mark.parametrize("name", codecs())
@pytest.mark.parametrize("segment_bytes", [1, 500, 2000, 0])
def test_decode_rows_every_range_is_a_slice(name: str, segment_bytes: int) -> None:
    array = codec_arrays.normal("bf16", (23, 70))
    blob = codec.encode(array, name, segment_bytes)
    for first in range(24):
        for count in range(24 - first):
            codec_arrays.assert_same(codec.decode_rows(blob, first, count, threads=1), array[first : first + count])


def test_decode_rows_of_rank_1_and_4_is_a_slice() -> None:
    for shape in ((50,), (6, 2, 3, 4)):
        array = codec_arrays.normal("fp16", shape)
        codec_arrays.assert_same(codec.decode_rows(codec.encode(array, segment_bytes=40), 1, 4), array[1:5])


def test_decode_rows_touches_only_their_segments() -> None:
    array = codec_arrays.normal("bf16", (32, 512))
    blob = codec.encode(array, segment_bytes=8 * 1024)
    damaged = blob.copy()
    damaged[list(codec.segments(blob))[2].offset + 200] ^= 1
    codec_arrays.assert_same(codec.decode_rows(damaged, 0, 16), array[:16])
    codec_arrays.assert_same(codec.decode_rows(damaged, 24, 8), array[24:])
    with pytest.raises(FormatError, match=r"segment\[2\]\.checksum"):
        codec.decode_rows(damaged, 23, 1)


@pytest.mark.parametrize(("first", "count"), [(-1, 1), (0, 11), (10, 1), (11, 0), (0, -1), (2**64, 1)])
def test_decode_rows_outside_the_array_is_refused(first: int, count: int) -> None:
    blob = codec.encode(codec_arrays.normal("bf16", (10, 4)))
    with pytest.raises(CodecError, match="expected a range within 10"):
        codec.decode_rows(blob, first, count)


def test_decode_rows_of_rank_0_is_refused() -> None:
    with pytest.raises(CodecError, match="rank 0"):
        codec.decode_rows(codec.encode(codec_arrays.normal("bf16", ())), 0, 1)
