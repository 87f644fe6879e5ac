"""Samples beside a running model: one thread, samples so far apart that they cost under 1 % of a core."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

from edge_runtime.bench.records import PowerSource, TelemetryRecord
from edge_runtime.bench.telemetry.energy import Energy, energy_between
from edge_runtime.bench.telemetry.procfs import ProcSource, process_cpu_seconds
from edge_runtime.bench.telemetry.reading import Reading, Source, Sources
from edge_runtime.bench.telemetry.tegra_source import TegraStatsSource

CPU_LIMIT = 0.01
"""Share of one core that sampling may cost; the interval grows until it does not cost more."""

_MOST_SECONDS = 10.0
_SETTLED_SAMPLES = 4
_GAPS = 3


@dataclass(frozen=True)
class Telemetry:
    """What was sampled: (seconds of time.monotonic, reading) in order, and what it cost.

    `interval_s` is the time between two samples at the end, `cpu_fraction` the share of one core, tegrastats included.
    `unreadable` says of a source how many of its lines made no sense.
    """

    samples: tuple[tuple[float, Reading], ...]
    sources: tuple[str, ...]
    missing: dict[str, str]
    power_reason: str
    interval_s: float
    cpu_fraction: float
    unreadable: dict[str, str] = field(default_factory=dict)

    def energy(self, stretches: list[tuple[float, float]]) -> Energy:
        """Return the energy of (start, end) stretches of time.monotonic; unavailable with the reason, never 0."""
        power = [(when, reading.power_w) for when, reading in self.samples if reading.power_w is not None]
        if not power:
            return Energy(None, self.power_reason)
        return energy_between(power, stretches, _GAPS * max(self.interval_s, _spacing(power)))

    def record(self, zero: float) -> TelemetryRecord:
        """Return what a result keeps of it; `t_s` of each sample counts from `zero` on time.monotonic."""
        bases = sorted({reading.power_basis for _, reading in self.samples if reading.power_basis})
        return TelemetryRecord(
            sources=self.sources,
            missing=self.missing,
            power=PowerSource(basis="; ".join(bases)) if bases else PowerSource(unavailable=self.power_reason),
            interval_s=self.interval_s,
            cpu_fraction=round(self.cpu_fraction, 6),
            unreadable=self.unreadable,
            samples=tuple(reading.sample(round(when - zero, 4)) for when, reading in self.samples),
        )


class Sampler:
    """A context manager: samples from entry to exit, then `telemetry()`."""

    def __init__(self, sources: Sources, *, interval_s: float = 0.5) -> None:
        self._sources = sources
        self._interval_s = interval_s
        self._samples: list[tuple[float, Reading]] = []
        self._held: dict[str, tuple[float, Reading]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lpc-sampler", daemon=True)
        self._cpu_seconds = 0.0
        self._started = self._ended = time.monotonic()

    def __enter__(self) -> Sampler:
        self._started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._ended = time.monotonic()
        self._cpu_seconds += sum(_helper_seconds(source) for source in self._sources.found)
        self._sources.close()

    def watch(self, pid: int | None) -> None:
        """Also record the resident set of this process from now on."""
        for source in self._sources.found:
            if isinstance(source, ProcSource):
                source.pid = pid

    def telemetry(self) -> Telemetry:
        """Return what was sampled so far."""
        ended = self._ended if self._stop.is_set() else time.monotonic()
        return Telemetry(
            samples=tuple(self._samples),
            sources=tuple(source.name for source in self._sources.found),
            missing=dict(self._sources.missing),
            power_reason=self._sources.power_reason(),
            interval_s=self._interval_s,
            cpu_fraction=self._cpu_seconds / max(1e-9, ended - self._started),
            unreadable={
                source.name: f"{source.garbage_lines} of {source.lines} lines of {source.name} could not be read"
                for source in self._sources.found
                if isinstance(source, TegraStatsSource) and source.garbage_lines
            },
        )

    def _run(self) -> None:
        begun = time.thread_time()
        while True:
            started = time.monotonic()
            reading = Reading()
            for source in self._sources.found:
                reading.merge(self._read(source, started))
            self._samples.append((started, reading))
            self._cpu_seconds = time.thread_time() - begun
            if len(self._samples) >= _SETTLED_SAMPLES:
                affordable = self._cpu_seconds / len(self._samples) / CPU_LIMIT * 1.5
                self._interval_s = min(_MOST_SECONDS, max(self._interval_s, affordable))
            if self._stop.wait(max(0.0, started + self._interval_s - time.monotonic())):
                return

    def _read(self, source: Source, now: float) -> Reading:
        """The source's figures; those of an expensive source stand until it may be asked again."""
        held = self._held.get(source.name)
        if held is not None and now - held[0] < source.interval_s:
            return held[1]
        reading = source.read()
        self._held[source.name] = (now, reading)
        return reading


def _helper_seconds(source: Source) -> float:
    pid = getattr(source, "pid", None)
    if isinstance(source, ProcSource) or pid is None:
        return 0.0
    return process_cpu_seconds(pid) or 0.0


def _spacing(power: list[tuple[float, float]]) -> float:
    """Median time between two power samples."""
    gaps = sorted(after[0] - before[0] for before, after in itertools.pairwise(power))
    return gaps[len(gaps) // 2] if gaps else 0.0
