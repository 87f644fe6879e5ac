"""liblpc.so through ctypes: finding it, its structures, and its status codes as exceptions.

Every call releases the GIL. Nothing here knows numpy: callers pass addresses and sizes in bytes.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import re
from collections.abc import Callable, Iterator
from ctypes import POINTER, c_char_p, c_double, c_int, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import TypeVar

from edge_runtime.errors import CodecError, FormatError, LpcError, RuntimeUnavailableError

_Info = TypeVar("_Info", bound=ctypes.Structure)

API_VERSION = 1
LIBRARY_NAME = "liblpc.so"
DISTRIBUTION = "lpc-edge-runtime"
MAX_RANK = 4
PARTIAL_WHOLE = 1024

COUNTER_SUM = 0
"""lpc_counter_kind."""

LPC_OK = 0
LPC_UNSUPPORTED = 20
LPC_NOT_FOUND = 41

_EXCEPTIONS: dict[int, type[LpcError]] = {
    10: CodecError,  # LPC_INVALID_ARGUMENT
    11: CodecError,  # LPC_BUFFER_TOO_SMALL
    20: CodecError,  # LPC_UNSUPPORTED
    30: FormatError,  # LPC_FORMAT_ERROR
    31: FormatError,  # LPC_CHECKSUM_MISMATCH
}

# "segment[3] (offset 4096): bias (offset 0): got ..." or only the second half; an inner offset counts from the outer.
_PLACE = re.compile(r"(?:(segment\[\d+\]) \(offset (\d+)\): )?([\w.\[\] ]+) \(offset (\d+)\): ")


class TensorDesc(ctypes.Structure):
    """lpc_tensor_desc."""

    _fields_ = [("dtype", c_uint32), ("rank", c_uint32), ("shape", c_uint64 * MAX_RANK)]


class EncodeOptions(ctypes.Structure):
    """lpc_encode_options."""

    _fields_ = [
        ("struct_bytes", c_uint32),
        ("codec", c_uint32),
        ("segment_bytes", c_uint64),
        ("threads", c_uint32),
        ("layout", c_uint32),
        ("raw_parts", c_uint32),
        ("reserved", c_uint32),
    ]


class Rates(ctypes.Structure):
    """lpc_rates."""

    _fields_ = [
        ("struct_bytes", c_uint32),
        ("reserved", c_uint32),
        ("bus", c_double),
        ("decode", c_double),
        ("copy", c_double),
        ("stored_ratio", c_double),
    ]


class BlobInfo(ctypes.Structure):
    """lpc_blob_info."""

    _fields_ = [
        ("struct_bytes", c_uint32),
        ("format_version", c_uint32),
        ("codec", c_uint32),
        ("reserved", c_uint32),
        ("tensor", TensorDesc),
        ("decoded_bytes", c_uint64),
        ("blob_bytes", c_uint64),
        ("header_bytes", c_uint64),
        ("rows", c_uint64),
        ("row_bytes", c_uint64),
        ("rows_per_segment", c_uint64),
        ("segment_count", c_uint64),
        ("raw_segment_count", c_uint64),
    ]


class SegmentInfo(ctypes.Structure):
    """lpc_segment_info."""

    _fields_ = [
        ("struct_bytes", c_uint32),
        ("encoding", c_uint32),
        ("offset", c_uint64),
        ("bytes", c_uint64),
        ("first_row", c_uint64),
        ("row_count", c_uint64),
        ("checksum", c_uint64),
    ]


class CodecInfo(ctypes.Structure):
    """lpc_codec_info."""

    _fields_ = [
        ("struct_bytes", c_uint32),
        ("codec", c_uint32),
        ("name", c_char_p),
        ("dtypes", c_uint32),
        ("layout_count", c_uint32),
        ("is_multiplied", c_uint32),
        ("is_transcode_target", c_uint32),
        ("is_sparse", c_uint32),
        ("reserved", c_uint32),
        ("assumed_decode_bytes_per_s", c_uint64),
    ]


class LayoutInfo(ctypes.Structure):
    """lpc_layout_info."""

    _fields_ = [
        ("struct_bytes", c_uint32),
        ("layout", c_uint32),
        ("name", c_char_p),
        ("is_multiplied", c_uint32),
        ("reserved", c_uint32),
    ]


class CounterInfo(ctypes.Structure):
    """lpc_counter_info."""

    _fields_ = [("struct_bytes", c_uint32), ("kind", c_uint32), ("name", c_char_p), ("unit", c_char_p)]


class OptionInfo(ctypes.Structure):
    """lpc_option_info."""

    _fields_ = [
        ("struct_bytes", c_uint32),
        ("reserved", c_uint32),
        ("name", c_char_p),
        ("values", c_char_p),
        ("default_value", c_char_p),
        ("meaning", c_char_p),
    ]


class MemoryFigures(ctypes.Structure):
    """lpc_memory_figures."""

    _fields_ = [
        ("struct_bytes", c_uint32),
        ("reserved", c_uint32),
        ("part_bytes", c_uint64),
        ("part_padding_bytes", c_uint64),
        ("least_ring_parts", c_uint64),
        ("read_buffer_bytes", c_uint64),
        ("read_ahead_threads", c_uint64),
        ("row_segment_bytes", c_uint64),
        ("text_bytes", c_uint64),
        ("process_bytes", c_uint64),
        ("reserve_bytes", c_uint64),
    ]


_PROTOTYPES = {
    "lpc_version": (c_char_p, []),
    "lpc_api_version": (c_uint32, []),
    "lpc_status_name": (c_char_p, [c_int]),
    "lpc_last_error": (c_char_p, []),
    "lpc_implementation": (c_int, [POINTER(c_char_p)]),
    "lpc_implementations": (c_char_p, []),
    "lpc_fastest_packed_layout": (c_int, [POINTER(c_uint32)]),
    "lpc_describe_codec": (c_int, [c_uint32, POINTER(CodecInfo)]),
    "lpc_describe_layout": (c_int, [c_uint32, c_uint32, POINTER(LayoutInfo)]),
    "lpc_describe_counter": (c_int, [c_uint32, POINTER(CounterInfo)]),
    "lpc_get_memory_figures": (c_int, [POINTER(MemoryFigures)]),
    "lpc_transcoded_bytes_bound": (c_int, [POINTER(TensorDesc), c_uint64, POINTER(c_uint64)]),
    "lpc_encode_bound": (c_int, [POINTER(TensorDesc), POINTER(EncodeOptions), POINTER(c_uint64)]),
    "lpc_encode": (
        c_int,
        [
            POINTER(TensorDesc),
            POINTER(EncodeOptions),
            c_void_p,
            c_uint64,
            c_void_p,
            c_uint64,
            POINTER(c_uint64),
        ],
    ),
    "lpc_transcode_bound": (c_int, [c_void_p, c_uint64, POINTER(EncodeOptions), POINTER(c_uint64)]),
    "lpc_transcode": (
        c_int,
        [c_void_p, c_uint64, POINTER(EncodeOptions), c_void_p, c_uint64, POINTER(c_uint64)],
    ),
    "lpc_partial_fraction": (c_int, [POINTER(Rates), POINTER(c_double)]),
    "lpc_describe": (c_int, [c_void_p, c_uint64, POINTER(BlobInfo)]),
    "lpc_describe_segment": (c_int, [c_void_p, c_uint64, c_uint64, POINTER(SegmentInfo)]),
    "lpc_decode": (c_int, [c_void_p, c_uint64, c_void_p, c_uint64, c_uint32]),
    "lpc_decode_rows": (c_int, [c_void_p, c_uint64, c_uint64, c_uint64, c_void_p, c_uint64, c_uint32]),
    "lpc_matrix_create": (c_int, [c_void_p, c_uint64, c_uint32, c_uint32, POINTER(c_void_p)]),
    "lpc_matrix_set_scales": (c_int, [c_void_p, c_uint64, c_void_p, c_uint64]),
    "lpc_matrix_free": (None, [c_void_p]),
    "lpc_matrix_multiply": (
        c_int,
        [c_void_p, c_uint32, c_uint64, c_void_p, c_uint64, c_void_p, c_uint64, c_uint32],
    ),
    "lpc_matrix_multiply_each": (
        c_int,
        [POINTER(c_void_p), c_uint64, c_uint32, c_uint64, c_void_p, c_uint64, c_void_p, c_uint64, c_uint32],
    ),
    "lpc_matrix_decode": (c_int, [c_void_p, c_void_p, c_uint64, c_uint32]),
    "lpc_matrix_read_each": (c_int, [POINTER(c_void_p), c_uint64, c_uint32, POINTER(c_uint64)]),
}


def _candidates() -> Iterator[Path]:
    """Places to look, in order; $LPC_LIBRARY, if set, is the only one."""
    chosen = os.environ.get("LPC_LIBRARY")
    if chosen:
        yield Path(chosen)
        return
    yield Path(__file__).parent / "lib" / LIBRARY_NAME
    import importlib.metadata  # takes as long as all else that `--help` needs of the library

    try:
        distribution = importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return
    yield Path(str(distribution.locate_file(f"edge_runtime/lib/{LIBRARY_NAME}")))


def library_path() -> Path:
    """Absolute path of liblpc.so; RuntimeUnavailableError, naming the places looked at, if there is none."""
    looked = []
    for path in _candidates():
        if path.is_file():
            return path.resolve()
        looked.append(path)
    raise RuntimeUnavailableError(
        f"{LIBRARY_NAME} not found: looked at {', '.join(map(str, looked))}; "
        f"install the package, or set LPC_LIBRARY to the library's path"
    )


@functools.cache
def library() -> ctypes.CDLL:
    """The loaded library with argument types set; RuntimeUnavailableError if missing or of another API version."""
    path = library_path()
    try:
        loaded = ctypes.CDLL(str(path))
        loaded.lpc_api_version.restype = c_uint32
        version = loaded.lpc_api_version()
        if version != API_VERSION:
            raise RuntimeUnavailableError(f"{path}: API version: got {version}, expected {API_VERSION}")
        for name, (result, arguments) in _PROTOTYPES.items():
            function = getattr(loaded, name)
            function.restype = result
            function.argtypes = arguments
    except (OSError, AttributeError) as error:
        raise RuntimeUnavailableError(f"{path}: cannot be used: {error}") from error
    return loaded


def check(status: int) -> None:
    """Raises the exception that belongs to a status of this thread's last call; nothing for LPC_OK."""
    if status == LPC_OK:
        return
    detail = library().lpc_last_error().decode("utf-8", "replace")
    message = f"{detail} [{library().lpc_status_name(status).decode()}]"
    kind = _EXCEPTIONS.get(status, LpcError)
    place = _PLACE.match(detail)
    if kind is not FormatError or place is None:
        raise kind(message)
    segment, start, field, offset = place.groups()
    raise FormatError(message, field=f"{segment}.{field}" if segment else field, offset=int(start or 0) + int(offset))


