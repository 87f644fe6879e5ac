"""What the benchmarks of streaming share: `lpc-run` on a smaller machine, measured from inside and outside.

    from streaming import Machine, run

Run as root: the machine is made smaller by control groups (edge_runtime/bench/control_group.py).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.bench import page_cache
from edge_runtime.bench.control_group import ControlGroup
from edge_runtime.io.sheet import Column, Table

PROMPT = "Once upon a time"


@dataclass(frozen=True)
class Machine:
    """Limits of the machine: bytes of memory (None: counted only), bytes per second of reading (None: none)."""

    memory: int | None = None
    read: int | None = None

    def group(self, disk_of: Path) -> ControlGroup:
        """The control group of such a machine."""
        return ControlGroup(memory_bytes=self.memory, read_bytes_per_s=self.read, disk_of=disk_of)


@dataclass(frozen=True)
class Run:
    """A finished run: what `lpc-run --json` said, and what the kernel counted."""

    result: dict[str, Any]
    memory_peak: int
    kills: int

    @property
    def token_ids(self) -> list[int]:
        """The generated tokens."""
        return list(self.result["token_ids"])

    @property
    def seconds_per_token(self) -> float:
        """Median over the tokens after the first two: the first loads, and begins with an idle bus."""
        return statistics.median(self.steady)

    @property
    def steady(self) -> list[float]:
        """Seconds of each token of the steady state."""
        seconds: list[float] = self.result["token_seconds"]
        return seconds[1:] if len(seconds) > 2 else seconds

    @property
    def bytes_per_token(self) -> float:
        """Read from the weight file for each token after the first."""
        return float(self.result["token_time"]["bytes_read"])

    @property
    def planned(self) -> float:
        """The plan's seconds per token."""
        return float(self.result["planned_seconds_per_token"])


def tool(name: str) -> str:
    """Path of a command installed beside this Python."""
    return str(Path(sys.executable).parent / name)


def forget(folder: Path) -> None:
    """Drop a model's files from the page cache: a cached page costs a process in another group nothing."""
    page_cache.drop(file for file in folder.iterdir() if file.is_file())


def run(model: Path, machine: Machine, tokens: int, options: Sequence[str] = ()) -> Run:
    """Generate `tokens` tokens greedily with lpc-run on the machine; ends the program if that fails."""
    forget(model)
    command = [tool("lpc-run"), str(model), "-p", PROMPT, "-n", str(tokens), "--greedy", "--json", *options]
    with machine.group(model) as group:
        done = group.run(command)
        kills, peak = group.out_of_memory_kills, group.memory_peak
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}, killed for memory {kills} times: {done.stderr.strip()}")
    return Run(json.loads(done.stdout), peak, kills)


def measured_profile(model: Path, machine: Machine, out: Path) -> Path:
    """Measure the machine with lpc-board, reading the model's own weights, into the profile `out`."""
    forget(model)
    command = [tool("lpc-board"), "measure", "--save", str(out), "--file", str(model / "model.lpc")]
    with machine.group(model) as group:
        done = group.run(command)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    return out


def in_memory_tokens(model: Path, tokens: int) -> list[int]:
    """What the model generates with everything in memory and no limit."""
    command = [tool("lpc-run"), str(model), "-p", PROMPT, "-n", str(tokens), "--greedy", "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return list(json.loads(done.stdout)["token_ids"])


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns, the first to the left and the others to the right."""
    head, *lines = rows
    return Table([Column(head[0]), *(Column(cell, right=True) for cell in head[1:])], lines).text()
