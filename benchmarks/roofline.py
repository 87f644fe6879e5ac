"""Tokens a second against bytes of weights a token, under the roof that the memory's measured bandwidth sets, as SVG.

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

from codec_plot import INK, OURS, PEERS, line, text

from edge_runtime.package import Package

WIDTH, HEIGHT = 860, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 40, 60, 60


def bytes_a_token(model: Path) -> dict[str, float]:
    """GB of weights that every token reads, for each side of products.py: as packed, in bf16 and in float32."""
    layers = [layer for layer in Package.open(model).layers if "embed" not in layer.name]
    bf16 = sum(layer.decoded_bytes for layer in layers) * 1e-9
    packed = sum(layer.bytes for layer in layers) * 1e-9
    return {"packed": packed, "onnxruntime-genai fp32": 2 * bf16} | dict.fromkeys(
        ("decoded bf16", "llama.cpp bf16", "transformers bf16"), bf16
    )


def picture(rows: list[dict[str, Any]], bandwidth: float, title: str) -> str:
    most_gb = max(row["gb"] for row in rows) * 1.15
    most_tokens = max(row["roof"] for row in rows) * 1.1

    def x(gb: float) -> float:
        return LEFT + gb / most_gb * (WIDTH - LEFT - RIGHT)

    def y(tokens: float) -> float:
        return HEIGHT - BOTTOM - tokens / most_tokens * (HEIGHT - TOP - BOTTOM)

    parts = [line(LEFT, y(0), WIDTH - RIGHT, y(0), INK), line(LEFT, y(0), LEFT, TOP, INK)]
    for tokens in range(0, int(most_tokens) + 1, 5):
        parts.append(text(LEFT - 8, y(tokens) + 4, str(tokens), extra='text-anchor="end"'))
    for gb in range(int(most_gb) + 1):
        parts.append(text(x(gb), HEIGHT - BOTTOM + 20, str(gb), extra='text-anchor="middle"'))
    curve = [bandwidth / most_tokens + i * (most_gb - bandwidth / most_tokens) / 100 for i in range(101)]
    points = " ".join(f"{x(gb):.1f},{y(bandwidth / gb):.1f}" for gb in curve)
    parts.append(f'<polyline points="{points}" fill="none" stroke="{INK}" stroke-width="1.5" stroke-dasharray="5 4"/>')
    for row in rows:
        colour = OURS if row["side"] in ("packed", "decoded bf16") else PEERS
        parts.append(f'<circle cx="{x(row["gb"]):.1f}" cy="{y(row["tokens"]):.1f}" r="6" fill="{colour}"/>')
        label = f"{row['side']}: {row['tokens']:.1f}"
        others = [other["tokens"] - row["tokens"] for other in rows if other is not row and other["gb"] == row["gb"]]
        away = sum((8 if 0 < other < 2 else -4 if -2 < other < 0 else 0) for other in others)
        left = row["gb"] > most_gb * 0.7
        side = x(row["gb"]) - 11 if left else x(row["gb"]) + 11
        parts.append(text(side, y(row["tokens"]) + 4 + away, label, colour, extra='text-anchor="end"' if left else ""))
    parts.append(text(LEFT, 24, title, size=16, extra='font-weight="bold"'))
    parts.append(text(LEFT, 44, f"tokens/s; dashed: what a plain read of {bandwidth:.1f} GB/s allows", size=12))
    middle = 'text-anchor="middle"'
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, "GB of weights read a token", extra=middle))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', *parts, "</svg>"]) + "\n"


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
        rows.append({"side": row["side"], "gb": gb, "tokens": tokens, "roof": bandwidth / gb})
        print(f"{row['side']:24} {gb:.3f} GB a token, {tokens:.2f} tokens/s, {gb * tokens:.1f} GB/s")
    title = f"TinyLlama-1.1B shape, batch 1, {threads} thread{'s' if threads > 1 else ''}"
    options.picture.write_text(picture(rows, bandwidth, title))


if __name__ == "__main__":
    main()
