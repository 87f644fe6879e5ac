"""Blobs cut short and with changed bits: always an error that names the place, never a wrong array."""

from __future__ import annotations

import re

import blob_edit
import codec_arrays
import numpy as np
import oracle
import pytest

from edge_runtime import codec
from edge_runtime.errors import CodecError, FormatError
from edge_runtime.facts import codecs

ARRAY = codec_arrays.normal("bf16", (9, 256))
CODECS = list(codecs())


def blob_of(name: str) -> bytes:
    return codec.encode(ARRAY, name, segment_bytes=1024).tobytes()


def segment_at(blob: bytes, offset: int) -> int | None:
    """Which segment's stored bytes hold `offset`; None for header and padding."""
    for index, segment in enumerate(oracle.parse(blob).segments):
        if segment.offset <= offset < segment.offset + segment.bytes:
            return index
    return None


@pytest.mark.parametrize("name", CODECS)
def test_decode_truncation_at_every_byte_names_field_and_offset(name: str) -> None:
    blob = blob_of(name)
    for length in range(len(blob)):
        with pytest.raises(
            FormatError, match=rf"^[\w.\[\]]+ \(offset {length}\): cut short: got {length} bytes"
        ) as caught:
            codec.decode(blob[:length])
        assert caught.value.offset == length


def test_decode_truncated_header_names_the_field_cut() -> None:
    blob = blob_of("lz4")
    for name, (offset, size) in blob_edit.FIELDS.items():
        for length in (offset, offset + size - 1):
            with pytest.raises(FormatError) as caught:
                codec.decode(blob[:length])
            assert caught.value.field == re.sub(r"\d+$", "", name)


@pytest.mark.parametrize("name", CODECS)
def test_describe_every_bit_flip_in_header_and_table_is_detected(name: str) -> None:
    blob = blob_of(name)
    header_bytes = codec.describe(blob).header_bytes
    damaged = bytearray(blob)
    for bit in range(8 * header_bytes):
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises((FormatError, CodecError), match=r"\(offset \d+\)"):
            codec.describe(damaged)
        damaged[bit // 8] ^= 1 << bit % 8
    codec_arrays.assert_same(codec.decode(damaged), ARRAY)


@pytest.mark.parametrize("name", CODECS)
def test_decode_every_changed_byte_in_a_segment_names_the_segment(name: str) -> None:
    blob = blob_of(name)
    damaged = bytearray(blob)
    for offset in range(codec.describe(blob).header_bytes, len(blob)):
        damaged[offset] ^= 0x10
        segment = segment_at(blob, offset)
        if segment is None:
            codec_arrays.assert_same(codec.decode(damaged), ARRAY)  # padding: ignored
        else:
            with pytest.raises(FormatError, match=rf"^segment\[{segment}\]\.checksum .*LPC_CHECKSUM_MISMATCH"):
                codec.decode(damaged)
        damaged[offset] ^= 0x10


@pytest.mark.parametrize("threads", [1, 4])
def test_decode_several_damaged_segments_names_the_first(threads: int) -> None:
    damaged = bytearray(blob_of("lz4"))
    for segment in oracle.parse(bytes(damaged)).segments[1:]:
        damaged[segment.offset] ^= 1
    for _ in range(20):
        with pytest.raises(FormatError, match=r"^segment\[1\]"):
            codec.decode(damaged, threads)


def test_decode_changed_segment_with_right_checksums_never_crashes() -> None:
    """What the checksum cannot catch: contents made to look right. An error or some array, as the oracle says."""
    blob = codec.encode(codec_arrays.normal("fp16", (24, 65))).tobytes()
    plain = blob_edit.segment(blob, 0)
    random = np.random.default_rng(11)
    for _ in range(400):
        stored = bytearray(plain)
        for _ in range(random.integers(1, 4)):
            place = int(random.choice([random.integers(0, 64), random.integers(0, len(stored))]))
            stored[place] = int(random.integers(0, 256))
        damaged = blob_edit.with_segment(blob, 0, bytes(stored))
        try:
            expected = oracle.decode(damaged)
        except oracle.OracleError:
            with pytest.raises(FormatError, match=r"^segment\[0\]"):
                codec.decode(damaged)
        else:
            codec_arrays.assert_same(codec.decode(damaged), expected)


def test_decode_random_bytes_are_refused() -> None:
    random = np.random.default_rng(5)
    for length in (0, 1, 95, 96, 97, 4096):
        with pytest.raises(FormatError):
            codec.decode(random.integers(0, 256, length, np.uint8))


def test_describe_segment_too_small_for_its_claim_is_refused() -> None:
    """A sound header over segments of 10^8 elements, stored in 64 bytes each."""
    blob = codec.encode(np.zeros((4, 1000), np.int8), segment_bytes=1000).tobytes()
    claim = blob_edit.with_field(blob, "shape1", 10**8)
    with pytest.raises(FormatError, match=r"segment\[0\]\.bytes \(offset 104\): got 64, expected at least \d{4}"):
        codec.describe(claim)
