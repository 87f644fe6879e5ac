"""Several boards in one table."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

from edge_runtime.bench.tables import COLUMNS, FORMATS, rows
from edge_runtime.cli.common import format_bytes


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
    return _csv(flat) if output == "csv" else _markdown(flat)


def _as_json(outcome: Outcome) -> dict[str, Any]:
    if outcome.result is None:
        return {"target": outcome.name, "error": outcome.error}
    return {"target": outcome.name, "result": outcome.result}


def _rows(outcome: Outcome) -> list[dict[str, Any]]:
    if outcome.result is None:
        return [{"target": outcome.name, **dict.fromkeys(COLUMNS), "failed": outcome.error}]
    return [{"target": outcome.name, **row} for row in rows(outcome.result)]


def _csv(flat: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, ("target", *COLUMNS), lineterminator="\n")
    writer.writeheader()
    for row in flat:
        samples = row["tokens_per_s_samples"] or []
        writer.writerow({**row, "tokens_per_s_samples": " ".join(f"{value:.6g}" for value in samples)})
    return out.getvalue().rstrip("\n")


def _markdown(flat: list[dict[str, Any]]) -> str:
    head = ("target", "board", "isa", "mode", "test", "tokens/s", "peak memory", "J/token")
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for row in flat:
        speed, deviation = row["tokens_per_s_mean"], row["tokens_per_s_deviation"]
        if speed is None:
            lines.append(" | ".join([row["target"], *["-"] * 4, f"failed: {row['failed']}", "-", "-"]))
            continue
        cells = (
            row["target"], row["board"] or "-", row["isa"], row["mode"], row["test"],
            f"{speed:.2f}" + ("" if deviation is None else f" ± {deviation:.2f}"),
            "-" if row["peak_rss_bytes"] is None else format_bytes(row["peak_rss_bytes"]),
            "unavailable" if row["joules_per_token"] is None else f"{row['joules_per_token']:.3g}",
        )  # fmt: skip
        lines.append(" | ".join(map(str, cells)))
    return "\n".join(f"| {line} |" for line in lines)
