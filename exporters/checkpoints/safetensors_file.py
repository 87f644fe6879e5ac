"""One safetensors file: a strict header reader over a read-only memory map."""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from edge_runtime.config.dtypes import BITS
from edge_runtime.errors import FormatError
from edge_runtime.io.printable import printable
from edge_runtime.io.source_files import open_source
from exporters.checkpoints.source_maps import SourceMaps

_NUMPY: dict[str, np.dtype[Any]] = {
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
}
_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000  # the reference implementation's own limit
_MAX_ELEMENTS = 1 << 62


@dataclass(frozen=True)
class TensorInfo:
    """Where one tensor lies. `dtype` is the file's own name ("BF16"); `offset` counts bytes from the file's start."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset: int
    nbytes: int


class SafetensorsFile:
    """Reads the tensors of one file as views on a memory map.

    Opening checks the whole header: lengths, names, dtypes, shapes, and that the byte ranges tile the data exactly.
    Raises ExportError if the file cannot be opened and FormatError (file, offset, field) if it is malformed.
    """

    def __init__(self, path: Path, maps: SourceMaps | None = None) -> None:
        self.path = path
        self._maps = maps or SourceMaps()
        with open_source(path) as file:
            size = file.seek(0, 2)
            file.seek(0)
            header, data_start = _read_header(path, file, size)
        metadata = header.pop("__metadata__", None)
        self.metadata: dict[str, Any] = metadata if isinstance(metadata, dict) else {}
        """What the writer noted beside the tensors: for one that shares the data of another, the name of the other."""
        self.tensors = {name: _parse_entry(path, name, entry, data_start) for name, entry in header.items()}
        _check_tiling(path, self.tensors, data_start, size)
        self._maps.of(path)

    def dtype(self, name: str) -> np.dtype[Any]:
        """Return the dtype of a weight; FormatError for one that no weight may have."""
        info = self.tensors[name]
        dtype = _NUMPY.get(info.dtype)
        if dtype is None:
            raise _malformed(
                self.path, info.offset, name, f"dtype is {info.dtype}, expected one of {', '.join(_NUMPY)}; "
                "save the checkpoint with bfloat16, float16 or float32 weights"
            )  # fmt: skip
        return dtype

    def read(self, name: str) -> NDArray[Any]:
        """Return tensor `name` as a read-only view of its shape (bfloat16, float16 or float32); no bytes are copied.

        Raises FormatError for a dtype that no weight may have.
        """
        info, dtype = self.tensors[name], self.dtype(name)
        if info.nbytes == 0:
            return np.empty(info.shape, dtype)
        count = info.nbytes // dtype.itemsize
        return np.frombuffer(self._maps.of(self.path), dtype, count, info.offset).reshape(info.shape)

    def prefetch(self, name: str) -> None:
        """Let the system begin to read the tensor from the device."""
        self._advise(self.tensors[name], mmap.MADV_WILLNEED)

    def release(self, name: str) -> None:
        """Give the tensor's pages back; a view that is still held reads them from the file again."""
        self._advise(self.tensors[name], mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Unmap the file. Views that callers still hold keep it mapped until they die."""
        self._maps.close()

    def _advise(self, info: TensorInfo, advice: int) -> None:
        self._maps.advise(self.path, info.offset, info.nbytes, advice)


def _read_header(path: Path, file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """Return the header and the offset of the data that follow it."""
    prefix = file.read(_LENGTH_BYTES)
    if len(prefix) < _LENGTH_BYTES:
        raise _malformed(path, 0, "header length", f"the file has {size} bytes, expected at least {_LENGTH_BYTES}")
    length = int.from_bytes(prefix, "little")
    if length > _MAX_HEADER_BYTES:
        raise _malformed(path, 0, "header length", f"is {length}, more than {_MAX_HEADER_BYTES}: not safetensors")
    if length > size - _LENGTH_BYTES:
        rest = size - _LENGTH_BYTES
        raise _malformed(path, 0, "header length", f"is {length}, but {rest} bytes follow: the file is truncated")
    return _load_json(path, file.read(length)), _LENGTH_BYTES + length


def _load_json(path: Path, text: bytes) -> dict[str, Any]:
    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                raise _malformed(path, _LENGTH_BYTES, "header", f"names {printable(key)} more than once")
            result[key] = value
        return result

    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=no_duplicates)
    except (ValueError, RecursionError) as error:
        raise _malformed(path, _LENGTH_BYTES, "header", f"is not JSON ({error}): corrupt, or not safetensors") from None
    if not isinstance(header, dict):
        raise _malformed(path, _LENGTH_BYTES, "header", f"is a JSON {type(header).__name__}, expected an object")
    return header


def _parse_entry(path: Path, name: str, entry: Any, data_start: int) -> TensorInfo:
    def bad(what: str) -> FormatError:
        return _malformed(path, _LENGTH_BYTES, name, what)

    if not isinstance(entry, Mapping):
        raise bad(f"is {_short(entry)}, expected an object with dtype, shape and data_offsets")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in BITS:
        raise bad(f"dtype is {_short(dtype)}, expected one of {', '.join(sorted(BITS))}")
    if not _is_sizes(shape):
        raise bad(f"shape is {_short(shape)}, expected a list of sizes")
    if not _is_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise bad(f"data_offsets is {_short(offsets)}, expected [begin, end] with begin <= end")
    elements = _elements(shape)
    if elements > _MAX_ELEMENTS:
        raise bad(f"shape {_short(shape)} has more elements than any file can hold")
    expected = (elements * BITS[dtype] + 7) // 8
    begin, end = offsets
    if end - begin != expected:
        raise bad(f"data_offsets hold {end - begin} bytes, but {dtype} {_short(shape)} needs {expected}")
    return TensorInfo(name, dtype, tuple(shape), path, data_start + begin, expected)


def _elements(shape: list[int]) -> int:
    """Return the product; anything above _MAX_ELEMENTS stands for more than that."""
    if 0 in shape:
        return 0
    elements = 1
    for extent in shape:
        elements *= extent
        if elements > _MAX_ELEMENTS:
            break
    return elements


def _short(value: Any) -> str:
    """Return `value` as Python writes it, cut where it is long."""
    text = ascii(value if not isinstance(value, list | str) else value[:80])
    return text if len(text) <= 80 else f"{text[:77]}..."


def _is_sizes(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _check_tiling(path: Path, tensors: Mapping[str, TensorInfo], data_start: int, size: int) -> None:
    """The byte ranges must follow one another without gap or overlap, up to the file's end."""
    position, before = data_start, "the header"
    for info in sorted(tensors.values(), key=lambda item: (item.offset, item.nbytes)):
        if info.offset != position:
            how = "overlaps" if info.offset < position else "leaves a gap after"
            raise _malformed(path, info.offset, info.name, f"{how} {before}, whose data ends at byte {position}")
        position, before = info.offset + info.nbytes, info.name
        if position > size:
            raise _malformed(
                path, info.offset, info.name, f"ends at byte {position}, but the file has {size}: "
                "the file is truncated; fetch it again"
            )  # fmt: skip
    if position != size:
        raise _malformed(path, position, "data", f"{size - position} bytes follow the last tensor, expected none")


def _malformed(path: Path, offset: int, field: str, what: str) -> FormatError:
    field = printable(field)
    return FormatError(f"{path}: byte {offset}: {field} {what}", file=str(path), offset=offset, field=field)
