"""What a result says of everything around its tests: model, machine, board, build, settings, telemetry, plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

from boards.detect import Identity
from edge_runtime.io.typed_json import KEPT, REST, Expected, Json

Size: TypeAlias = Annotated[int, Expected("a number of bytes")]


@dataclass(frozen=True, kw_only=True)
class Open:
    """A record that keeps what a newer version wrote into it, in `other`."""

    other: Annotated[Mapping[str, Json], REST] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ModelRecord(Open):
    """The exported model: its `folder`'s name and what its manifest says; `codec_bytes` are stored bytes by codec."""

    folder: str | None = None
    name: Annotated[str | None, KEPT] = None
    model_type: Annotated[str | None, KEPT] = None
    dtype: Annotated[str | None, KEPT] = None
    tensors: Annotated[int | None, KEPT] = None
    source_bytes: Annotated[Size | None, KEPT] = None
    blob_bytes: Annotated[Size | None, KEPT] = None
    bits_per_weight: Annotated[float | None, KEPT] = None
    codec_bytes: Annotated[Mapping[str, Size], KEPT] = field(default_factory=dict)
    context_length: Annotated[int | None, KEPT] = None
    lossless: Annotated[bool | None, KEPT] = None
    manifest_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class EnvironmentRecord(Open):
    """Machine and software. `cpu_busy_before` and `cpu_busy_others` are the share of the CPUs that others used, before
    the run and during its repetitions."""

    os: str | None = None
    kernel: str | None = None
    machine: str | None = None
    python: str | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    cpu: str | None = None
    cpus: int | None = None
    cpus_usable: int | None = None
    governor: str | None = None
    cpu_max_mhz: float | None = None
    power_mode: str | None = None
    memory_total_bytes: Size | None = None
    memory_available_bytes: Size | None = None
    swap_total_bytes: Size | None = None
    cgroup_memory_limit_bytes: Size | None = None
    cpu_busy_before: float | None = None
    cpu_busy_others: Annotated[float | None, KEPT] = None


@dataclass(frozen=True, kw_only=True)
class BoardRecord(Open):
    """The board's profile, whether it is `exact`, and what the machine says of itself; or why there is none."""

    unavailable: str | None = None
    id: str | None = None
    name: str | None = None
    exact: bool | None = None
    reasons: tuple[str, ...] | None = None
    identity: Identity | None = None


@dataclass(frozen=True, kw_only=True)
class BuildRecord(Open):
    """This runtime: versions, instruction set in use (`isa`) and available, and the commit of a git checkout."""

    version: str | None = None
    library_version: str | None = None
    library_sha256: str | None = None
    isa: str | None = None
    isa_available: tuple[str, ...] | None = None
    isa_forced: str | None = None
    commit: str | None = None
    modified: bool | None = None


@dataclass(frozen=True, kw_only=True)
class SettingsRecord(Open):
    """What was asked for."""

    repetitions: int | None = None
    mode: str | None = None
    order: str | None = None
    warm_up: bool | None = None
    telemetry_interval_s: float | None = None
    precision: Annotated[float | None, KEPT] = None
    at_most_s: Annotated[float | None, KEPT] = None


@dataclass(frozen=True, kw_only=True)
class TelemetrySample(Open):
    """What was read at one moment, `t_s` seconds after the start; names are those that the board uses."""

    t_s: float | None = None
    power_w: float | None = None
    rails_w: Mapping[str, float] = field(default_factory=dict)
    temperatures_c: Mapping[str, float] = field(default_factory=dict)
    clocks_mhz: Mapping[str, float] = field(default_factory=dict)
    loads_percent: Mapping[str, float] = field(default_factory=dict)
    memory_used_bytes: Size | None = None
    memory_total_bytes: Size | None = None
    rss_bytes: Size | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PowerSource:
    """What the watts are those of, such as a rail; or the reason why there are none."""

    basis: str | None = None
    unavailable: str | None = None


@dataclass(frozen=True, kw_only=True)
class TelemetryRecord(Open):
    """What was sampled beside the run: by which `sources`, why others are `missing`, and what it cost.

    `cpu_fraction` is the share of one core; `unreadable` says of a source how many of its lines made no sense.
    """

    sources: Annotated[tuple[str, ...], KEPT] = ()
    missing: Annotated[Mapping[str, str], KEPT] = field(default_factory=dict)
    power: Annotated[PowerSource, KEPT] = field(default_factory=PowerSource)
    interval_s: Annotated[float | None, KEPT] = None
    cpu_fraction: Annotated[float, KEPT] = 0.0
    unreadable: Annotated[Mapping[str, str], KEPT] = field(default_factory=dict)
    samples: Annotated[tuple[TelemetrySample, ...], KEPT] = ()


@dataclass(frozen=True, kw_only=True)
class PlanRecord(Open):
    """What is shown of a plan; all else that `lpc-run --plan --json` prints stays in `other`."""

    model: str | None = None
    verdict: str | None = None
    headline: str | None = None
    budget_bytes: Size | None = None
    peak_bytes: Size | None = None
    needed_bytes: Size | None = None


@dataclass(frozen=True, kw_only=True)
class BoardBefore(Open):
    """The board before anything was put there; sizes in bytes, `clock_skew_s` seconds that its clock was ahead."""

    machine: str = ""
    os: str = ""
    python: str = ""
    libc: str = ""
    onnxruntime: str = ""
    free_bytes: Size | None = None
    memory_available_bytes: Size | None = None
    board: str | None = None
    jetpack: str | None = None
    power_mode: str | None = None
    governor: str = ""
    clock_mhz: float | None = None
    temperature_c: float | None = None
    clock_skew_s: Annotated[float, KEPT] = 0.0


@dataclass(frozen=True, kw_only=True)
class Uploaded:
    """What had to be on a board, how much of it went over the wire, and how long that took."""

    total_bytes: Annotated[int, KEPT] = 0
    sent_bytes: Annotated[int, KEPT] = 0
    seconds: Annotated[float, KEPT] = 0.0


@dataclass(frozen=True, kw_only=True)
class RemoteRecord(Open):
    """How the result came from a board: its `target`, lost connections, whether an older run was `attached`.

    `client` is the version of the machine that asked; `created_there` the time of the board's wrong clock.
    """

    target: str
    before: Annotated[BoardBefore, KEPT] = field(default_factory=BoardBefore)
    uploaded: Annotated[Uploaded, KEPT] = field(default_factory=Uploaded)
    reconnects: Annotated[int, KEPT] = 0
    attached: Annotated[bool, KEPT] = False
    client: Annotated[str, KEPT] = ""
    created_there: str | None = None
