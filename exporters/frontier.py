"""The frontier of size, speed and loss: one model exported in many ways, measured, and predicted for a board.

Every candidate is really exported, evaluated against the lossless reference, and deleted again; only
the seconds per token are a prediction, the plan's for the board.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click

from edge_runtime import facts
from edge_runtime.chart import Axis, Dot, Key, plane
from edge_runtime.errors import ExportError
from edge_runtime.io.sheet import Column, Sheet, Table, Tone
from edge_runtime.package import Package
from edge_runtime.plan import Figures, plan_for
from exporters.folders.working import Working, scratch
from exporters.lossy import LossyExport, opened, refuse_quantized, trial
from exporters.package.codec_choice import CodecChoice
from exporters.transforms.options import LossyOptions
from exporters.transforms.prune import Pruning
from exporters.write import ExportOptions, ExportResult

SPARSITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
BITS = (6.0, 5.0, 4.0)
_BEST, _OTHER = "s2", "s7"
ANS, BITMAP = CodecChoice("ans"), CodecChoice("bitmap")


@dataclass(frozen=True)
class Candidate:
    """A way to export: a name, how it is encoded, and what is lossy about it."""

    name: str
    codec: CodecChoice
    lossy: LossyOptions | None = None


@dataclass(frozen=True)
class Point:
    """What a candidate came to. `kl` in nats per token, 0 for a lossless one; `seconds_per_token` is predicted, None
    where the model does not fit the budget; `best` if no other point is better in one figure and no worse in the rest.
    """

    name: str
    bits_per_weight: float
    bytes: int
    seconds_per_token: float | None
    kl: float
    perplexity_change: float
    top1_agreement: float
    best: bool = False


@dataclass(frozen=True)
class Board:
    """Whom the speed is predicted for."""

    figures: Figures
    budget_bytes: int


def candidates(base: LossyOptions) -> list[Candidate]:
    """Return what is tried by default; `base` gives texts, reference, granularity and what else a user set."""
    plain = replace(base, quantize=False, pruning=None, target_bits=None, max_kl=None)
    dense = [codec.name for codec in facts.codecs().values() if not codec.is_sparse]
    found = [Candidate(codec, CodecChoice(codec)) for codec in dense]
    found += [Candidate(f"int8 {codec}", CodecChoice(codec), replace(plain, quantize=True)) for codec in ("lz4", "ans")]
    found += [
        Candidate(f"int8 {bits:g} bits ans", ANS, replace(plain, quantize=True, target_bits=bits)) for bits in BITS
    ]
    pattern, score = (base.pruning.pattern, base.pruning.score) if base.pruning else ("total", "rms")
    for sparsity in SPARSITIES:
        pruned = replace(plain, pruning=Pruning(sparsity, pattern if pattern != "2:4" else "row", score))
        found.append(Candidate(f"{sparsity:.0%} pruned bitmap", BITMAP, pruned))
        found.append(Candidate(f"{sparsity:.0%} pruned int8 bitmap", BITMAP, replace(pruned, quantize=True)))
    return found


def frontier(
    model: str | Path, place: Path, base: LossyOptions, board: Board | None, options: ExportOptions,
    chosen: Sequence[Candidate] = (), say: Callable[[str], None] = lambda line: click.echo(line, err=True),
) -> list[tuple[Candidate, Point]]:  # fmt: skip
    """Export and measure every candidate, in a folder made for it in `place`; `say` hears of each as it is done."""
    refuse_quantized(model)
    measured = replace(base, quantize=True, measure=True, target_bits=None, max_kl=None)
    found: list[tuple[Candidate, Point]] = []
    with scratch(place) as work:
        run = opened(model, work, measured, options.threads)
        for candidate in chosen or candidates(base):
            try:
                point = _point(model, work, candidate, board, options, run)
            except ExportError as error:
                say(f"{candidate.name}: {error}")
                continue
            say(row(point))
            found.append((candidate, point))
    best = _undominated([point for _, point in found])
    return [(candidate, replace(point, best=point.name in best)) for candidate, point in found]


def fastest_enough(found: Iterable[tuple[Candidate, Point]], seconds: float) -> tuple[Candidate, Point]:
    """Return the candidate with the least loss, then the fewest bits, that needs at most `seconds` a token.

    ExportError, naming the nearest, if there is none.
    """
    timed = [(c, p, p.seconds_per_token) for c, p in found if p.seconds_per_token is not None]
    quick = [(candidate, point) for candidate, point, time in timed if time <= seconds]
    if quick:
        return min(quick, key=lambda pair: (pair[1].kl, pair[1].bits_per_weight))
    if not timed:
        raise ExportError("no way of exporting this model fits the board's memory; choose a larger budget or board")
    _, nearest, time = min(timed, key=lambda entry: entry[2])
    raise ExportError(
        f"{seconds:g} s/token cannot be reached on this board: the nearest is {time:.3g} s/token, {nearest.name}, with "
        f"a divergence of {nearest.kl:.3g} nats per token"
    )


def sheet(points: Sequence[Point]) -> Sheet:
    """Return the points as lines; those of the frontier are marked."""
    tones: list[Tone] = ["good" if point.best else "" for point in points]
    table = Table(_COLUMNS, list(map(_cells, points)), gap=" ", tones=tones)
    return Sheet([table, "* nothing else here is smaller, faster and closer to the original"])


_COLUMNS = (
    Column(width=1), Column(width=26), Column("bits", True, 6), Column("MB", True, 9), Column("s/token", True, 9),
    Column("KL", True, 9), Column("perplexity", True, 10), Column("same top", True, 8),
)  # fmt: skip


def row(point: Point) -> str:
    """One point as a line."""
    return Table(_COLUMNS, [_cells(point)], headed=False, gap=" ").text()


def _cells(point: Point) -> list[str]:
    seconds = "-" if point.seconds_per_token is None else f"{point.seconds_per_token:.4g}"
    return [
        "*" if point.best else " ", point.name, f"{point.bits_per_weight:.2f}", f"{point.bytes / 1e6:.2f}", seconds,
        f"{point.kl:.5f}", f"{point.perplexity_change:+.2%}", f"{point.top1_agreement:.1%}",
    ]  # fmt: skip


def as_dict(points: Sequence[Point]) -> dict[str, Any]:
    """For JSON."""
    return {"points": [asdict(point) for point in points]}


def picture(points: Sequence[Point], title: str) -> str:
    """Return divergence (logarithmic; lossless ones at the foot) over bits per weight as an SVG file."""
    dots = [
        Dot(point.bits_per_weight, point.kl, _BEST if point.best else _OTHER, point.name, row(point).strip())
        for point in points
    ]
    keys = [Key(_BEST, "nothing else here is smaller, faster and closer to the original"), Key(_OTHER, "others")]
    figure = plane(
        Axis("bits per weight", from_zero=False), Axis("KL divergence, nats per token", log=True), dots=dots, keys=keys,
        height=420,
    )  # fmt: skip
    return figure.standalone(title)


def _point(
    model: str | Path, work: Working, candidate: Candidate, board: Board | None, options: ExportOptions,
    run: LossyExport,
) -> Point:  # fmt: skip
    asked = replace(options, codec=candidate.codec)
    result = trial(model, work, asked, candidate.lossy, run)
    return _of(candidate.name, result, board, result.out)


def _of(name: str, result: ExportResult, board: Board | None, folder: Path) -> Point:
    seconds = None
    if board is not None:
        plan = plan_for(Package.open(folder), board.figures, board.budget_bytes)
        seconds = None if plan.verdict == "impossible" else plan.seconds_per_token
    loss = result.loss

    def value(key: str, lossless: float) -> float:
        return lossless if loss is None else float(loss[key]["value"])

    return Point(
        name, result.bits_per_weight, result.blob_bytes, seconds, value("kl", 0.0), value("perplexity_change", 0.0),
        value("top1_agreement", 1.0),
    )  # fmt: skip


def _undominated(points: Sequence[Point]) -> set[str]:
    def figures(point: Point) -> tuple[float, float, float]:
        return point.bits_per_weight, point.seconds_per_token or 0.0, point.kl

    def beaten(point: Point) -> bool:
        mine = figures(point)
        return any(
            all(a <= b for a, b in zip(figures(other), mine, strict=True)) and figures(other) != mine
            for other in points
        )  # fmt: skip

    return {point.name for point in points if not beaten(point)}
