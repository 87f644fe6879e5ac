"""A result as rows: md, csv and jsonl have the same columns, one row a test."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeAlias

from edge_runtime.bench import result_file
from edge_runtime.bench.results import Result, Test, TestEnergy
from edge_runtime.bench.statistics import Summary
from edge_runtime.io.sheet import Column, Note, Sheet, Table, Tone
from edge_runtime.io.units import format_bytes

_FORMULA = ("=", "+", "-", "@")
Cell: TypeAlias = "str | float | list[float] | None"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One test with what it was measured on, flat; what is not known is None."""

    model: str | None = None
    bits_per_weight: float | None = None
    board: str | None = None
    cpu: str | None = None
    isa: str | None = None
    build: str | None = None
    provider: str | None = None
    threads: int | None = None
    load: str | None = None
    mode: str | None = None
    test: str | None = None
    n: int | None = None
    tokens_per_s_mean: float | None = None
    tokens_per_s_deviation: float | None = None
    tokens_per_s_median: float | None = None
    tokens_per_s_min: float | None = None
    tokens_per_s_max: float | None = None
    tokens_per_s_samples: list[float] | None = None
    load_seconds: float | None = None
    peak_rss_bytes: int | None = None
    bytes_read_per_token: float | None = None
    joules_per_token: float | None = None
    joules_reason: str | None = None
    failed: str | None = None
    created: str | None = None

    def cells(self) -> dict[str, Cell]:
        """The values by column."""
        return {name: getattr(self, name) for name in COLUMNS}

    @property
    def speed(self) -> str:
        """Mean and deviation of the tokens per second, or why there are none."""
        if self.tokens_per_s_mean is None:
            return f"failed: {self.failed}"
        deviation = self.tokens_per_s_deviation
        return f"{self.tokens_per_s_mean:.2f}" + ("" if deviation is None else f" ± {deviation:.2f}")

    @property
    def peak_memory(self) -> str:
        """For people."""
        return "-" if self.peak_rss_bytes is None else format_bytes(self.peak_rss_bytes)

    @property
    def joules(self) -> str:
        """For people."""
        return "unavailable" if self.joules_per_token is None else f"{self.joules_per_token:.3g}"

    @property
    def figures(self) -> tuple[str, str, str]:
        """The cells under FIGURES."""
        return self.speed, self.peak_memory, self.joules

    @property
    def tone(self) -> Tone:
        """A row that failed is bad."""
        return "bad" if self.tokens_per_s_mean is None else ""


COLUMNS = tuple(column.name for column in fields(Row))


def rows(result: Result) -> list[Row]:
    """Return one flat row a test."""
    shared = Row(
        model=result.model.name or result.model.folder,
        bits_per_weight=result.model.bits_per_weight,
        board=result.board.id,
        cpu=result.environment.cpu,
        isa=result.build.isa,
        build=result.build.version if result.build.commit is None else result.build.commit,
        created=result.created,
    )
    return [_with_speed(_with_test(shared, test), test.summary, test.speeds) for test in result.tests]


def _with_test(row: Row, test: Test) -> Row:
    energy = test.energy or TestEnergy()
    return replace(
        row,
        provider=test.provider,
        threads=test.threads,
        load=" ".join(f"{name}={value}" for name, value in test.load.items()) or None,
        mode=test.mode,
        test=test.name,
        n=len(test.repetitions),
        load_seconds=test.load_seconds,
        peak_rss_bytes=test.peak_rss_bytes,
        bytes_read_per_token=test.bytes_read_per_token,
        joules_per_token=energy.joules_per_token,
        joules_reason=energy.unavailable,
        failed=test.failed,
    )


def _with_speed(row: Row, speed: Summary | None, samples: list[float]) -> Row:
    if speed is None:
        return row
    return replace(
        row,
        tokens_per_s_mean=speed.mean,
        tokens_per_s_deviation=speed.deviation,
        tokens_per_s_median=speed.median,
        tokens_per_s_min=speed.minimum,
        tokens_per_s_max=speed.maximum,
        tokens_per_s_samples=samples,
    )


def to_json(result: Result) -> str:
    """The whole result."""
    return json.dumps(result_file.to_json(result))


def to_jsonl(result: Result) -> str:
    """One JSON object a test, in lines."""
    return "\n".join(json.dumps(row.cells()) for row in rows(result))


def to_csv(result: Result) -> str:
    """A header and one line a test; samples are separated by blanks."""
    return csv_of((row.cells() for row in rows(result)), COLUMNS)


def csv_of(flat: Iterable[Mapping[str, Cell]], columns: Sequence[str]) -> str:
    """Rows as CSV. A text that a spreadsheet would take for a formula gets a quote in front."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    for row in flat:
        writer.writerow({name: _csv_cell(cell) for name, cell in row.items()})
    return out.getvalue().rstrip("\n")


def _csv_cell(cell: Cell) -> Cell:
    if isinstance(cell, list):
        return " ".join(f"{value:.6g}" for value in cell)
    return f"'{cell}" if isinstance(cell, str) and cell.lstrip().startswith(_FORMULA) else cell


def to_markdown(result: Result) -> str:
    """What `sheet` holds."""
    return sheet(result).markdown()


def sheet(result: Result) -> Sheet:
    """A table for people, and below it what is not in the figures and what to be careful about."""
    size = "-" if result.model.blob_bytes is None else format_bytes(result.model.blob_bytes)
    found = rows(result)
    cells = [
        (
            str(row.model), size, f"{row.provider} {row.load}" if row.load else str(row.provider),
            str(row.threads or "auto"), str(row.mode), str(row.test), *row.figures,
        )
        for row in found
    ]  # fmt: skip
    notes = [Note(f"Not in the figures: {'; '.join(result.excluded)}.", "quiet")]
    reasons = sorted({row.joules_reason or "" for row in found} - {""})
    notes += [Note(f"J/token unavailable: {reason}.", "quiet") for reason in reasons]
    notes += [Note(f"Warning: {warning}.", "warning") for warning in result.warnings]
    return Sheet([Table([*_HEADS, *FIGURES], cells, tones=[row.tone for row in found]), *notes])


_HEADS = (
    Column("model"), Column("size", right=True), Column("provider"), Column("threads", right=True), Column("mode"),
    Column("test"),
)  # fmt: skip
FIGURES = (Column("tokens/s"), Column("peak memory", right=True), Column("J/token"))


FORMATS: dict[str, Callable[[Result], str]] = {
    "md": to_markdown,
    "csv": to_csv,
    "json": to_json,
    "jsonl": to_jsonl,
}
