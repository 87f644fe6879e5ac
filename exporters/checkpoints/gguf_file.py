"""One GGUF file: a strict reader of its header, and the tensors as views on a read-only memory map."""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import ExportError, FormatError
from edge_runtime.io.printable import printable
from exporters.checkpoints.safetensors_file import TensorInfo
from exporters.checkpoints.source_maps import SourceMaps

DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K",
    12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
    20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
    29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}  # fmt: skip
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MAGIC, _VERSIONS = b"GGUF", (2, 3)
_ALIGNMENT = "general.alignment"
# Bounds far above any model in use, so that a header of nonsense is refused before it is walked through.
_MOST_VALUES, _MOST_TENSORS, _MOST_MEMBERS = 1 << 16, 1 << 20, 1 << 24
_LONGEST_KEY, _LONGEST_NAME, _MOST_EXTENTS = 65535, 64, 4  # of the format
_MOST_READ = 4096  # an array of numbers that is longer is no setting of a model


@dataclass(frozen=True)
class Array:
    """A value that is an array. `members` has its numbers; None for texts, and for more numbers than a setting has:
    `GgufFile.members` reads them, from the byte `offset`."""

    count: int
    members: tuple[Any, ...] | None
    kind: int
    offset: int


@dataclass(frozen=True)
class _Info:
    """A tensor's entry: extents from the fastest, the number of its type, and its offset in bytes in the data."""

    name: str
    extents: tuple[int, ...]
    kind: int
    offset: int


class _Cursor:
    """Reads little-endian values one after the other; FormatError where the file ends first."""

    def __init__(self, path: Path, data: mmap.mmap, at: int = 0) -> None:
        self.path, self._data, self.at = path, data, at

    def error(self, what: str) -> FormatError:
        """Return the error for what was read last; the caller raises it."""
        text = f"{self.path}: {what} (at byte {self.at}); it is malformed or cut short: fetch it again"
        return FormatError(text, file=str(self.path), offset=self.at)

    def number(self, code: str) -> Any:
        """One number of struct's `code`."""
        return self.numbers(code, 1)[0]

    def numbers(self, code: str, count: int) -> tuple[Any, ...]:
        """`count` numbers of struct's `code`."""
        begin = self.skip(count * struct.calcsize(f"<{code}"), "its header")
        return struct.unpack_from(f"<{count}{code}", self._data, begin)

    def skip(self, size: int, what: str) -> int:
        """Pass over `size` bytes; returns where they begin."""
        if size > len(self._data) - self.at:
            raise self.error(f"the file ends within {what}")
        self.at += size
        return self.at - size

    def text(self, what: str, longest: int | None = None, strict: bool = False) -> str:
        """A string with its length before it. Bytes that are not UTF-8 are kept as escapes, or an error if `strict`."""
        size = self.number("Q")
        if longest is not None and size > longest:
            raise self.error(f"{what} has {size} bytes, expected at most {longest}")
        begin = self.skip(size, what)
        try:
            return self._data[begin : begin + size].decode("utf-8", "strict" if strict else "backslashreplace")
        except UnicodeDecodeError:
            raise self.error(f"{what} is not UTF-8") from None

    def count(self, what: str, most: int) -> int:
        """A number of things."""
        count: int = self.number("Q")
        if count > most:
            raise self.error(f"says that it has {count} {what}, expected at most {most}")
        return count

    def value(self, key: str, kind: int) -> Any:
        """A number, a text, or an Array."""
        if kind == _STRING:
            return self.text(f"the value of {key}")
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind != _ARRAY:
            raise self.error(f"{key} has a value of type {kind}, which the format does not have")
        kind, count, begin = self.number("I"), self.count(f"members in {key}", _MOST_MEMBERS), self.at
        if kind == _STRING:
            for _ in range(count):
                self.skip(self.number("Q"), f"the value of {key}")
        elif kind not in _SCALARS:
            raise self.error(f"{key} is an array of type {kind}, expected numbers or texts")
        elif count <= _MOST_READ:
            return Array(count, self.numbers(_SCALARS[kind], count), kind, begin)
        else:
            self.skip(count * struct.calcsize(f"<{_SCALARS[kind]}"), f"the value of {key}")
        return Array(count, None, kind, begin)


