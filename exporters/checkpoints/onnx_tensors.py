"""The initializers of an ONNX file: inline, or external data read by memory map."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path, PurePosixPath
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.errors import FormatError
from edge_runtime.io.printable import printable
from exporters.checkpoints import dtypes
from exporters.checkpoints.safetensors_file import TensorInfo
from exporters.checkpoints.source_maps import SourceMaps

# Weights of these types can be compressed.
NUMPY: dict[int, np.dtype[Any]] = {
    TensorProto.FLOAT: np.dtype(np.float32),
    TensorProto.FLOAT16: np.dtype(np.float16),
    TensorProto.BFLOAT16: np.dtype(ml_dtypes.bfloat16),
    TensorProto.UINT8: np.dtype(np.uint8),
    TensorProto.INT8: np.dtype(np.int8),
}
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
_TILE = 256  # rows and columns transposed at a time: the tile fits the first cache


class OnnxTensors:
    """Reads weights by name. `transposed` are matrices that are stored, and given, with rows and columns exchanged."""

    def __init__(self, path: Path, initializers: dict[str, TensorProto]) -> None:
        self.path = path
        self._protos = initializers
        self._maps = SourceMaps()
        self._transposed: set[str] = set()
        self.tensors: dict[str, TensorInfo] = {}

    def add(self, name: str, transposed: bool) -> TensorInfo:
        """Make an initializer one of `tensors`; ExportError or FormatError if its data is not there."""
        proto = self._protos[name]
        dtype = NUMPY[proto.data_type]
        shape = tuple(proto.dims)[::-1] if transposed else tuple(proto.dims)
        nbytes = math.prod(shape) * dtype.itemsize
        file, offset = self.path, 0
        if proto.data_location == TensorProto.EXTERNAL:
            file, offset, _ = self._place(proto, nbytes)
        else:
            self._check_inline(proto)
        if transposed:
            self._transposed.add(name)
        info = TensorInfo(name, dtype.name, shape, file, offset, nbytes)
        self.tensors[name] = info
        return info

    def read(self, name: str) -> NDArray[Any]:
        """Return a weight: a view on the data file, or a copy where it is inline or transposed."""
        proto = self._protos[name]
        if proto.data_location == TensorProto.EXTERNAL:
            info = self.tensors[name]
            dtype = NUMPY[proto.data_type]
            flat = np.frombuffer(self._maps.of(info.file), dtype, info.nbytes // dtype.itemsize, info.offset)
            array: NDArray[Any] = flat.reshape(tuple(proto.dims))
        else:
            array = numpy_helper.to_array(proto).view(NUMPY[proto.data_type])
        return _transpose(array) if name in self._transposed else np.ascontiguousarray(array)

    def inline(self, proto: TensorProto) -> TensorProto:
        """Return a tensor of any type with its data inside."""
        if proto.data_location != TensorProto.EXTERNAL:
            return proto
        result = TensorProto(name=proto.name, data_type=proto.data_type, dims=proto.dims)
        result.raw_data = self._raw(proto).tobytes()
        return result

    def external_bytes(self, proto: TensorProto) -> int:
        """Return the size of a tensor's external data, 0 where it is inline; FormatError if they are not there."""
        return self._place(proto, None)[2] if proto.data_location == TensorProto.EXTERNAL else 0

    def constant(self, name: str) -> NDArray[Any]:
        """Return an external initializer of any type: an array, or bytes where numpy has no such type."""
        proto = self._protos[name]
        data = self._raw(proto)
        try:
            dtype = np.dtype(helper.tensor_dtype_to_np_dtype(proto.data_type))
            return data.view(dtype).reshape(tuple(proto.dims))
        except (KeyError, ValueError):
            return data

    def not_finite(self, name: str) -> str:
        """Tell what a float initializer holds of NaN and Inf, as in dtypes; FormatError if its data are not whole."""
        proto = self._protos[name]
        if proto.data_type not in FLOATS:
            return ""
        if proto.data_location == TensorProto.EXTERNAL:
            return dtypes.not_finite(self.constant(name))
        self._check_inline(proto)
        return dtypes.not_finite(numpy_helper.to_array(proto).view(NUMPY[proto.data_type]))

    def prefetch(self, name: str) -> None:
        """Let the system begin to read the weight."""
        self._advise(name, mmap.MADV_WILLNEED)

    def release(self, name: str) -> None:
        """Give the weight's pages back."""
        self._advise(name, mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Unmap the files."""
        self._maps.close()

    def _raw(self, proto: TensorProto) -> NDArray[np.uint8]:
        file, offset, length = self._place(proto, None)
        return np.frombuffer(self._maps.of(file), np.uint8, length, offset) if length else np.empty(0, np.uint8)

    def _advise(self, name: str, advice: int) -> None:
        info = self.tensors[name]
        if info.file != self.path:
            self._maps.advise(info.file, info.offset, info.nbytes, advice)

    def _check_inline(self, proto: TensorProto) -> None:
        """FormatError if the data inside do not have the size that the extents say."""
        try:
            numpy_helper.to_array(proto)
        except (ValueError, TypeError) as error:
            raise self._malformed(proto, f"holds other data than {list(proto.dims)} needs ({error})") from None

    def _place(self, proto: TensorProto, nbytes: int | None) -> tuple[Path, int, int]:
        """Return file, offset and length of external data, checked against the file."""
        entries = {entry.key: entry.value for entry in proto.external_data}
        if len(entries) != len(proto.external_data):
            raise self._malformed(proto, "states where its data lie more than once")
        location = PurePosixPath(entries.get("location", ""))
        if not location.name or location.is_absolute() or ".." in location.parts or "\0" in str(location):
            raise self._malformed(
                proto, f"lies in {entries.get('location', '')!a}, expected the name of a file beside it"
            )
        file = self.path.parent / location
        size = len(self._maps.of(file))
        offset = _number(entries.get("offset", "0"))
        length = _number(entries.get("length", str(size - offset if nbytes is None else nbytes)))
        if offset < 0 or length < 0 or offset + length > size or (nbytes is not None and length != nbytes):
            raise FormatError(
                f"{file}: {printable(proto.name)} has bytes {printable(entries.get('offset', '0'))[:40]} + "
                f"{printable(entries.get('length', 'rest'))[:40]}, expected {'' if nbytes is None else nbytes} within "
                f"the file's {size}; fetch it again",
                file=str(file), field=proto.name,
            )  # fmt: skip
        return file, offset, length

    def _malformed(self, proto: TensorProto, what: str) -> FormatError:
        return FormatError(f"{self.path}: {printable(proto.name)} {what}", file=str(self.path), field=proto.name)


class Constants(MutableMapping[str, NDArray[Any]]):
    """Arrays by name. Those of the file are read with `read` whenever they are asked for: none keeps a file open."""

    def __init__(self, read: Callable[[str], NDArray[Any]]) -> None:
        self._read = read
        self._made: dict[str, NDArray[Any] | None] = {}

    def add(self, name: str) -> None:
        """Let `name` be read later."""
        self._made[name] = None

    def __getitem__(self, name: str) -> NDArray[Any]:
        made = self._made[name]
        return self._read(name) if made is None else made

    def __setitem__(self, name: str, array: NDArray[Any]) -> None:
        self._made[name] = array

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)


def _number(text: str) -> int:
    """Return a number of bytes; -1 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1


def _transpose(array: NDArray[Any]) -> NDArray[Any]:
    rows, columns = array.shape
    result = np.empty((columns, rows), array.dtype)
    for r in range(0, rows, _TILE):
        for c in range(0, columns, _TILE):
            result[c : c + _TILE, r : r + _TILE] = array[r : r + _TILE, c : c + _TILE].T
    return result
