"""Mutations of GGUF files that know the format: header, keys and values, tensor infos; and a reading of our own."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from mutate.bytes_ import content
from mutate.cases import NotApplicable

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_NUMPY = {0: np.dtype("<f4"), 1: np.dtype("<f2"), 30: np.dtype(ml_dtypes.bfloat16)}
_NUMBERS = (0, 1, 2, 3, 7, 0x7FFF_FFFF, 0xFFFF_FFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
_TEXTS = (
    b"",
    b"llama",
    b"qwen2",
    b"x" * 5000,
    b"\xff\xfe",
    b"\x1b[31m",
    b"yarn",
    b"linear",
    b"none",
    b"blk.0.attn_q.weight",
)


@dataclass
class Info:
    """One tensor's entry."""

    name: bytes
    dims: list[int]
    dtype: int
    offset: int


@dataclass
class Gguf:
    """A file in parts; `infos` with offsets from the start of `data`."""

    magic: bytes
    version: int
    tensor_count: int
    kv_count: int
    values: list[tuple[bytes, int, Any]] = field(default_factory=list)
    infos: list[Info] = field(default_factory=list)
    data: bytes = b""
    alignment: int = 32


class _Encoded(bytes):
    """A value's bytes as they are."""


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, code: str) -> Any:
        """One little-endian number."""
        (value,) = struct.unpack_from(f"<{code}", self.data, self.at)
        self.at += struct.calcsize(code)
        return value

    def text(self) -> bytes:
        """A string with its length before it."""
        size = self.take("Q")
        self.at += size
        if self.at > len(self.data):
            raise ValueError
        return self.data[self.at - size : self.at]

    def value(self, kind: int) -> Any:
        """A value; that of an array is its kind and its members."""
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            inner, count = self.take("I"), self.take("Q")
            if count > len(self.data):
                raise ValueError
            return inner, [self.value(inner) for _ in range(count)]
        return self.take(_SCALARS[kind])


