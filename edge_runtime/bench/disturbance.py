"""What others did to a repetition: time waited for a CPU, CPU time of other programs, time that the host took."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_runtime.bench.results import CpuTimes, Repetition
from edge_runtime.bench.telemetry.procfs import machine_times
from edge_runtime.bench.telemetry.reading import read_text

WAIT_LIMIT = 0.02
"""Share of a repetition waited for a CPU, or taken by the host, above which it is disturbed; waking up: 0.1-1 %."""

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

    def seconds(self, since: Disturbance) -> CpuTimes:
        """Return the times between `since` and this moment; None where the system does not tell.

        `wait_seconds` is the run queue's delay of schedstat: how long threads of this process could run and had no CPU.
        `others_seconds` comes from ticks, mostly of 10 ms: it tells something only of many repetitions together.
        """
        cpu = self.cpu - since.cpu
        waited = sum(wait - since.waits.get(thread, 0) for thread, wait in self.waits.items())
        found = CpuTimes(cpu_seconds=cpu, wait_seconds=max(0, waited) / _NANOSECONDS if self.waits else None)
        if self.machine is None or since.machine is None:
            return found
        tick = 1 / os.sysconf("SC_CLK_TCK")
        busy, stolen, total = (tick * (now - then) for now, then in zip(self.machine, since.machine, strict=True))
        return replace(found, others_seconds=busy - cpu, stolen_seconds=stolen, machine_seconds=total)


def disturbed(repetition: Repetition) -> bool:
    """Whether a repetition waited for others by more than WAIT_LIMIT; False where the system does not tell."""
    times, seconds = repetition.times, repetition.seconds
    cpu, waited, stolen = times.cpu_seconds or 0.0, times.wait_seconds or 0.0, times.stolen_seconds or 0.0
    # Of several threads each waits for itself: the share is that of all the time in which they could run.
    wanted = max(seconds, cpu + waited)
    machine = times.machine_seconds or 0.0
    return bool(waited > WAIT_LIMIT * wanted or stolen > WAIT_LIMIT * max(machine, seconds))


def others_share(repetitions: Sequence[Repetition]) -> float | None:
    """Share of all CPUs' time that other programs had during these repetitions; None where the system does not tell."""
    known = [repetition.times for repetition in repetitions if repetition.times.machine_seconds]
    total = float(sum(times.machine_seconds or 0.0 for times in known))
    if total <= 0:
        return None
    return max(0.0, float(sum(times.others_seconds or 0.0 for times in known)) / total)


def _waits() -> dict[str, int]:
    """Nanoseconds that each thread of this process has waited for a CPU so far; empty where there is no schedstat."""
    found = {}
    for file in Path("/proc/self/task").glob("*/schedstat"):
        words = (read_text(file) or "").split()
        if len(words) == 3 and words[1].isdigit():
            found[file.parts[-2]] = int(words[1])
    return found
