"""Mutations of safetensors files: the header's length, its JSON, the data; and a reading of them of our own."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from mutate import json_
from mutate.bytes_ import content
from mutate.cases import NotApplicable

_LENGTHS = (0, 1, 8, 1 << 20, 100_000_001, 1 << 31, 1 << 63, (1 << 64) - 1)
_DTYPES = ("F32", "F16", "BF16", "F64", "I8", "U8", "BOOL", "F8_E4M3", "X", "", "F4", 3, None)
_NUMPY = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype(ml_dtypes.bfloat16)}
Change = Callable[[dict[str, Any], random.Random], str]


def on_header(folder: Path, rng: random.Random) -> str:
    """A file's header: any JSON value of it, or a tensor's place, shape and type."""
    file = _file(folder, rng)
    header, data = _split(file)
    change = rng.choice((_place, _place, _shape, _dtype, _names, None))
    if change is None:
        text, what = json_.mutated(header, rng)
    else:
        what = change(header, rng)
        text = json.dumps(header)
    encoded = text.encode("utf-8", "surrogatepass")
    file.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data)
    return f"{file.name}: {what}"


def on_length(folder: Path, rng: random.Random) -> str:
    """The number before the header."""
    file = _file(folder, rng)
    data = content(file)
    (old,) = struct.unpack_from("<Q", data.ljust(8, b"\0"))
    new = rng.choice((*_LENGTHS, old - 1, old + 1, len(data) - 8, len(data), old + 8)) % (1 << 64)
    file.write_bytes(struct.pack("<Q", new) + data[8:])
    return f"{file.name}: header of {new} bytes"


def on_values(folder: Path, rng: random.Random) -> str:
    """Weights changed: any bytes, NaN, infinities."""
    file = _file(folder, rng)
    header, data = _split(file)
    changed = bytearray(data)
    if not changed:
        raise NotApplicable
    for _ in range(rng.choice((1, 4, 100))):
        at = rng.randrange(len(changed)) & ~1
        changed[at : at + 2] = rng.choice((b"\xc0\x7f", b"\x80\x7f", b"\x80\xff", b"\xff\xff", rng.randbytes(2)))
    encoded = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(encoded)) + encoded + changed[: len(data)])
    return f"{file.name}: values"


def tensors(folder: Path) -> dict[str, np.ndarray]:
    """All tensors of a folder that are floats, read as the format's description says, without the code under test."""
    found = {}
    for file in _read(folder):
        header, data = _split(file.resolve())
        for name, entry in header.items():
            if name != "__metadata__" and entry["dtype"] in _NUMPY:
                begin, end = entry["data_offsets"]
                array = np.frombuffer(data[begin:end], _NUMPY[entry["dtype"]])
                found[name] = array.reshape(entry["shape"])
    return found


def _read(folder: Path) -> list[Path]:
    """The files that transformers reads: a single one before those that the index names."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.exists() or not index.exists():
        return [single] if single.exists() else sorted(folder.glob("*.safetensors"))
    return sorted({folder / name for name in json.loads(content(index.resolve()))["weight_map"].values()})


def _file(folder: Path, rng: random.Random) -> Path:
    files = [file for file in sorted(folder.glob("*.safetensors")) if file.is_file() and not file.is_symlink()]
    if not files:
        raise NotApplicable
    return rng.choice(files)


def _split(file: Path) -> tuple[dict[str, Any], bytes]:
    data = content(file)
    try:
        (size,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + size])
    except (struct.error, ValueError, RecursionError, OverflowError):
        raise NotApplicable from None
    if not isinstance(header, dict):
        raise NotApplicable
    return header, data[8 + size :]


def _entries(header: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, entry in header.items():
        if name != "__metadata__" and isinstance(entry, dict) and isinstance(entry.get("data_offsets"), list):
            yield name, entry


def _entry(header: dict[str, Any], rng: random.Random) -> tuple[str, dict[str, Any]]:
    entries = list(_entries(header))
    if not entries:
        raise NotApplicable
    return rng.choice(entries)


def _place(header: dict[str, Any], rng: random.Random) -> str:
    (name, entry), (_, other) = _entry(header, rng), _entry(header, rng)
    begin, end = (entry["data_offsets"] + [0, 0])[:2]
    if not all(type(number) is int for number in (begin, end)):
        raise NotApplicable
    entry["data_offsets"] = rng.choice(
        ([end, begin], [begin, end + 2], [begin + 2, end], [begin + 2, end + 2], [-2, end], [begin, 1 << 62], [begin],
         [begin, begin], other["data_offsets"], [float(begin), end], [begin, end, end], [0, end - begin], None)
    )  # fmt: skip
    return f"{name} at {entry['data_offsets']}"


def _shape(header: dict[str, Any], rng: random.Random) -> str:
    name, entry = _entry(header, rng)
    shape = entry["shape"] if isinstance(entry.get("shape"), list) else [1]
    entry["shape"] = rng.choice(
        (shape[::-1], [*shape, 1], shape[:-1], [0, *shape[1:]], [-1, *shape[1:]], [1 << 62, *shape], [shape], None, [],
         [1 << 32, 1 << 32], [str(extent) for extent in shape], [1.0, *shape[1:]])
    )  # fmt: skip
    return f"{name} of shape {entry['shape']}"


def _dtype(header: dict[str, Any], rng: random.Random) -> str:
    name, entry = _entry(header, rng)
    entry["dtype"] = rng.choice(_DTYPES)
    return f"{name} of type {entry['dtype']}"


def _names(header: dict[str, Any], rng: random.Random) -> str:
    (name, entry), (other, _) = _entry(header, rng), _entry(header, rng)
    way = rng.choice(("gone", "renamed", "exchanged", "copy", "metadata"))
    if way == "gone":
        del header[name]
    elif way == "renamed":
        header[rng.choice((name + "x", "", "\x1b[31m", "model.layers.9.x", "lm_head.weight", "a" * 3000))] = header.pop(
            name
        )
    elif way == "exchanged":
        header[name], header[other] = header[other], header[name]
    elif way == "copy":
        header[name + ".copy"] = dict(entry)
    else:
        header["__metadata__"] = rng.choice(({}, [], None, {"a": 1}, {"format": "pt"}, {"format": "\x1b"}))
    return f"{name} {way}"
