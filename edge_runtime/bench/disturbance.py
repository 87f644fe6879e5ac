"""What others did to a repetition: time waited for a CPU, CPU time of other programs, time that the host took."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.bench.telemetry.procfs import machine_times
from edge_runtime.bench.telemetry.reading import read_text

WAIT_LIMIT = 0.02
"""Share of a repetition waited for a CPU, or taken by the host, above which it is disturbed; waking up: 0.1-1 %."""

FIELDS = ("cpu_seconds", "wait_seconds", "others_seconds", "stolen_seconds", "machine_seconds")
"""What `Disturbance.seconds` adds to a repetition; each is None where the system does not tell."""

_NANOSECONDS = 1e9


@dataclass(frozen=True)
class Disturbance:
    """The counters of this process and of the machine at one moment."""

    cpu: float
    waits: dict[str, int]
    machine: tuple[int, int, int] | None

    @staticmethod
    def now() -> Disturbance:
        """Read the counters."""
        return Disturbance(time.process_time(), _waits(), machine_times())

    def seconds(self, since: Disturbance) -> dict[str, float | None]:
        """Return FIELDS for the time between `since` and this moment, summed over threads and CPUs.

        `wait_seconds` is the run queue's delay of schedstat: how long threads of this process could run and had no CPU.
        `others_seconds` comes from ticks, mostly of 10 ms: it tells something only of many repetitions together.
        """
        cpu = self.cpu - since.cpu
        waited = sum(wait - since.waits.get(thread, 0) for thread, wait in self.waits.items())
        found: dict[str, float | None] = dict.fromkeys(FIELDS)
        found |= {"cpu_seconds": cpu, "wait_seconds": max(0, waited) / _NANOSECONDS if self.waits else None}
        if self.machine is not None and since.machine is not None:
            tick = 1 / os.sysconf("SC_CLK_TCK")
            busy, stolen, total = (tick * (now - then) for now, then in zip(self.machine, since.machine, strict=True))
            found |= {"others_seconds": busy - cpu, "stolen_seconds": stolen, "machine_seconds": total}
        return found


def disturbed(repetition: dict[str, Any]) -> bool:
    """Whether a repetition waited for others by more than WAIT_LIMIT; False where the system does not tell."""
    seconds, cpu = repetition["seconds"], repetition.get("cpu_seconds") or 0.0
    waited, stolen = repetition.get("wait_seconds") or 0.0, repetition.get("stolen_seconds") or 0.0
    # Of several threads each waits for itself: the share is that of all the time in which they could run.
    wanted = max(seconds, cpu + waited)
    machine = repetition.get("machine_seconds") or 0.0
    return bool(waited > WAIT_LIMIT * wanted or stolen > WAIT_LIMIT * max(machine, seconds))


def others_share(repetitions: list[dict[str, Any]]) -> float | None:
    """Share of all CPUs' time that other programs had during these repetitions; None where the system does not tell."""
    known = [repetition for repetition in repetitions if repetition.get("machine_seconds")]
    total = float(sum(repetition["machine_seconds"] for repetition in known))
    if total <= 0:
        return None
    return max(0.0, float(sum(repetition.get("others_seconds") or 0.0 for repetition in known)) / total)


def _waits() -> dict[str, int]:
    """Nanoseconds that each thread of this process has waited for a CPU so far; empty where there is no schedstat."""
    found = {}
    for file in Path("/proc/self/task").glob("*/schedstat"):
        words = (read_text(file) or "").split()
        if len(words) == 3 and words[1].isdigit():
            found[file.parts[-2]] = int(words[1])
    return found
