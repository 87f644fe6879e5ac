"""A result as rows: md, csv and jsonl have the same columns, one row a test."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from edge_runtime.bench.results import summary
from edge_runtime.io.sheet import Column, Note, Sheet, Table, Tone
from edge_runtime.io.units import format_bytes

_FORMULA = ("=", "+", "-", "@")
COLUMNS = (
    "model", "bits_per_weight", "board", "cpu", "isa", "build", "provider", "threads", "load", "mode", "test", "n",
    "tokens_per_s_mean", "tokens_per_s_deviation", "tokens_per_s_median", "tokens_per_s_min", "tokens_per_s_max",
    "tokens_per_s_samples", "load_seconds", "peak_rss_bytes", "bytes_read_per_token", "joules_per_token",
    "joules_reason", "failed", "created",
)  # fmt: skip


def rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one flat row a test; what is not known is None."""
    shared = {
        "model": result["model"].get("name") or result["model"].get("folder"),
        "bits_per_weight": result["model"].get("bits_per_weight"),
        "board": result["board"].get("id"),
        "cpu": result["environment"].get("cpu"),
        "isa": result["build"].get("isa"),
        "build": result["build"].get("commit", result["build"].get("version")),
        "created": result["created"],
    }
    return [{name: {**shared, **_test_row(test)}.get(name) for name in COLUMNS} for test in result["tests"]]


def _test_row(test: dict[str, Any]) -> dict[str, Any]:
    speed = summary(test)
    energy = test.get("energy") or {}
    row: dict[str, Any] = {
        "provider": test["provider"],
        "threads": test["threads"],
        "load": " ".join(f"{name}={value}" for name, value in test["load"].items()) or None,
        "mode": test["mode"],
        "test": test["name"],
        "n": len(test["repetitions"]),
        "load_seconds": test.get("load_seconds"),
        "peak_rss_bytes": test.get("peak_rss_bytes"),
        "bytes_read_per_token": test.get("bytes_read_per_token"),
        "joules_per_token": energy.get("joules_per_token"),
        "joules_reason": energy.get("unavailable"),
        "failed": test.get("failed"),
    }
    if speed is not None:
        row |= {
            "tokens_per_s_mean": speed.mean,
            "tokens_per_s_deviation": speed.deviation,
            "tokens_per_s_median": speed.median,
            "tokens_per_s_min": speed.minimum,
            "tokens_per_s_max": speed.maximum,
            "tokens_per_s_samples": [repetition["tokens_per_s"] for repetition in test["repetitions"]],
        }
    return row


def to_json(result: dict[str, Any]) -> str:
    """The whole result."""
    return json.dumps(result)


def to_jsonl(result: dict[str, Any]) -> str:
    """One JSON object a test, in lines."""
    return "\n".join(json.dumps(row) for row in rows(result))


def to_csv(result: dict[str, Any]) -> str:
    """A header and one line a test; samples are separated by blanks."""
    return csv_of(rows(result), COLUMNS)


def csv_of(flat: Iterable[dict[str, Any]], columns: Sequence[str]) -> str:
    """Rows as CSV. A text that a spreadsheet would take for a formula gets a quote in front."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    for row in flat:
        samples = " ".join(f"{value:.6g}" for value in row["tokens_per_s_samples"] or [])
        writer.writerow({**{name: _no_formula(cell) for name, cell in row.items()}, "tokens_per_s_samples": samples})
    return out.getvalue().rstrip("\n")


def _no_formula(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.lstrip().startswith(_FORMULA) else cell


def to_markdown(result: dict[str, Any]) -> str:
    """What `sheet` holds."""
    return sheet(result).markdown()


def sheet(result: dict[str, Any]) -> Sheet:
    """A table for people, and below it what is not in the figures and what to be careful about."""
    size = result["model"].get("blob_bytes")
    cells = [
        (
            str(row["model"]), "-" if size is None else format_bytes(size),
            row["provider"] + (f" {row['load']}" if row["load"] else ""), str(row["threads"] or "auto"), row["mode"],
            row["test"], *figures(row),
        )
        for row in rows(result)
    ]  # fmt: skip
    notes = [Note(f"Not in the figures: {'; '.join(result['excluded'])}.", "quiet")]
    reasons = {row["joules_reason"] for row in rows(result) if row["joules_reason"]}
    notes += [Note(f"J/token unavailable: {reason}.", "quiet") for reason in sorted(reasons)]
    notes += [Note(f"Warning: {warning}.", "warning") for warning in result["warnings"]]
    return Sheet([Table([*_HEADS, *FIGURES], cells, tones=tones(rows(result))), *notes])


_HEADS = (
    Column("model"), Column("size", right=True), Column("provider"), Column("threads", right=True), Column("mode"),
    Column("test"),
)  # fmt: skip
FIGURES = (Column("tokens/s"), Column("peak memory", right=True), Column("J/token"))


def figures(row: dict[str, Any]) -> tuple[str, str, str]:
    """The cells of a row under FIGURES."""
    return (
        _speed(row), "-" if row["peak_rss_bytes"] is None else format_bytes(row["peak_rss_bytes"]),
        "unavailable" if row["joules_per_token"] is None else f"{row['joules_per_token']:.3g}",
    )  # fmt: skip


def tones(flat: Iterable[dict[str, Any]]) -> list[Tone]:
    """Rows that failed are bad."""
    return ["bad" if row["tokens_per_s_mean"] is None else "" for row in flat]


def _speed(row: dict[str, Any]) -> str:
    if row["tokens_per_s_mean"] is None:
        return f"failed: {row['failed']}"
    deviation = row["tokens_per_s_deviation"]
    return f"{row['tokens_per_s_mean']:.2f}" + ("" if deviation is None else f" ± {deviation:.2f}")


FORMATS: dict[str, Callable[[dict[str, Any]], str]] = {
    "md": to_markdown,
    "csv": to_csv,
    "json": to_json,
    "jsonl": to_jsonl,
}
