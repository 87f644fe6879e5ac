"""Interleaved timing of products with packed and with plain bf16 weights."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import ml_dtypes
import numpy as np
import numpy.typing as npt

from edge_runtime import codec, native
from edge_runtime.bench.matrix import Floats, Matrices, Matrix
from edge_runtime.errors import CodecError
from edge_runtime.facts import packed_layouts
from edge_runtime.io.sheet import Column, Sheet, Table
from edge_runtime.io.terminal import ROUNDS, Progress

SAMPLE_BYTES = 64 << 20  # of bf16 that one sample goes through, at least
TILE_BYTES = 256 << 10  # decoded
WARM_UP = 3


@dataclass(frozen=True, kw_only=True)
class Row:
    """One shape in one layout. Speedups are ratios of the packed side's rates to bf16's; rates in GB/s.

    `packed_seconds` and `bf16_seconds` are those of each sample, a matrix.
    """

    shape: str
    layout: str
    impl: str
    threads: int
    batch: int
    bits_per_weight: float
    speedup_median: float
    speedup_p90: float
    bf16_fraction_of_read_ceiling: float
    bf16_gb_per_s: float
    read_gb_per_s: float
    samples: int
    packed_seconds: tuple[float, ...]
    bf16_seconds: tuple[float, ...]
    decode_tile_gb_per_s: float
    decode_over_memcpy: float


@dataclass(frozen=True)
class _Decoding:
    """Rate of decoding a cached tile in GB/s, and the share of memcpy's rate from DRAM to DRAM."""

    tile_gb_per_s: float
    over_memcpy: float


def check_layouts(layouts: Sequence[str]) -> None:
    """CodecError for a name that is no layout of codec packed."""
    for layout in layouts:
        if layout not in packed_layouts():
            raise CodecError(f"layout: got {layout!r}, expected one of {', '.join(packed_layouts())}")


