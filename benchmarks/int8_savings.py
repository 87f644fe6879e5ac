"""What codecs save of INT8 weights, by distribution and granularity, beside the entropy; and what scaling adds.

    python benchmarks/int8_savings.py
    python benchmarks/int8_savings.py --sample ../samples/rwkv_eng_8M.bf16     weights of a trained model, raw BF16
    python benchmarks/int8_savings.py --model llama-2-13b                      only that model's shapes

Every blob is decoded and compared first. Savings are of the INT8 bytes; scales are not counted, they are the same with
every codec. The entropy is that of single integers of a tensor: no coder of single symbols does better.

The second table: bits a weight under `ans` with compression-aware scaling off and on, at the same expected error of the
product, for inputs whose channels have unequal sizes (their root mean squares are log-normal, `sd` being the standard
deviation of the natural logarithm), beside what reverse water-filling says is possible; and 16 bits over the last.

With --model: the bytes of a whole model's shapes, random weights, INT8 by row. Each shape is encoded once and counted
as often as the model has it. Scales are counted; scaling as above, at the error that INT8 by row has without it.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from savings import MODELS, draw

from edge_runtime import codec
from exporters.graphs.interface import NormFold, Site
from exporters.transforms import scale
from exporters.transforms.calibrate import Activations
from exporters.transforms.quantize import ROW, counts, entropy_bits, group_of, integers, largest, scales_of

GRANULARITIES = ("tensor", "row", "group:128", "group:32")
CODECS = ("lz4", "ans")
SHAPE = (2048, 4096)
Floats = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=Path, action="append", default=[], help="raw BF16 weights")
    parser.add_argument("--model", choices=sorted(MODELS))
    options = parser.parse_args()
    if options.model:
        whole_model(options.model)
        return
    print(
        f"{'weights':<22} {'scales':<10} {'entropy':>8} {'bound':>7} "
        + " ".join(f"{c:>7}" for c in CODECS)
        + "   ans-lz4"
    )
    for name, weights in sources(options.sample):
        for granularity in GRANULARITIES:
            print(savings(name, weights, granularity))
    print()
    heads = ("strength", "ans off", "ans on", "saved", "bound", "of bf16")
    print(f"{'weights':<22} {'step':>5} {'sd':>4} " + " ".join(f"{head:>8}" for head in heads))
    for name, weights in sources(options.sample):
        for step, spread in ((0.0, 1.0), (0.25, 0.5), (0.25, 1.0), (0.5, 1.0)):
            print(scaling(name, weights, step, spread))


def sources(samples: list[Path]) -> Iterator[tuple[str, Floats]]:
    """Names and weights."""
    rng = np.random.default_rng(1)
    yield "normal", (rng.standard_normal(SHAPE) * 0.02).astype(np.float32)
    yield "laplace", (rng.laplace(size=SHAPE) * 0.02).astype(np.float32)
    for degrees in (8, 5, 4, 3):
        yield f"student-t, {degrees} degrees", (rng.standard_t(degrees, SHAPE) * 0.02).astype(np.float32)
    for path in samples:
        raw = np.fromfile(path, np.uint16)
        columns = 512
        yield (
            path.name[:22],
            raw[: raw.size // columns * columns].view(ml_dtypes.bfloat16).astype(np.float32).reshape(-1, columns),
        )


def savings(name: str, weights: Floats, granularity: str) -> str:
    """One line of the first table."""
    values = quantized(weights, group_of(granularity), 0.0)
    entropy = entropy_bits(counts(values))
    saved = [1 - encoded_bytes(values, each) / values.nbytes for each in CODECS]
    cells = " ".join(f"{each:>7.1%}" for each in saved)
    better = 100 * (saved[1] - saved[0])
    return f"{name:<22} {granularity:<10} {entropy:>8.3f} {1 - entropy / 8:>7.1%} {cells} {better:>6.1f} points"


def scaling(name: str, weights: Floats, step: float, spread: float) -> str:
    """One line of the second table."""
    off, on, strength, possible = off_and_on(weights, step, spread)
    saved = f"{off:>8.2f} {on:>8.2f} {off - on:>8.2f} {possible:>8.2f} {16 / on:>7.2f}x"
    return f"{name:<22} {step:>5} {spread:>4} {strength:>8} {saved}"


def off_and_on(weights: Floats, step: float, spread: float) -> tuple[float, float, float, float]:
    """Bits without and with scaling, the strength chosen, and the bits that could be saved at best."""
    columns = weights.shape[1]
    rms = np.exp(spread * np.random.default_rng(2).standard_normal(columns)).astype(np.float32)
    site = Site("x", ("w",), NormFold("norm", None, 0.0))
    sample = weights[:: max(1, len(weights) // 96)]
    factors, (chosen,) = scale.search(
        [site], {"w": Activations(3 * rms, rms**2)}, lambda tensor: sample, ROW, lambda tensor: step
    )
    off = bits(quantized(weights, ROW, step))
    on = bits(quantized(weights * factors.columns.get("w", np.float32(1)), ROW, factors.steps["w"]))
    possible = 0.5 * np.log2(np.mean(rms**2) / np.exp(np.mean(np.log(rms**2))))
    return off, on, chosen.strength, float(possible)


def whole_model(name: str) -> None:
    """Print the third table."""
    layers, pool = 40, ThreadPoolExecutor()
    sides = ("bf16", "bf16 ans", "int8", "int8 lz4", "int8 ans", "int8 scaled, ans")
    total = dict.fromkeys(sides, 0.0)
    weights = 0
    for seed, (shape, count) in enumerate(Counter(MODELS[name](layers)).items()):
        drawn = draw(shape, seed, pool)
        values = quantized(drawn.astype(np.float32), ROW, 0.0)
        scales = 4 * shape[0]
        scaled = off_and_on(drawn.astype(np.float32), 0.0, 1.0)[1]
        found = (
            drawn.nbytes, encoded_bytes(drawn, "ans"), values.nbytes + scales, encoded_bytes(values, "lz4") + scales,
            encoded_bytes(values, "ans") + scales, scaled / 8 * values.size + scales,
        )  # fmt: skip
        for side, size in zip(sides, found, strict=True):
            total[side] += count * size
        weights += count * drawn.size
        print(f"{count} of {shape}", file=sys.stderr, flush=True)
    print(f"{name}, {layers} layers, {weights / 1e9:.2f} billion weights")
    for side, size in total.items():
        ratios = f"{total['bf16'] / size:>6.2f}x of bf16 {total['int8'] / size:>6.2f}x of int8"
        print(f"{side:<18} {size / 1e6:>9,.0f} MB {8 * size / weights:>7.2f} bits {ratios}")


def quantized(weights: Floats, group: int, step: float) -> NDArray[np.int8]:
    """INT8 with steps of at least `step` root mean squares."""
    scales = scales_of(largest(weights, group), step * scale.root_mean_square(weights))
    return integers(weights, scales, group)


def bits(values: NDArray[np.int8]) -> float:
    """Bits a weight under ans."""
    return 8 * encoded_bytes(values, "ans") / values.size


def encoded_bytes(values: NDArray[Any], name: str) -> int:
    """Size of the blob, which is decoded and compared."""
    blob = codec.encode(values, name)
    if codec.decode(blob).tobytes() != values.tobytes():
        raise SystemExit(f"{name}: decoded to something else")
    return int(blob.nbytes)


if __name__ == "__main__":
    main()
