"""Tokens per second against bytes of weights a token, under the roof that the memory's measured bandwidth sets, as SVG.

    python benchmarks/products.py MODEL --threads 2 ... --json > build/products.json
    lpc-bench kernel --threads 2 --layouts hi3 --json > build/kernel.json
    python benchmarks/roofline.py build/products.json build/kernel.json MODEL docs/images/roofline.svg

MODEL is the exported folder that was measured: of it come the bytes of weights that a token needs (all but the
embedding, of which a token needs one row). Prints what the picture shows.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from edge_runtime.chart import Axis, Dot, Key, Line, plane
from edge_runtime.package import Package

OURS, PEERS = "s2", "s1"


def bytes_a_token(model: Path) -> dict[str, float]:
    """GB of weights that every token reads, for each side of products.py: as packed, in bf16 and in float32."""
    layers = [layer for layer in Package.open(model).layers if "embed" not in layer.name]
    bf16 = sum(layer.decoded_bytes for layer in layers) * 1e-9
    packed = sum(layer.bytes for layer in layers) * 1e-9
    return {"packed": packed, "onnxruntime-genai fp32": 2 * bf16} | dict.fromkeys(
        ("decoded bf16", "llama.cpp bf16", "transformers bf16"), bf16
    )


def picture(rows: list[dict[str, Any]], bandwidth: float, title: str) -> str:
    """An SVG file: a dot for each side, and what reading memory allows."""
    most = max(row["tokens"] for row in rows) * 1.1
    first, last = bandwidth / most, max(row["gb"] for row in rows) * 1.1
    curve = [first + (last - first) * i / 100 for i in range(101)]
    roof = Line([(gb, bandwidth / gb) for gb in curve], "ink", f"a plain read of {bandwidth:.1f} GB/s", dashed=True)
    dots = [
        Dot(row["gb"], row["tokens"], OURS if row["side"] in ("packed", "decoded bf16") else PEERS,
            f"{row['side']}: {row['tokens']:.1f}")
        for row in rows
    ]  # fmt: skip
    keys = [Key(OURS, "this project"), Key(PEERS, "others")]
    figure = plane(Axis("GB of weights per token"), Axis("tokens/s"), lines=[roof], dots=dots, keys=keys, height=380)
    return figure.standalone(title)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("products", type=Path)
    parser.add_argument("kernel", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    measured = json.loads(options.products.read_text())
    threads = measured[0]["threads"]
    kernels = [row for row in json.loads(options.kernel.read_text()) if row["threads"] == threads]
    bandwidth = kernels[0]["read_gb_per_s"]
    needed = bytes_a_token(options.model)
    rows = []
    for row in measured:
        gb, tokens = needed[row["side"]], row["tokens_per_s_median"]
        rows.append({"side": row["side"], "gb": gb, "tokens": tokens})
        print(f"{row['side']:24} {gb:.3f} GB per token, {tokens:.2f} tokens/s, {gb * tokens:.1f} GB/s")
    title = f"TinyLlama-1.1B shape, batch 1, {threads} thread{'s' if threads > 1 else ''}"
    options.picture.write_text(picture(rows, bandwidth, title))


if __name__ == "__main__":
    main()
