"""A second decoder of codec `packed`, written from docs/format.md, 4.3, alone: plain numpy, no speed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

PARAMS_BYTES = 32
E2P3, HI4P, HI3, E3P3 = 1, 3, 4, 5
LEVEL1 = {E2P3: 3, HI4P: 16, HI3: 7, E3P3: 7}  # values that have codes
LEVEL2 = {E2P3: 7, HI4P: 0, HI3: 0, E3P3: 7}
BLOCK = {E2P3: 8, HI4P: 2, HI3: 8, E3P3: 8}  # groups
PIECE = 4096  # columns

_COLUMN = np.arange(64)
POSITION = 16 * (_COLUMN % 32 // 8) + 8 * (_COLUMN // 32) + _COLUMN % 8


class MalformedError(ValueError):
    """The segment or the parameters break a MUST of the format."""


def demand(condition: bool, what: str) -> None:
    if not condition:
        raise MalformedError(what)


def check_params(params: bytes) -> None:
    demand(len(params) == PARAMS_BYTES, "codec_params_bytes")
    demand(params[0] in LEVEL1, "layout")
    demand(params[1] <= (params[0] in (HI4P, HI3)), "order")
    demand(not any(params[2:8]), "reserved")
    demand(not any(params[8 + LEVEL1[params[0]] : 24]), "level 1 reserved")
    demand(not any(params[24 + LEVEL2[params[0]] :]), "level 2 reserved")


def code_vectors(layout: int, groups: int) -> int:
    three = min(3, -(-groups // 2))
    return {E2P3: -(-groups // 4), HI4P: -(-groups // 2), HI3: three, E3P3: three}[layout]


def blocks(layout: int, columns: int) -> list[int]:
    """Groups of each block of a row."""
    groups = -(-columns // 64)
    full, rest = divmod(groups, BLOCK[layout])
    return [BLOCK[layout]] * full + [rest] * (rest > 0)


def row_bytes(layout: int, columns: int) -> int:
    return 64 * sum(code_vectors(layout, g) + g for g in blocks(layout, columns))


def row_bodies(fixed: bytes, params: bytes, rows: int, columns: int) -> list[Bytes]:
    """The blocks of each row, in order of columns."""
    piece = PIECE if params[1] == 1 else max(columns, 1)
    bodies: list[list[Bytes]] = [[] for _ in range(rows)]
    at = 0
    for column in range(0, columns, piece):
        size = row_bytes(params[0], min(piece, columns - column))
        for body in bodies:
            body.append(np.frombuffer(fixed, np.uint8, size, at))
            at += size
    return [np.concatenate(body) for body in bodies]


def decode_segment(stored: bytes, params: bytes, rows: int, columns: int) -> npt.NDArray[np.uint16]:
    """The bf16 bits of one encoded segment, of shape (rows, columns)."""
    layout = params[0]
    demand(layout != HI4P or columns <= 2**24, "columns")
    entries = (2 if LEVEL2[layout] else 1) * rows + 1
    size = row_bytes(layout, columns)
    fixed = -(-4 * entries // 64) * 64
    side = fixed + rows * size
    demand(len(stored) >= side + 64, "segment size")
    table = np.frombuffer(stored, "<u4", entries).astype(np.int64)
    demand(table[0] == 0 and bool((np.diff(table) >= 0).all()), "row table")
    demand(int(table[-1]) + 64 == len(stored) - side, "end of the side stream")
    out = np.zeros((rows, columns), np.uint16)
    for row, body in enumerate(row_bodies(stored[fixed:side], params, rows, columns)):
        step = entries // rows
        cuts = table[row * step : (row + 1) * step + 1]
        parts = [stored[side + a : side + b] for a, b in pairwise(cuts)]
        out[row] = _decode_row(body, params, columns, parts)
    return out


def _codes(layout: int, vectors: Bytes, index: int) -> Bytes:
    """The code at each position of group `index` of a block."""
    if layout == E2P3:
        return np.asarray(vectors[index // 4] >> 2 * (index % 4) & 3)
    if layout == HI4P:
        return np.asarray(vectors[0] >> 4 * index & 15)
    if index < 6:
        return np.asarray(vectors[index // 2] >> 3 * (index % 2) & 7)
    code = np.zeros(64, np.uint8)
    for q in range(3):
        t = 3 * (index - 6) + q
        code |= (vectors[t // 2] >> 6 + t % 2 & 1) << q
    return code


def _decode_row(body: Bytes, params: bytes, columns: int, parts: list[bytes]) -> npt.NDArray[np.uint16]:
    layout, raw, codes = params[0], [], []
    for groups in blocks(layout, columns):
        count = code_vectors(layout, groups)
        vectors = body[: 64 * count].reshape(count, 64)
        raw += [body[64 * (count + j) : 64 * (count + j + 1)] for j in range(groups)]
        codes += [_codes(layout, vectors, j) for j in range(groups)]
        body = body[64 * (count + groups) :]
    coded = _coded_bytes(params, codes, columns, parts)
    word = (np.array(raw)[:, POSITION].astype(np.uint32) | coded[:, POSITION].astype(np.uint32) << 8).reshape(-1)
    if layout == HI4P:
        return _patched(word, columns, parts[0])
    if layout == HI3:
        return word[:columns].astype(np.uint16)
    pair = word[::2] | word[1::2] << 16
    pair = pair >> 1 | pair << 31
    return np.stack([pair & 0xFFFF, pair >> 16], axis=1).reshape(-1)[:columns].astype(np.uint16)


def _coded_bytes(params: bytes, codes: list[Bytes], columns: int, parts: list[bytes]) -> Bytes:
    """Coded bytes by group and position; those of padding columns are 0."""
    layout = params[0]
    column = np.empty(64, np.int64)
    column[POSITION] = _COLUMN
    real = np.arange(len(codes))[:, None] * 64 + column < columns
    code = np.where(real, np.array(codes), 0)
    level1 = np.frombuffer(params, np.uint8, 16, 8)
    coded = np.where(real, level1[code], 0).astype(np.uint8)
    if layout == HI4P:
        return coded
    escapes = real & (code == LEVEL1[layout])
    coded[escapes] = _escaped(params, int(escapes.sum()), parts)
    return coded


def _escaped(params: bytes, count: int, parts: list[bytes]) -> Bytes:
    if params[0] == HI3:
        demand(len(parts[0]) == count, "number of escapes")
        return np.frombuffer(parts[0], np.uint8)
    demand(len(parts[0]) == sum(3 * -(-min(64, count - at) // 8) for at in range(0, count, 64)), "size of the planes")
    codes, at = [], 0
    for first in range(0, count, 64):
        n = min(64, count - first)
        size = -(-n // 8)
        planes = np.frombuffer(parts[0], np.uint8, 3 * size, at).reshape(3, size)
        bits = np.unpackbits(planes, axis=1, bitorder="little")
        demand(not bits[:, n:].any(), "unused bits of the planes")
        bits = bits[:, :n]
        codes.append(bits[0] | bits[1] << 1 | bits[2] << 2)
        at += 3 * size
    code = np.concatenate(codes) if codes else np.zeros(0, np.uint8)
    demand(len(parts[1]) == int((code == 7).sum()), "number of exponents")
    values = np.append(np.frombuffer(params, np.uint8, 7, 24), np.uint8(0))[code]
    values[code == 7] = np.frombuffer(parts[1], np.uint8)
    return values


def _patched(words: npt.NDArray[np.uint32], columns: int, entries: bytes) -> npt.NDArray[np.uint16]:
    demand(len(entries) % 4 == 0, "size of the list")
    entry = np.frombuffer(entries, "<u4")
    column = (entry >> 8).astype(np.int64)
    demand(bool((np.diff(column) > 0).all()) and not (column >= columns).any(), "order of the list")
    words[column] = words[column] & 0xFF | (entry & 0xFF) << 8
    return words[:columns].astype(np.uint16)
