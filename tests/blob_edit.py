"""Changing blobs field by field for tests, with the checksums made right again."""

from __future__ import annotations

import struct

import oracle
import xxhash

_FORMATS = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}

# name: (offset, bytes) in the fixed header; docs/format.md, 2.1
FIELDS = {
    "magic": (0, 4),
    "version": (4, 2),
    "codec": (6, 1),
    "dtype": (7, 1),
    "rank": (8, 1),
    "reserved9": (9, 1),
    "segment_count": (12, 4),
    "shape0": (16, 8),
    "shape1": (24, 8),
    "shape3": (40, 8),
    "rows_per_segment": (48, 8),
    "codec_params_bytes": (56, 4),
    "header_bytes": (60, 4),
    "blob_bytes": (64, 8),
    "header_checksum": (72, 8),
    "reserved80": (80, 1),
}
# The same in a segment table entry; 2.2
ENTRY_FIELDS = {"offset": (0, 8), "bytes": (8, 8), "checksum": (16, 8), "encoding": (24, 1), "reserved": (25, 1)}


def put(blob: bytes, offset: int, value: int, size: int) -> bytes:
    """`blob` with a little-endian integer of `size` bytes at `offset`."""
    return blob[:offset] + struct.pack(_FORMATS[size], value) + blob[offset + size :]


def seal(blob: bytes) -> bytes:
    """`blob` with the header checksum made right."""
    (header_bytes,) = struct.unpack_from("<I", blob, 60)
    return put(blob, 72, oracle.header_checksum(blob[:header_bytes]), 8)


def with_field(blob: bytes, name: str, value: int) -> bytes:
    """`blob` with a field of the fixed header changed and the header sealed."""
    return seal(put(blob, FIELDS[name][0], value, FIELDS[name][1]))


def with_entry(blob: bytes, index: int, name: str, value: int) -> bytes:
    """`blob` with a field of a segment table entry changed and the header sealed."""
    offset, size = ENTRY_FIELDS[name]
    return seal(put(blob, oracle.HEADER_BYTES + oracle.ENTRY_BYTES * index + offset, value, size))


def with_segment(blob: bytes, index: int, stored: bytes) -> bytes:
    """`blob` with the stored bytes of its last segment replaced, and sizes and checksums made right."""
    header = oracle.parse(blob)
    assert index == len(header.segments) - 1
    offset = header.segments[index].offset
    end = oracle.align64(offset + len(stored))
    blob = blob[:offset] + stored + bytes(end - offset - len(stored))
    blob = with_entry(blob, index, "bytes", len(stored))
    blob = with_entry(blob, index, "checksum", xxhash.xxh3_64_intdigest(stored))
    return with_field(blob, "blob_bytes", end)


def segment(blob: bytes, index: int) -> bytes:
    """The stored bytes of a segment."""
    entry = oracle.parse(blob).segments[index]
    return blob[entry.offset : entry.offset + entry.bytes]