def parse(data: bytes) -> Gguf:
    """Read a file; NotApplicable for one that is none."""
    reader = _Reader(data)
    try:
        file = Gguf(data[:4], *struct.unpack_from("<IQQ", data, 4))
        reader.at = 24
        for _ in range(min(file.kv_count, 1000)):
            key, kind = reader.text(), reader.take("I")
            file.values.append((key, kind, reader.value(kind)))
        for _ in range(min(file.tensor_count, 1000)):
            name, rank = reader.text(), reader.take("I")
            dims = [reader.take("Q") for _ in range(min(rank, 16))]
            file.infos.append(Info(name, dims, reader.take("I"), reader.take("Q")))
    except (struct.error, ValueError, KeyError, RecursionError):
        raise NotApplicable from None
    file.alignment = next((value for key, _, value in file.values if key == b"general.alignment"), 32)
    if type(file.alignment) is not int or file.alignment < 1:
        raise NotApplicable
    file.data = data[-(-reader.at // file.alignment) * file.alignment :]
    return file


def build(file: Gguf) -> bytes:
    """Write a file as it is described, right or wrong."""
    parts = [file.magic, struct.pack("<IQQ", file.version, file.tensor_count, file.kv_count)]
    for key, kind, value in file.values:
        parts += [_text(key), struct.pack("<I", kind), _value(kind, value)]
    for info in file.infos:
        parts += [_text(info.name), struct.pack("<I", len(info.dims)), *(struct.pack("<Q", dim) for dim in info.dims)]
        parts.append(struct.pack("<IQ", info.dtype, info.offset))
    head = b"".join(parts)
    return head + bytes(-len(head) % file.alignment) + file.data


def _text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def _value(kind: int, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value if isinstance(value, _Encoded) else _text(value)
    if isinstance(value, tuple):
        inner, members = value
        return struct.pack("<IQ", inner, len(members)) + b"".join(_value(inner, member) for member in members)
    return struct.pack(f"<{_SCALARS.get(kind, 'I')}", value)


def on_gguf(change: Callable[[Gguf, random.Random], str]) -> Callable[[Path, random.Random], str]:
    """A mutator of the folder's only GGUF file."""

    def mutator(folder: Path, rng: random.Random) -> str:
        path = folder / "model.gguf"
        file = parse(content(path))
        try:
            what = change(file, rng)
            path.write_bytes(build(file))
        except (struct.error, IndexError):
            raise NotApplicable from None
        return f"{change.__name__}: {what}"

    return mutator


def header(file: Gguf, rng: random.Random) -> str:
    """Magic, version, counts."""
    way = rng.choice(("magic", "version", "tensors", "values"))
    if way == "magic":
        file.magic = rng.choice((b"GGML", b"FUGG", b"\0\0\0\0", b"gguf", b"PK\3\4"))
    elif way == "version":
        file.version = rng.choice((0, 1, 2, 4, 99, 3 << 24, 0xFFFF_FFFF))
    elif way == "tensors":
        file.tensor_count = rng.choice((*_NUMBERS, file.tensor_count - 1, file.tensor_count + 1))
    else:
        file.kv_count = rng.choice((*_NUMBERS, file.kv_count - 1, file.kv_count + 1))
    return way


def value(file: Gguf, rng: random.Random) -> str:
    """A key or its value: another, of another type, gone, twice, deep."""
    at = rng.randrange(len(file.values))
    key, kind, old = file.values[at]
    way = rng.choice(("near", "near", "number", "text", "kind", "gone", "doubled", "key", "array", "deep", "float"))
    if way == "gone":
        del file.values[at]
        file.kv_count -= 1
    elif way == "doubled":
        file.values.append(file.values[at])
        file.kv_count += 1
    else:
        file.values[at] = _changed(key, kind, old, way, rng)
    return f"{key[:60]!r} {way}"


def _changed(key: bytes, kind: int, old: Any, way: str, rng: random.Random) -> tuple[bytes, int, Any]:
    if way == "near" and isinstance(old, (int, float)):
        near = rng.choice((old + 1, old - 1, old * 2, old // 2, 0))
        return key, kind, near if kind in (6, 12) else int(near) % (1 << 31)
    if way == "number":
        return key, 10, rng.choice(_NUMBERS)
    if way == "text":
        return key, _STRING, rng.choice(_TEXTS)
    if way == "kind":
        return key, rng.choice((*range(14), 99)), old
    if way == "key":
        return rng.choice((b"", key + b"x", b"general.architecture", b"\xff", b"general.alignment")), kind, old
    if way == "array":
        return key, _ARRAY, (kind, [old] * rng.choice((0, 1, 3)))
    if way == "float":
        return key, 6, rng.choice((0.0, -1.0, float("nan"), float("inf"), 1e30))
    depth = rng.choice((2, 5000))
    return key, _ARRAY, _Encoded(struct.pack("<IQ", _ARRAY, 1) * depth + struct.pack("<IQI", 4, 1, 1))


def info(file: Gguf, rng: random.Random) -> str:
    """A tensor's name, shape, type or place."""
    chosen = rng.choice(file.infos)
    way = rng.choice(("name", "dims", "dims", "rank", "dtype", "offset", "offset", "gone", "doubled", "exchanged"))
    if way == "name":
        chosen.name = rng.choice((*_TEXTS, chosen.name + b"x", b"blk.99.attn_q.weight", b"output.weight"))
    elif way == "dims":
        chosen.dims[rng.randrange(len(chosen.dims))] = rng.choice(_NUMBERS)
    elif way == "rank":
        chosen.dims = rng.choice(([], chosen.dims * 3, chosen.dims[::-1], [*chosen.dims, 1]))
    elif way == "dtype":
        chosen.dtype = rng.choice((0, 1, 2, 8, 24, 30, 31, 99, 0xFFFF_FFFF))
    elif way == "offset":
        chosen.offset = rng.choice((*_NUMBERS, chosen.offset + 1, chosen.offset + 32, rng.choice(file.infos).offset))
    elif way == "exchanged":
        other = rng.choice(file.infos)
        chosen.name, other.name = other.name, chosen.name
    else:
        file.infos.remove(chosen) if way == "gone" else file.infos.append(Info(**vars(chosen)))
        file.tensor_count = len(file.infos)
    return f"{chosen.name[:60]!r} {way}"


def payload(file: Gguf, rng: random.Random) -> str:
    """Weights changed, or cut."""
    data = bytearray(file.data)
    for _ in range(rng.choice((1, 10))):
        at = rng.randrange(len(data)) & ~1
        data[at : at + 2] = rng.choice((b"\xc0\x7f", b"\x80\x7f", rng.randbytes(2)))
    file.data = bytes(data[: rng.choice((len(data), len(data), rng.randrange(len(data))))])
    return f"{len(file.data)} bytes"


def tensors(path: Path) -> dict[str, np.ndarray]:
    """All tensors under the names and in the order of rows that the file has, float types only."""
    file = parse(content(path.resolve()))
    found = {}
    for entry in file.infos:
        if entry.dtype in _NUMPY:
            count = int(np.prod(entry.dims, dtype=object)) if entry.dims else 1
            array = np.frombuffer(file.data, _NUMPY[entry.dtype], count, entry.offset)
            found[entry.name.decode()] = array.reshape(entry.dims[::-1])
    return found
