"""Plain onnxruntime and onnxruntime-genai without a single option, beside lpc-run, on one exported folder.

    lpc-export examples/demo_model -o build/demo
    python benchmarks/without_options.py build/demo --genai-python PYTHON
    python benchmarks/without_options.py build/demo --genai-python PYTHON --tokens 64 --rounds 20 --json

Every side is a process that keeps its model loaded: lpc-run's (edge_runtime.load), an onnxruntime session with the
provider registered and an empty list of options, in the same token loop, and onnxruntime-genai on the folder as it was
exported (--genai-python names an interpreter that has it; without it that side is left out). First all continue the
same prompt, and their tokens must be equal. Then, round after round in changing order, each one continues it by
--tokens tokens. Printed are tokens a second (median, 10th and 90th percentile), the median over that of lpc-run, the
seconds until the first token, in which the weights are read, and the peak of memory; --json has all samples.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

from products import Side, print_table

from edge_runtime import native

ROOT = Path(__file__).resolve().parents[1]


def sides(options: argparse.Namespace) -> list[Side]:
    """One process each; the genai interpreter finds our package and library through its environment."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    os.environ["LPC_LIBRARY"] = str(native.library_path())
    made = [
        Side("lpc-run", sys.executable, "lpc-run", options.model, 0),
        Side("onnxruntime", sys.executable, "onnxruntime", options.model, 0),
    ]
    if options.genai_python:
        made.append(Side("onnxruntime-genai", options.genai_python, "genai-lpc", options.model, 0))
    return made


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    running = sides(options)
    prompt = [int(token) for token in options.prompt.split(",")]
    first = {side.name: side.ask(prompt=prompt, tokens=options.checked) for side in running}
    expected = first["lpc-run"]["token_ids"]
    for name, answer in first.items():
        # genai stops at the end of the text
        if answer["token_ids"] != expected[: len(answer["token_ids"])]:
            sys.exit(f"error: {name} gives other tokens than lpc-run: {answer['token_ids']} instead of {expected}")
    peak = {}
    for number in range(options.rounds + 1):
        for turn in range(len(running)):
            side = running[(turn + number) % len(running)]
            answer = side.ask(prompt=prompt, tokens=options.tokens)
            if number:  # the first round warms up
                side.samples.append((len(answer["token_ids"]) - 1) / answer["token_seconds"])
            peak[side.name] = answer["peak_rss_bytes"]
    for side in running:
        side.close()
    ours = statistics.median(running[0].samples)
    return [row(side, first[side.name], peak[side.name], ours) for side in running]


def row(side: Side, first: dict[str, Any], peak: int, ours: float) -> dict[str, Any]:
    deciles = statistics.quantiles(side.samples, n=10)
    median = statistics.median(side.samples)
    return {
        "side": side.name,
        "tokens_per_s_median": round(median, 2),
        "tokens_per_s_p10": round(deciles[0], 2),
        "tokens_per_s_p90": round(deciles[8], 2),
        "over_lpc_run": round(median / ours, 3),
        "first_token_seconds": round(first["prompt_seconds"], 3),
        "peak_rss_mb": round(peak / 1e6),
        "samples": [round(value, 2) for value in side.samples],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a folder that lpc-export made")
    parser.add_argument("--genai-python", help="an interpreter with onnxruntime-genai and numpy")
    parser.add_argument("--prompt", default="1,2,3,4,5,6,7,8", help="token ids")
    parser.add_argument("--tokens", type=int, default=64, help="a sample")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--checked", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options)
    if options.json:
        print(json.dumps({"model": str(options.model), "tokens": options.tokens, "sides": rows}, indent=1))
        return
    print_table(rows)


if __name__ == "__main__":
    main()
