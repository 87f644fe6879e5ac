"""A second coder of the container of codec `bitmap`, written from docs/format.md, 4.4, alone: plain numpy, no speed."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

PARAMS_BYTES = 8
STORED, ANS = 0, 2


class MalformedError(ValueError):
    """Parameters or a segment break a MUST of 4.4."""


def demand(condition: bool, what: str) -> None:
    if not condition:
        raise MalformedError(what)


def inner_codec(params: bytes) -> int:
    demand(len(params) >= PARAMS_BYTES and params[0] in (STORED, ANS) and not any(params[1:8]), "inner codec")
    return params[0]


def _inner_offset(rows: int, columns: int) -> int:
    return -(-(8 + 4 * rows + rows * -(-columns // 8)) // 64) * 64


def open_segment(stored: bytes, rows: int, columns: int) -> tuple[Array, bool, bytes]:
    """Where the non-zeros are (rows x columns, bool), whether the inner codec has coded them, and their bytes."""
    inner = _inner_offset(rows, columns)
    demand(len(stored) >= inner, "segment cut short")
    non_zeros, encoding = struct.unpack_from("<IB", stored)
    demand(encoding <= 1 and not any(stored[5:8]), "inner_encoding, reserved")
    row_bytes = -(-columns // 8)
    bitmap = np.frombuffer(stored, np.uint8, rows * row_bytes, 8 + 4 * rows).reshape(rows, row_bytes)
    mask = np.unpackbits(bitmap, axis=1, bitorder="little")[:, :columns].astype(bool)
    table = np.frombuffer(stored, "<u4", rows, 8)
    demand(bool((np.cumsum(mask.sum(axis=1)) == table).all()) and non_zeros == mask.sum(), "row table")
    demand(encoding == 0 or non_zeros > 0, "inner_encoding of nothing")
    return mask, encoding == 1, stored[inner:]


def fill(mask: Array, values: Array) -> Array:
    """The rows: values in their places, zeros elsewhere."""
    demand(len(values) == mask.sum(), "number of non-zeros")
    out = np.zeros(mask.shape, values.dtype)
    out[mask] = values
    return out


def make_segment(mask: Array, coded: bool, inner: bytes) -> bytes:
    rows, columns = mask.shape
    counts = np.cumsum(mask.sum(axis=1)).astype("<u4")
    head = struct.pack("<IB3x", int(mask.sum()), coded) + counts.tobytes()
    head += np.packbits(mask, axis=1, bitorder="little").tobytes()
    return head + bytes(_inner_offset(rows, columns) - len(head)) + inner
