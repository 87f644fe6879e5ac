"""Partial compression, the fraction for a bus, and transcoding."""

from __future__ import annotations

import codec_arrays
import numpy as np
import oracle
import pytest

from edge_runtime import codec, native
from edge_runtime.errors import CodecError, FormatError
from edge_runtime.facts import codecs

ARRAY = codec_arrays.normal("bf16", (64, 1024))


@pytest.mark.parametrize("name", ["lz4", "ans", "packed", "bitmap"])
@pytest.mark.parametrize("fraction", [0, 0.25, 0.5, 0.75, 1])
def test_partial_encodes_that_fraction_of_segments(name: str, fraction: float) -> None:
    array = ARRAY.copy()
    array[:, ::2] = 0  # so that bitmap has something to do
    blob = codec.encode(array, name, segment_bytes=2048, partial=fraction)
    info = codec.describe(blob)
    assert info.segment_count - info.raw_segment_count == fraction * 64
    codec_arrays.assert_same(codec.decode(blob), array)
    codec_arrays.assert_same(oracle.decode(blob), array)


def test_partial_quarter_encodes_the_last_of_every_four() -> None:
    blob = codec.encode(ARRAY, "lz4", segment_bytes=2048, partial=0.25)
    assert [segment.raw for segment in codec.segments(blob)] == [True, True, True, False] * 16


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_partial_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(CodecError, match="partial: got"):
        codec.encode(ARRAY, "lz4", partial=fraction)


@pytest.mark.parametrize("rates", [
    (2e9, 3e9, 0.66, 10e9), (4e9, 3e9, 0.66, 0), (3e9, 1e9, 0.5, 8e9), (20e9, 3e9, 0.66, 10e9),
    (4e9, 1.8e9, 0.66, 1.85e9),
])  # fmt: skip
def test_partial_fraction_is_the_largest_within_5_percent_of_the_shortest_time(
    rates: tuple[float, float, float, float],
) -> None:
    bus, decode, ratio, copy = rates

    def time(fraction: float) -> float:
        reading = (fraction * ratio + 1 - fraction) / bus
        decoding = fraction / decode + ((1 - fraction) / copy if copy else 0)
        return float((reading**4 + decoding**4) ** 0.25)

    chosen, shortest = codec.partial_fraction(*rates), min(time(i / 1000) for i in range(1001))
    assert time(chosen) <= 1.0501 * shortest
    assert chosen == 1 or time(chosen + 0.01) > 1.05 * shortest


def test_partial_fraction_at_the_ends_is_0_or_1() -> None:
    assert codec.partial_fraction(bus=1e8, decode=3e9, stored_ratio=0.66) == 1
    assert codec.partial_fraction(bus=1e12, decode=1e9, stored_ratio=0.66, copy=100e9) < 0.001
    # Decoding that is quicker than copying is always worth it, whatever the bus.
    assert codec.partial_fraction(bus=20e9, decode=3e9, stored_ratio=0.66, copy=2e9) == 1


@pytest.mark.parametrize("rates", [(0, 1, 0.5, 0), (1, -1, 0.5, 0), (1, 1, 1.5, 0), (1, 1, 0.5, float("nan"))])
def test_partial_fraction_impossible_rate_is_refused(rates: tuple[float, float, float, float]) -> None:
    with pytest.raises(CodecError, match=r"rates\.(bus|decode|stored_ratio|copy): got"):
        codec.partial_fraction(*rates)


@pytest.mark.parametrize("source", ["stored", "lz4", "ans", "packed", "bitmap"])
@pytest.mark.parametrize("target", ["stored", "lz4", "packed", "packed:hi4p"])
def test_transcode_gives_the_same_array(source: str, target: str) -> None:
    blob = codec.encode(ARRAY, source, segment_bytes=10_000)
    made = codec.transcode(blob, target)
    codec_arrays.assert_same(codec.decode(made), ARRAY)
    codec_arrays.assert_same(oracle.decode(made), ARRAY)
    info = codec.describe(made)
    assert (info.codec, info.rows_per_segment) == (target.partition(":")[0], codec.describe(blob).rows_per_segment)


def test_transcode_to_a_codec_without_sample_is_what_encode_writes() -> None:
    for target in ("stored", "lz4"):
        expected = codec.encode(ARRAY, target, segment_bytes=10_000).tobytes()
        assert (
            codec.transcode(codec.encode(ARRAY, "ans", segment_bytes=10_000), target, threads=3).tobytes() == expected
        )


@pytest.mark.parametrize("dtype", oracle.DTYPES)
def test_transcode_every_dtype_and_an_empty_tensor(dtype: str) -> None:
    for array in (codec_arrays.normal(dtype, (50, 300)), codec_arrays.normal(dtype, (0, 300))):
        codec_arrays.assert_same(codec.decode(codec.transcode(codec.encode(array, "ans"), "packed")), array)


@pytest.mark.parametrize("target", ["ans", "bitmap"])
def test_transcode_to_a_codec_that_needs_the_whole_tensor_is_refused(target: str) -> None:
    with pytest.raises(CodecError, match="whole tensor"):
        codec.transcode(codec.encode(ARRAY, "lz4"), target)


def test_transcode_damaged_segment_is_refused() -> None:
    blob = codec.encode(ARRAY, "ans", segment_bytes=10_000)
    blob[-100] ^= 1
    with pytest.raises(FormatError, match="checksum"):
        codec.transcode(blob, "lz4")


def test_encode_options_of_the_first_version_are_taken() -> None:
    """A caller built before partial compression passes 24 bytes."""
    options = native.EncodeOptions(24, codecs()["lz4"].number, 0, 1, 0, 12345, 678)
    desc = native.TensorDesc(1, 1, (native.c_uint64 * native.MAX_RANK)(1000, 0, 0, 0))
    bound = native.c_uint64()
    native.check(native.library().lpc_encode_bound(native.POINTER(native.TensorDesc)(desc), options, bound))
    assert bound.value == codec.encode_bound((1000,), np.float16)
