"""What a result was measured on: machine, board, software, build of this runtime."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from boards.detect import current_power_mode, detect
from edge_runtime.bench.records import BoardRecord, BuildRecord, EnvironmentRecord, ModelRecord
from edge_runtime.bench.telemetry.procfs import cpu_times, meminfo
from edge_runtime.bench.telemetry.reading import read_int, read_text
from edge_runtime.io.typed_json import Json, read

_LOOK_SECONDS = 0.4
_PACKAGES = ("onnxruntime", "numpy", "tokenizers")
_DISTRIBUTION = "lpc-edge-runtime"


@dataclass(frozen=True)
class _Source:
    name: str | None = None
    model_type: str | None = None
    dtype: str | None = None


@dataclass(frozen=True)
class _Totals:
    tensors: int | None = None
    source_bytes: int | None = None
    blob_bytes: int | None = None
    bits_per_weight: float | None = None


@dataclass(frozen=True)
class _Tensor:
    codec: str
    bytes: int


@dataclass(frozen=True)
class _Manifest:
    """What is told of lpc.json."""

    source: _Source = field(default_factory=_Source)
    totals: _Totals = field(default_factory=_Totals)
    tensors: tuple[_Tensor, ...] = ()
    context_length: int | None = None
    lossless: bool | None = None


def environment(root: Path = Path("/")) -> EnvironmentRecord:
    """Return machine and software; what cannot be read is None."""
    memory = meminfo(root)
    return EnvironmentRecord(
        os=_os_name(root),
        kernel=platform.release(),
        machine=platform.machine(),
        python=platform.python_version(),
        packages={name: version for name in _PACKAGES if (version := _version(name)) is not None},
        cpu=_cpu_name(root),
        cpus=os.cpu_count(),
        cpus_usable=len(os.sched_getaffinity(0)),
        governor=read_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        cpu_max_mhz=_mhz(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq"),
        power_mode=current_power_mode(),
        memory_total_bytes=memory.get("MemTotal"),
        memory_available_bytes=memory.get("MemAvailable"),
        swap_total_bytes=memory.get("SwapTotal"),
        cgroup_memory_limit_bytes=read_int(root / "sys/fs/cgroup/memory.max"),
        cpu_busy_before=_busy(root),
    )


def board(root: Path = Path("/")) -> BoardRecord:
    """Return which board this is: the profile that fits it, and what the machine says of itself."""
    found = detect(root)
    if found.profile is None:
        return BoardRecord(unavailable="no board profile fits this machine", identity=found.identity)
    return BoardRecord(
        id=found.profile.id,
        name=found.profile.name,
        exact=found.exact,
        reasons=tuple(found.reasons),
        identity=found.identity,
    )


def build() -> BuildRecord:
    """Return versions and instruction set of this runtime, and the commit where it runs from a git checkout."""
    from edge_runtime import native

    commit, modified = _commit()
    return BuildRecord(
        version=_version(_DISTRIBUTION) or "source tree",
        library_version=native.version(),
        library_sha256=hashlib.sha256(native.library_path().read_bytes()).hexdigest(),
        isa=native.implementation(),
        isa_available=tuple(native.implementations()),
        isa_forced=os.environ.get("LPC_FORCE_IMPL"),
        commit=commit,
        modified=modified,
    )


def model(folder: Path, manifest: Mapping[str, Json]) -> ModelRecord:
    """Return what the manifest says of the model in a few lines, and the hash that identifies it."""
    known = read(_Manifest, manifest, str(folder / "lpc.json"))
    codecs: dict[str, int] = {}
    for tensor in known.tensors:
        codecs[tensor.codec] = codecs.get(tensor.codec, 0) + tensor.bytes
    return ModelRecord(
        folder=folder.resolve().name,
        name=known.source.name,
        model_type=known.source.model_type,
        dtype=known.source.dtype,
        tensors=known.totals.tensors,
        source_bytes=known.totals.source_bytes,
        blob_bytes=known.totals.blob_bytes,
        bits_per_weight=known.totals.bits_per_weight,
        codec_bytes=codecs,
        context_length=known.context_length,
        lossless=known.lossless,
        manifest_sha256=hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest(),
    )


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _os_name(root: Path) -> str | None:
    for line in (read_text(root / "etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return None


def _cpu_name(root: Path) -> str | None:
    fields: dict[str, str] = {}
    for line in (read_text(root / "proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return fields.get("model name") or fields.get("Hardware") or fields.get("CPU part")


def _mhz(path: Path) -> float | None:
    khz = read_int(path)
    return None if khz is None else khz / 1000


def _busy(root: Path) -> float | None:
    """Share of all CPUs' time that others use, over a moment in which this process sleeps."""
    before = cpu_times(root)
    time.sleep(_LOOK_SECONDS)
    after = cpu_times(root)
    if before is None or after is None or after[1] <= before[1]:
        return None
    return (after[0] - before[0]) / (after[1] - before[1])


def _commit() -> tuple[str | None, bool | None]:
    """The commit of the checkout that this file lies in, if it is one, and whether something in it was changed."""
    folder = Path(__file__).resolve().parents[2]
    commit = _output("git", "-C", str(folder), "rev-parse", "HEAD").strip() if (folder / ".git").exists() else ""
    if not commit:
        return None, None
    return commit, bool(_output("git", "-C", str(folder), "status", "--porcelain", "-uno"))


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
