"""Codec `packed`: every layout against the second decoder, on every shape of row, and damaged segments."""

from __future__ import annotations

import codec_arrays
import numpy as np
import numpy.typing as npt
import oracle
import oracle_packed
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime import codec
from edge_runtime.errors import CodecError, FormatError
from edge_runtime.facts import packed_layouts

LAYOUTS = list(packed_layouts())
# Around every multiple that means something: vectors, groups of 64, blocks of 128 and 512, the look-ahead of e2+3.
COLUMNS = [1, 31, 63, 64, 65, 127, 128, 129, 191, 320, 449, 511, 512, 513, 575, 1023, 1025, 4100, 6145, 8192, 9001]


def weights(rows: int, columns: int, odd: float = 0.002, seed: int = 1) -> codec_arrays.Array:
    """normal(0, 0.02) with a share of elements of any bits."""
    array = codec_arrays.normal("bf16", (rows, columns), seed)
    rng = np.random.default_rng(seed)
    chosen = rng.random(array.shape) < odd
    array.view(np.uint16)[chosen] = rng.integers(0, 65536, int(chosen.sum()), np.uint16)
    return array


def check(array: codec_arrays.Array, layout: str, **options: int) -> codec.BlobInfo:
    blob = codec.encode(array, f"packed:{layout}", **options)
    codec_arrays.assert_same(codec.decode(blob), array)
    codec_arrays.assert_same(oracle.decode(blob), array)
    return codec.describe(blob)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("columns", COLUMNS)
def test_packed_row_of_any_length_is_exact(layout: str, columns: int) -> None:
    info = check(weights(9, columns, seed=columns), layout)
    assert info.raw_segment_count == 0 or columns <= 320


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rows", [1, 7, 64, 150])
def test_packed_long_rows_lie_in_pieces_and_are_exact(layout: str, rows: int) -> None:
    for columns in (6144, 6145, 8448):
        array = weights(rows, columns, seed=rows)
        blob = codec.encode(array, f"packed:{layout}")
        codec_arrays.assert_same(codec.decode(blob), array)
        codec_arrays.assert_same(oracle.decode(blob), array)
        parameters = 96 + 32 * codec.describe(blob).segment_count
        assert blob[parameters + 1] == (layout in ("hi3", "hi4p") and columns > 6144)  # the order


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("odd", [0.0, 0.01, 0.1, 0.3])
def test_packed_with_any_share_of_odd_values_is_exact(layout: str, odd: float) -> None:
    info = check(weights(16, 2500, odd), layout)
    assert info.raw_segment_count == (1 if odd == 0.3 and layout == "hi4p" else 0)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shift", range(0, 64, 7))
def test_packed_every_pattern_among_usual_weights_is_exact(layout: str, shift: int) -> None:
    usual = codec_arrays.normal("bf16", (1024, 1024))
    usual.view(np.uint16)[:, shift::16] = np.arange(65536, dtype=np.uint16).reshape(1024, 64)[:, : 64 - shift // 16]
    assert check_quick(usual, layout).raw_segment_count < 2


def check_quick(array: codec_arrays.Array, layout: str) -> codec.BlobInfo:
    blob = codec.encode(array, f"packed:{layout}")
    codec_arrays.assert_same(codec.decode(blob), array)
    return codec.describe(blob)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 1300), st.floats(0, 0.2), st.sampled_from(LAYOUTS), st.integers(0, 2**16))
def test_packed_property_decodes_to_what_was_encoded(
    rows: int, columns: int, odd: float, layout: str, seed: int
) -> None:
    check(weights(rows, columns, odd, seed), layout, segment_bytes=20_000)


@pytest.mark.parametrize(("layout", "most"), [("e2+3", 10.95), ("e3+3", 11.15), ("hi4p", 12.05), ("hi3", 11.45)])
def test_packed_bits_a_weight_of_a_normal_matrix(layout: str, most: float) -> None:
    blob = codec.encode(codec_arrays.normal("bf16", (1024, 4096)), f"packed:{layout}")
    assert codec.describe(blob).bits_per_weight <= most


def test_packed_without_a_layout_takes_the_smallest() -> None:
    array = weights(64, 4096)
    sizes = {layout: len(codec.encode(array, f"packed:{layout}")) for layout in LAYOUTS}
    assert len(codec.encode(array, "packed")) == min(sizes.values()) == sizes["e2+3"]


def test_packed_codec_with_an_unknown_layout_is_an_error() -> None:
    with pytest.raises(CodecError, match=r"got 'packed:e4', expected one of .*packed:hi4p"):
        codec.encode(weights(4, 64), "packed:e4")
    with pytest.raises(CodecError, match=r"got 'lz4:e3\+3'"):
        codec.encode(weights(4, 64), "lz4:e3+3")


