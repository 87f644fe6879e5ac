"""Codec `ans`: against the second coder, at the entropy bound, in every implementation, and malformed."""

from __future__ import annotations

import struct

import blob_edit
import codec_arrays
import numpy as np
import oracle
import oracle_ans
import oracle_lz4
import pytest
from checkpoints import shared_folder
from real_models import RunPython

from edge_runtime import codec, native
from edge_runtime.errors import CodecError, FormatError

DTYPES = list(oracle.DTYPES)


def order_0_bits(array: codec_arrays.Array) -> float:
    """Entropy of what is coded of a tensor, plus its raw bits: bits an element."""
    dtype = oracle.DTYPES[codec.dtype_name(array.dtype)]
    codes, raw, _ = oracle_lz4.split(array.reshape(-1), dtype, 0)
    planes = oracle_ans.planes_of(dtype.id)
    share = np.bincount(codes >> planes, minlength=256) / array.size
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum()) + 8 * len(raw) + planes


def many_exponents(n: int = 4000) -> codec_arrays.Array:
    """bf16 weights with rare exponents, so that the table has an escape."""
    array = codec_arrays.normal("bf16", (n,))
    array[::97] = codec_arrays.random_bits("bf16", (len(array[::97]),))
    return array


@pytest.mark.parametrize("dtype", DTYPES)
def test_ans_blob_of_second_encoder_gives_the_array(dtype: str) -> None:
    arrays = [codec_arrays.normal(dtype, (9, 451)), codec_arrays.random_bits(dtype, (9, 451))]
    for array in [*arrays, np.zeros((9, 451), arrays[0].dtype)]:
        blob = oracle.encode(array, oracle.ANS, 4)
        codec_arrays.assert_same(codec.decode(blob), array)
        codec_arrays.assert_same(oracle.decode(blob), array)


def test_ans_rare_exponents_are_escaped_and_survive() -> None:
    array = many_exponents()
    for blob in (codec.encode(array, "ans"), np.frombuffer(oracle.encode(array, oracle.ANS), np.uint8)):
        assert codec.describe(blob).raw_segment_count == 0
        codec_arrays.assert_same(codec.decode(blob), array)
        codec_arrays.assert_same(oracle.decode(blob), array)


