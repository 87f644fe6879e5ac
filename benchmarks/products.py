"""Tokens per second with packed weights beside decoded ones, and beside other programs, taking turns on one machine.

    python benchmarks/make_checkpoint.py tinyllama-1.1b build/tinyllama
    lpc-export build/tinyllama --out build/tinyllama-packed --codec packed --board this
    python benchmarks/products.py build/tinyllama-packed --threads 1,2
    python benchmarks/products.py build/tinyllama-packed --threads 2 --prefill 512 --tokens 8
    python benchmarks/products.py build/tinyllama-packed --llama build/tinyllama.gguf --llama-python PYTHON \\
      --torch build/tinyllama --torch-python PYTHON --genai build/tinyllama-fp32 --genai-python PYTHON

Every side is a process that keeps its model loaded; round after round each one continues a text by --tokens tokens,
greedily, in changing order. First all of ours generate 128 tokens from the same prompt, and their ids must be equal.
The peers' ids are only printed: their arithmetic rounds differently. --llama-python and --torch-python name
interpreters that have llama-cpp-python (built for this machine), or torch and transformers, installed,
--genai-python one with onnxruntime-genai; --genai is the folder that its model builder made, in FP32
(python -m onnxruntime_genai.models.builder -i build/tinyllama -o build/tinyllama-fp32 -p fp32 -e cpu -c CACHE). Prints
a table, with --json all samples. Not in the times: loading, the prompt, tokenizing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

WORKER = Path(__file__).parent / "peers" / "products_worker.py"
CHECKED_TOKENS = 128
PROMPT = [1, 306, 763, 278, 6575, 29892, 278, 23685]


class Side:
    """A process with one model at one number of threads."""

    def __init__(self, name: str, python: str, kind: str, model: Path, threads: int) -> None:
        self.name, self.threads, self.samples = name, threads, []
        self.prefill: list[float] = []
        command = [python, str(WORKER), kind, str(model), "--threads", str(threads)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **request: Any) -> dict[str, Any]:
        """One request and its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"error: {self.name} ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def sides(options: argparse.Namespace, threads: int) -> list[Side]:
    made = [
        Side("packed", sys.executable, "lpc-resident", options.model, threads),
        Side("decoded bf16", sys.executable, "lpc-decoded", options.model, threads),
    ]
    if options.llama:
        made.append(Side("llama.cpp bf16", options.llama_python, "llama", options.llama, threads))
    if options.torch:
        made.append(Side("transformers bf16", options.torch_python, "torch", options.torch, threads))
    if options.genai:
        made.append(Side("onnxruntime-genai fp32", options.genai_python, "genai", options.genai, threads))
    return made


def measure(options: argparse.Namespace, threads: int) -> list[dict[str, Any]]:
    running = sides(options, threads)
    ids = {side.name: side.ask(prompt=PROMPT, tokens=options.checked)["token_ids"] for side in running}
    if ids["packed"] != ids["decoded bf16"]:
        sys.exit("error: packed and decoded weights give different tokens")
    memory = {}
    for number in range(options.rounds + 1):
        for turn in range(len(running)):
            side = running[(turn + number) % len(running)]
            prompt = [1 + (7 * i + number) % 30000 for i in range(options.prefill)] if options.prefill else PROMPT
            answer = side.ask(prompt=prompt, tokens=options.tokens)
            if number:  # the first round warms up
                side.samples.append(len(answer["token_ids"][1:]) / answer["token_seconds"])
                side.prefill.append(len(prompt) / answer["prompt_seconds"])
            memory[side.name] = answer["peak_rss_bytes"]
    for side in running:
        side.close()
    first = statistics.median(running[0].samples)
    return [
        {
            "side": side.name,
            "threads": threads,
            "tokens_per_s_median": round(statistics.median(side.samples), 3),
            "tokens_per_s_p90": round(statistics.quantiles(side.samples, n=10)[8], 3),
            "packed_over_this": round(first / statistics.median(side.samples), 3),
            "prompt_tokens_per_s_median": round(statistics.median(side.prefill), 2),
            "peak_rss_mb": round(memory[side.name] / 1e6),
            "same_ids_as_packed": ids[side.name] == ids["packed"],
            "samples": [round(value, 3) for value in side.samples],
        }
        for side in running
    ]


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print all but the samples, a line a side."""
    heads = [head for head in rows[0] if head != "samples"]
    cells = [heads, *([str(row[head]) for head in heads] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(heads))]
    for line in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="exported with codec packed")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--tokens", type=int, default=16, help="a sample")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--checked", type=int, default=CHECKED_TOKENS)
    parser.add_argument("--prefill", type=int, default=0, help="tokens of the prompt of every sample")
    parser.add_argument("--llama", type=Path)
    parser.add_argument("--llama-python", default=sys.executable)
    parser.add_argument("--torch", type=Path)
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--genai", type=Path)
    parser.add_argument("--genai-python", default=sys.executable)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [row for threads in options.threads.split(",") for row in measure(options, int(threads))]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print_table(rows)


if __name__ == "__main__":
    main()
