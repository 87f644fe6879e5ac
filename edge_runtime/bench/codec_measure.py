"""Sizes and speeds of codecs: every round times each of them and a memcpy, one after another."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from edge_runtime import codec, facts, native
from edge_runtime.bench.codec_peers import Bytes, Peer
from edge_runtime.bench.codec_sources import Source, bitmap_bound, order_0_bound
from edge_runtime.errors import CodecError
from edge_runtime.io.terminal import ROUNDS, Progress
from edge_runtime.io.typed_json import KEPT

_COPY = "memcpy"
BUSES_GB_PER_S = (1, 2, 4)


@dataclass
class Side:
    """One codec on one source: what it made, how to time it, and the seconds measured."""

    name: str
    threads: int
    encode: Callable[[], int]  # returns the stored bytes
    decode: Callable[[], None]
    impl: str = ""
    stored: int = 0
    encode_seconds: list[float] = field(default_factory=list)
    decode_seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One codec on one source. Rates are medians, in GB/s of decoded bytes, beside those of a memcpy.

    `ratio_to_bound` is None where the bound is 0 bits. `bitmap_bound_bits_per_weight` is of codec bitmap alone;
    `predicted_decode_gb_per_s` and `fraction_for_bus` (by GB/s of the bus) follow from the codec whole and at "@0".
    """

    source: str
    codec: str
    impl: str
    threads: int
    bits_per_weight: float
    bound_bits_per_weight: float
    ratio_to_bound: Annotated[float | None, KEPT] = None
    ratio: float
    encode_gb_per_s: float
    decode_gb_per_s: float
    memcpy_gb_per_s: float
    decode_seconds: tuple[float, ...]
    memcpy_seconds: tuple[float, ...]
    bitmap_bound_bits_per_weight: float | None = None
    predicted_decode_gb_per_s: float | None = None
    fraction_for_bus: Mapping[str, float] = field(default_factory=dict)


def measure(
    source: Source, codecs: list[str], threads: int, peers: list[Peer], samples: int, encodes: int = 2
) -> list[Row]:
    """Rows of `lpc-bench codec` for one source; CodecError if anything comes back changed.

    A codec may end in "@" and the fraction of its segments that is encoded, such as "ans@0.25".
    """
    sides = [_ours(source, name, threads) for name in codecs]
    sides += [_theirs(source, peer) for peer in peers]
    copy = _copy(source, threads)
    with Progress(f"{source.name}, {threads} threads", encodes + samples, unit=ROUNDS, lines=False) as progress:
        for _ in range(encodes):
            for side in sides:
                side.encode_seconds.append(_timed(side.encode))
            progress.advance(1)
        for side in sides:
            side.decode()
        for _ in range(samples):
            for side in [copy, *sides]:
                side.decode_seconds.append(_timed(side.decode))
            progress.advance(1)
    bound = sum(order_0_bound(tensor) * tensor.size for tensor in source.tensors) / source.elements
    bitmap = sum(bitmap_bound(tensor) * tensor.size for tensor in source.tensors) / source.elements
    rows = [_row(source, side, copy, bound, bitmap) for side in sides]
    by_name = {row.codec: row for row in rows}
    return [_with_prediction(row, by_name) for row in rows]


def _with_prediction(row: Row, by_name: Mapping[str, Row]) -> Row:
    """Add what the rates of a codec whole and at fraction 0 say about it in between, and its fractions for a bus."""
    base, _, fraction = row.codec.partition("@")
    whole, raw = by_name.get(base), by_name.get(f"{base}@0")
    if whole is None or raw is None:
        return row
    share, decode, copy = float(fraction or 1), whole.decode_gb_per_s, raw.decode_gb_per_s
    predicted = replace(row, predicted_decode_gb_per_s=1 / (share / decode + (1 - share) / copy))
    if row is not whole:
        return predicted
    buses = {str(bus): codec.partial_fraction(bus, decode, whole.ratio, copy) for bus in BUSES_GB_PER_S}
    return replace(predicted, fraction_for_bus=buses)