def test_ans_lengths_around_groups_survive() -> None:
    for n in range(2000, 2000 + 2 * 128):
        array = codec_arrays.normal("bf16", (n,), seed=n)
        array[n // 2] = 1e30
        blob = codec.encode(array, "ans")
        codec_arrays.assert_same(codec.decode(blob), array)
        codec_arrays.assert_same(oracle.decode(blob), array)


def test_ans_every_bf16_pattern_in_every_lane_survives() -> None:
    patterns = codec_arrays.all_patterns("bf16")
    weights = codec_arrays.normal("bf16", (1, 600_000))
    for lane in range(64):
        array = weights.copy()
        array[0, lane : lane + len(patterns)] = patterns
        blob = codec.encode(array, "ans")
        assert codec.describe(blob).raw_segment_count == 0
        codec_arrays.assert_same(codec.decode(blob), array)


def test_ans_normal_bf16_weights_are_at_the_bound() -> None:
    array = codec_arrays.normal("bf16", (4096, 4096))
    bits = codec.describe(codec.encode(array, "ans")).bits_per_weight
    print(f"ans: {bits:.3f} bits, bound {order_0_bits(array):.3f}")
    assert bits <= min(10.62, 1.006 * order_0_bits(array))


def test_ans_trained_weights_are_at_the_bound() -> None:
    for name, dtype in (("rwkv_eng_8M.bf16", "bf16"), ("tiny_rwkv_5v1_730K.fp16", "fp16")):
        array = np.fromfile(shared_folder("models", "samples") / name, codec.numpy_dtype(dtype)).reshape(-1, 32)
        bits = codec.describe(codec.encode(array, "ans")).bits_per_weight
        print(f"ans: {name} {bits:.3f} bits, bound {order_0_bits(array):.3f}")
        assert bits <= 1.006 * order_0_bits(array)


def test_ans_blocks_of_different_scale_have_their_own_tables() -> None:
    array = codec_arrays.normal("bf16", (1, 8 * 16384))
    array[0, 3 * 16384 : 5 * 16384] *= 2**20
    blob = codec.encode(array, "ans").tobytes()
    stored = blob_edit.segment(blob, 0)
    at = 320 + array.size
    assert struct.unpack_from("<H", stored, 8) == (2,)
    assert stored[at : at + 8] == bytes([0, 0, 0, 1, 1, 0, 0, 0])
    codec_arrays.assert_same(codec.decode(blob), array)
    codec_arrays.assert_same(oracle.decode(blob), array)
    whole = codec_arrays.normal("bf16", (1, 8 * 16384))
    assert len(blob) <= codec.encode(whole, "ans").nbytes + 64


@pytest.mark.parametrize("dtype", ["int8", "uint8", "fp8_e4m3", "fp8_e5m2"])
def test_ans_bytes_are_near_the_bound(dtype: str) -> None:
    array = codec_arrays.normal(dtype, (1024, 1024))
    assert codec.describe(codec.encode(array, "ans")).bits_per_weight <= 1.006 * order_0_bits(array)


DIGEST = """
import hashlib, sys
sys.path.insert(0, "tests")
import codec_arrays, numpy, oracle
from edge_runtime import codec, native

digest = hashlib.sha256()
for dtype in oracle.DTYPES:
    arrays = list(codec_arrays.contents(dtype).values()) + [codec_arrays.normal(dtype, (1, 70_001))]
    arrays += [codec_arrays.normal(dtype, (n,), seed=n) for n in range(800, 1000, 7)]
    for array in arrays:
        sparse = array.copy()
        sparse[numpy.random.default_rng(1).random(array.shape) < 0.6] = 0
        for each in (array, sparse):
            for name in ("ans", "bitmap", "bitmap:stored"):
                blob = codec.encode(each, name)
                assert codec.decode(blob).tobytes() == each.tobytes(), (dtype, name, each.shape)
                digest.update(blob)
print(native.implementation(), digest.hexdigest())
"""


def test_ans_and_bitmap_implementations_write_the_same_bytes(run_python: RunPython) -> None:
    seen = set()
    for name in native.implementations():
        done = run_python(DIGEST, env={"LPC_FORCE_IMPL": name})
        assert done.returncode == 0, done.stderr
        implementation, value = done.stdout.split()
        assert implementation == name
        seen.add(value)
    assert len(seen) == 1


def with_param(blob: bytes, offset: int, value: int, size: int = 1) -> bytes:
    """`blob`, of one segment, with a codec parameter changed and the header sealed."""
    return blob_edit.seal(blob_edit.put(blob, oracle.HEADER_BYTES + oracle.ENTRY_BYTES + offset, value, size))


@pytest.mark.parametrize(
    ("dtype", "offset", "value", "size", "message"),
    [
        ("bf16", 0, 2, 1, r"codec_params\.kind \(offset 0\): got 2, expected 3"),
        ("bf16", 0, 1, 1, r"codec_params\.kind \(offset 0\): got 1, expected 3"),
        ("bf16", 7, 1, 1, r"codec_params\.reserved \(offset 7\): got 1"),
        ("int8", 0, 3, 1, r"codec_params\.kind \(offset 0\): got 3, expected 2"),
        ("int8", 1, 2, 1, r"codec_params\.reserved \(offset 1\): got 2"),
        ("int8", 16, 4096, 2, r"codec_params\.frequency\[0\] \(offset 16\): got 4096, expected at most 4095"),
        ("int8", 526, 4000, 2, r"codec_params\.frequency\[255\] \(offset 526\): got 4000, expected a sum of 4096"),
        ("int8", 16, 0, 2, r"codec_params\.frequency \(offset 16\): got \d+, expected a sum of 4096"),
    ],
)
def test_ans_malformed_parameter_is_refused(dtype: str, offset: int, value: int, size: int, message: str) -> None:
    blob = with_param(codec.encode(codec_arrays.normal(dtype, (3000,)), "ans").tobytes(), offset, value, size)
    with pytest.raises(FormatError, match=message):
        codec.describe(blob)
    with pytest.raises(oracle.OracleError):
        oracle.decode(blob)


def damaged_segments() -> dict[str, tuple[bytes, str]]:
    """Segments of 4000 bf16 elements with escapes, each with one defect; the library's message."""
    plain = blob_edit.segment(codec.encode(many_exponents(), "ans").tobytes(), 0)
    count, escapes = struct.unpack_from("<II", plain)
    block = 320 + 4000
    start = block + 1 + 32
    end = start + count
    shorter = struct.pack("<II", count - 1, escapes) + plain[8 : end - 1] + plain[end:]
    fewer = struct.pack("<II", count, escapes - 1) + plain[8:end] + plain[end + 1 :]
    more = struct.pack("<II", count, escapes + 1) + plain[8:end] + b"\0" + plain[end:]
    return {
        "byte_count": (blob_edit.put(plain, 0, 2**32 - 1, 4), r"byte_count \(offset 0\)"),
        "escape_count": (blob_edit.put(plain, 4, escapes + 1, 4), r"escape_count \(offset 4\)"),
        "table_count": (blob_edit.put(plain, 8, 2**16 - 1, 2), r"table_count \(offset 8\): got 65535"),
        "no_table": (blob_edit.put(plain, 8, 0, 2), r"table_count \(offset 8\): got 0"),
        "reserved": (blob_edit.put(plain, 63, 1, 1), r"reserved \(offset 63\): got 1"),
        "state_small": (blob_edit.put(plain, 64, 255, 2), r"state\[0\] \(offset 64\): got 255"),
        "block": (blob_edit.put(plain, block, 1, 1), rf"block\[0\] \(offset {block}\): got 1"),
        "table_reserved": (blob_edit.put(plain, block + 16, 1, 1), rf"table\[0\]\.reserved \(offset {block + 16}\)"),
        "table_sum": (blob_edit.put(plain, block + 17, 0, 1), rf"table\[0\]\.frequency \(offset {block + 17}\)"),
        "trailing": (plain + b"\0", r"escape_count \(offset 4\)"),
        "bytes_run_out": (shorter, rf"bytes \(offset {start}\)|state\["),
        "escapes_run_out": (fewer, rf"bytes \(offset {start}\): got the end of the bytes or escapes"),
        "escapes_left": (more, rf"escapes \(offset {start}\): got 1 bytes left"),
        "too_short": (
            plain[: start + 127],
            rf"segment\[0\]\.bytes \(offset 104\): got {start + 127}, expected at least",
        ),
    }


@pytest.mark.parametrize("defect", damaged_segments())
def test_ans_damaged_segment_is_refused(defect: str) -> None:
    stored, message = damaged_segments()[defect]
    blob = blob_edit.with_segment(codec.encode(many_exponents(), "ans").tobytes(), 0, stored)
    with pytest.raises(FormatError, match=message):
        codec.decode(blob)
    with pytest.raises(oracle.OracleError):
        oracle.decode(blob)


@pytest.mark.parametrize("name", ["ans", "bitmap"])
def test_ans_changed_segment_with_right_checksums_is_as_the_oracle_says(name: str) -> None:
    array = many_exponents(2000)
    array[::2] = 0
    blob = codec.encode(array, name).tobytes()
    plain = blob_edit.segment(blob, 0)
    random = np.random.default_rng(11)
    for _ in range(150):
        stored = bytearray(plain)
        for _ in range(random.integers(1, 3)):
            place = int(random.choice([random.integers(0, 330), random.integers(0, len(stored))]))
            stored[place] ^= 1 << int(random.integers(0, 8))
        damaged = blob_edit.with_segment(blob, 0, bytes(stored))
        try:
            expected = oracle.decode(damaged)
        except oracle.OracleError:
            with pytest.raises(FormatError, match=r"^segment\[0\]"):
                codec.decode(damaged)
        else:
            codec_arrays.assert_same(codec.decode(damaged), expected)


def test_ans_segment_too_small_for_its_claim_is_refused() -> None:
    blob = codec.encode(np.zeros((1, 10_000), np.int8), "ans").tobytes()
    claim = blob_edit.with_field(blob, "shape1", 2_000_000_000)
    with pytest.raises(FormatError, match=r"segment\[0\]\.bytes \(offset 104\): got \d+, expected at least \d{5}"):
        codec.describe(claim)


def test_ans_table_of_the_other_kind_is_refused() -> None:
    blob = codec.encode(codec_arrays.normal("bf16", (3000,)), "ans").tobytes()
    with pytest.raises((FormatError, CodecError), match=r"codec_params_bytes|shape|bytes"):
        codec.describe(blob_edit.with_field(blob, "dtype", 4))


def test_ans_oracle_tables_agree_on_their_slots() -> None:
    stored = blob_edit.segment(codec.encode(many_exponents(), "ans").tobytes(), 0)
    table = oracle_ans.read_narrow_table(stored[320 + 4000 + 1 :][:32])
    for symbol in range(16):
        offsets = np.sort(table.offset[table.symbol == symbol])
        assert offsets.tolist() == list(range(len(offsets)))
