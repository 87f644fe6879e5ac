"""Bytes saved by every codec on the shapes of OPT-13B and Llama-2-13B, beside what the LPC thesis reports.

    python benchmarks/savings.py --models llama-2-13b --layers 40
    python benchmarks/savings.py --models opt-13b --layers 8

Weights are random, normal(0, 0.02) in BF16: a layer more changes nothing but the time. Nothing is written to disk: each
weight is drawn, encoded, decoded, compared and dropped. The thesis (N. Wang, UIUC 2024, hdl 2142/127242) saves 26.0 to
26.2 % of the BF16 bytes of the trained models with its bit-plane LZ4, which is `lz4` here.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from edge_runtime import codec as blobs
from edge_runtime import facts

THESIS = "26.0-26.2 %"
_SIGMA = np.float32(0.02)
_ROWS = 256  # drawn at a time


def opt_13b(layers: int) -> Iterator[tuple[int, int]]:
    """Matrices of OPT-13B (Zhang et al., arXiv 2205.01068): tied head, learned positions."""
    yield from ((50272, 5120), (2050, 5120))
    for _ in range(layers):
        yield from (*[(5120, 5120)] * 4, (20480, 5120), (5120, 20480))


def llama_2_13b(layers: int) -> Iterator[tuple[int, int]]:
    """Matrices of Llama-2-13B (Touvron et al., arXiv 2307.09288)."""
    yield (32000, 5120)
    for _ in range(layers):
        yield from (*[(5120, 5120)] * 4, *[(13824, 5120)] * 2, (5120, 13824))
    yield (32000, 5120)


MODELS = {"opt-13b": opt_13b, "llama-2-13b": llama_2_13b}


def draw(shape: tuple[int, int], seed: int, pool: ThreadPoolExecutor) -> NDArray[Any]:
    """Return random weights that depend on shape and seed alone; no float32 copy of the whole exists."""
    weights = np.empty(shape, ml_dtypes.bfloat16)

    def fill(row: int) -> None:
        block = weights[row : row + _ROWS]
        generator = np.random.Generator(np.random.SFC64([seed, row]))
        block[...] = generator.standard_normal(block.shape, np.float32) * _SIGMA

    list(pool.map(fill, range(0, shape[0], _ROWS)))
    return weights


def measure(model: str, layers: int, codecs: list[str]) -> dict[str, Any]:
    """Encode every matrix with every codec; return bytes and savings. SystemExit if a weight comes back changed."""
    source, stored = 0, dict.fromkeys(codecs, 0)
    pool = ThreadPoolExecutor(os.cpu_count())
    for seed, shape in enumerate(MODELS[model](layers)):
        weights = draw(shape, seed, pool)
        source += weights.nbytes
        for codec in codecs:
            blob = blobs.encode(weights, codec)
            if not np.array_equal(blobs.decode(blob).view(np.uint16), weights.view(np.uint16)):
                sys.exit(f"{model}: matrix {seed} of shape {shape} came back changed from {codec}")
            stored[codec] += blob.nbytes
        print(f"{model}: {source / 1e6:,.0f} MB", file=sys.stderr, flush=True)
    return {
        "model": model,
        "layers": layers,
        "source_bytes": source,
        "saved": {codec: round(1 - count / source, 4) for codec, count in stored.items()},
        "bits_per_weight": {codec: round(16 * count / source, 3) for codec, count in stored.items()},
        "thesis": THESIS,
    }


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--codecs", nargs="+", default=[name for name in facts.codecs() if name != "stored"])
    parser.add_argument("--models", nargs="+", choices=sorted(MODELS), default=sorted(MODELS))
    args = parser.parse_args()
    for model in args.models:
        print(json.dumps(measure(model, args.layers, args.codecs)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