def _timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _row(source: Source, side: Side, copy: Side, bound: float, bitmap: float) -> Row:
    def rate(seconds: list[float]) -> float:
        return source.nbytes / statistics.median(seconds) / 1e9

    bits = 8 * side.stored / source.elements
    known = facts.codecs().get(side.name.partition("@")[0].partition(":")[0])
    return Row(
        source=source.name,
        codec=side.name,
        impl=side.impl,
        threads=side.threads,
        bits_per_weight=bits,
        bound_bits_per_weight=bound,
        ratio_to_bound=bits / bound if bound else None,
        ratio=side.stored / source.nbytes,
        encode_gb_per_s=rate(side.encode_seconds),
        decode_gb_per_s=rate(side.decode_seconds),
        memcpy_gb_per_s=rate(copy.decode_seconds),
        decode_seconds=tuple(side.decode_seconds),
        memcpy_seconds=tuple(copy.decode_seconds),
        bitmap_bound_bits_per_weight=bitmap if known is not None and known.is_sparse else None,
    )


def _flat(tensor: npt.NDArray[Any]) -> Bytes:
    return np.ascontiguousarray(tensor).reshape(-1).view(np.uint8)


def _check(name: str, tensor: npt.NDArray[Any], back: Bytes) -> None:
    if not np.array_equal(_flat(tensor), back):
        raise CodecError(f"{name}: the decoded bytes differ from the source")


def _ours(source: Source, name: str, threads: int) -> Side:
    base, _, fraction = name.partition("@")
    partial = float(fraction) if fraction else 1.0
    buffers = [np.empty(codec.encode_bound(t.shape, t.dtype, base), np.uint8) for t in source.tensors]
    outputs = [np.zeros(t.nbytes, np.uint8) for t in source.tensors]
    blobs: list[Bytes] = []

    def encode() -> int:
        sizes = [
            codec.encode_into(tensor, buffer, base, 0, threads, partial)
            for tensor, buffer in zip(source.tensors, buffers, strict=True)
        ]
        blobs[:] = [buffer[:size] for buffer, size in zip(buffers, sizes, strict=True)]
        return sum(sizes)

    def decode() -> None:
        for blob, output in zip(blobs, outputs, strict=True):
            codec.decode_into(blob, output, threads)

    side = Side(name, threads, encode, decode, native.implementation(), encode())
    decode()
    for tensor, output in zip(source.tensors, outputs, strict=True):
        _check(name, tensor, output)
    return side


def _theirs(source: Source, peer: Peer) -> Side:
    flats = [_flat(tensor) for tensor in source.tensors]
    made: list[Any] = []

    def encode() -> int:
        made[:] = [peer.compress(flat) for flat in flats]
        return sum(len(one) for one in made)

    def decode() -> None:
        for one in made:
            peer.restore(one)

    side = Side(peer.name, 1, encode, decode, "", encode())
    for tensor, one in zip(source.tensors, made, strict=True):
        _check(peer.name, tensor, np.frombuffer(peer.restore(one), np.uint8))
    return side


def _copy(source: Source, threads: int) -> Side:
    """memcpy of the source's bytes, each thread a part of each tensor."""
    pairs = [(_flat(tensor), np.zeros(tensor.nbytes, np.uint8)) for tensor in source.tensors]
    pool = ThreadPoolExecutor(threads)

    def part(index: int) -> None:
        for source_bytes, output in pairs:
            step = -(-len(output) // threads)
            np.copyto(output[index * step : (index + 1) * step], source_bytes[index * step : (index + 1) * step])

    def copy() -> None:
        if threads == 1:
            part(0)
        else:
            list(pool.map(part, range(threads)))

    copy()
    return Side(_COPY, threads, lambda: source.nbytes, copy)
