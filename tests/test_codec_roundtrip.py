"""Bit-exact round trips through the library, checked by the second decoder and fed by the second encoder."""

from __future__ import annotations

import codec_arrays
import numpy as np
import oracle
import oracle_lz4
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime import codec
from edge_runtime.facts import codecs

CODECS = list(codecs())
DTYPES = list(oracle.DTYPES)


def check_round_trip(array: codec_arrays.Array, name: str, segment_bytes: int = 0) -> None:
    blob = codec.encode(array, name, segment_bytes=segment_bytes)
    codec_arrays.assert_same(codec.decode(blob), array)
    codec_arrays.assert_same(oracle.decode(blob), array)


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype != "fp32"])
def test_codec_every_bit_pattern_survives(dtype: str, name: str) -> None:
    check_round_trip(codec_arrays.all_patterns(dtype), name)


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_codec_every_16_bit_pattern_in_every_lane_survives(dtype: str) -> None:
    patterns = codec_arrays.all_patterns(dtype)
    zeros = np.zeros(1, patterns.dtype)
    for lane in range(0, 64, 9):  # 64 lanes: shifts that are coprime with it reach all over the test
        shifted = np.concatenate([np.repeat(zeros, lane), patterns])
        blob = codec.encode(shifted)
        codec_arrays.assert_same(codec.decode(blob), shifted)


@pytest.mark.parametrize("dtype", DTYPES)
def test_codec_patterns_among_weights_are_encoded_and_survive(dtype: str) -> None:
    """Enough ordinary weights around the patterns that the codec, not the raw fallback, carries them."""
    patterns = codec_arrays.random_bits(dtype, (300,))
    filler = np.zeros(40_000, patterns.dtype)
    array = np.concatenate([filler, patterns, filler])
    blob = codec.encode(array)
    assert codec.describe(blob).raw_segment_count == 0
    check_round_trip(array, "lz4")


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_codec_every_shape_survives(dtype: str, name: str) -> None:
    for shape in codec_arrays.SHAPES:
        check_round_trip(codec_arrays.random_bits(dtype, shape), name, segment_bytes=100)
        check_round_trip(codec_arrays.normal(dtype, shape), name)


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_codec_every_content_survives(dtype: str, name: str) -> None:
    for array in codec_arrays.contents(dtype).values():
        check_round_trip(array, name)


def test_codec_lengths_around_vectors_survive() -> None:
    for n in range(5 * 64 + 2):
        array = codec_arrays.normal("bf16", (n,), seed=n)
        codec_arrays.assert_same(codec.decode(codec.encode(array)), array)


@pytest.mark.parametrize("dtype", DTYPES)
def test_codec_several_blocks_a_plane_survive(dtype: str) -> None:
    n = 2 * 8 * oracle_lz4.BLOCK_BYTES + 8 * 100 + 3
    check_round_trip(codec_arrays.normal(dtype, (1, n)), "lz4")


@pytest.mark.parametrize("dtype", DTYPES)
def test_decode_blob_of_second_encoder_gives_the_array(dtype: str) -> None:
    for array in (codec_arrays.normal(dtype, (40, 300)), codec_arrays.random_bits(dtype, (40, 300))):
        for rows in (1, 7, 40, 1000):
            for number in (oracle.STORED, oracle.LZ4):
                blob = oracle.encode(array, number, rows)
                codec_arrays.assert_same(codec.decode(blob), array)
                codec_arrays.assert_same(oracle.decode(blob), array)


def test_encode_second_encoder_is_not_much_smaller() -> None:
    array = codec_arrays.normal("bf16", (512, 512))
    assert codec.encode(array).nbytes <= len(oracle.encode(array)) * 1.001


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from(DTYPES),
    name=st.sampled_from(CODECS),
    rows=st.integers(0, 40),
    columns=st.integers(0, 70),
    segment_bytes=st.integers(0, 4000),
    seed=st.integers(0, 2**32 - 1),
    spread=st.integers(0, 32),
)
def test_codec_any_array_survives(
    dtype: str, name: str, rows: int, columns: int, segment_bytes: int, seed: int, spread: int
) -> None:
    size = oracle.DTYPES[dtype].numpy.itemsize
    limit = 1 << min(spread, 8 * size)
    values = np.random.default_rng(seed).integers(0, limit, (rows, columns), np.uint64)
    check_round_trip(codec_arrays.bits(dtype, values), name, segment_bytes)
