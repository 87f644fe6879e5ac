"""What the native library says of itself: its codecs and their layouts, the counters of a session, and memory.

Asked once, when it is first needed. RuntimeUnavailableError without the library.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping
from dataclasses import dataclass, fields

from edge_runtime import native

_BF16 = 1  # lpc_dtype


@dataclass(frozen=True)
class Layout:
    """One of the ways in which a codec encodes; `number` is what blobs and options call it."""

    name: str
    number: int
    is_multiplied: bool  # products are computed from bf16 matrices as they are stored


@dataclass(frozen=True)
class Codec:
    """A codec of the library; `number` is what blobs and options call it."""

    name: str
    number: int
    dtypes: frozenset[int]  # numbers of the dtypes that it encodes; of any other one every segment stays raw
    layouts: Mapping[str, Layout]  # by name; none where it has no choice
    is_multiplied: bool  # as of a layout, in the one that the codec chooses itself
    is_transcode_target: bool  # `codec.transcode` encodes in it
    is_sparse: bool  # made for weights of which many are 0
    assumed_decode_bytes_per_s: int  # decoded, one core: a cautious guess where nobody measured


@dataclass(frozen=True)
class Counter:
    """A counter of a session. `is_sum`: it grows with what is done; else it tells how things are now."""

    name: str
    unit: str
    is_sum: bool


@dataclass(frozen=True)
class MemoryFigures:
    """What running takes beside weights and texts, and what is kept free for others, in bytes unless the name says
    otherwise; lpc_memory_figures in lpc.h, docs/boards.md."""

    part_bytes: int
    part_padding_bytes: int
    least_ring_parts: int
    read_buffer_bytes: int
    read_ahead_threads: int
    row_segment_bytes: int
    text_bytes: int
    process_bytes: int
    reserve_bytes: int


@functools.cache
def memory_figures() -> MemoryFigures:
    """The numbers that plans and budgets go by."""
    answer = native.MemoryFigures(struct_bytes=ctypes.sizeof(native.MemoryFigures))
    native.check(native.library().lpc_get_memory_figures(ctypes.byref(answer)))
    return MemoryFigures(**{field.name: getattr(answer, field.name) for field in fields(MemoryFigures)})


def transcoded_bytes_bound(rows: int, columns: int, stored: int) -> int:
    """What a bf16 matrix takes, at most, in the packed layout of any machine; `stored` is what it takes in the file.

    CodecError for a shape that no weight can have.
    """
    bound = ctypes.c_uint64()
    matrix = native.TensorDesc(_BF16, 2, (ctypes.c_uint64 * native.MAX_RANK)(rows, columns))
    native.check(native.library().lpc_transcoded_bytes_bound(ctypes.byref(matrix), stored, ctypes.byref(bound)))
    return bound.value


@functools.cache
def codecs() -> Mapping[str, Codec]:
    """The codecs of the library by name, in its order."""
    found = {}
    for info in native.listed(native.library().lpc_describe_codec, native.CodecInfo):
        name = info.name.decode()
        found[name] = Codec(
            name=name,
            number=info.codec,
            dtypes=frozenset(bit for bit in range(32) if info.dtypes >> bit & 1),
            layouts=_layouts(info.codec),
            is_multiplied=bool(info.is_multiplied),
            is_transcode_target=bool(info.is_transcode_target),
            is_sparse=bool(info.is_sparse),
            assumed_decode_bytes_per_s=info.assumed_decode_bytes_per_s,
        )
    return found


def _layouts(codec: int) -> Mapping[str, Layout]:
    describe = functools.partial(native.library().lpc_describe_layout, codec)
    return {
        info.name.decode(): Layout(info.name.decode(), info.layout, bool(info.is_multiplied))
        for info in native.listed(describe, native.LayoutInfo)
    }


def is_multiplied(codec: str) -> bool:
    """Whether products are computed from the codec of this name as it is stored; not from one that is unknown."""
    return codec in codecs() and codecs()[codec].is_multiplied


def packed_layouts() -> Mapping[str, Layout]:
    """The layouts that weights in memory can be transcoded to: those of codec packed."""
    return codecs()["packed"].layouts


def codec_choices() -> tuple[str, ...]:
    """The codecs, and behind its codec each layout without which products could not be computed as it is stored."""
    return tuple(
        name
        for codec in codecs().values()
        for name in (codec.name, *(f"{codec.name}:{x.name}" for x in _only_multiplied(codec)))
    )


def _only_multiplied(codec: Codec) -> list[Layout]:
    return [] if codec.is_multiplied else [layout for layout in codec.layouts.values() if layout.is_multiplied]


@functools.cache
def counters() -> tuple[Counter, ...]:
    """The counters of a session, in the order of the fields of lpc_session_stats."""
    return tuple(
        Counter(info.name.decode(), info.unit.decode(), info.kind == native.COUNTER_SUM)
        for info in native.listed(native.library().lpc_describe_counter, native.CounterInfo)
    )
