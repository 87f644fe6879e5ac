"""Several boards in one table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from edge_runtime.bench import tables
from edge_runtime.bench.result_file import to_json
from edge_runtime.bench.results import Result
from edge_runtime.bench.tables import COLUMNS, FIGURES, FORMATS, Row, csv_of, rows
from edge_runtime.io.sheet import Column, Sheet, Table
from edge_runtime.io.typed_json import Json


@dataclass(frozen=True)
class Outcome:
    """What came of one board: a result, or the reason why there is none."""

    name: str
    result: Result | None = None
    error: str = ""

    def as_json(self) -> dict[str, Json]:
        """Return it for `--json`."""
        if self.result is None:
            return {"target": self.name, "error": self.error}
        return {"target": self.name, "result": to_json(self.result)}

    def rows(self) -> list[Row]:
        """Return one row a test, or one that has the reason."""
        return [Row(failed=self.error)] if self.result is None else rows(self.result)


def to_text(outcomes: Sequence[Outcome], output: str) -> str:
    """Return all outcomes as md, csv, json or jsonl; one board's result alone looks as `lpc-bench run` prints it."""
    if len(outcomes) == 1 and outcomes[0].result is not None:
        return FORMATS[output](outcomes[0].result)
    if output == "json":
        return json.dumps({"boards": [outcome.as_json() for outcome in outcomes]})
    if output == "md":
        return sheet(outcomes).markdown()
    cells = [{"target": outcome.name, **row.cells()} for outcome in outcomes for row in outcome.rows()]
    if output == "jsonl":
        return "\n".join(json.dumps(line) for line in cells)
    return csv_of(cells, ("target", *COLUMNS))


def sheet(outcomes: Sequence[Outcome]) -> Sheet:
    """Return all outcomes for people."""
    if len(outcomes) == 1 and outcomes[0].result is not None:
        return tables.sheet(outcomes[0].result)
    flat = [(outcome.name, row) for outcome in outcomes for row in outcome.rows()]
    heads = map(Column, ("target", "board", "isa", "mode", "test"))
    cells = [_cells(target, row) for target, row in flat]
    return Sheet([Table([*heads, *FIGURES], cells, tones=[row.tone for _, row in flat])])


def _cells(target: str, row: Row) -> list[str]:
    if row.tokens_per_s_mean is None:
        return [target, *["-"] * 4, row.speed, "-", "-"]
    return [target, row.board or "-", str(row.isa), str(row.mode), str(row.test), *row.figures]