@pytest.mark.parametrize("dtype", [name for name in oracle.DTYPES if name != "bf16"])
def test_packed_keeps_other_dtypes_raw(dtype: str) -> None:
    array = codec_arrays.normal(dtype, (64, 512))
    blob = codec.encode(array, "packed")
    assert codec.describe(blob).raw_segment_count == codec.describe(blob).segment_count == 1
    codec_arrays.assert_same(codec.decode(blob), array)
    codec_arrays.assert_same(oracle.decode(blob), array)


# ---- damage: the bytes of a segment changed, and its checksum with them ----------------------------------------------


def resealed(blob: npt.NDArray[np.uint8], at: int, value: bytes) -> bytes:
    """The blob with bytes of its only segment replaced and all checksums right."""
    segment = next(codec.segments(blob))
    data = bytearray(blob)
    data[segment.offset + at : segment.offset + at + len(value)] = value
    stored = bytes(data[segment.offset : segment.offset + segment.bytes])
    data[96 + 16 : 96 + 24] = xxhash.xxh3_64_intdigest(stored).to_bytes(8, "little")
    header = bytes(data[: codec.describe(blob).header_bytes])
    data[72:80] = oracle.header_checksum(header).to_bytes(8, "little")
    return bytes(data)


def damaged(layout: str, at: int, value: bytes) -> bytes:
    return resealed(codec.encode(weights(8, 600), f"packed:{layout}"), at, value)


def assert_rejected(blob: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        codec.decode(blob)
    with pytest.raises(oracle.OracleError):
        oracle.decode(blob)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_packed_row_table_that_does_not_begin_at_0_is_rejected(layout: str) -> None:
    assert_rejected(damaged(layout, 0, b"\1\0\0\0"), r"segment\[0\].*row_table\[0\] \(offset 0\): got 1")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_packed_row_table_that_descends_is_rejected(layout: str) -> None:
    assert_rejected(damaged(layout, 8, b"\xff\xff\xff\xff"), r"row_table\[2\] \(offset 8\): got 4294967295")


def test_packed_planes_of_unequal_size_are_rejected() -> None:
    blob = codec.encode(weights(8, 600), "packed:e2+3")
    begin = int.from_bytes(bytes(blob[next(codec.segments(blob)).offset + 4 :][:4]), "little")
    assert_rejected(resealed(blob, 4, (begin + 1).to_bytes(4, "little")), r"row_table\[1\] \(offset 4\)")


@pytest.mark.parametrize("layout", ["e2+3", "e3+3"])
def test_packed_codes_with_more_escapes_than_the_side_stream_has_are_rejected(layout: str) -> None:
    blob = codec.encode(weights(8, 600), f"packed:{layout}")
    assert_rejected(resealed(blob, 128, b"\xff" * 64), r"side stream of row 0 \(offset \d+\)")


def test_packed_list_out_of_order_is_rejected() -> None:
    blob = codec.encode(weights(1, 4096, 0.02), "packed:hi4p")
    segment = next(codec.segments(blob))
    end = segment.bytes - 64
    table = np.frombuffer(bytes(blob[segment.offset : segment.offset + 8]), "<u4")
    assert table[1] >= 8
    first = end - int(table[1])
    assert_rejected(resealed(blob, first, (4095 << 8).to_bytes(4, "little")), "side stream of row 0")
    last = end - 4
    assert_rejected(resealed(blob, last, (4096 << 8).to_bytes(4, "little")), "side stream of row 0")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_packed_any_changed_byte_is_rejected_or_changes_only_values(layout: str) -> None:
    blob = codec.encode(weights(3, 300, 0.02), f"packed:{layout}")
    size = next(codec.segments(blob)).bytes
    for at in range(0, size, 5):
        changed = resealed(blob, at, bytes([int(blob[next(codec.segments(blob)).offset + at]) ^ 0x55]))
        try:
            expected = oracle.decode(changed)
        except oracle.OracleError:
            with pytest.raises(FormatError):
                codec.decode(changed)
        else:
            codec_arrays.assert_same(codec.decode(changed), expected)


@pytest.mark.parametrize("at", [0, 1, 11, 23, 31])
def test_packed_parameters_that_no_encoder_writes_are_rejected(at: int) -> None:
    blob = bytearray(codec.encode(weights(8, 600), "packed:e2+3"))
    end = codec.describe(bytes(blob)).header_bytes
    blob[end - oracle_packed.PARAMS_BYTES + at] = 9
    blob[72:80] = oracle.header_checksum(bytes(blob[:end])).to_bytes(8, "little")
    assert_rejected(bytes(blob), r"codec_params\.\w+ \(offset \d+\): got 9")