def version() -> str:
    """Version of the library, such as "0.1.0"."""
    return str(library().lpc_version().decode())


def implementation() -> str:
    """Name of the SIMD implementation in use; CodecError if LPC_FORCE_IMPL names none that can run here."""
    name = c_char_p()
    check(library().lpc_implementation(ctypes.byref(name)))
    return (name.value or b"").decode()


def implementations() -> list[str]:
    """Names of the SIMD implementations that this machine can run, slowest first."""
    return str(library().lpc_implementations().decode()).split(",")


def fastest_packed_layout() -> int:
    """The lpc_packed_layout that this machine computes products from quickest; CodecError as `implementation`."""
    layout = c_uint32()
    check(library().lpc_fastest_packed_layout(ctypes.byref(layout)))
    return layout.value


def listed(describe: Callable[..., int], info: type[_Info]) -> Iterator[_Info]:
    """The entries of a list of the library; `describe` takes an index and one of its structures."""
    for index in itertools.count():
        entry = info(struct_bytes=ctypes.sizeof(info))
        status = describe(index, ctypes.byref(entry))
        if status == LPC_NOT_FOUND:
            return
        check(status)
        yield entry


@functools.cache
def _stats_type(count: int) -> type[ctypes.Structure]:
    fields = [("struct_bytes", c_uint32), ("reserved", c_uint32), ("values", c_uint64 * count)]
    return type("SessionStats", (ctypes.Structure,), {"__doc__": "lpc_session_stats.", "_fields_": fields})


