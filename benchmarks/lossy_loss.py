"""What INT8 and pruning lose: ours beside round-to-nearest and magnitude pruning, at equal bits, on held-out text.

    python benchmarks/lossy_loss.py examples/demo_model --text examples/demo_model/held_out.txt
    python benchmarks/lossy_loss.py ../models/stories260k           on text that the model writes itself

Four fifths of the text calibrate, every fifth window of 256 tokens is measured. Ours: compression-aware scaling and
error compensation; pruning over all weights by magnitude times the channel's root mean square. Naive: round to nearest
with the same step, and the same fraction in every row by magnitude. KL is the divergence from the lossless model, with
its 95 % interval. "at naive's bits": ours, interpolated (logarithm of KL over bits) to the bits of the naive point. The
exit status is 1 if ours has the larger divergence at any point.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from exporters.export import ExportOptions, ExportResult, trial
from exporters.lossy import opened
from exporters.transforms.options import LossyOptions
from exporters.transforms.prune import Pruning

SPARSITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
BITS = (None, 6.0, 5.0, 4.0, 3.5)
Pair = tuple[str, str, LossyOptions, LossyOptions]  # name, codec, ours, naive


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--text", type=Path, help="UTF-8  [default: the model writes some]")
    options = parser.parse_args()
    worse = 0
    pruned: list[tuple[tuple[float, float], tuple[float, float]]] = []  # (bits, KL) of ours and naive
    base = LossyOptions(quantize=True, calibration=options.text)
    print(f"{'':<18} {'':<6} {'bits':>6} {'KL':>9} {'low':>9} {'high':>9} {'perplexity':>10} {'same top':>8}")
    with tempfile.TemporaryDirectory() as folder:
        near = Path(folder) / "out"
        with opened(options.model, near, base, 0) as run:
            for name, codec, *sides in pairs(base):
                found = []
                for side, lossy in zip(("ours", "naive"), sides, strict=True):
                    with trial(options.model, near, ExportOptions(codec=codec), lossy, run) as result:
                        print(line(name, side, result), flush=True)
                        found.append((result.bits_per_weight, divergence(result)))
                worse += found[0][1] > found[1][1]
                if codec == "bitmap":
                    pruned.append((found[0], found[1]))
    worse += equal_bits(pruned)
    print(f"ours has the larger divergence at {worse} points")
    return 1 if worse else 0


def pairs(base: LossyOptions) -> Iterator[Pair]:
    """What is compared."""
    for bits in BITS:
        ours = replace(base, target_bits=bits)
        name = "int8" if bits is None else f"int8, {bits:g} bits"
        yield name, "ans", ours, replace(ours, scaling=False, compensate=False)
    for sparsity in SPARSITIES:
        ours = replace(base, quantize=False, pruning=Pruning(sparsity, "total"))
        naive = replace(ours, pruning=Pruning(sparsity, "row", "magnitude"), compensate=False)
        yield f"{sparsity:.0%} pruned", "bitmap", ours, naive


def equal_bits(pruned: list[tuple[tuple[float, float], tuple[float, float]]]) -> int:
    """Print ours at the bits of every naive point; how often it is worse."""
    ours = sorted(ours for ours, _ in pruned)
    worse = 0
    for (_, _), (bits, naive) in pruned:
        at = [i for i in range(1, len(ours)) if ours[i - 1][0] <= bits <= ours[i][0]]
        i = at[0] if at else (1 if bits < ours[0][0] else len(ours) - 1)
        (x0, y0), (x1, y1) = ours[i - 1], ours[i]
        mine = math.exp(math.log(y0) + (bits - x0) / (x1 - x0) * (math.log(y1) - math.log(y0)))
        note = "" if at else " (extrapolated)"
        print(f"at naive's bits    {bits:>13.2f}  ours {mine:.5f}{note}  naive {naive:.5f}")
        worse += mine > naive
    return worse


def divergence(result: ExportResult) -> float:
    """KL in nats a token."""
    assert result.loss is not None
    return float(result.loss["kl"]["value"])


def line(name: str, side: str, result: ExportResult) -> str:
    """One row of the table."""
    loss = result.loss
    assert loss is not None
    kl = loss["kl"]
    change, top = loss["perplexity_change"]["value"], loss["top1_agreement"]["value"]
    return (
        f"{name:<18} {side:<6} {result.bits_per_weight:>6.2f} {kl['value']:>9.5f} {kl['low']:>9.5f} {kl['high']:>9.5f} "
        f"{change:>+10.2%} {top:>8.1%}"
    )


if __name__ == "__main__":
    sys.exit(main())
