"""Makes the golden blobs of format version 1. Run once a format version, never to make a failing test pass.

good/NAME.lpc      decodes to what manifest.json says (dtype, shape, SHA-256 of the decoded bytes)
malformed/NAME.lpc breaks one rule of docs/format.md; manifest.json has the kind of error and a part of the message
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

import oracle  # noqa: E402
import oracle_packed  # noqa: E402
from blob_edit import put, seal, segment, with_entry, with_field, with_segment  # noqa: E402

from edge_runtime import codec  # noqa: E402

FORMAT, CODEC = "FormatError", "CodecError"
PACKED_LAYOUTS = {"e2+3": "e2p3", "e3+3": "e3p3", "hi4p": "hi4p", "hi3": "hi3"}


def weights(dtype: str, *shape: int) -> np.ndarray[Any, Any]:
    """Small numbers such as weights are, the same in every run."""
    values = np.asarray(np.random.default_rng(20240607).standard_normal(shape) * 0.02)
    if dtype in ("int8", "uint8"):
        values = np.clip(np.rint(values * 200), 0 if dtype == "uint8" else -128, 127)
    return values.astype(oracle.DTYPES[dtype].numpy)


def pruned(*shape: int) -> np.ndarray[Any, Any]:
    """bf16 weights of which two in three are 0, and some -0."""
    array = weights("bf16", *shape)
    array.reshape(-1)[1::3], array.reshape(-1)[2::3], array.reshape(-1)[5::60] = 0, 0, -0.0
    return array


def escaped(*shape: int) -> np.ndarray[Any, Any]:
    """bf16 weights with exponents that are too many for a narrow table."""
    array = weights("bf16", *shape)
    array.reshape(-1)[::100] = 2.0 ** np.arange(-80, 80, 10)
    return array


def two_scales(n: int) -> np.ndarray[Any, Any]:
    """bf16 weights of which the middle third is far larger, so that blocks have different tables."""
    array = weights("bf16", n)
    array[n // 3 : 2 * n // 3] *= 1000
    return array


def good() -> dict[str, tuple[bytes, np.ndarray[Any, Any]]]:
    arrays: dict[str, tuple[np.ndarray[Any, Any], str, int]] = {
        f"lz4_{dtype}": (weights(dtype, 24, 65), "lz4", 0) for dtype in oracle.DTYPES
    }
    arrays["lz4_bf16_segments"] = (weights("bf16", 9, 256), "lz4", 1024)
    arrays["lz4_bf16_zeros"] = (np.zeros((64, 64), oracle.DTYPES["bf16"].numpy), "lz4", 0)
    sparse = np.zeros(600_000, np.int8)  # two blocks a plane
    sparse[[3, 524_287, 524_288, 599_999]] = [1, -128, 5, -1]
    arrays["lz4_int8_two_blocks"] = (sparse, "lz4", 0)
    noise = np.random.default_rng(7).integers(0, 256, 256, np.uint8)
    arrays["lz4_uint8_raw_segment"] = (noise, "lz4", 0)
    arrays["stored_fp16_segments"] = (weights("fp16", 7, 5), "stored", 20)
    arrays["stored_bf16_rank0"] = (weights("bf16"), "stored", 0)
    arrays["stored_fp32_rank4"] = (weights("fp32", 2, 3, 1, 2), "stored", 0)
    arrays["lz4_bf16_empty"] = (weights("bf16", 0, 8), "lz4", 0)
    for name in ("ans", "bitmap"):
        arrays |= {f"{name}_{dtype}": (weights(dtype, 24, 65), name, 0) for dtype in oracle.DTYPES}
        arrays[f"{name}_bf16_pruned"] = (pruned(9, 256), name, 2048)
        arrays[f"{name}_bf16_zeros"] = (np.zeros((64, 64), oracle.DTYPES["bf16"].numpy), name, 0)
    arrays["ans_bf16_tables"] = (two_scales(40_000), "ans", 0)
    arrays["ans_bf16_escapes"] = (escaped(24, 65), "ans", 0)
    arrays["bitmap_stored_bf16_pruned"] = (pruned(9, 256), "bitmap:stored", 2048)
    for layout, name in PACKED_LAYOUTS.items():
        arrays[f"packed_{name}_bf16"] = (weights("bf16", 9, 1150), f"packed:{layout}", 8192)
        arrays[f"packed_{name}_bf16_escapes"] = (escaped(4, 390), f"packed:{layout}", 0)
        arrays[f"packed_{name}_bf16_pruned"] = (pruned(9, 256), f"packed:{layout}", 2048)
        arrays[f"packed_{name}_bf16_long_rows"] = (weights("bf16", 3, 8500), f"packed:{layout}", 0)
    arrays["packed_bf16_zeros"] = (np.zeros((64, 64), oracle.DTYPES["bf16"].numpy), "packed", 0)
    arrays["packed_fp16_stays_raw"] = (weights("fp16", 24, 65), "packed", 0)
    blobs = {name: (codec.encode(a, c, segment_bytes=s).tobytes(), a) for name, (a, c, s) in arrays.items()}
    other = weights("bf16", 24, 65)
    blobs["lz4_bf16_second_encoder"] = (oracle.encode(other, oracle.LZ4, 5), other)
    blobs["ans_fp16_second_encoder"] = (oracle.encode(weights("fp16", 24, 65), oracle.ANS, 12), weights("fp16", 24, 65))
    blobs["ans_bf16_second_encoder"] = (oracle.encode(escaped(24, 65), oracle.ANS, 12), escaped(24, 65))
    blobs["bitmap_bf16_second_encoder"] = (oracle.encode(pruned(9, 256), oracle.BITMAP, 5), pruned(9, 256))
    return blobs


def malformed_headers(lz4: bytes, stored: bytes) -> dict[str, tuple[bytes, str, str]]:
    """`lz4`: bf16 of shape (9, 256) in three segments; `stored`: fp16 of shape (7, 5) in four segments."""
    return {
        "magic": (put(lz4, 0, 0x58, 1), FORMAT, "magic (offset 0)"),
        "version_newer": (with_field(lz4, "version", 2), CODEC, "version (offset 4): got 2"),
        "codec_unknown": (with_field(lz4, "codec", 9), CODEC, "codec (offset 6): got 9"),
        "dtype_zero": (with_field(lz4, "dtype", 0), CODEC, "dtype (offset 7): got 0"),
        "dtype_unknown": (with_field(lz4, "dtype", 8), CODEC, "dtype (offset 7): got 8"),
        "rank_5": (with_field(lz4, "rank", 5), FORMAT, "rank (offset 8): got 5"),
        "reserved_9": (with_field(lz4, "reserved9", 1), FORMAT, "reserved (offset 9): got 1"),
        "reserved_80": (with_field(lz4, "reserved80", 1), FORMAT, "reserved (offset 80): got 1"),
        "segment_count_limit": (put(lz4, 12, 1 << 24, 4), FORMAT, "segment_count (offset 12)"),
        "segment_count_header_bytes": (put(lz4, 12, 4, 4), FORMAT, "header_bytes (offset 60)"),
        "segment_count_rows": (with_field(lz4, "shape0", 3), FORMAT, "segment_count (offset 12): got 5, expected 2"),
        "shape_beyond_rank": (with_field(lz4, "shape3", 1), FORMAT, "shape[3] (offset 40): got 1"),
        "shape_row_size": (with_field(lz4, "shape1", 1 << 30), FORMAT, "shape[1] (offset 24)"),
        "shape_overflow": (with_field(lz4, "shape0", 1 << 62), FORMAT, "shape[0] (offset 16)"),
        "extent_limit": (with_field(lz4, "shape0", 1 << 63), FORMAT, "shape[0] (offset 16)"),
        "rows_per_segment_zero": (with_field(lz4, "rows_per_segment", 0), FORMAT, "rows_per_segment (offset 48)"),
        "rows_per_segment_size": (
            with_field(with_field(lz4, "shape0", 1 << 40), "rows_per_segment", 1 << 30),
            FORMAT,
            "rows_per_segment (offset 48)",
        ),
        "codec_params_limit": (put(lz4, 56, 65537, 4), FORMAT, "codec_params_bytes (offset 56)"),
        "codec_params_lz4": (with_params(lz4), FORMAT, "codec_params_bytes (offset 56): got 64"),
        "header_bytes": (put(lz4, 60, 64, 4), FORMAT, "header_bytes (offset 60): got 64"),
        "header_checksum": (put(lz4, 72, 0, 8), FORMAT, "header_checksum (offset 72)"),
        "blob_bytes_larger": (with_field(lz4, "blob_bytes", len(lz4) + 64), FORMAT, "blob_bytes (offset 64)"),
        "blob_bytes_smaller": (with_field(lz4, "blob_bytes", len(lz4) - 64), FORMAT, "offset"),
        "blob_bytes_huge": (with_field(lz4, "blob_bytes", 2**64 - 64), FORMAT, "blob_bytes (offset 64)"),
        "blob_bytes_header_only": (with_field(lz4, "blob_bytes", 256), FORMAT, "blob_bytes (offset 64)"),
        "segment_overlap": (
            with_entry(lz4, 1, "offset", oracle.parse(lz4).segments[0].offset),
            FORMAT,
            "segment[1].offset (offset 128)",
        ),
        "segment_offset_gap": (
            with_entry(lz4, 1, "offset", oracle.parse(lz4).segments[1].offset + 64),
            FORMAT,
            "segment[1].offset (offset 128)",
        ),
        "segment_bytes_zero": (with_entry(lz4, 0, "bytes", 0), FORMAT, "segment[0].bytes (offset 104): got 0"),
        "segment_bytes_huge": (with_entry(lz4, 0, "bytes", 2**64 - 1), FORMAT, "segment[0].bytes (offset 104)"),
        "segment_bytes_expands": (
            with_entry(lz4, 2, "bytes", 1024),
            FORMAT,
            "segment[2].bytes (offset 168)",
        ),
        "segment_bytes_raw": (with_entry(stored, 3, "bytes", 9), FORMAT, "segment[3].bytes (offset 200): got 9"),
        "segment_encoding_2": (with_entry(lz4, 0, "encoding", 2), FORMAT, "segment[0].encoding (offset 120): got 2"),
        "segment_encoding_stored": (
            with_entry(stored, 0, "encoding", 1),
            FORMAT,
            "segment[0].encoding (offset 120): got 1",
        ),
        "segment_reserved": (with_entry(lz4, 0, "reserved", 1), FORMAT, "segment[0].reserved (offset 121): got 1"),
        "segment_checksum": (with_entry(lz4, 3, "checksum", 0), FORMAT, "segment[3].checksum"),
        "segment_changed": (put(lz4, len(lz4) - 128, 0xAA, 1), FORMAT, "segment[4].checksum"),
        "trailing_bytes": (lz4 + bytes(64), FORMAT, "blob_bytes (offset 64)"),
        "trailing_byte": (lz4 + bytes(1), FORMAT, "trailing data"),
        "truncated_segment": (lz4[:-64], FORMAT, "cut short"),
        "truncated_table": (lz4[:100], FORMAT, "segment[0].offset (offset 100): cut short"),
        "empty": (b"", FORMAT, "magic (offset 0): cut short"),
    }


def with_params(blob: bytes) -> bytes:
    """`blob` with 64 bytes of codec parameters, everything else in place."""
    header = oracle.parse(blob)
    table_end = oracle.HEADER_BYTES + oracle.ENTRY_BYTES * len(header.segments)
    body = header.segments[0].offset
    longer = blob[:table_end] + bytes(64) + bytes(oracle.align64(table_end + 64) - table_end - 64) + blob[body:]
    longer = put(put(longer, 56, 64, 4), 60, table_end + 64, 4)
    shift = oracle.align64(table_end + 64) - body
    for index, entry in enumerate(header.segments):
        longer = with_entry(longer, index, "offset", entry.offset + shift)
    return with_field(longer, "blob_bytes", len(blob) + shift)


def malformed_segments(blob: bytes) -> dict[str, tuple[bytes, str, str]]:
    """`blob`: fp16 of shape (24, 65) in one segment: 1560 elements, 8 planes of 195 bytes, raw bytes at 64."""
    plain = segment(blob, 0)
    blocks = 64 + 1560
    (size,) = struct.unpack_from("<I", plain, 8)  # of plane 7, which comes first
    rest = plain[blocks + size :]
    garbage = put(plain, 8, 20, 4)[:blocks] + b"\xff" * 20 + rest
    short = put(plain, 8, 2, 4)[:blocks] + b"\x10\x00" + rest  # one literal
    cases = {
        "lz4_bias": (put(plain, 0, 32, 1), "bias (offset 0): got 32"),
        "lz4_reserved": (put(plain, 2, 7, 1), "reserved (offset 2): got 7"),
        "lz4_block_count": (put(plain, 4, 16, 4), "block_count (offset 4): got 16, expected 8"),
        "lz4_block_too_large": (put(plain, 8, 196, 4), "block_size[0] (offset 8): got 196"),
        "lz4_block_past_end": (put(plain, 36, 195, 4)[:-1], "block_size[7] (offset 36): got 195, expected at most 194"),
        "lz4_block_huge": (put(plain, 20, 2**32 - 1, 4), "block_size[3] (offset 20)"),
        "lz4_trailing": (plain + b"\0", "segment end (offset"),
        "lz4_garbage_block": (garbage, "LZ4 block (offset 1624): got malformed data"),
        "lz4_short_block": (short, "LZ4 block (offset 1624): got 1 bytes, expected 195"),
    }
    broken = {
        name: (with_segment(blob, 0, stored), FORMAT, f"segment[0] (offset 128): {message}")
        for name, (stored, message) in cases.items()
    }
    for name, size in (("lz4_too_short", blocks - 1), ("lz4_one_byte", 1)):
        message = f"segment[0].bytes (offset 104): got {size}, expected at least {blocks}"
        broken[name] = with_segment(blob, 0, plain[:size]), FORMAT, message
    return broken


def malformed_ans(blob: bytes, wide: bytes) -> dict[str, tuple[bytes, str, str]]:
    """`blob`: bf16 of shape (24, 65) in one segment, with escapes and one table; its parameters begin at 128, the
    segment at 192. `wide`: int8 of the same shape.
    """
    plain, wide_plain = segment(blob, 0), segment(wide, 0)
    _, escapes = struct.unpack_from("<II", plain)
    block, at = 320 + 1560, oracle.parse(wide).segments[0].offset
    cases = {
        "byte_count": (put(plain, 0, 2**31, 4), "byte_count (offset 0): got 2147483648"),
        "escape_count": (put(plain, 4, escapes + 1, 4), "escape_count (offset 4)"),
        "table_count_zero": (put(plain, 8, 0, 2), "table_count (offset 8): got 0"),
        "table_count": (put(plain, 8, 257, 2), "table_count (offset 8): got 257"),
        "reserved": (put(plain, 10, 1, 1), "reserved (offset 10): got 1"),
        "state": (put(plain, 64 + 2 * 127, 255, 2), "state[127] (offset 318): got 255"),
        "block": (put(plain, block, 1, 1), f"block[0] (offset {block}): got 1"),
        "table_reserved": (put(plain, block + 16, 1, 1), f"table[0].reserved (offset {block + 16}): got 1"),
        "table_frequency": (put(plain, block + 17, 0, 1), f"table[0].frequency (offset {block + 17})"),
        "trailing": (plain + b"\0", "escape_count (offset 4)"),
        "bytes_changed": (put(plain, block + 33, 0xFFFF ^ plain[block + 33], 2), ""),
    }
    broken = {}
    for name, (stored, message) in cases.items():
        broken[f"ans_{name}"] = with_segment(blob, 0, stored), FORMAT, f"segment[0] (offset 192): {message}"
    wide_cases = {
        "word_count": (put(wide_plain, 0, 2**31, 4), "word_count (offset 0): got 2147483648"),
        "reserved": (put(wide_plain, 4, 1, 1), "reserved (offset 4): got 1"),
        "state": (put(wide_plain, 64 + 4 * 63, 65535, 4), "state[63] (offset 316): got 65535"),
        "trailing": (wide_plain + b"\0", "word_count (offset 0)"),
        "words_changed": (put(wide_plain, 320, 0xFFFF ^ wide_plain[320], 2), ""),
    }
    for name, (stored, message) in wide_cases.items():
        broken[f"ans_wide_{name}"] = with_segment(wide, 0, stored), FORMAT, f"segment[0] (offset {at}): {message}"
    params = {
        "kind": (blob, 0, 2, 1, "codec_params.kind (offset 0): got 2"),
        "kind_retired": (blob, 0, 1, 1, "codec_params.kind (offset 0): got 1"),
        "params_reserved": (blob, 15, 1, 1, "codec_params.reserved (offset 15): got 1"),
        "wide_kind": (wide, 0, 3, 1, "codec_params.kind (offset 0): got 3"),
        "wide_frequency_limit": (wide, 16, 4096, 2, "codec_params.frequency[0] (offset 16): got 4096"),
        "wide_frequency_sum": (wide, 16, 1, 2, "codec_params.frequency (offset 16)"),
    }
    for name, (whole, offset, value, size, message) in params.items():
        broken[f"ans_{name}"] = seal(put(whole, 128 + offset, value, size)), FORMAT, message
    return broken


def malformed_bitmap(blob: bytes) -> dict[str, tuple[bytes, str, str]]:
    """`blob`: bf16 of shape (9, 256) with 4 rows a segment, non-zeros as they are; the last segment is row 8."""
    plain = segment(blob, 2)
    at = oracle.parse(blob).segments[2].offset
    cases = {
        "bitmap_non_zeros": (put(plain, 0, 1, 4), "non_zeros (offset 0): got 1"),
        "bitmap_inner_encoding": (put(plain, 4, 1, 1), "inner_encoding (offset 4): got 1, expected 0"),
        "bitmap_reserved": (put(plain, 7, 1, 1), "reserved (offset 7): got 1"),
        "bitmap_row_table": (put(plain, 8, 2**32 - 1, 4), "row_table[0] (offset 8): got 4294967295"),
        "bitmap_bits": (put(plain, 12, plain[12] ^ 1, 1), "row_table[0] (offset 8)"),
        "bitmap_trailing": (plain + b"\0", "non-zeros (offset 64)"),
    }
    broken = {
        name: (with_segment(blob, 2, stored), FORMAT, f"segment[2] (offset {at}): {message}")
        for name, (stored, message) in cases.items()
    }
    message = "codec_params.inner_codec (offset 0): got 4"
    broken["bitmap_inner_codec"] = seal(put(blob, oracle.HEADER_BYTES + 3 * oracle.ENTRY_BYTES, 4, 1)), FORMAT, message
    return broken


def malformed_packed(
    blobs: dict[str, tuple[bytes, np.ndarray[Any, Any]]],
) -> dict[str, tuple[bytes, str, str]]:
    """Of bf16 of shape (4, 390) in one segment, with escapes; the parameters begin at 128, the segment at 192."""
    broken = {}
    for layout in PACKED_LAYOUTS.values():
        blob = blobs[f"packed_{layout}_bf16_escapes"][0]
        plain = segment(blob, 0)
        entries = 4 * (2 if layout in ("e2p3", "e3p3") else 1) + 1
        fixed = oracle.align64(4 * entries)
        side = fixed + 4 * oracle_packed.row_bytes(blob[128], 390)
        (end,) = struct.unpack_from("<I", plain, 4 * entries - 4)
        cases = {
            "table_start": (put(plain, 0, 1, 4), "row_table[0] (offset 0): got 1"),
            "table_descends": (put(plain, 8, 2**32 - 1, 4), "row_table[2] (offset 8): got 4294967295"),
            "table_end": (put(plain, 4 * entries - 4, end + 1, 4), f"row_table[{entries - 1}]"),
            "trailing": (plain + b"\0", f"row_table[{entries - 1}]"),
        }
        if layout in ("e2p3", "e3p3"):
            (planes,) = struct.unpack_from("<I", plain, 4)
            cases["planes"] = put(plain, 4, planes + 1, 4), "row_table[1] (offset 4)"
        if layout == "hi4p":
            last = plain[: side + end - 4] + struct.pack("<I", 390 << 8) + plain[side + end :]
            cases["column"] = last, "side stream of row "
        else:
            cases["codes"] = put(plain, fixed, 2**64 - 1, 8), "side stream of row 0"
        for name, (stored, message) in cases.items():
            broken[f"packed_{layout}_{name}"] = (
                with_segment(blob, 0, stored),
                FORMAT,
                f"segment[0] (offset 192): {message}",
            )
        short = with_segment(blob, 0, plain[: side + 63])
        broken[f"packed_{layout}_too_short"] = short, FORMAT, f"got {side + 63}, expected at least {side + 64}"
    blob = blobs["packed_e2p3_bf16_escapes"][0]
    params = {
        "layout": (128, 6, "codec_params.layout (offset 0): got 6"),
        "layout_retired": (128, 2, "codec_params.layout (offset 0): got 2"),
        "order": (129, 1, "codec_params.order (offset 1): got 1, expected 0 for this layout"),
        "reserved": (130, 1, "codec_params.reserved (offset 2): got 1"),
        "level1_reserved": (128 + 11, 1, "codec_params.reserved (offset 11): got 1"),
        "level2_reserved": (128 + 31, 1, "codec_params.reserved (offset 31): got 1"),
    }
    for name, (offset, value, message) in params.items():
        broken[f"packed_params_{name}"] = seal(put(blob, offset, value, 1)), FORMAT, message
    order = seal(put(blobs["packed_hi3_bf16_long_rows"][0], 129, 2, 1))
    broken["packed_params_order_unknown"] = order, FORMAT, "codec_params.order (offset 1): got 2, expected 0 or 1"
    encoded = with_entry(blobs["packed_fp16_stays_raw"][0], 0, "encoding", 1)
    broken["packed_fp16_encoded"] = encoded, FORMAT, "segment[0].bytes"
    return broken


def main() -> None:
    manifest: dict[str, Any] = {"good": {}, "malformed": {}}
    for folder in manifest:
        (HERE / folder).mkdir(exist_ok=True)
    blobs = good()
    for name, (blob, array) in sorted(blobs.items()):
        (HERE / "good" / f"{name}.lpc").write_bytes(blob)
        manifest["good"][name] = {
            "dtype": codec.dtype_name(array.dtype),
            "shape": array.shape,
            "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
        }
    broken = malformed_headers(blobs["lz4_bf16_segments"][0], blobs["stored_fp16_segments"][0])
    broken |= malformed_segments(blobs["lz4_fp16"][0])
    broken |= malformed_ans(blobs["ans_bf16_escapes"][0], blobs["ans_int8"][0])
    broken |= malformed_bitmap(blobs["bitmap_stored_bf16_pruned"][0])
    broken |= malformed_packed(blobs)
    for name, (blob, error, message) in sorted(broken.items()):
        (HERE / "malformed" / f"{name}.lpc").write_bytes(blob)
        manifest["malformed"][name] = {"error": error, "message": message}
    (HERE / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()
