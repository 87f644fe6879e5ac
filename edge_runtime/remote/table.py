"""Several boards in one table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from edge_runtime.bench.tables import COLUMNS, FORMATS, csv_of, markdown_of, rows
from edge_runtime.io.units import format_bytes


@dataclass(frozen=True)
class Outcome:
    """What came of one board: a result, or the reason why there is none."""

    name: str
    result: dict[str, Any] | None = None
    error: str = ""


def to_text(outcomes: list[Outcome], output: str) -> str:
    """Return all outcomes as md, csv, json or jsonl; one board's result alone looks as `lpc-bench run` prints it."""
    if len(outcomes) == 1 and outcomes[0].result is not None:
        return FORMATS[output](outcomes[0].result)
    if output == "json":
        return json.dumps({"boards": [_as_json(outcome) for outcome in outcomes]})
    flat = [row for outcome in outcomes for row in _rows(outcome)]
    if output == "jsonl":
        return "\n".join(json.dumps(row) for row in flat)
    return csv_of(flat, ("target", *COLUMNS)) if output == "csv" else _markdown(flat)


def _as_json(outcome: Outcome) -> dict[str, Any]:
    if outcome.result is None:
        return {"target": outcome.name, "error": outcome.error}
    return {"target": outcome.name, "result": outcome.result}


def _rows(outcome: Outcome) -> list[dict[str, Any]]:
    if outcome.result is None:
        return [{"target": outcome.name, **dict.fromkeys(COLUMNS), "failed": outcome.error}]
    return [{"target": outcome.name, **row} for row in rows(outcome.result)]


def _markdown(flat: list[dict[str, Any]]) -> str:
    head = ("target", "board", "isa", "mode", "test", "tokens/s", "peak memory", "J/token")
    lines: list[tuple[Any, ...]] = []
    for row in flat:
        speed, deviation = row["tokens_per_s_mean"], row["tokens_per_s_deviation"]
        if speed is None:
            lines.append((row["target"], *["-"] * 4, f"failed: {row['failed']}", "-", "-"))
            continue
        lines.append((
            row["target"], row["board"] or "-", row["isa"], row["mode"], row["test"],
            f"{speed:.2f}" + ("" if deviation is None else f" ± {deviation:.2f}"),
            "-" if row["peak_rss_bytes"] is None else format_bytes(row["peak_rss_bytes"]),
            "unavailable" if row["joules_per_token"] is None else f"{row['joules_per_token']:.3g}",
        ))  # fmt: skip
    return markdown_of(head, lines)
