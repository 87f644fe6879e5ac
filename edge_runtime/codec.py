"""Lossless compression of numpy arrays: the codecs of liblpc.so (docs/format.md) without a copy on the way.

Arrays: bfloat16, float8_e4m3fn and float8_e5m2 (ml_dtypes), float16, float32, int8, uint8; up to 4 dimensions, dense,
row-major, little-endian; read-only and memory-mapped ones are fine. Blobs: one-dimensional uint8 arrays, or anything
with the buffer protocol. Values are bit patterns: NaN payloads and signed zeros come back as they were.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
import numpy.typing as npt

from edge_runtime import facts, native
from edge_runtime.errors import CodecError

Array: TypeAlias = npt.NDArray[Any]
Blob: TypeAlias = npt.NDArray[np.uint8]

# Names as in docs/format.md, section 3.
_DTYPES: dict[str, tuple[int, np.dtype[Any]]] = {
    "bf16": (1, np.dtype(ml_dtypes.bfloat16)),
    "fp16": (2, np.dtype(np.float16)),
    "fp32": (3, np.dtype(np.float32)),
    "int8": (4, np.dtype(np.int8)),
    "uint8": (5, np.dtype(np.uint8)),
    "fp8_e4m3": (6, np.dtype(ml_dtypes.float8_e4m3fn)),
    "fp8_e5m2": (7, np.dtype(ml_dtypes.float8_e5m2)),
}
_DTYPE_NAMES = {number: name for name, (number, _) in _DTYPES.items()}


@dataclass(frozen=True)
class BlobInfo:
    """What a blob's header says; sizes in bytes."""

    format_version: int
    codec: str
    dtype: str  # name in docs/format.md, such as "bf16"
    shape: tuple[int, ...]
    decoded_bytes: int
    blob_bytes: int
    header_bytes: int
    rows: int
    row_bytes: int
    rows_per_segment: int
    segment_count: int
    raw_segment_count: int  # segments kept raw although the codec is not "stored"

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The dtype of the decoded array."""
        return _DTYPES[self.dtype][1]

    @property
    def bits_per_weight(self) -> float:
        """Stored bits an element, header and padding included; 0 for an empty tensor."""
        elements = self.decoded_bytes // self.numpy_dtype.itemsize
        return self.blob_bytes * 8 / elements if elements else 0.0


@dataclass(frozen=True)
class SegmentInfo:
    """One entry of a blob's segment table."""

    raw: bool
    offset: int  # bytes from the start of the blob
    bytes: int  # stored
    first_row: int
    row_count: int
    checksum: int  # XXH3-64 of the stored bytes


def dtype_name(dtype: npt.DTypeLike) -> str:
    """Name in docs/format.md of a numpy dtype; CodecError if the codecs do not take it."""
    wanted = np.dtype(dtype)
    for name, (_, known) in _DTYPES.items():
        if wanted == known:
            return name
    if wanted.newbyteorder() in [known for _, known in _DTYPES.values()]:
        raise CodecError(f"array byte order: got {wanted.str}, expected little-endian")
    raise CodecError(f"array dtype: got {wanted}, expected one of {', '.join(_DTYPES)}")


