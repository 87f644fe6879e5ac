"""Compare every model family with transformers: tiny random models, exported and run through onnxruntime.

Needs torch and transformers beside this project. For each family: the largest error of the prompt's logits and of a
pass over prompt and continuation (parts of the logits' range), 32 greedy tokens with the KV cache, and a batch of two
texts of different lengths; through our provider and through the fallback op.

    python benchmarks/compare_families.py
    python benchmarks/compare_families.py gemma2 mixtral --json
    python benchmarks/compare_families.py --write-golden
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import families
import torch_families

from edge_runtime import provider
from edge_runtime.io.sheet import Column, Table
from exporters.export import ExportOptions, export
from exporters.package.codec_choice import CodecChoice

_COLUMNS = ("family", "runner", "prompt error", "whole error", "tokens", "batch", "claimed", "unclaimed")


def compare(name: str) -> list[dict[str, Any]]:
    """Export one family and return a row for each way to run it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        record = torch_families.make_record(name, folder / "model")
        export(folder / "model", folder / "out", ExportOptions(codec=CodecChoice("auto")))
        return [_row(name, record, folder / "out", runner) for runner in ("provider", "fallback")]


def _row(name: str, record: dict[str, Any], out: Path, kind: str) -> dict[str, Any]:
    runner = families.Runner(out, use_provider=kind == "provider")
    stats = provider.session_stats(runner.session_id) if kind == "provider" else None
    whole = families.PROMPT + record["tokens"]
    return {
        "family": name,
        "runner": kind,
        "prompt error": families.error_of(runner.logits(families.PROMPT), record["logits"]),
        "whole error": families.error_of(runner.logits(whole), record["whole_logits"]),
        "tokens": runner.greedy([families.PROMPT], families.NEW_TOKENS)[0] == record["tokens"],
        "batch": runner.greedy(families.BATCH, families.BATCH_NEW_TOKENS) == record["batch_tokens"],
        "claimed": stats.nodes_claimed if stats else None,
        "unclaimed": stats.nodes_unclaimed if stats else None,
    }


def write_golden(name: str) -> Path:
    """Write the record of one family for the tests."""
    record = torch_families.make_safe_record(name)
    kept = {key: record[key] for key in ("seed", "config", "tensors", "tokens", "batch_tokens")}
    kept["config"].pop("transformers_version", None)
    if record["generated"] != record["tokens"]:
        kept["generated"] = record["generated"]
    kept["logits"] = [[float(f"{value:.6g}") for value in row] for row in record["logits"].tolist()]
    kept["last_logits"] = [float(f"{value:.6g}") for value in record["whole_logits"][-1].tolist()]
    families.GOLDEN.mkdir(exist_ok=True)
    path = families.GOLDEN / f"{name}.json"
    lines = [f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in kept.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return path


def _print(rows: list[dict[str, Any]]) -> None:
    def text(value: Any) -> str:
        if isinstance(value, bool):
            return "equal" if value else "DIFFER"
        return f"{value:.1e}" if isinstance(value, float) else "-" if value is None else str(value)

    cells = [[text(row[column]) for column in _COLUMNS] for row in rows]
    print(Table([Column(name) for name in _COLUMNS], cells).text())


def main() -> int:
    """Run the command: 1 if any family differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("family", nargs="*", help="families to compare, all if none is given")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--write-golden", action="store_true", help="write the records that the tests compare with")
    args = parser.parse_args()
    unknown = set(args.family) - set(torch_families.CONFIGS)
    if unknown:
        parser.error(f"no family {', '.join(sorted(unknown))}; there are: {', '.join(torch_families.CONFIGS)}")
    chosen = args.family or list(torch_families.CONFIGS)
    if args.write_golden:
        for name in chosen:
            print(write_golden(name))
        return 0
    rows = [row for name in chosen for row in compare(name)]
    print(json.dumps(rows, indent=1)) if args.json else _print(rows)
    worst = max(max(row["prompt error"], row["whole error"]) for row in rows)
    same = all(row["tokens"] and row["batch"] and not row["unclaimed"] for row in rows)
    return 0 if same and worst < families.TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
