"""A second implementation of the blob format, written from docs/format.md alone: plain numpy, no speed.

`decode` checks all that the format demands of a decoder. `encode` is the simplest encoder that the format allows (its
blobs differ from the library's: another bias, another LZ4 search). Neither imports the package under test.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import lz4.block
import ml_dtypes
import numpy as np
import numpy.typing as npt
import oracle_ans
import oracle_bitmap
import oracle_packed
import xxhash

Array = npt.NDArray[Any]

STORED, LZ4, ANS, PACKED, BITMAP = 0, 1, 2, 3, 4
HEADER_BYTES = 96
ENTRY_BYTES = 32
BLOCK_BYTES = 65536
MAX_SEGMENT = 2**31 - 1


@dataclass(frozen=True)
class Dtype:
    """One line of section 3, and of the table of elements in 4.1."""

    id: int
    numpy: np.dtype[Any]
    exponent: int = 0  # width in bits; 0 for the integers
    mantissa: int = 0
    raw: int = 0  # R, the number of raw arrays

    @property
    def code_mantissa(self) -> int:
        """How many bits of w the code byte holds."""
        return self.mantissa + 1 - 8 * self.raw


DTYPES = {
    "bf16": Dtype(1, np.dtype(ml_dtypes.bfloat16), 8, 7, 1),
    "fp16": Dtype(2, np.dtype(np.float16), 5, 10, 1),
    "fp32": Dtype(3, np.dtype(np.float32), 8, 23, 3),
    "int8": Dtype(4, np.dtype(np.int8)),
    "uint8": Dtype(5, np.dtype(np.uint8)),
    "fp8_e4m3": Dtype(6, np.dtype(ml_dtypes.float8_e4m3fn), 4, 3),
    "fp8_e5m2": Dtype(7, np.dtype(ml_dtypes.float8_e5m2), 5, 2),
}
_BY_ID = {dtype.id: dtype for dtype in DTYPES.values()}
_BY_NUMPY = {dtype.numpy: dtype for dtype in DTYPES.values()}


class OracleError(ValueError):
    """The blob breaks a MUST of the format."""


def demand(condition: bool, what: str) -> None:
    if not condition:
        raise OracleError(what)


def align64(n: int) -> int:
    return -(-n // 64) * 64


@dataclass(frozen=True)
class Segment:
    offset: int
    bytes: int
    checksum: int
    encoding: int


@dataclass(frozen=True)
class Header:
    codec: int
    dtype: Dtype
    shape: tuple[int, ...]
    rows: int
    row_bytes: int
    rows_per_segment: int
    segments: list[Segment]

    def rows_of(self, index: int) -> tuple[int, int]:
        first = index * self.rows_per_segment
        return first, min(self.rows, first + self.rows_per_segment)


def header_checksum(header: bytes) -> int:
    return xxhash.xxh3_64_intdigest(header[:72] + bytes(8) + header[80:])


# ---- reading the header ---------------------------------------------------------------------------------------------


def _geometry(rank: int, shape: tuple[int, ...], dtype: Dtype) -> tuple[int, int]:
    """Rows and bytes of a row."""
    demand(rank <= 4, "rank")
    demand(not any(shape[rank:]), "shape beyond the rank")
    demand(all(extent < 2**63 for extent in shape), "extent")
    rows = shape[0] if rank else 1
    row_bytes = dtype.numpy.itemsize
    for extent in shape[1:rank]:
        row_bytes *= extent
    demand(row_bytes <= MAX_SEGMENT, "row size")
    demand(rows * row_bytes < 2**63, "tensor size")
    return rows, row_bytes


def parse(blob: bytes) -> Header:
    """Sections 2.1 to 2.3."""
    demand(blob[:4] == b"LPCB", "magic")
    demand(len(blob) >= HEADER_BYTES, "fixed header cut short")
    version, codec, dtype_id, rank = struct.unpack_from("<HBBB", blob, 4)
    (segment_count,) = struct.unpack_from("<I", blob, 12)
    shape = struct.unpack_from("<4Q", blob, 16)
    rows_per_segment, params_bytes, header_bytes, blob_bytes, checksum = struct.unpack_from("<QIIQQ", blob, 48)
    demand(version == 1, "version")
    demand(segment_count < 2**24 and params_bytes <= 65536, "limits")
    demand(header_bytes == HEADER_BYTES + ENTRY_BYTES * segment_count + params_bytes, "header_bytes")
    demand(len(blob) >= header_bytes, "header cut short")
    demand(checksum == header_checksum(blob[:header_bytes]), "header_checksum")
    demand(codec in (STORED, LZ4, ANS, PACKED, BITMAP), "codec")
    demand(dtype_id in _BY_ID, "dtype")
    if codec != BITMAP:
        demand(params_bytes == _params_bytes(codec, dtype_id), "codec_params_bytes")
    demand(not any(blob[9:12]) and not any(blob[80:96]), "reserved")
    dtype = _BY_ID[dtype_id]
    rows, row_bytes = _geometry(rank, shape, dtype)
    demand(rows_per_segment >= 1, "rows_per_segment")
    demand(min(rows, rows_per_segment) * row_bytes <= MAX_SEGMENT, "segment size")
    demand(segment_count == (-(-rows // rows_per_segment) if rows * row_bytes else 0), "segment_count")
    header = Header(codec, dtype, shape[:rank], rows, row_bytes, rows_per_segment, [])
    _check_params(codec, dtype_id, blob[header_bytes - params_bytes : header_bytes])
    end = _parse_segments(blob, header, segment_count, header_bytes)
    demand(blob_bytes == align64(end), "blob_bytes")
    demand(blob_bytes == len(blob), "cut short or trailing bytes")
    return header


def _params_bytes(codec: int, dtype_id: int) -> int:
    if codec == ANS:
        return oracle_ans.params_bytes(dtype_id)
    return oracle_packed.PARAMS_BYTES if codec == PACKED and dtype_id == DTYPES["bf16"].id else 0


def _check_params(codec: int, dtype_id: int, params: bytes) -> None:
    try:
        if codec == ANS:
            oracle_ans.read_params(params, dtype_id)
        elif codec == BITMAP:
            _check_inner_params(dtype_id, params)
        elif params:
            oracle_packed.check_params(params)
    except (oracle_ans.MalformedError, oracle_bitmap.MalformedError, oracle_packed.MalformedError) as error:
        raise OracleError(str(error)) from error


def _check_inner_params(dtype_id: int, params: bytes) -> None:
    inner = oracle_bitmap.inner_codec(params)
    rest = params[oracle_bitmap.PARAMS_BYTES :]
    demand(len(rest) == _params_bytes(inner, dtype_id), "codec_params_bytes")
    _check_params(inner, dtype_id, rest)


def _parse_segments(blob: bytes, header: Header, count: int, end: int) -> int:
    for index in range(count):
        entry = HEADER_BYTES + ENTRY_BYTES * index
        segment = Segment(*struct.unpack_from("<QQQB", blob, entry))
        demand(not any(blob[entry + 25 : entry + 32]), "segment reserved")
        demand(segment.offset == align64(end), "segment offset")
        demand(segment.bytes >= 1, "segment bytes")
        first, last = header.rows_of(index)
        decoded = (last - first) * header.row_bytes
        demand(segment.encoding <= (0 if header.codec == STORED else 1), "segment encoding")
        demand(segment.bytes == decoded if segment.encoding == 0 else segment.bytes < decoded, "segment bytes")
        header.segments.append(segment)
        end = segment.offset + segment.bytes
    return end


# ---- decoding -------------------------------------------------------------------------------------------------------


def decode(blob: bytes | Array) -> Array:
    """The tensor of a blob; OracleError if the blob is malformed."""
    data = bytes(blob)
    header = parse(data)
    parts = []
    for index, segment in enumerate(header.segments):
        stored = data[segment.offset : segment.offset + segment.bytes]
        demand(xxhash.xxh3_64_intdigest(stored) == segment.checksum, f"checksum of segment {index}")
        first, last = header.rows_of(index)
        size = (last - first) * header.row_bytes
        if segment.encoding == 0:
            parts.append(stored)
        elif header.codec == ANS:
            parts.append(_decode_ans(stored, _params(data, header), header.dtype, size))
        elif header.codec == BITMAP:
            parts.append(_decode_bitmap(stored, _params(data, header), header, last - first))
        elif header.codec == PACKED:
            parts.append(_decode_packed(stored, _params(data, header), header, last - first))
        else:
            parts.append(_decode_lz4(stored, header.dtype, size))
    return np.frombuffer(b"".join(parts), header.dtype.numpy).reshape(header.shape)


def _params(data: bytes, header: Header) -> bytes:
    at = HEADER_BYTES + ENTRY_BYTES * len(header.segments)
    return data[at : struct.unpack_from("<I", data, 60)[0]]


def _decode_ans(stored: bytes, params: bytes, dtype: Dtype, size: int) -> bytes:
    """Section 4.2."""
    try:
        codes, raw = oracle_ans.decode_segment(stored, params, dtype.id, size // dtype.numpy.itemsize, dtype.raw)
    except oracle_ans.MalformedError as error:
        raise OracleError(str(error)) from error
    return _join(codes, raw, 0, dtype).tobytes()


def _decode_bitmap(stored: bytes, params: bytes, header: Header, rows: int) -> bytes:
    """Section 4.4."""
    dtype = header.dtype
    try:
        mask, coded, inner = oracle_bitmap.open_segment(stored, rows, header.row_bytes // dtype.numpy.itemsize)
        if coded:
            demand(oracle_bitmap.inner_codec(params) == ANS, "inner_encoding")
            size = int(mask.sum()) * dtype.numpy.itemsize
            inner = _decode_ans(inner, params[oracle_bitmap.PARAMS_BYTES :], dtype, size)
        demand(len(inner) % dtype.numpy.itemsize == 0, "size of the non-zeros")
        return oracle_bitmap.fill(mask, np.frombuffer(inner, f"<u{dtype.numpy.itemsize}")).tobytes()
    except oracle_bitmap.MalformedError as error:
        raise OracleError(str(error)) from error


def _decode_packed(stored: bytes, params: bytes, header: Header, rows: int) -> bytes:
    """Section 4.3."""
    demand(header.dtype.id == DTYPES["bf16"].id, "dtype of an encoded segment")
    try:
        return oracle_packed.decode_segment(stored, params, rows, header.row_bytes // 2).tobytes()
    except oracle_packed.MalformedError as error:
        raise OracleError(str(error)) from error


def _decode_lz4(stored: bytes, dtype: Dtype, size: int) -> bytes:
    """Section 4.1: one segment of `size` decoded bytes."""
    n = size // dtype.numpy.itemsize
    plane_bytes = -(-n // 8)
    block_count = 8 * -(-plane_bytes // BLOCK_BYTES)
    raw_at = align64(8 + 4 * block_count)
    demand(len(stored) >= raw_at + dtype.raw * n, "segment cut short")
    bias = stored[0]
    demand(bias < 2**dtype.exponent, "bias")
    demand(not any(stored[1:4]), "segment reserved")
    demand(struct.unpack_from("<I", stored, 4) == (block_count,), "block_count")
    sizes = struct.unpack_from(f"<{block_count}I", stored, 8)
    raw = np.frombuffer(stored, np.uint8, dtype.raw * n, raw_at).reshape(dtype.raw, n)
    planes = _read_planes(stored[raw_at + dtype.raw * n :], sizes, plane_bytes)
    bits = np.unpackbits(planes, axis=1, bitorder="little")[:, :n]  # bits[p, i]: bit p of code byte i
    codes = np.packbits(bits, axis=0, bitorder="little")[0] if n else np.zeros(0, np.uint8)
    return _join(codes, raw, bias, dtype).tobytes()


def _read_planes(blocks: bytes, sizes: tuple[int, ...], plane_bytes: int) -> npt.NDArray[np.uint8]:
    plain = b""
    at = 0
    for index, size in enumerate(sizes):
        within = index % (len(sizes) // 8) * BLOCK_BYTES
        block_bytes = min(BLOCK_BYTES, plane_bytes - within)
        demand(size <= block_bytes and at + size <= len(blocks), "block size")
        plain += _read_block(blocks[at : at + size], block_bytes)
        at += size
    demand(at == len(blocks), "bytes after the last block")
    return np.frombuffer(plain, np.uint8).reshape(8, plane_bytes)[::-1]  # plane 7 comes first


def _read_block(block: bytes, block_bytes: int) -> bytes:
    if not block:
        return bytes(block_bytes)
    if len(block) == block_bytes:
        return block
    try:
        plain = lz4.block.decompress(block, uncompressed_size=block_bytes)
    except lz4.block.LZ4BlockError as error:
        raise OracleError(f"LZ4 block: {error}") from error
    demand(len(plain) == block_bytes, "size of an LZ4 block")
    return bytes(plain)


def _join(codes: npt.NDArray[np.uint8], raw: npt.NDArray[np.uint8], bias: int, dtype: Dtype) -> Array:
    """The table of elements in 4.1, from right to left."""
    if dtype.id == DTYPES["uint8"].id:
        return codes
    if dtype.id == DTYPES["int8"].id:
        magnitude = (codes & 127).astype(np.int16)
        negative = np.where(magnitude == 0, -128, -magnitude)
        return np.where(codes < 128, magnitude, negative).astype(np.int8)
    c = codes.astype(np.int64)
    w = c % 2**dtype.code_mantissa
    for r in reversed(range(dtype.raw)):
        w = w << 8 | raw[r]
    e = (bias - (c >> dtype.code_mantissa)) % 2**dtype.exponent
    word = (w & 1) << (dtype.exponent + dtype.mantissa) | e << dtype.mantissa | w >> 1
    return word.astype(f"<u{dtype.numpy.itemsize}")


# ---- encoding -------------------------------------------------------------------------------------------------------


def encode(array: Array, codec: int = LZ4, rows_per_segment: int = 2**40) -> bytes:
    """A blob of `array`; every segment that the codec shrinks at all is encoded by it."""
    dtype = _BY_NUMPY[array.dtype]
    rows, _ = _geometry(array.ndim, (*array.shape, 0, 0, 0, 0)[:4], dtype)
    flat = array.reshape(rows, -1) if array.size else array
    starts = range(0, rows, rows_per_segment) if array.size else []
    params = _make_params(array.reshape(-1), codec, dtype)
    segments = [_encode_segment(flat[first : first + rows_per_segment], codec, dtype, params) for first in starts]
    header_bytes = HEADER_BYTES + ENTRY_BYTES * len(segments) + len(params)
    table, body, end = b"", b"", header_bytes
    for encoding, stored in segments:
        offset = align64(end)
        table += struct.pack("<QQQB7x", offset, len(stored), xxhash.xxh3_64_intdigest(stored), encoding)
        body += bytes(offset - end) + stored
        end = offset + len(stored)
    shape = (*array.shape, 0, 0, 0, 0)[:4]
    fixed = struct.pack("<4sHBBB3xI4Q", b"LPCB", 1, codec, dtype.id, array.ndim, len(segments), *shape)
    fixed += struct.pack("<QIIQQ16x", rows_per_segment, len(params), header_bytes, align64(end), 0)
    checksum = struct.pack("<Q", header_checksum(fixed + table + params))
    return fixed[:72] + checksum + fixed[80:] + table + params + body + bytes(align64(end) - end)


def _make_params(elements: Array, codec: int, dtype: Dtype) -> bytes:
    if codec == ANS:
        return oracle_ans.make_params(_split(elements, dtype, 0)[0], dtype.id)
    if codec == BITMAP:
        values = elements[elements.view(f"<u{dtype.numpy.itemsize}") != 0]
        return struct.pack("<B7x", ANS) + _make_params(values, ANS, dtype)
    return b""


def _encode_bitmap(part: Array, dtype: Dtype, params: bytes) -> bytes:
    rows = part.reshape(len(part) if part.ndim else 1, -1)
    mask = rows.view(f"<u{dtype.numpy.itemsize}") != 0
    encoding, inner = _encode_segment(rows[mask], ANS, dtype, params[oracle_bitmap.PARAMS_BYTES :])
    return oracle_bitmap.make_segment(mask, encoding == 1, inner)


def _encode_segment(part: Array, codec: int, dtype: Dtype, params: bytes) -> tuple[int, bytes]:
    raw = part.tobytes()
    if codec == ANS:
        codes, kept, _ = _split(part.reshape(-1), dtype, 0)
        stored = oracle_ans.encode_segment(codes, kept, params, dtype.id)
        if len(stored) < len(raw):
            return 1, stored
    if codec == BITMAP:
        stored = _encode_bitmap(part, dtype, params)
        if len(stored) < len(raw):
            return 1, stored
    if codec == LZ4:
        stored = _encode_lz4(part.reshape(-1), dtype)
        if len(stored) < len(raw):
            return 1, stored
    return 0, raw


def _encode_lz4(elements: Array, dtype: Dtype) -> bytes:
    codes, raw, bias = _split(elements, dtype)
    planes = np.packbits(np.unpackbits(codes[None], axis=0, bitorder="little"), axis=1, bitorder="little")
    blocks = []
    for p in range(7, -1, -1):
        plane = planes[p].tobytes()
        for at in range(0, len(plane), BLOCK_BYTES):
            blocks.append(_encode_block(plane[at : at + BLOCK_BYTES]))
    head = struct.pack("<B3xI", bias, len(blocks)) + b"".join(struct.pack("<I", len(block)) for block in blocks)
    return head + bytes(align64(len(head)) - len(head)) + raw.tobytes() + b"".join(blocks)


def _encode_block(block: bytes) -> bytes:
    if not any(block):
        return b""
    packed = lz4.block.compress(block, store_size=False)
    return packed if len(packed) < len(block) else block


def _split(
    elements: Array, dtype: Dtype, bias: int | None = None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], int]:
    """Code bytes, raw arrays and bias: the table of elements in 4.1."""
    n = len(elements)
    if dtype.exponent == 0:
        x = elements.astype(np.int64)
        codes = np.where(x >= 0, x, 128 | (-x & 127))
        return codes.astype(np.uint8), np.zeros((0, n), np.uint8), 0
    word = elements.view(f"<u{dtype.numpy.itemsize}").astype(np.int64)
    s = word >> (dtype.exponent + dtype.mantissa)
    e = word >> dtype.mantissa & 2**dtype.exponent - 1
    w = (word & 2**dtype.mantissa - 1) << 1 | s
    bias = int(e.max(initial=0)) if bias is None else bias
    codes = (bias - e) % 2**dtype.exponent << dtype.code_mantissa | w >> 8 * dtype.raw
    raw = np.array([w >> 8 * r & 255 for r in range(dtype.raw)], np.uint8).reshape(dtype.raw, n)
    return codes.astype(np.uint8), raw, bias