class GgufFile:
    """The metadata and the unquantized tensors of one file, under the names that the file has.

    Raises ExportError if the file cannot be opened, is big-endian or has quantized weights, and FormatError (file,
    offset) if it is malformed.
    """

    def __init__(self, path: Path, maps: SourceMaps) -> None:
        self.path, self._maps = path, maps
        cursor = _Cursor(path, maps.of(path))
        tensors, values = _counts(cursor)
        self.values = _values(cursor, values)
        """The metadata: numbers, texts, `Array`s."""
        infos = [_info(cursor) for _ in range(tensors)]
        alignment = self._alignment(cursor)
        start = -(-cursor.at // alignment) * alignment
        self.tensors = {info.name: self._placed(info, start, alignment) for info in infos}
        if len(self.tensors) != len(infos):
            raise cursor.error("a tensor is there twice")
        self._check_places()

    def members(self, key: str) -> list[Any] | None:
        """Return the numbers or texts of an array; None if the key is not there or no array. FormatError for bytes that
        are no UTF-8."""
        array = self.values.get(key)
        if not isinstance(array, Array):
            return None
        cursor = _Cursor(self.path, self._maps.of(self.path), array.offset)
        if array.kind == _STRING:
            return [cursor.text(f"a member of {key}", strict=True) for _ in range(array.count)]
        return list(cursor.numbers(_SCALARS[array.kind], array.count))

    def read(self, name: str) -> NDArray[Any]:
        """Return a tensor as a read-only view."""
        info, dtype = self.tensors[name], DTYPES[self.tensors[name].dtype]
        data = self._maps.of(self.path)
        return np.frombuffer(data, dtype, info.nbytes // dtype.itemsize, info.offset).reshape(info.shape)

    def advise(self, name: str, advice: int) -> None:
        """Tell the system what becomes of a tensor's bytes (mmap.MADV_...)."""
        info = self.tensors[name]
        self._maps.advise(self.path, info.offset, info.nbytes, advice)

    def _alignment(self, cursor: _Cursor) -> int:
        value = self.values.get(_ALIGNMENT, 32)
        if type(value) is not int or not 0 < value <= 1 << 20 or value & (value - 1):
            raise cursor.error(f"{_ALIGNMENT} is {shown(value)}, expected a power of two up to {1 << 20}")
        return value

    def _placed(self, info: _Info, start: int, alignment: int) -> TensorInfo:
        name, dtype = info.name, _TYPES.get(info.kind, f"of type {info.kind}")
        if dtype not in DTYPES:
            raise ExportError(
                f"{self.path}: {printable(name)} is {dtype}, expected {', '.join(DTYPES)}: quantized weights are not "
                "what the model was; convert it with convert_hf_to_gguf.py --outtype bf16, or export the original"
            )
        shape = info.extents[::-1]  # GGUF counts extents from the fastest
        nbytes, offset = math.prod(shape) * DTYPES[dtype].itemsize, start + info.offset
        size = len(self._maps.of(self.path))
        if info.offset % alignment:
            raise self._misplaced(name, offset, f"begins {info.offset} bytes into the data, no multiple of {alignment}")
        if not nbytes or offset + nbytes > size:
            what = "is empty" if not nbytes else f"ends at byte {offset + nbytes}, but the file has {size}"
            raise self._misplaced(name, offset, what)
        return TensorInfo(name, dtype, shape, self.path, offset, nbytes)

    def _check_places(self) -> None:
        end, before = 0, ""
        for info in sorted(self.tensors.values(), key=lambda info: info.offset):
            if info.offset < end:
                raise self._misplaced(info.name, info.offset, f"begins before {printable(before)} ends")
            end, before = info.offset + info.nbytes, info.name

    def _misplaced(self, name: str, offset: int, what: str) -> FormatError:
        text = f"{self.path}: {printable(name)} {what}; fetch it again"
        return FormatError(text, file=str(self.path), field=name, offset=offset)


def shown(value: Any) -> str:
    """A value of the metadata in few words."""
    if isinstance(value, Array):
        return f"an array of {value.count}"
    text = printable(repr(value[:60] if isinstance(value, str) else value))
    return text if len(text) <= 80 else text[:80] + ".."


def _counts(cursor: _Cursor) -> tuple[int, int]:
    """Read the fixed part; returns how many tensors and values there are."""
    path = cursor.path
    magic, version = b"".join(cursor.numbers("c", 4)), cursor.number("I")
    if magic != _MAGIC:
        raise FormatError(f"{path}: is not GGUF, it begins with {magic!r}; fetch it again", file=str(path), offset=0)
    if version not in _VERSIONS and not version & 0xFFFF:
        raise ExportError(f"{path}: is a big-endian GGUF file, expected a little-endian one; export the original")
    if version not in _VERSIONS:
        raise FormatError(f"{path}: is GGUF of version {version}, expected 2 or 3; convert it again", file=str(path))
    return cursor.count("tensors", _MOST_TENSORS), cursor.count("values", _MOST_VALUES)


def _values(cursor: _Cursor, count: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for _ in range(count):
        key = printable(cursor.text("a key", _LONGEST_KEY))
        if key in values:
            raise cursor.error(f"the key {key[:80]} is there twice")
        values[key] = cursor.value(key[:80], cursor.number("I"))
    return values


def _info(cursor: _Cursor) -> _Info:
    name = cursor.text("a tensor's name", _LONGEST_NAME)
    rank = cursor.number("I")
    if rank > _MOST_EXTENTS:
        raise cursor.error(f"{printable(name)} has {rank} dimensions, expected at most {_MOST_EXTENTS}")
    return _Info(name, cursor.numbers("Q", rank), cursor.number("I"), cursor.number("Q"))
