"""What a benchmark and its worker processes say to each other: one JSON object a line, asked and answered in turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

from edge_runtime.bench.records import PlanRecord
from edge_runtime.bench.results import CpuTimes, Kind
from edge_runtime.io.typed_json import FLAT, Json

Operation: TypeAlias = Literal["open", "check", "time"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """An operation. `path`, `provider`, `threads` and `load` are for "open"; `kind`, `tokens`, `depth` for "time"."""

    do: Operation
    path: str = ""
    provider: str = ""
    threads: int = 0
    load: Mapping[str, Json] = field(default_factory=dict)
    kind: Kind = "tg"
    tokens: int = 1
    depth: int = 0


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The model is open."""

    load_seconds: float
    plan: PlanRecord | None = None


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Token ids that were generated greedily."""

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Timed:
    """What a test took: `started` and `ended` on time.monotonic, seconds of each pass, what the provider counted."""

    started: float
    ended: float
    pass_seconds: tuple[float, ...]
    counters: Mapping[str, int]
    peak_rss_bytes: int | None = None
    times: Annotated[CpuTimes, FLAT] = field(default_factory=CpuTimes)


@dataclass(frozen=True, kw_only=True)
class Failed:
    """An error's line, in place of an answer."""

    error: str