def fastest_packed_layout() -> str:
    """The layout of codec packed that this machine computes products from quickest."""
    number = native.fastest_packed_layout()
    return next(layout.name for layout in facts.packed_layouts().values() if layout.number == number)


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The numpy dtype of a name in docs/format.md, such as "bf16"; CodecError for an unknown one."""
    if name not in _DTYPES:
        raise CodecError(f"dtype: got {name!r}, expected one of {', '.join(_DTYPES)}")
    return _DTYPES[name][1]


def _tensor_desc(shape: tuple[int, ...], dtype: npt.DTypeLike) -> native.TensorDesc:
    if len(shape) > native.MAX_RANK:
        raise CodecError(f"array rank: got {len(shape)}, expected at most {native.MAX_RANK}")
    number = _DTYPES[dtype_name(dtype)][0]
    return native.TensorDesc(number, len(shape), (ctypes.c_uint64 * native.MAX_RANK)(*shape))


def _options(codec: str, segment_bytes: int, threads: int, partial: float = 1.0) -> native.EncodeOptions:
    name, _, layout = codec.partition(":")
    known = facts.codecs().get(name)
    if known is None or (layout and layout not in known.layouts):
        every = [
            *facts.codecs(),
            *(f"{other.name}:{each}" for other in facts.codecs().values() for each in other.layouts),
        ]
        raise CodecError(f"codec: got {codec!r}, expected one of {', '.join(every)}")
    _check_count("segment_bytes", segment_bytes, 2**31)
    _check_count("threads", threads, 2**16)
    if not 0 <= partial <= 1:
        raise CodecError(f"partial: got {partial}, expected a fraction of 0 to 1")
    size = ctypes.sizeof(native.EncodeOptions)
    raw_parts = round(native.PARTIAL_WHOLE * (1 - partial))
    number = known.layouts[layout].number if layout else 0
    return native.EncodeOptions(size, known.number, segment_bytes, threads, number, raw_parts)


def _check_count(name: str, value: int, limit: int) -> None:
    if not 0 <= value < limit:
        raise CodecError(f"{name}: got {value}, expected 0 to {limit - 1}")


def _check_source(array: Array) -> None:
    if not isinstance(array, np.ndarray):
        raise CodecError(f"array: got {type(array).__name__}, expected numpy.ndarray")
    if not array.flags.c_contiguous:
        raise CodecError(f"array layout: got strides {array.strides}, expected dense row-major (C-contiguous)")


def _check_destination(name: str, array: Array) -> None:
    if not (isinstance(array, np.ndarray) and array.flags.c_contiguous and array.flags.writeable):
        raise CodecError(f"{name}: expected a writable C-contiguous numpy array")


def _blob_bytes(blob: Any) -> Blob:
    """A one-dimensional uint8 view of a blob."""
    if isinstance(blob, np.ndarray):
        if blob.dtype != np.uint8 or blob.ndim != 1 or not blob.flags.c_contiguous:
            raise CodecError(f"blob: got {blob.dtype} of shape {blob.shape}, expected one dense dimension of uint8")
        return blob
    try:
        return np.frombuffer(blob, dtype=np.uint8)
    except (TypeError, ValueError, BufferError) as error:
        raise CodecError(f"blob: got {type(blob).__name__}: {error}") from error


def encode_bound(shape: tuple[int, ...], dtype: npt.DTypeLike, codec: str = "lz4", segment_bytes: int = 0) -> int:
    """Size in bytes of the largest blob that `encode` can make for an array of this shape and dtype."""
    desc, options = _tensor_desc(shape, dtype), _options(codec, segment_bytes, 0)
    bound = ctypes.c_uint64()
    native.check(native.library().lpc_encode_bound(ctypes.byref(desc), ctypes.byref(options), ctypes.byref(bound)))
    return bound.value


def encode_into(
    array: Array, out: Blob, codec: str = "lz4", segment_bytes: int = 0, threads: int = 0, partial: float = 1.0
) -> int:
    """Encodes `array` into `out` and returns the size of the blob, which lies at the start of `out`.

    `out` is a writable uint8 array of at least `encode_bound` bytes; what lies beyond the blob is undefined after.
    See `encode` for the rest.
    """
    _check_source(array)
    _check_destination("out", out)
    desc, options = _tensor_desc(array.shape, array.dtype), _options(codec, segment_bytes, threads, partial)
    written = ctypes.c_uint64()
    status = native.library().lpc_encode(
        ctypes.byref(desc),
        ctypes.byref(options),
        array.ctypes.data,
        array.nbytes,
        out.ctypes.data,
        out.nbytes,
        ctypes.byref(written),
    )
    native.check(status)
    return written.value


def encode(array: Array, codec: str = "lz4", segment_bytes: int = 0, threads: int = 0, partial: float = 1.0) -> Blob:
    """Compresses `array` into one blob: a uint8 array of one dimension. The input is not copied.

    codec: one of the library's (docs/format.md, 2.1), with a layout or without: "ans", "packed:e3+3", "bitmap:stored".
    segment_bytes: decoded bytes that a segment aims at, 0 for 1 MiB or 64 rows of at most 4 MiB; always whole rows.
    threads: 0 for one a core; the blob does not depend on it. partial: the fraction of segments that is encoded at all,
    evenly spread (Double Compression); see `partial_fraction`. CodecError for an array that the codecs do not take.
    """
    _check_source(array)
    out = np.empty(encode_bound(array.shape, array.dtype, codec, segment_bytes), dtype=np.uint8)
    out.resize(encode_into(array, out, codec, segment_bytes, threads, partial), refcheck=False)
    return out


def transcode(blob: Any, codec: str = "packed", threads: int = 0, partial: float = 1.0) -> Blob:
    """The tensor of `blob` in another codec: stored, lz4 or packed, with the same segments.

    At no time is more than one decoded segment a thread in memory. CodecError for another codec, whose tables need the
    whole tensor; FormatError for a damaged blob. The tables of packed are made for a sample of the segments.
    """
    data = _blob_bytes(blob)
    options = _options(codec, 0, threads, partial)
    size = ctypes.c_uint64()
    address = data.ctypes.data
    native.check(native.library().lpc_transcode_bound(address, data.nbytes, ctypes.byref(options), ctypes.byref(size)))
    out = np.empty(size.value, np.uint8)
    status = native.library().lpc_transcode(
        address, data.nbytes, ctypes.byref(options), out.ctypes.data, out.nbytes, ctypes.byref(size)
    )
    native.check(status)
    out.resize(size.value, refcheck=False)
    return out


def partial_fraction(bus: float, decode: float, stored_ratio: float, copy: float = 0.0) -> float:
    """The largest fraction of segments whose time is within 5 % of the shortest there is; for `encode`'s `partial`. The
    time is (reading^4 + decoding^4)^(1/4): they overlap, but not wholly where they take equally long.

    bus: bytes a second at which stored bytes are read. decode: decoded bytes a second of encoded segments, on all
    threads that decode. copy: the same of raw segments, 0 if they cost nothing. stored_ratio: stored size of an encoded
    segment in decoded bytes. CodecError for a rate that is not positive.
    """
    rates = native.Rates(ctypes.sizeof(native.Rates), 0, bus, decode, copy, stored_ratio)
    fraction = ctypes.c_double()
    native.check(native.library().lpc_partial_fraction(ctypes.byref(rates), ctypes.byref(fraction)))
    return fraction.value


def _describe(blob: Blob) -> native.BlobInfo:
    info = native.BlobInfo(struct_bytes=ctypes.sizeof(native.BlobInfo))
    native.check(native.library().lpc_describe(blob.ctypes.data, blob.nbytes, ctypes.byref(info)))
    return info


def describe(blob: Any) -> BlobInfo:
    """What the header of `blob` says; checks header and segment table, not the contents. FormatError if malformed."""
    info = _describe(_blob_bytes(blob))
    return BlobInfo(
        format_version=info.format_version,
        codec=next((each.name for each in facts.codecs().values() if each.number == info.codec), str(info.codec)),
        dtype=_DTYPE_NAMES[info.tensor.dtype],
        shape=tuple(info.tensor.shape[: info.tensor.rank]),
        decoded_bytes=info.decoded_bytes,
        blob_bytes=info.blob_bytes,
        header_bytes=info.header_bytes,
        rows=info.rows,
        row_bytes=info.row_bytes,
        rows_per_segment=info.rows_per_segment,
        segment_count=info.segment_count,
        raw_segment_count=info.raw_segment_count,
    )


def segments(blob: Any) -> Iterator[SegmentInfo]:
    """The entries of the segment table of `blob`, in order. FormatError if malformed."""
    data = _blob_bytes(blob)
    for index in range(_describe(data).segment_count):
        entry = native.SegmentInfo(struct_bytes=ctypes.sizeof(native.SegmentInfo))
        native.check(native.library().lpc_describe_segment(data.ctypes.data, data.nbytes, index, ctypes.byref(entry)))
        yield SegmentInfo(
            entry.encoding == 0, entry.offset, entry.bytes, entry.first_row, entry.row_count, entry.checksum
        )


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    try:
        return np.empty(shape, dtype)
    except (MemoryError, ValueError) as error:
        raise CodecError(f"decoded array of shape {shape}, dtype {dtype}: {error}") from error


def decode(blob: Any, threads: int = 0) -> Array:
    """The array that `blob` was made from; all checksums are verified. FormatError for a damaged blob.

    threads: 0 for one a core.
    """
    data = _blob_bytes(blob)
    info = describe(data)
    out = _empty(info.shape, info.numpy_dtype)
    decode_into(data, out, threads)
    return out


def decode_into(blob: Any, out: Array, threads: int = 0) -> None:
    """Decodes `blob` into `out`: a writable C-contiguous array of at least the decoded size, of any dtype."""
    data = _blob_bytes(blob)
    _check_destination("out", out)
    _check_count("threads", threads, 2**16)
    native.check(native.library().lpc_decode(data.ctypes.data, data.nbytes, out.ctypes.data, out.nbytes, threads))


def decode_rows(blob: Any, first: int, count: int, threads: int = 0) -> Array:
    """Rows [first, first + count) of the array, as an array of shape (count, ...); touches only their segments.

    CodecError for a range outside the array or an array of rank 0; FormatError for a damaged blob.
    """
    data = _blob_bytes(blob)
    info = describe(data)
    if not info.shape:
        raise CodecError("decode_rows: got a blob of rank 0, expected at least 1")
    if not (0 <= first <= info.rows and 0 <= count <= info.rows - first):
        raise CodecError(f"rows: got {count} from {first}, expected a range within {info.rows}")
    _check_count("threads", threads, 2**16)
    out = _empty((count, *info.shape[1:]), info.numpy_dtype)
    status = native.library().lpc_decode_rows(
        data.ctypes.data, data.nbytes, first, count, out.ctypes.data, out.nbytes, threads
    )
    native.check(status)
    return out
