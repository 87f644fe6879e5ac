"""Products with lossy weights against the product with bf16 weights: INT8, and pruned ones straight from the bitmap.

    python benchmarks/lossy_products.py --shape 4096x4096 --threads 1 2

Sides, all in turns, other matrices every time (together larger than any cache), outputs checked first:

- bf16: dense, decoded.
- int8: a scale a row, widened in registers.
- bitmap S: a fraction S of zeros, expanded in registers; bit for bit the product of the decoded weights.
- bitmap S, decoded first: into memory that is used again for every matrix, then multiplied: what the product from the
  bitmap saves.
- read: a plain read of the bf16 bytes, the ceiling.

--batch N multiplies N rows of activations at once, as a prompt does. Random weights: normal, sigma 0.02.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from edge_runtime import codec, native
from edge_runtime.bench.matrix import Floats, Matrix

SPARSITIES = (0.5, 0.7)
WARM_UP = 3
Call = Callable[[int], object]  # with the matrix of this number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", default="4096x4096", metavar="OUTxIN")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--working-set", type=int, default=384, help="MiB of bf16")
    options = parser.parse_args()
    shape = tuple(int(extent) for extent in options.shape.split("x"))
    copies = max(2, (options.working_set << 20) // (2 * shape[0] * shape[1]))
    x = np.random.default_rng(2).standard_normal((options.batch, shape[1]), np.float32)
    print(f"{options.shape}, {copies} matrices a side, batch {options.batch}, {native.implementation()}")
    matrices = sides(normal(shape), copies, x)
    print(f"{'':<28} {'threads':>7} {'bits':>6} {'us':>8} {'10 %':>8} {'90 %':>8} {'of bf16':>8}")
    for threads in options.threads:
        times = interleaved({name: call(threads) for name, (_, call) in matrices.items()}, options.samples)
        for name, values in times.items():
            low, median, high = np.quantile(values, (0.1, 0.5, 0.9)) * 1e6
            ratio = float(np.median(times["bf16"])) * 1e6 / median
            bits = matrices[name][0]
            print(f"{name:<28} {threads:>7} {bits:>6.2f} {median:>8.0f} {low:>8.0f} {high:>8.0f} {ratio:>7.2f}x")


def normal(shape: tuple[int, ...]) -> Floats:
    """A few rows, repeated: making them takes longest."""
    made = np.random.default_rng(1).standard_normal((min(shape[0], 256), shape[1]), np.float32) * np.float32(0.02)
    return np.ascontiguousarray(np.tile(made, (-(-shape[0] // len(made)), 1))[: shape[0]])


def sides(weights: Floats, copies: int, x: Floats) -> dict[str, tuple[float, Callable[[int], Call]]]:
    """Bits per weight of each side, and what makes its product with so many threads."""
    y = np.empty((len(x), len(weights)), np.float32)

    def product(all_: list[Matrix]) -> Callable[[int], Call]:
        return lambda threads: lambda i: all_[i % copies].multiply(x, threads=threads, out=y)

    dense = weights.astype(ml_dtypes.bfloat16)
    plain = [Matrix(codec.encode(dense, "stored")) for _ in range(copies)]
    found = {"bf16": (16.0, product(plain)), "int8": (8.0, product(int8(weights, copies, x)))}
    for sparsity in SPARSITIES:
        array = dense.copy()
        array[np.abs(weights) < np.quantile(np.abs(weights[:256]), sparsity)] = 0
        blob = codec.encode(array, "bitmap:stored")
        pruned = [Matrix(blob, "packed") for _ in range(copies)]
        decoded = Matrix(codec.encode(array, "stored"))
        if pruned[0].multiply(x).tobytes() != decoded.multiply(x).tobytes():
            raise SystemExit("the product from the bitmap is not that of the decoded weights")
        bits = 8 * len(blob) / array.size
        found[f"bitmap {sparsity}"] = (bits, product(pruned))
        found[f"bitmap {sparsity}, decoded first"] = (bits, decoding(pruned, decoded, array, x, y))
    found["read"] = (16.0, lambda threads: lambda i: plain[i % copies].read(threads))
    return found


def decoding(
    pruned: list[Matrix], decoded: Matrix, array: NDArray[np.generic], x: Floats, y: Floats
) -> Callable[[int], Call]:
    """Decode, then multiply from what was decoded just now: the same memory every time."""
    out = np.empty_like(array)

    def side(threads: int) -> Call:
        def call(i: int) -> None:
            pruned[i % len(pruned)].decode(out, threads)
            decoded.multiply(x, threads=threads, out=y)

        return call

    return side


def int8(weights: Floats, copies: int, x: Floats) -> list[Matrix]:
    """Symmetric, a scale a row; the first is checked against float64."""
    scales = (np.abs(weights).max(1) / 127).astype(np.float32)
    values = np.rint(weights / scales[:, None]).astype(np.int8)
    made = [Matrix(codec.encode(values, "stored")) for _ in range(copies)]
    for each in made:
        each.set_scales(scales)
    w = values[:64].astype(np.float64) * scales[:64, None]
    wide = x.astype(np.float64)
    bound = 2.0**-24 * (x.shape[1] + 17) * (np.abs(wide) @ np.abs(w).T)
    if (np.abs(made[0].multiply(x)[:, :64] - wide @ w.T) > bound).any():
        raise SystemExit("the int8 product differs from float64 by more than rounding can explain")
    return made


def interleaved(calls: dict[str, Call], samples: int) -> dict[str, NDArray[np.float64]]:
    """Seconds of every sample of each side; who begins changes from round to round."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for number in range(WARM_UP + samples):
        for turn in range(len(names)):
            name = names[(turn + number) % len(names)]
            begin = time.perf_counter()
            calls[name](number)
            if number >= WARM_UP:
                times[name].append(time.perf_counter() - begin)
    return {name: np.array(values) for name, values in times.items()}


if __name__ == "__main__":
    main()
