"""What is to be measured, and a test while it is: repetitions come in one by one."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

from edge_runtime.bench.messages import Timed
from edge_runtime.bench.results import Kind, Mode, Repetition, Test
from edge_runtime.bench.workers import Configuration


@dataclass(frozen=True)
class Spec:
    """One thing to time: `tokens` prompt tokens in one go (pp) or one by one (tg), behind `depth` others."""

    kind: Kind
    tokens: int
    depth: int = 0

    @property
    def name(self) -> str:
        """Its name in llama-bench's way."""
        return f"{self.kind}{self.tokens}" + (f" @ d{self.depth}" if self.depth else "")


@dataclass
class RunningTest:
    """A test of one configuration, as far as it is measured."""

    spec: Spec
    configuration: Configuration
    mode: Mode
    repetitions: list[Repetition] = field(default_factory=list)
    load_seconds: float | None = None
    failed: str | None = None

    @functools.cached_property
    def label(self) -> str:
        """Name of the test with its configuration, for people."""
        return self.so_far().label

    def so_far(self) -> Test:
        """Return what there is by now."""
        return Test(
            name=self.spec.name,
            kind=self.spec.kind,
            tokens=self.spec.tokens,
            depth=self.spec.depth,
            threads=self.configuration.threads,
            provider=self.configuration.provider,
            load=self.configuration.load,
            mode=self.mode,
            repetitions=tuple(self.repetitions),
            load_seconds=self.load_seconds,
            failed=self.failed,
        )

    def add(
        self, timed: Timed, zero: float, number: int, cached: float | None = None, load_seconds: float | None = None
    ) -> Repetition:
        """Add a repetition of round `number`, and return it; its times count from `zero` on time.monotonic."""
        seconds = sum(timed.pass_seconds)
        repetition = Repetition(
            seconds=seconds,
            tokens_per_s=self.spec.tokens / seconds,
            tokens=self.spec.tokens,
            pass_seconds=timed.pass_seconds,
            counters=timed.counters,
            peak_rss_bytes=timed.peak_rss_bytes,
            times=timed.times,
            per_token=self.spec.kind == "tg",
            round=number,
            cached_before=cached,
            load_seconds=load_seconds,
            started_s=round(timed.started - zero, 6),
            ended_s=round(timed.ended - zero, 6),
        )
        self.repetitions.append(repetition)
        return repetition
