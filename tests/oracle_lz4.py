"""Codec lz4, section 4.1 of docs/format.md: bit planes of code bytes, raw arrays."""

from __future__ import annotations

import struct
from typing import Any

import lz4.block
import numpy as np
import numpy.typing as npt
from oracle_dtypes import DTYPES, Dtype, OracleError, align64, demand

Array = npt.NDArray[Any]

BLOCK_BYTES = 65536


def decode(stored: bytes, dtype: Dtype, size: int) -> bytes:
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
    return join(codes, raw, bias, dtype).tobytes()


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


def join(codes: npt.NDArray[np.uint8], raw: npt.NDArray[np.uint8], bias: int, dtype: Dtype) -> Array:
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


def encode(elements: Array, dtype: Dtype) -> bytes:
    codes, raw, bias = split(elements, dtype)
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


def split(
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
