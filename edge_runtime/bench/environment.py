"""What a result was measured on: machine, board, software, build of this runtime."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

from boards.detect import current_power_mode
from edge_runtime.bench.telemetry.procfs import cpu_times, meminfo
from edge_runtime.bench.telemetry.reading import read_int, read_text

_LOOK_SECONDS = 0.4
_PACKAGES = ("onnxruntime", "numpy", "tokenizers")
_DISTRIBUTION = "lpc-edge-runtime"


def environment(root: Path = Path("/")) -> dict[str, Any]:
    """Return machine and software; what cannot be read is left out."""
    memory = meminfo(root)
    found = {
        "os": _os_name(root),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name)) is not None},
        "cpu": _cpu_name(root),
        "cpus": os.cpu_count(),
        "cpus_usable": len(os.sched_getaffinity(0)),
        "governor": read_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "cpu_max_mhz": _mhz(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq"),
        "power_mode": current_power_mode(),
        "memory_total_bytes": memory.get("MemTotal"),
        "memory_available_bytes": memory.get("MemAvailable"),
        "swap_total_bytes": memory.get("SwapTotal"),
        "cgroup_memory_limit_bytes": read_int(root / "sys/fs/cgroup/memory.max"),
        "cpu_busy_before": _busy(root),
    }
    return {name: value for name, value in found.items() if value is not None}


def board(root: Path = Path("/")) -> dict[str, Any]:
    """Return which board this is: the profile that fits it, and what the machine says of itself."""
    try:
        detect = importlib.import_module("boards.detect")
    except ImportError as error:
        return {"unavailable": f"the board profiles are not installed ({error})"}
    found = detect.detect(root)
    identity = {name: value for name, value in found.identity.as_dict().items() if value not in (None, "", (), [])}
    if found.profile is None:
        return {"unavailable": "no board profile fits this machine", "identity": identity}
    return {
        "id": found.profile.id,
        "name": found.profile.name,
        "exact": found.exact,
        "reasons": list(found.reasons),
        "identity": identity,
    }


def build() -> dict[str, Any]:
    """Return versions and instruction set of this runtime, and the commit where it runs from a git checkout."""
    from edge_runtime import native

    library = native.library_path()
    found = {
        "version": _version(_DISTRIBUTION) or "source tree",
        "library_version": native.version(),
        "library_sha256": hashlib.sha256(library.read_bytes()).hexdigest(),
        "isa": native.implementation(),
        "isa_available": native.implementations(),
        "isa_forced": os.environ.get("LPC_FORCE_IMPL"),
        **_commit(),
    }
    return {name: value for name, value in found.items() if value is not None}


def model(folder: Path, manifest: Any) -> dict[str, Any]:
    """Return what the manifest says of the model in a few lines, and the hash that identifies it."""
    totals = manifest.get("totals", {})
    codecs: dict[str, int] = {}
    for tensor in manifest.get("tensors", []):
        codecs[tensor["codec"]] = codecs.get(tensor["codec"], 0) + tensor["bytes"]
    return {
        "folder": folder.resolve().name,
        **{name: manifest.get("source", {}).get(name) for name in ("name", "model_type", "dtype")},
        **{name: totals.get(name) for name in ("tensors", "source_bytes", "blob_bytes", "bits_per_weight")},
        "codec_bytes": codecs,
        "context_length": manifest.get("context_length"),
        "lossless": manifest.get("lossless"),
        "manifest_sha256": hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest(),
    }


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


def _commit() -> dict[str, Any]:
    """The commit of the checkout that this file lies in, if it is one."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return {}
    commit = _output("git", "-C", str(folder), "rev-parse", "HEAD").strip()
    if not commit:
        return {}
    return {"commit": commit, "modified": bool(_output("git", "-C", str(folder), "status", "--porcelain", "-uno"))}


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
