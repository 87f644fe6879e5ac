"""A second coder of codec `ans`, written from docs/format.md, 4.2, alone: plain numpy, no speed."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

STATES, SLOTS, LOWEST = 64, 4096, 1 << 16
HEAD_BYTES, PADDING = 64 + 4 * STATES, 128
NARROW, WIDE = 1, 2
_POSITION = np.array([s % 16 * 4 + s // 16 for s in range(STATES)])  # in its group, of the byte of each state


class MalformedError(ValueError):
    """Parameters or a segment break a MUST of 4.2."""


def demand(condition: bool, what: str) -> None:
    if not condition:
        raise MalformedError(what)


def params_bytes(dtype_id: int) -> int:
    return 64 if table_kind(dtype_id) == NARROW else 528


def table_kind(dtype_id: int) -> int:
    return NARROW if dtype_id in (1, 3) else WIDE


@dataclass(frozen=True)
class Table:
    """What each of the 4096 slots stands for; of a narrow table, the symbols are numbers of symbols."""

    symbol: Array
    frequency: Array
    offset: Array
    values: Array  # code byte of each symbol
    escape: bool


def read_table(params: bytes, dtype_id: int) -> Table:
    kind = table_kind(dtype_id)
    demand(len(params) == params_bytes(dtype_id) and params[0] == kind, "kind")
    demand(params[1] <= (1 if kind == NARROW else 0) and not any(params[2:16]), "escape, reserved")
    count = 16 if kind == NARROW else 256
    frequency = np.frombuffer(params, "<u2", count, len(params) - 2 * count).astype(np.int64)
    demand(frequency.max() <= 4095 and frequency.sum() == SLOTS, "frequencies")
    if kind == WIDE:
        symbol = np.repeat(np.arange(256), frequency)
        offset = np.arange(SLOTS) - np.repeat(np.cumsum(frequency) - frequency, frequency)
        return Table(symbol, frequency[symbol], offset, np.arange(256, dtype=np.uint8), False)
    symbol, offset = _buckets(frequency)
    values = np.frombuffer(params, np.uint8, 16, 16)
    return Table(symbol, frequency[symbol], offset, values, params[1] == 1)


def _buckets(frequency: Array) -> tuple[Array, Array]:
    """Symbol and offset of each slot of a narrow table."""
    left = [int(f) for f in frequency]
    waiting = list(range(16))
    symbol, offset = np.zeros(SLOTS, np.int64), np.zeros(SLOTS, np.int64)
    while waiting:
        least = min(waiting, key=lambda i: (left[i], i))
        most = min(waiting, key=lambda i: (-left[i], i))
        own, start = left[least], 256 * least
        symbol[start : start + own], offset[start : start + own] = least, np.arange(own)
        waiting.remove(least)
        if own < 256:
            left[most] -= 256 - own
            symbol[start + own : start + 256] = most
            offset[start + own : start + 256] = left[most] + np.arange(256 - own)
    return symbol, offset


def decode_segment(stored: bytes, params: bytes, dtype_id: int, n: int, raw_arrays: int) -> tuple[Array, Array]:
    """Code bytes and raw arrays of a segment of n elements."""
    table = read_table(params, dtype_id)
    words_at = HEAD_BYTES + raw_arrays * n
    demand(len(stored) >= words_at + PADDING, "segment cut short")
    word_count, escape_count = struct.unpack_from("<II", stored)
    demand(len(stored) == words_at + 2 * word_count + escape_count + PADDING, "word_count, escape_count")
    demand(table.escape or escape_count == 0, "escape_count")
    demand(not any(stored[8:64]), "reserved")
    x = np.frombuffer(stored, "<u4", STATES, 64).astype(np.int64)
    demand(bool((x >= LOWEST).all()), "state")
    words = np.frombuffer(stored, "<u2", word_count, words_at).astype(np.int64)
    symbols = np.zeros(-(-n // STATES) * STATES, np.int64)
    at = 0
    for group in range(0, n, STATES):
        active = group + _POSITION < n
        slot = x % SLOTS
        symbols[group + _POSITION] = table.symbol[slot]
        stepped = table.frequency[slot] * (x // SLOTS) + table.offset[slot]
        takes = active & (stepped < LOWEST)
        demand(at + int(takes.sum()) <= word_count, "words run out")
        stepped[takes] = stepped[takes] << 16 | words[at : at + int(takes.sum())]
        at += int(takes.sum())
        x = np.where(active, stepped, x)
    demand(at == word_count and bool((x == LOWEST).all()), "end of the words")
    codes = table.values[symbols[:n]]
    if table.escape:
        places = np.flatnonzero(symbols[:n] == 15)
        demand(len(places) == escape_count, "escapes")
        codes[places] = np.frombuffer(stored, np.uint8, escape_count, words_at + 2 * word_count)
    return codes, np.frombuffer(stored, np.uint8, raw_arrays * n, HEAD_BYTES).reshape(raw_arrays, n)


def make_params(codes: Array, dtype_id: int) -> bytes:
    """The simplest table that has room for all code bytes; not the best."""
    kind = table_kind(dtype_id)
    counts = np.bincount(codes, minlength=256)
    values = np.argsort(-counts, kind="stable")[:16] if kind == NARROW else np.arange(256)
    escape = kind == NARROW and np.count_nonzero(counts) > 16
    kept = counts[values]
    if escape:
        kept[15] = counts.sum() - kept[:15].sum()
        values[15] = 0
    frequency = np.minimum(np.maximum(kept * 3800 // max(1, int(counts.sum())), 1), 4000)
    frequency[0 if kind == NARROW else int(counts.argmax())] += SLOTS - frequency.sum()
    head = struct.pack("<BB14x", kind, int(escape)) + (values.astype(np.uint8).tobytes() if kind == NARROW else b"")
    return head + frequency.astype("<u2").tobytes()


def encode_segment(codes: Array, raw: Array, params: bytes, dtype_id: int) -> bytes:
    """A segment of these code bytes and raw arrays."""
    table = read_table(params, dtype_id)
    slot_of = {(int(s), int(o)): slot for slot, (s, o) in enumerate(zip(table.symbol, table.offset, strict=True))}
    frequency = {int(s): int(f) for s, f in zip(table.symbol, table.frequency, strict=True)}
    own = 15 if table.escape else 16
    number = {int(v): i for i, v in reversed(list(enumerate(table.values[:own])))} if len(table.values) == 16 else None
    symbols = [int(c) if number is None else number.get(int(c), 15) for c in codes]
    x = [LOWEST] * STATES
    words: list[int] = []
    for group in reversed(range(0, len(symbols), STATES)):
        for s in reversed(range(STATES)):
            if group + _POSITION[s] >= len(symbols):
                continue
            symbol = symbols[group + _POSITION[s]]
            f = frequency[symbol]
            if x[s] >= f << 20:
                words.append(x[s] & 0xFFFF)
                x[s] >>= 16
            x[s] = (x[s] // f << 12) + slot_of[symbol, x[s] % f]
    escapes = bytes(int(c) for c, s in zip(codes, symbols, strict=True) if table.escape and s == 15)
    head = struct.pack("<II56x", len(words), len(escapes)) + np.array(x, "<u4").tobytes()
    return head + raw.tobytes() + np.array(words[::-1], "<u2").tobytes() + escapes + bytes(PADDING)
