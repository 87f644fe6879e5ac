"""A second implementation of the blob format, written from docs/format.md alone: plain numpy, no speed.

`decode` checks all that the format demands of a decoder. `encode` is the simplest encoder that the format allows (its
blobs differ from the library's: another bias, another LZ4 search). Neither imports the package under test.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import oracle_ans
import oracle_bitmap
import oracle_lz4
import oracle_packed
import xxhash
from oracle_dtypes import DTYPES, Dtype, OracleError, align64, demand

Array = npt.NDArray[Any]

STORED, LZ4, ANS, PACKED, BITMAP = 0, 1, 2, 3, 4
HEADER_BYTES = 96
ENTRY_BYTES = 32
MAX_SEGMENT = 2**31 - 1
_BY_ID = {dtype.id: dtype for dtype in DTYPES.values()}
_BY_NUMPY = {dtype.numpy: dtype for dtype in DTYPES.values()}


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
            parts.append(oracle_lz4.decode(stored, header.dtype, size))
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
    return oracle_lz4.join(codes, raw, 0, dtype).tobytes()


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
        return oracle_ans.make_params(oracle_lz4.split(elements, dtype, 0)[0], dtype.id)
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
        codes, kept, _ = oracle_lz4.split(part.reshape(-1), dtype, 0)
        stored = oracle_ans.encode_segment(codes, kept, params, dtype.id)
        if len(stored) < len(raw):
            return 1, stored
    if codec == BITMAP:
        stored = _encode_bitmap(part, dtype, params)
        if len(stored) < len(raw):
            return 1, stored
    if codec == LZ4:
        stored = oracle_lz4.encode(part.reshape(-1), dtype)
        if len(stored) < len(raw):
            return 1, stored
    return 0, raw