def session_counters(session_id: str, count: int) -> list[int]:
    """The first `count` counters of one session (all of them, or those of an older lpc.h); LpcError if there is none of
    this name."""
    kind = _stats_type(count)
    get = library().lpc_get_session_stats
    get.restype, get.argtypes = c_int, [c_char_p, c_void_p]
    stats = kind(struct_bytes=ctypes.sizeof(kind))
    check(get(session_id.encode(), ctypes.byref(stats)))
    return list(stats.values)


def session_residence(session_id: str) -> str:
    """Where the layers of a session's weights live, such as "1-5:transcoded,6-23:streamed"; "" before its first run.

    LpcError if the session is unknown.
    """
    get = library().lpc_get_session_residence
    get.restype, get.argtypes = c_int, [c_char_p, c_char_p, c_uint64, POINTER(c_uint64)]
    size = c_uint64()
    check(get(session_id.encode(), None, 0, ctypes.byref(size)))
    text = ctypes.create_string_buffer(size.value)
    check(get(session_id.encode(), text, size, ctypes.byref(size)))
    return text.value.decode()


def provider_options() -> Iterator[OptionInfo]:
    """Give every option of the execution provider, in the order of its documentation."""
    get = library().lpc_describe_option
    get.restype, get.argtypes = c_int, [c_uint32, POINTER(OptionInfo)]
    return listed(get, OptionInfo)


def cancel_run(run_id: str) -> bool:
    """Let the run of this name (entry "lpc.run_id" of its RunOptions) stop waiting for weights. False: none runs."""
    cancel = library().lpc_cancel_run
    cancel.restype, cancel.argtypes = c_int, [c_char_p]
    status = int(cancel(run_id.encode()))
    if status != LPC_NOT_FOUND:
        check(status)
    return status == LPC_OK
