"""What INT8 and pruning lose: ours beside round-to-nearest and magnitude pruning, at equal bits, on text of its own.

    python examples/demo_model/make_text.py --seed 7001 --megabytes 0.2 --out build/calibration.txt
    python examples/demo_model/make_text.py --seed 7003 --megabytes 0.2 --out build/test.txt
    python benchmarks/lossy_loss.py examples/demo_model --calibration build/calibration.txt --test build/test.txt
    python benchmarks/lossy_loss.py ../models/stories260k     on texts that the model writes itself, other ones for each

The settings of the exporter were looked at on a third text (seed 7002), which is neither. An empty line ends a
document. Ours: compression-aware scaling and error compensation; pruning over all weights by magnitude times the
channel's root mean square. Naive: round to nearest; the same fraction in every row, or over all weights, by magnitude.
Ours takes at most the bits of the naive side: its target, or its sparsity, is moved until it does.

Both sides are measured on the same tokens, so the last two columns are differences by token, ours less naive, with
95 % intervals: of the divergence from the lossless model (KL), and of the logarithm of perplexity. Ours is called worse
where an interval lies above 0. The exit status is 1 if it is anywhere.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edge_runtime.bench.evaluation import Estimate, Observed, generated_windows
from edge_runtime.session import Model, load
from exporters.export import ExportOptions, export
from exporters.folders.working import Working, scratch
from exporters.lossy import LossyExport, opened, trial
from exporters.package.codec_choice import CodecChoice
from exporters.transforms.options import LossyOptions
from exporters.transforms.prune import Pruning

SPARSITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
BITS = (None, 6.0, 5.0, 4.0, 3.5)
WRITTEN = 120  # texts, of each kind
MOST_MOVES = 8  # of a target, until the bits are equal
SPARSITY_MOVE, BITS_MOVE = 0.002, 0.01


@dataclass(frozen=True)
class Pair:
    """What is compared at one point."""

    name: str
    codec: str
    naive: LossyOptions
    ours: LossyOptions


@dataclass(frozen=True)
class Side:
    """One model: its size, and what it gave for every token."""

    bits: float
    observed: Observed | None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--calibration", type=Path, help="UTF-8")
    parser.add_argument("--test", type=Path, help="UTF-8, another text")
    parser.add_argument("--points", nargs="*", help="only points whose name contains one of these")
    options = parser.parse_args()
    if (options.calibration is None) != (options.test is None):
        parser.error("--calibration and --test go together")
    print(
        f"{'':<24} {'':<6} {'bits':>6} {'KL':>9} {'perplexity':>10} {'same top':>8}   {'KL, ours less naive':<31} "
        "log perplexity, ours less naive"
    )
    worse = points = 0
    with tempfile.TemporaryDirectory() as folder:
        reference = Path(folder) / "reference"
        export(options.model, reference, ExportOptions(codec=CodecChoice("stored")))
        texts = (options.calibration, options.test) if options.test else written(load(reference), Path(folder))
        base = LossyOptions(
            quantize=True, calibration=texts[0], text=texts[1], documents=True, reference=reference, measure=True
        )
        with scratch(Path(folder)) as work:
            run = opened(options.model, work, base, 0)
            for pair in pairs(base):
                if options.points and not any(each in pair.name for each in options.points):
                    continue
                naive = side(options.model, work, pair.codec, pair.naive, run)
                ours = no_larger(options.model, work, pair, naive.bits, run)
                points += 1
                worse += report(pair.name, naive, ours)
    print(f"ours is worse at {worse} of {points} points")
    return 1 if worse else 0


def written(model: Model, folder: Path) -> tuple[Path, Path]:
    """Two files of texts that the model writes."""
    windows = generated_windows(model, count=2 * WRITTEN)
    texts = [re.sub(r"\n\s*\n", "\n", model.tokenizer.decode(ids)).strip() for ids in windows]
    files = folder / "calibration.txt", folder / "test.txt"
    for file, part in zip(files, (texts[:WRITTEN], texts[WRITTEN:]), strict=True):
        file.write_text("\n\n".join(part), encoding="utf-8")
    return files


def pairs(base: LossyOptions) -> Iterator[Pair]:
    """What is compared."""
    for bits in BITS:
        ours = replace(base, target_bits=bits)
        name = "int8" if bits is None else f"int8, {bits:g} bits"
        yield Pair(name, "ans", replace(ours, scaling=False, compensate=False), ours)
    for pattern in ("row", "total"):
        for sparsity in SPARSITIES:
            ours = replace(base, quantize=False, pruning=Pruning(sparsity, "total"))
            naive = replace(ours, pruning=Pruning(sparsity, pattern, "magnitude"), compensate=False)
            yield Pair(f"{sparsity:.0%} pruned, {pattern}", "bitmap", naive, ours)


def side(model: Path, work: Working, codec: str, lossy: LossyOptions, run: LossyExport, most: float = 16) -> Side:
    """Export, and measure unless it takes more than `most` bits per weight."""
    result = trial(model, work, ExportOptions(CodecChoice.parse(codec)), replace(lossy, measure=False), run)
    fits = result.bits_per_weight <= most
    return Side(result.bits_per_weight, run.observe(result.out) if fits else None)


def no_larger(model: Path, work: Working, pair: Pair, bits: float, run: LossyExport) -> Side:
    """Ours with at most `bits` a weight."""
    lossy = pair.ours
    for _ in range(MOST_MOVES):
        found = side(model, work, pair.codec, lossy, run, bits + 0.001)
        over = found.bits - bits
        if found.observed is not None:
            return found
        if lossy.pruning is not None:
            # A weight less takes its 16 bits, or what is left of them, along.
            move = max(SPARSITY_MOVE, over / 10)
            lossy = replace(lossy, pruning=replace(lossy.pruning, sparsity=lossy.pruning.sparsity + move))
        else:
            lossy = replace(lossy, target_bits=(lossy.target_bits or bits) - max(BITS_MOVE, over))
    raise SystemExit(f"{pair.name}: {found.bits:.3f} bits after {MOST_MOVES} tries; expected at most {bits:.3f}")


def report(name: str, naive: Side, ours: Side) -> bool:
    """Print a point; whether ours is worse."""
    assert ours.observed is not None
    assert naive.observed is not None
    kl = Estimate.of(ours.observed.kl - naive.observed.kl)
    loss = Estimate.of(ours.observed.loss - naive.observed.loss)
    print(line(name, "naive", naive))
    note = " ours is WORSE" if max(kl.low, loss.low) > 0 else ""
    print(f"{line(name, 'ours', ours)}   {interval(kl)}   {interval(loss)}{note}", flush=True)
    return bool(note)


def interval(found: Estimate) -> str:
    """A difference with its interval."""
    return f"{found.value:+.5f} ({found.low:+.5f} to {found.high:+.5f})"


def line(name: str, which: str, found: Side) -> str:
    """One row of the table, without differences."""
    assert found.observed is not None
    kl, loss = float(found.observed.kl.mean()), found.observed.loss - found.observed.reference_loss
    change, same = math.expm1(float(loss.mean())), float(found.observed.agreement.mean())
    return f"{name:<24} {which:<6} {found.bits:>6.2f} {kl:>9.5f} {change:>+10.2%} {same:>8.1%}"


if __name__ == "__main__":
    sys.exit(main())
