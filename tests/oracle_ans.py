"""A second coder of codec `ans`, written from docs/format.md, 4.2, alone: plain numpy, no speed."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

WIDE, NARROW = 2, 3  # kinds
PADDING, RAW_AT, BLOCK = 128, 320, 16384


@dataclass(frozen=True)
class Kind:
    """What the two kinds of streams differ in."""

    states: int
    slots: int
    bits: int  # of what a state gives and takes
    position: Array  # in its group, of the byte of each state

    @property
    def lowest(self) -> int:
        """No state is smaller."""
        return 1 << self.bits


_S64, _S128 = np.arange(64), np.arange(128)
KINDS = {
    WIDE: Kind(64, 4096, 16, _S64 % 16 * 4 + _S64 // 16),
    NARROW: Kind(128, 256, 8, _S128 // 64 * 64 + _S128 % 32 * 2 + _S128 % 64 // 32),
}


class MalformedError(ValueError):
    """Parameters or a segment break a MUST of 4.2."""


def demand(condition: bool, what: str) -> None:
    if not condition:
        raise MalformedError(what)


def params_bytes(dtype_id: int) -> int:
    return 16 if table_kind(dtype_id) == NARROW else 528


def table_kind(dtype_id: int) -> int:
    return NARROW if dtype_id in (1, 2, 3) else WIDE


def planes_of(dtype_id: int) -> int:
    return 3 if dtype_id == 2 else 0


@dataclass(frozen=True)
class Table:
    """What each slot stands for; the symbols of a wide table are its code bytes."""

    symbol: Array
    frequency: Array
    offset: Array
    values: Array  # code byte of each symbol


def read_params(params: bytes, dtype_id: int) -> Table | None:
    """The table of the tensor; None where the segments have their own."""
    kind = table_kind(dtype_id)
    demand(len(params) == params_bytes(dtype_id) and params[0] == kind and not any(params[1:16]), "kind, reserved")
    if kind == NARROW:
        return None
    frequency = np.frombuffer(params, "<u2", 256, 16).astype(np.int64)
    demand(frequency.max() <= 4095 and frequency.sum() == 4096, "frequencies")
    symbol = np.repeat(np.arange(256), frequency)
    offset = np.arange(4096) - np.repeat(np.cumsum(frequency) - frequency, frequency)
    return Table(symbol, frequency[symbol], offset, np.arange(256, dtype=np.uint8))


def read_narrow_table(stored: bytes) -> Table:
    frequency = np.frombuffer(stored, np.uint8, 16, 16).astype(np.int64)
    demand(stored[15] == 0 and frequency.sum() == 256, "reserved, frequencies")
    symbol, offset = _buckets(frequency)
    return Table(symbol, frequency[symbol], offset, np.frombuffer(stored, np.uint8, 16))


def _buckets(frequency: Array) -> tuple[Array, Array]:
    """Symbol and offset of each slot of a narrow table."""
    left = [int(f) for f in frequency]
    waiting = list(range(16))
    symbol, offset = np.zeros(256, np.int64), np.zeros(256, np.int64)
    while waiting:
        least = min(waiting, key=lambda i: (left[i], i))
        most = min(waiting, key=lambda i: (-left[i], i))
        own, start = left[least], 16 * least
        symbol[start : start + own], offset[start : start + own] = least, np.arange(own)
        waiting.remove(least)
        if own < 16:
            left[most] -= 16 - own
            symbol[start + own : start + 16] = most
            offset[start + own : start + 16] = left[most] + np.arange(16 - own)
    return symbol, offset


class Decoder:
    """The states of a segment and the numbers that they take."""

    def __init__(self, kind: Kind, states: Array, numbers: Array) -> None:
        demand(bool((states >= kind.lowest).all()), "state")
        self.kind, self.x, self.numbers, self.at = kind, states.astype(np.int64), numbers.astype(np.int64), 0

    def symbols(self, table: Table, n: int) -> Array:
        """The next n symbols; n is whole groups, but at the end."""
        kind = self.kind
        symbols = np.zeros(-(-n // kind.states) * kind.states, np.int64)
        for group in range(0, n, kind.states):
            active = group + kind.position < n
            slot = self.x % kind.slots
            symbols[group + kind.position] = table.symbol[slot]
            stepped = table.frequency[slot] * (self.x // kind.slots) + table.offset[slot]
            takes = active & (stepped < kind.lowest)
            end = self.at + int(takes.sum())
            demand(end <= len(self.numbers), "the stream runs out")
            stepped[takes] = stepped[takes] << kind.bits | self.numbers[self.at : end]
            self.at = end
            self.x = np.where(active, stepped, self.x)
        return symbols[:n]

    def finish(self) -> None:
        demand(self.at == len(self.numbers) and bool((self.x == self.kind.lowest).all()), "end of the stream")


def decode_segment(stored: bytes, params: bytes, dtype_id: int, n: int, raw_arrays: int) -> tuple[Array, Array]:
    """Code bytes and raw arrays of a segment of n elements."""
    table = read_params(params, dtype_id)
    if table is None:
        return _decode_narrow(stored, dtype_id, n, raw_arrays)
    demand(len(stored) >= RAW_AT + PADDING, "segment cut short")
    (word_count,) = struct.unpack_from("<I", stored)
    demand(len(stored) == RAW_AT + 2 * word_count + PADDING, "word_count")
    demand(not any(stored[4:64]), "reserved")
    states = np.frombuffer(stored, "<u4", 64, 64)
    decoder = Decoder(KINDS[WIDE], states, np.frombuffer(stored, "<u2", word_count, RAW_AT))
    codes = decoder.symbols(table, n).astype(np.uint8)
    decoder.finish()
    return codes, np.zeros((0, n), np.uint8)


def _decode_narrow(stored: bytes, dtype_id: int, n: int, raw_arrays: int) -> tuple[Array, Array]:
    blocks, planes, plane_bytes = -(-n // BLOCK), planes_of(dtype_id), -(-n // 8)
    blocks_at = RAW_AT + raw_arrays * n + planes * plane_bytes
    tables_at = blocks_at + blocks
    demand(len(stored) >= tables_at + 32 + PADDING, "segment cut short")
    byte_count, escape_count, table_count = struct.unpack_from("<IIH", stored)
    bytes_at = tables_at + 32 * table_count
    demand(1 <= table_count <= 256 and not any(stored[10:64]), "table_count, reserved")
    demand(len(stored) == bytes_at + byte_count + escape_count + PADDING, "byte_count, escape_count")
    tables = [read_narrow_table(stored[tables_at + 32 * t : tables_at + 32 * t + 32]) for t in range(table_count)]
    used = stored[blocks_at:tables_at]
    demand(max(used) < table_count, "block")
    states = np.frombuffer(stored, "<u2", 128, 64)
    decoder = Decoder(KINDS[NARROW], states, np.frombuffer(stored, np.uint8, byte_count, bytes_at))
    parts = [decoder.symbols(tables[used[b]], min(BLOCK, n - b * BLOCK)) for b in range(blocks)]
    decoder.finish()
    codes = np.concatenate([tables[used[b]].values[part] for b, part in enumerate(parts)])
    places = np.flatnonzero(np.concatenate(parts) == 15)
    demand(len(places) == escape_count, "escapes")
    codes[places] = np.frombuffer(stored, np.uint8, escape_count, bytes_at + byte_count)
    if planes:
        low = np.frombuffer(stored, np.uint8, planes * plane_bytes, blocks_at - planes * plane_bytes)
        bits = np.unpackbits(low.reshape(planes, plane_bytes), axis=1, bitorder="little")[:, :n]
        codes = codes & (0xFF << planes & 0xFF) | (bits << np.arange(planes, dtype=np.uint8)[:, None]).sum(0).astype(
            np.uint8
        )
    return codes, np.frombuffer(stored, np.uint8, raw_arrays * n, RAW_AT).reshape(raw_arrays, n)


def make_params(codes: Array, dtype_id: int) -> bytes:
    """The simplest table that has room for all code bytes; not the best."""
    kind = table_kind(dtype_id)
    if kind == NARROW:
        return struct.pack("<B15x", kind)
    counts = np.bincount(codes, minlength=256)
    frequency = np.minimum(np.maximum(counts * 3800 // max(1, int(counts.sum())), 1), 4000)
    frequency[int(counts.argmax())] += 4096 - frequency.sum()
    return struct.pack("<B15x", kind) + frequency.astype("<u2").tobytes()


def make_narrow_table(codes: Array) -> bytes:
    """The most frequent code bytes, with an escape; not the best frequencies."""
    counts = np.bincount(codes, minlength=256)
    values = np.argsort(-counts, kind="stable")[:15]
    kept = np.append(counts[values], 0)
    frequency = np.minimum(np.maximum(kept * 200 // max(1, int(counts.sum())), 1), 220)
    frequency[0] += 256 - frequency.sum()
    return values.astype(np.uint8).tobytes() + b"\0" + frequency.astype(np.uint8).tobytes()


class Encoder:
    """States that are coded from the last symbol to the first."""

    def __init__(self, kind: Kind) -> None:
        self.kind, self.x = kind, [kind.lowest] * kind.states
        self.numbers: list[int] = []

    def put(self, table: Table, symbols: list[int]) -> None:
        """Code symbols that come before those already coded; they are whole groups, but at the end."""
        kind, x = self.kind, self.x
        pairs = zip(table.symbol, table.offset, strict=True)
        slot_of = {(int(s), int(o)): slot for slot, (s, o) in enumerate(pairs)}
        frequency = {int(s): int(f) for s, f in zip(table.symbol, table.frequency, strict=True)}
        for group in reversed(range(0, len(symbols), kind.states)):
            for s in reversed(range(kind.states)):
                if group + kind.position[s] >= len(symbols):
                    continue
                symbol = symbols[group + kind.position[s]]
                f = frequency[symbol]
                if x[s] >= f * (kind.lowest << kind.bits) // kind.slots:
                    self.numbers.append(x[s] & (1 << kind.bits) - 1)
                    x[s] >>= kind.bits
                x[s] = x[s] // f * kind.slots + slot_of[symbol, x[s] % f]


def encode_segment(codes: Array, raw: Array, params: bytes, dtype_id: int) -> bytes:
    """A segment of these code bytes and raw arrays."""
    table = read_params(params, dtype_id)
    if table is None:
        return _encode_narrow(codes, raw, planes_of(dtype_id))
    encoder = Encoder(KINDS[WIDE])
    encoder.put(table, [int(c) for c in codes])
    words = np.array(encoder.numbers[::-1], "<u2")
    return struct.pack("<I60x", len(words)) + np.array(encoder.x, "<u4").tobytes() + words.tobytes() + bytes(PADDING)


def _encode_narrow(codes: Array, raw: Array, planes: int) -> bytes:
    """Each block with its own table, up to 256 of them; then the last one serves the rest."""
    bits = (codes[None, :] >> np.arange(planes, dtype=np.uint8)[:, None] & 1).astype(np.uint8)
    coded = codes & (0xFF << planes & 0xFF)
    blocks = [coded[i : i + BLOCK] for i in range(0, len(coded), BLOCK)]
    stored = [make_narrow_table(block) for block in blocks[:256]]
    used = [min(b, 255) for b in range(len(blocks))]
    encoder, escapes = Encoder(KINDS[NARROW]), bytearray()
    for block, index in reversed(list(zip(blocks, used, strict=True))):
        table = read_narrow_table(stored[index])
        number = {int(v): i for i, v in reversed(list(enumerate(table.values[:15])))}
        symbols = [number.get(int(c), 15) for c in block]
        encoder.put(table, symbols)
        escapes[:0] = bytes(int(c) for c, s in zip(block, symbols, strict=True) if s == 15)
    head = (
        struct.pack("<IIH54x", len(encoder.numbers), len(escapes), len(stored)) + np.array(encoder.x, "<u2").tobytes()
    )
    low = np.packbits(bits, axis=1, bitorder="little").tobytes()
    parts = [
        head,
        raw.tobytes(),
        low,
        bytes(used),
        *stored,
        bytes(encoder.numbers[::-1]),
        bytes(escapes),
        bytes(PADDING),
    ]
    return b"".join(parts)
