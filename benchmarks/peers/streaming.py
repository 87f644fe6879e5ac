"""A model larger than memory from a slow disk: ours beside llama.cpp (mapped file), Accelerate (disk offload), AirLLM.

    python benchmarks/peers/gguf_model.py build/tinyllama build/tinyllama.gguf
    lpc-export build/tinyllama --out build/tinyllama-lz4 --codec lz4
    python benchmarks/peers/streaming.py --ours build/tinyllama-lz4 --llama build/tinyllama.gguf \\
      --accelerate build/tinyllama --rate 400 --memory 1000

As root. Each run has a memory group of the same size (page cache counts) and the same limit on reads; the files are
dropped from the page cache before; the sides take turns, round after round. All get the same prompt ids and as many
threads as there are cores. --llama-python, --torch-python and --airllm-python name interpreters that have the peers
installed. A side that fails is reported with its reason. With --results FILE the rounds are added to those that an
earlier call with the same sides left there, and the table is of all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from streaming import PROMPT, Machine, forget, measured_profile, table, tool

from edge_runtime.bench import page_cache
from edge_runtime.package import Package
from edge_runtime.tokens import Tokenizer

HERE = Path(__file__).resolve().parent
Result = dict[str, Any]


class Sides:
    """The commands to compare, each on the same small machine."""

    def __init__(self, options: argparse.Namespace, board: Path) -> None:
        self._options = options
        self._machine = Machine(memory=options.memory * 1_000_000, read=int(options.rate * 1e6))
        self._board = board
        ids = Tokenizer(Package.open(options.ours[0])).encode(PROMPT)
        self._prompt = ["--prompt-ids", ",".join(map(str, ids)), "--tokens", str(options.tokens)]

    def all(self) -> dict[str, Callable[[], Result]]:
        """Name -> one run."""
        sides: dict[str, Callable[[], Result]] = {
            model.name: lambda m=model: self.ours(m) for model in self._options.ours
        }
        if self._options.llama:
            sides["llama.cpp"] = self.llama
        if self._options.accelerate:
            sides["Accelerate"] = self.accelerate
        if self._options.airllm:
            sides["AirLLM"] = self.airllm
        return sides

    def ours(self, model: Path) -> Result:
        budget = ["--memory-budget", f"{self._options.memory}MB", "--board", str(self._board)]
        command = [tool("lpc-run"), str(model), "-p", PROMPT, "-n", str(self._options.tokens), "--greedy", "--json"]
        forget(model)
        return self._run([*command, *budget, "--context", str(self._options.context)], model, {})

    def llama(self) -> Result:
        file = self._options.llama
        page_cache.drop([file])
        worker = [self._options.llama_python, str(HERE / "llama_cpp_tokens.py"), str(file), *self._prompt]
        return self._run([*worker, "--context", str(self._options.context)], file, {})

    def accelerate(self) -> Result:
        folder = self._options.accelerate
        forget(folder)
        worker = [self._options.torch_python, str(HERE / "accelerate_tokens.py"), str(folder), *self._prompt]
        with tempfile.TemporaryDirectory(dir=folder.parent) as offload:
            more = ["--cpu-memory", self._options.accelerate_memory, "--offload", offload]
            return self._run([*worker, *more], folder, {"OMP_WAIT_POLICY": "passive"})

    def airllm(self) -> Result:
        shards = self._options.airllm_shards
        page_cache.drop(file for file in shards.rglob("*") if file.is_file())
        worker = [self._options.airllm_python, str(HERE / "airllm_tokens.py"), str(self._options.airllm), *self._prompt]
        return self._run([*worker, "--shards", str(shards)], shards, {"OMP_WAIT_POLICY": "passive"})

    def _run(self, command: list[str], disk_of: Path, environment: dict[str, str]) -> Result:
        with self._machine.group(disk_of) as group:
            done = group.run(command, env={**os.environ, **environment})
            seen = {"peak": group.memory_peak, "read": group.bytes_read, "kills": group.out_of_memory_kills}
        if done.returncode == 0:
            return json.loads(done.stdout.splitlines()[-1]) | seen
        reason = f"killed for memory {seen['kills']} times" if seen["kills"] else done.stderr.strip().splitlines()[-1:]
        return {"failed": f"exit {done.returncode}: {reason}"} | seen


def earlier(file: Path | None) -> dict[str, list[Result]]:
    """The rounds that an earlier call left."""
    return json.loads(file.read_text(encoding="utf-8")) if file is not None and file.exists() else {}


def report(results: dict[str, list[Result]], ours: list[str]) -> str:
    """The table; speed-ups of the first of ours over each."""
    medians: dict[str, float] = {}
    for name, runs in results.items():
        seconds = [each for run in runs for each in run.get("token_seconds", [])[1:]]
        if seconds:
            medians[name] = statistics.median(seconds)
    head = ["", "s/token", "min", "max", "first", "memory peak", *(f"{name} is" for name in ours)]
    rows = [head]
    for name, runs in results.items():
        if name not in medians:
            rows.append([name, runs[0]["failed"], *[""] * (len(head) - 2)])
            continue
        seconds = [each for run in runs for each in run.get("token_seconds", [])[1:]]
        first = [run.get("first_seconds", run.get("prompt_seconds")) for run in runs]
        rows.append(
            [
                name, f"{medians[name]:.3f}", f"{min(seconds):.3f}", f"{max(seconds):.3f}",
                f"{statistics.median(first):.1f}" if None not in first else "-",
                f"{max(run['peak'] for run in runs) / 1e6:.0f} MB",
                *(f"{medians[name] / medians[mine]:.2f}x" for mine in ours),
            ]
        )  # fmt: skip
    return table(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", type=Path, nargs="+", required=True, help="exported models")
    parser.add_argument("--llama", type=Path, help="GGUF file")
    parser.add_argument("--accelerate", type=Path, help="checkpoint folder")
    parser.add_argument("--accelerate-memory", default="200MB", help="for weights that Accelerate keeps")
    parser.add_argument("--airllm", type=Path, help="checkpoint folder")
    parser.add_argument("--airllm-shards", type=Path, help="AirLLM's copy of it, written before by airllm_tokens.py")
    parser.add_argument("--airllm-python", default=sys.executable)
    parser.add_argument("--llama-python", default=sys.executable)
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--rate", type=float, default=400, help="MB/s")
    parser.add_argument("--memory", type=int, default=1000, help="MB")
    parser.add_argument("--tokens", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument(
        "--board", type=Path, help="profile to plan with  [default: measured first, in the same limits]"
    )
    parser.add_argument("--results", type=Path, help="JSON file that collects the rounds of several calls")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(memory=options.memory * 1_000_000, read=int(options.rate * 1e6))
        board = options.board or measured_profile(options.ours[0], machine, Path(folder) / "limited.toml")
        sides = Sides(options, board).all()
        results: dict[str, list[Result]] = earlier(options.results) or {name: [] for name in sides}
        if list(results) != list(sides):
            parser.error(f"{options.results} holds {', '.join(results)}; expected {', '.join(sides)}")
        for _ in range(options.rounds):
            for name, side in sides.items():
                results[name].append(side())
                seconds = [round(each, 3) for each in results[name][-1].get("token_seconds", [])]
                print(f"{name}: {seconds or results[name][-1]['failed']}", file=sys.stderr)
            if options.results:
                options.results.write_text(json.dumps(results), encoding="utf-8")
    print(report(results, [model.name for model in options.ours]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
