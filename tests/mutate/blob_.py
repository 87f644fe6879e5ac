"""Mutations of model.lpc that know blobs (docs/format.md): fields, segments, places, with and without new checksums."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oracle
import xxhash
from blob_edit import ENTRY_FIELDS, FIELDS, put, seal

from mutate.bytes_ import INTERESTING, content
from mutate.cases import NotApplicable

_Span = tuple[int, int]
Change = Callable[[bytes, random.Random], bytes]


def blobs(folder: Path) -> list[_Span]:
    """Where the blobs lie, as the manifest says: offset and bytes."""
    try:
        manifest = json.loads(content(folder / "lpc.json"))
        found = [(entry["offset"], entry["bytes"]) for entry in manifest["tensors"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise NotApplicable from None
    spans = [span for span in found if all(type(number) is int and 0 <= number < 1 << 40 for number in span)]
    if not spans:
        raise NotApplicable
    return spans


def on_blob(change: Change) -> Callable[[Path, random.Random], str]:
    """A mutator that changes one blob of model.lpc within its place."""

    def mutator(folder: Path, rng: random.Random) -> str:
        file = folder / "model.lpc"
        data, (offset, size) = content(file), rng.choice(blobs(folder))
        blob = data[offset : offset + size]
        if len(blob) < oracle.HEADER_BYTES:
            raise NotApplicable
        try:
            changed = change(blob, rng)
        except (struct.error, oracle.OracleError, IndexError):
            raise NotApplicable from None
        file.write_bytes(data[:offset] + changed[:size].ljust(size, b"\0") + data[offset + size :])
        return f"blob at {offset} {change.__name__}"

    return mutator


def field(blob: bytes, rng: random.Random) -> bytes:
    """A field of the header, sealed three times of four."""
    offset, size = rng.choice(list(FIELDS.values()))
    return _sealed(put(blob, offset, _number(blob[offset : offset + size], rng), size), rng)


def entry(blob: bytes, rng: random.Random) -> bytes:
    """A field of the segment table, sealed three times of four."""
    (count,) = struct.unpack_from("<I", blob, 12)
    offset, size = rng.choice(list(ENTRY_FIELDS.values()))
    offset += oracle.HEADER_BYTES + oracle.ENTRY_BYTES * rng.randrange(max(1, min(count, 64)))
    return _sealed(put(blob, offset, _number(blob[offset : offset + size], rng), size), rng)


def segment(blob: bytes, rng: random.Random) -> bytes:
    """Bytes of a segment, with its checksum made right: what only the decoders can find."""
    found = rng.choice(oracle.parse(blob).segments)
    stored = bytearray(blob[found.offset : found.offset + found.bytes])
    for _ in range(rng.choice((1, 1, 4, 30))):
        at = rng.choice((rng.randrange(min(len(stored), 400)), rng.randrange(len(stored))))
        stored[at] = rng.choice((*INTERESTING, rng.randrange(256)))
    changed = blob[: found.offset] + bytes(stored) + blob[found.offset + found.bytes :]
    table = changed.index(struct.pack("<QQQ", found.offset, found.bytes, found.checksum), oracle.HEADER_BYTES)
    return seal(put(changed, table + 16, xxhash.xxh3_64_intdigest(bytes(stored)), 8))


def parameters(blob: bytes, rng: random.Random) -> bytes:
    """The codec's parameters behind the segment table, sealed."""
    (count,) = struct.unpack_from("<I", blob, 12)
    (header_bytes,) = struct.unpack_from("<I", blob, 60)
    begin = oracle.HEADER_BYTES + oracle.ENTRY_BYTES * count
    if not begin < header_bytes <= len(blob):
        raise NotApplicable
    return seal(put(blob, rng.randrange(begin, header_bytes), rng.choice((*INTERESTING, rng.randrange(256))), 1))


def header_byte(blob: bytes, rng: random.Random) -> bytes:
    """Any byte of the header, sealed."""
    (header_bytes,) = struct.unpack_from("<I", blob, 60)
    return seal(put(blob, rng.randrange(min(header_bytes, len(blob))), rng.randrange(256), 1))


def exchanged(folder: Path, rng: random.Random) -> str:
    """Two blobs take each other's place, as far as they fit."""
    file, spans = folder / "model.lpc", blobs(folder)
    if len(spans) < 2:
        raise NotApplicable
    (a, a_size), (b, b_size) = rng.sample(spans, 2)
    data = bytearray(content(file))
    size = min(a_size, b_size)
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]
    file.write_bytes(data)
    return f"blobs at {a} and {b} exchanged"


def _sealed(blob: bytes, rng: random.Random) -> bytes:
    return seal(blob) if rng.random() < 0.75 else blob


def _number(old: bytes, rng: random.Random) -> int:
    value, top = int.from_bytes(old, "little"), (1 << 8 * len(old)) - 1
    return rng.choice(
        (0, 1, top, top >> 1, (value + 1) & top, (value - 1) & top, value << 1 & top, rng.randint(0, top))
    )


BLOB_CHANGES: tuple[tuple[Any, int], ...] = ((field, 3), (entry, 3), (segment, 4), (parameters, 1), (header_byte, 1))
