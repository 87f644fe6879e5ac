"""The initializers of an ONNX file: inline, or external data read by memory map."""

from __future__ import annotations

import contextlib
import mmap
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.errors import ExportError, FormatError
from exporters.safetensors_file import TensorInfo

# Weights of these types can be compressed.
NUMPY: dict[int, np.dtype[Any]] = {
    TensorProto.FLOAT: np.dtype(np.float32),
    TensorProto.FLOAT16: np.dtype(np.float16),
    TensorProto.BFLOAT16: np.dtype(ml_dtypes.bfloat16),
    TensorProto.UINT8: np.dtype(np.uint8),
    TensorProto.INT8: np.dtype(np.int8),
}
_TILE = 256  # rows and columns transposed at a time: the tile fits the first cache


class OnnxTensors:
    """Reads weights by name. `transposed` are matrices that are stored, and given, with rows and columns exchanged."""

    def __init__(self, path: Path, initializers: dict[str, TensorProto]) -> None:
        self.path = path
        self._protos = initializers
        self._maps: dict[str, mmap.mmap] = {}
        self._transposed: set[str] = set()
        self.tensors: dict[str, TensorInfo] = {}

    def add(self, name: str, transposed: bool) -> TensorInfo:
        """Make an initializer one of `tensors`; ExportError or FormatError if its data is not there."""
        proto = self._protos[name]
        dtype = NUMPY[proto.data_type]
        shape = tuple(proto.dims)[::-1] if transposed else tuple(proto.dims)
        nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        file, offset = self.path, 0
        if proto.data_location == TensorProto.EXTERNAL:
            file, offset, _ = self._place(proto, nbytes)
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
            flat = np.frombuffer(self._map(info.file.name), dtype, info.nbytes // dtype.itemsize, info.offset)
            array: NDArray[Any] = flat.reshape(tuple(proto.dims))
        else:
            array = numpy_helper.to_array(proto).view(NUMPY[proto.data_type])
        return _transpose(array) if name in self._transposed else np.ascontiguousarray(array)

    def inline(self, name: str) -> TensorProto:
        """Return an initializer of any type with its data inside."""
        proto = self._protos[name]
        if proto.data_location != TensorProto.EXTERNAL:
            return proto
        result = TensorProto(name=name, data_type=proto.data_type, dims=proto.dims)
        result.raw_data = self.raw(name).tobytes()
        return result

    def raw(self, name: str) -> NDArray[np.uint8]:
        """Return the bytes of an external initializer of any type, a view on the file."""
        file, offset, length = self._place(self._protos[name], None)
        return np.frombuffer(self._map(file.name), np.uint8, length, offset)

    def constant(self, name: str) -> NDArray[Any]:
        """Return an external initializer of any type: an array, or bytes where numpy has no such type."""
        proto, data = self._protos[name], self.raw(name)
        try:
            dtype = np.dtype(helper.tensor_dtype_to_np_dtype(proto.data_type))
            return data.view(dtype).reshape(tuple(proto.dims))
        except (KeyError, ValueError):
            return data

    def prefetch(self, name: str) -> None:
        """Let the system begin to read the weight."""
        self._advise(name, mmap.MADV_WILLNEED)

    def release(self, name: str) -> None:
        """Give the weight's pages back."""
        self._advise(name, mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Unmap the files."""
        for mapped in self._maps.values():
            with contextlib.suppress(BufferError):
                mapped.close()

    def _advise(self, name: str, advice: int) -> None:
        info = self.tensors[name]
        if info.file != self.path and info.nbytes:
            begin = info.offset - info.offset % mmap.PAGESIZE
            self._map(info.file.name).madvise(advice, begin, info.offset + info.nbytes - begin)

    def _place(self, proto: TensorProto, nbytes: int | None) -> tuple[Path, int, int]:
        """Return file, offset and length of external data, checked against the file."""
        entries = {entry.key: entry.value for entry in proto.external_data}
        location = entries.get("location", "")
        if not location or Path(location).name != location:
            raise FormatError(
                f"{self.path}: {proto.name} lies in {location!r}, expected the name of a file beside it",
                file=str(self.path), field=proto.name,
            )  # fmt: skip
        size = len(self._map(location))
        try:
            offset = int(entries.get("offset", 0))
            length = int(entries.get("length", size - offset if nbytes is None else nbytes))
        except ValueError:
            offset, length = -1, 0
        if offset < 0 or length < 0 or offset + length > size or (nbytes is not None and length != nbytes):
            raise FormatError(
                f"{self.path.parent / location}: {proto.name} has bytes {entries.get('offset', 0)} + "
                f"{entries.get('length', 'rest')}, expected {'' if nbytes is None else nbytes} within the file's "
                f"{size}; fetch it again",
                file=str(self.path.parent / location), field=proto.name,
            )  # fmt: skip
        return self.path.parent / location, offset, length

    def _map(self, location: str) -> mmap.mmap:
        if location not in self._maps:
            path = self.path.parent / location
            try:
                with path.open("rb") as file:
                    self._maps[location] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                raise ExportError(
                    f"{path}: cannot be read ({reason}); {self.path.name} keeps its weights there"
                ) from None
        return self._maps[location]


def _transpose(array: NDArray[Any]) -> NDArray[Any]:
    rows, columns = array.shape
    result = np.empty((columns, rows), array.dtype)
    for r in range(0, rows, _TILE):
        for c in range(0, columns, _TILE):
            result[c : c + _TILE, r : r + _TILE] = array[r : r + _TILE, c : c + _TILE].T
    return result