def _weights(shape: tuple[int, int]) -> npt.NDArray[np.generic]:
    """normal(0, 0.02) in bf16; every few rows are made once and repeated, as making them takes longest."""
    rows, columns = shape
    made = np.random.default_rng(1).standard_normal((min(rows, 256), columns), np.float32) * np.float32(0.02)
    whole = np.tile(made.astype(ml_dtypes.bfloat16), (-(-rows // len(made)), 1))
    return np.ascontiguousarray(whole[:rows])


def _check(bf16: Matrix, packed: Matrix, weights: npt.NDArray[np.generic], x: Floats) -> None:
    y = packed.multiply(x)
    if y.tobytes() != bf16.multiply(x).tobytes():
        raise CodecError("packed product differs from that of the decoded weights")
    expected = x.astype(np.float64) @ weights[:64].astype(np.float64).T
    bound = 2.0**-24 * (x.shape[1] + 16) * (np.abs(x) @ np.abs(weights[:64].astype(np.float64)).T)
    if (np.abs(y[:, :64] - expected) > bound).any():
        raise CodecError("product differs from float64 by more than rounding can explain")


def _sampler(matrices: list[Matrix], each: int, run: Callable[[Matrices], object]) -> Callable[[int], float]:
    """A function that times sample number i: `each` of the matrices, other ones every time; gives seconds a matrix."""

    def sample(number: int) -> float:
        chosen = Matrices([matrices[(number * each + i) % len(matrices)] for i in range(each)])
        begin = time.perf_counter()
        run(chosen)
        return (time.perf_counter() - begin) / each

    return sample


def _interleave(
    sides: dict[str, Callable[[int], float]], warm_up: int, samples: int, advance: Callable[[int], None]
) -> dict[str, npt.NDArray[np.float64]]:
    """Seconds of each sample of each side; the order of the sides changes from round to round."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(warm_up + samples):
        for turn in range(len(names)):
            name = names[(turn + number) % len(names)]
            seconds = sides[name](number)
            if number >= warm_up:
                times[name].append(seconds)
        advance(1)
    return {name: np.array(values) for name, values in times.items()}


def measure(
    shape: tuple[int, int],
    layouts: Sequence[str],
    threads: Sequence[int],
    batch: int,
    samples: int,
    working_set: int,
) -> list[Row]:
    """A row for each layout and number of threads; `working_set` bytes of bf16 for the plain side."""
    weights = _weights(shape)
    copies = max(2, -(-working_set // weights.nbytes))
    x = np.asarray(np.random.default_rng(2).standard_normal((batch, shape[1])), np.float32)
    blobs = {layout: codec.encode(weights, f"packed:{layout}") for layout in layouts}
    plain = codec.encode(weights, "stored")
    matrices = {"bf16": [Matrix(plain) for _ in range(copies)]}
    for layout in layouts:
        print(f"{shape[0]}x{shape[1]} {layout}: {copies} matrices", file=sys.stderr)
        matrices[layout] = [Matrix(blobs[layout], "packed") for _ in range(copies)]
        _check(matrices["bf16"][0], matrices[layout][0], weights, x)
    each = max(1, SAMPLE_BYTES // weights.nbytes)
    decoding = {layout: _decoding(weights, matrices[layout], matrices["bf16"], layout) for layout in layouts}
    warm_up = max(WARM_UP, -(-copies // each))  # each matrix once, as a model's weights are read once a token
    rows: list[Row] = []
    for count in threads:
        sides = _sides(matrices, x, shape[0], count, each)
        with Progress(f"{count} threads", warm_up + samples, unit=ROUNDS, lines=False) as progress:
            times = _interleave(sides, warm_up, samples, progress.advance)
        for layout in layouts:
            bits = len(blobs[layout]) * 8 / weights.size
            case = _Case(f"{shape[0]}x{shape[1]}", layout, count, batch, round(bits, 3))
            rows.append(_row(case, times, weights.nbytes, decoding[layout]))
    return rows


def _decoding(weights: npt.NDArray[np.generic], packed: list[Matrix], plain: list[Matrix], layout: str) -> _Decoding:
    """Decoding to memory: the best rate from and to a cached tile on one thread, and the share of memcpy's from DRAM.

    The latter with two threads, matrix after matrix, in turns with a copy.
    """
    tile = np.ascontiguousarray(weights[: max(1, TILE_BYTES // weights[0].nbytes)])
    cached = Matrix(codec.encode(tile, f"packed:{layout}"), "packed")
    out = cached.decode(threads=1)
    seconds = min(_timed(partial(cached.decode, out, 1)) for _ in range(500))
    outs = [np.empty_like(weights), np.empty_like(weights)]
    ratios = []
    for i in range(WARM_UP + 20):
        decode = _timed(partial(packed[i % len(packed)].decode, outs[0], 2))
        copy = _timed(partial(plain[i % len(plain)].decode, outs[1], 2))
        ratios.append(copy / decode)
    return _Decoding(round(tile.nbytes / seconds * 1e-9, 1), round(float(np.median(ratios[WARM_UP:])), 3))


def _timed(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _sides(
    matrices: dict[str, list[Matrix]], x: Floats, outputs: int, threads: int, each: int
) -> dict[str, Callable[[int], float]]:
    y = np.empty((each, len(x), outputs), np.float32)
    sides = {name: _sampler(all_, each, lambda some: some.multiply(x, threads, y)) for name, all_ in matrices.items()}
    # Never the matrices that the product of the same round takes: part of them would still be in the last-level cache.
    plain = matrices["bf16"]
    others = [*plain[len(plain) // 2 :], *plain[: len(plain) // 2]]
    sides["read"] = _sampler(others, each, lambda some: some.read(threads))
    return sides


@dataclass(frozen=True)
class _Case:
    """What a row is of."""

    shape: str
    layout: str
    threads: int
    batch: int
    bits_per_weight: float


def _row(case: _Case, times: dict[str, npt.NDArray[np.float64]], plain_bytes: int, decoding: _Decoding) -> Row:
    median = {name: float(np.median(values)) for name, values in times.items()}
    fast = {name: float(np.quantile(values, 0.1)) for name, values in times.items()}  # 90 % of the rates are below
    packed = times[case.layout]
    return Row(
        shape=case.shape,
        layout=case.layout,
        impl=native.implementation(),
        threads=case.threads,
        batch=case.batch,
        bits_per_weight=case.bits_per_weight,
        speedup_median=round(median["bf16"] / median[case.layout], 3),
        speedup_p90=round(fast["bf16"] / fast[case.layout], 3),
        bf16_fraction_of_read_ceiling=round(median["read"] / median["bf16"], 3),
        bf16_gb_per_s=round(plain_bytes / median["bf16"] * 1e-9, 2),
        read_gb_per_s=round(plain_bytes / median["read"] * 1e-9, 2),
        samples=len(packed),
        packed_seconds=tuple(float(f"{value:.4g}") for value in packed),
        bf16_seconds=tuple(float(f"{value:.4g}") for value in times["bf16"]),
        decode_tile_gb_per_s=decoding.tile_gb_per_s,
        decode_over_memcpy=decoding.over_memcpy,
    )


def sheet(rows: Sequence[Row]) -> Sheet:
    """For people: one line a row."""
    heads = ["shape", "layout", "impl", "threads", "bits_per_weight", "speedup_median", "speedup_p90"]
    heads += ["bf16_fraction_of_read_ceiling", "bf16_gb_per_s", "read_gb_per_s", "decode_tile_gb_per_s"]
    heads += ["decode_over_memcpy", "samples"]
    short = {"bf16_fraction_of_read_ceiling": "bf16/read", "bits_per_weight": "bits", "threads": "thr"}
    short |= {"decode_tile_gb_per_s": "decode_gb_per_s", "decode_over_memcpy": "decode/memcpy"}
    columns = [Column(short.get(head, head), right=True) for head in heads]
    return Sheet([Table(columns, [[str(getattr(row, head)) for head in heads] for row in rows])])
