"""Several boards in one table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from edge_runtime.bench import tables
from edge_runtime.bench.tables import COLUMNS, FIGURES, FORMATS, csv_of, rows
from edge_runtime.io.sheet import Column, Sheet, Table


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
    return csv_of(flat, ("target", *COLUMNS)) if output == "csv" else sheet(outcomes).markdown()


def _as_json(outcome: Outcome) -> dict[str, Any]:
    if outcome.result is None:
        return {"target": outcome.name, "error": outcome.error}
    return {"target": outcome.name, "result": outcome.result}


def _rows(outcome: Outcome) -> list[dict[str, Any]]:
    if outcome.result is None:
        return [{"target": outcome.name, **dict.fromkeys(COLUMNS), "failed": outcome.error}]
    return [{"target": outcome.name, **row} for row in rows(outcome.result)]


def sheet(outcomes: list[Outcome]) -> Sheet:
    """Return all outcomes for people."""
    if len(outcomes) == 1 and outcomes[0].result is not None:
        return tables.sheet(outcomes[0].result)
    flat = [row for outcome in outcomes for row in _rows(outcome)]
    heads = map(Column, ("target", "board", "isa", "mode", "test"))
    return Sheet([Table([*heads, *FIGURES], list(map(_cells, flat)), tones=tables.tones(flat))])


def _cells(row: dict[str, Any]) -> list[str]:
    if row["tokens_per_s_mean"] is None:
        return [row["target"], *["-"] * 4, f"failed: {row['failed']}", "-", "-"]
    return [row["target"], str(row["board"] or "-"), str(row["isa"]), row["mode"], row["test"], *tables.figures(row)]
