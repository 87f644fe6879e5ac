"""The result of a benchmark as types: what was measured, on what, and every raw sample.

`result_file` reads and writes them as JSON, schema `lpc-bench-result` (docs/benchmarks.md). All sizes are in bytes, all
times in seconds since the start of the run, unless the name says otherwise. None and empty: not known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

from edge_runtime.bench.records import (
    BoardRecord,
    BuildRecord,
    EnvironmentRecord,
    ModelRecord,
    Open,
    PlanRecord,
    RemoteRecord,
    SettingsRecord,
    Size,
    TelemetryRecord,
)
from edge_runtime.bench.statistics import Summary, summarise
from edge_runtime.io.typed_json import FLAT, KEPT, Above, Expected, Json, Least

Kind: TypeAlias = Literal["pp", "tg"]
"""A prompt in one go, or tokens one by one, as llama-bench names them."""
Mode: TypeAlias = Literal["warm", "cold"]
Positive: TypeAlias = Annotated[float, Expected("a number above 0"), Above(0)]
_Told: TypeAlias = Annotated[float | None, Expected("a number, or null where it is unknown"), KEPT]


@dataclass(frozen=True, kw_only=True)
class CpuTimes:
    """Seconds of CPU time during a stretch of time, summed over threads and CPUs.

    `cpu_seconds` the process's own; `wait_seconds` for which its threads could run and had no CPU; `others_seconds` of
    other programs; `stolen_seconds` that the host took; `machine_seconds` of all CPUs together, idle or not.
    """

    cpu_seconds: _Told = None
    wait_seconds: _Told = None
    others_seconds: _Told = None
    stolen_seconds: _Told = None
    machine_seconds: _Told = None


@dataclass(frozen=True, kw_only=True)
class Repetition(Open):
    """One repetition of a test: `seconds` for `tokens` tokens, `pass_seconds` of each forward pass.

    `counters` are the provider's, by their names in lpc.h: what they grew by, or how things stood at the end.
    `round` numbers the processes of a run with `--precision`. Of cold repetitions alone: `cached_before`, the share of
    the model's files in the page cache, and `load_seconds`.
    """

    seconds: Positive
    tokens_per_s: Positive
    tokens: int | None = None
    pass_seconds: Annotated[tuple[float, ...], KEPT] = ()
    counters: Annotated[Mapping[str, int], KEPT] = field(default_factory=dict)
    peak_rss_bytes: Annotated[Size | None, KEPT] = None
    times: Annotated[CpuTimes, FLAT] = field(default_factory=CpuTimes)
    per_token: bool = False
    round: Annotated[int, Expected("the number of a round"), KEPT] = 0
    cached_before: float | None = None
    load_seconds: float | None = None
    started_s: float | None = None
    ended_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class TestEnergy:
    """Energy of the repetitions, idle power included; or the reason why it is unavailable."""

    joules_per_token: float | None = None
    unavailable: str | None = None


@dataclass(frozen=True, kw_only=True)
class Test(Open):
    """One test of one configuration: `tokens` tokens behind `depth` others, on `threads` threads (0: automatic).

    `load` has the other arguments of `edge_runtime.load`. `failed` says why there are fewer repetitions than asked for,
    or none.
    """

    name: str
    kind: Kind
    tokens: Annotated[int, Least(1)]
    depth: int
    threads: int
    provider: str
    load: Mapping[str, Json]
    mode: Mode
    repetitions: tuple[Repetition, ...]
    load_seconds: float | None = None
    energy: TestEnergy | None = None
    peak_rss_bytes: Annotated[Size | None, KEPT] = None
    bytes_read_per_token: Annotated[float | None, KEPT] = None
    failed: str | None = None

    @property
    def speeds(self) -> list[float]:
        """Tokens per second of each repetition."""
        return [float(repetition.tokens_per_s) for repetition in self.repetitions]

    @property
    def summary(self) -> Summary | None:
        """Tokens per second over the repetitions; None if the test failed."""
        return summarise(self.speeds) if self.repetitions else None

    @property
    def identity(self) -> tuple[str | int, ...]:
        """What makes two tests the same one in two results."""
        load = json.dumps(self.load, sort_keys=True)
        return (self.kind, self.tokens, self.depth, self.threads, self.provider, self.mode, load)

    @property
    def label(self) -> str:
        """Name of a test with its configuration, for people."""
        threads = f"{self.threads} threads" if self.threads else "automatic threads"
        load = "".join(f", {name}={value}" for name, value in self.load.items())
        return f"{self.name}, {self.provider}, {threads.replace('1 threads', '1 thread')}, {self.mode}{load}"


@dataclass(frozen=True, kw_only=True)
class Check(Open):
    """What a configuration generates greedily from fixed token ids: the same in all of them, or speeds mean nothing."""

    configuration: str | None = None
    prompt_ids: tuple[int, ...] | None = None
    token_ids: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class LayerTime(Open):
    """Mean seconds per pass that a layer was read, decoded, computed with and waited for; these overlap."""

    name: str
    read_s: Annotated[float, KEPT] = 0.0
    decode_s: Annotated[float, KEPT] = 0.0
    compute_s: Annotated[float, KEPT] = 0.0
    wait_s: Annotated[float, KEPT] = 0.0


@dataclass(frozen=True, kw_only=True)
class Result(Open):
    """Everything that a run of `lpc-bench` measured.

    `created` is UTC, ISO 8601. `excluded` says what is not in the figures, `warnings` what to be careful about. `plan`
    is that of the first configuration, `layers` are there with `--layers`, `remote` from a board reached over SSH.
    """

    created: str
    command: tuple[str, ...]
    model: ModelRecord
    environment: EnvironmentRecord
    board: BoardRecord
    build: BuildRecord
    settings: SettingsRecord
    excluded: tuple[str, ...]
    check: Check
    tests: tuple[Test, ...]
    telemetry: TelemetryRecord
    plan: Annotated[PlanRecord | None, KEPT] = None
    layers: Annotated[tuple[LayerTime, ...] | None, KEPT] = None
    warnings: tuple[str, ...]
    remote: RemoteRecord | None = None

    @property
    def failed(self) -> bool:
        """Whether any test failed."""
        return any(test.failed for test in self.tests)
