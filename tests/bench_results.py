"""Results of a benchmark, made by hand: what no run on this machine gives (power, heat, layers, chosen speeds)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_runtime.bench.result_file import from_json
from edge_runtime.bench.results import Result, Test


def make_test(kind: str, speeds: Sequence[float], /, **changes: Any) -> dict[str, Any]:
    """A test; of its repetitions, `rounds` in a row are of one round each, and `waits` are shares waited for a CPU."""
    tokens = 128 if kind == "tg" else 512
    start, repetitions = 1.0, []
    size, waits = len(speeds) // changes.pop("rounds", 1), changes.pop("waits", None)
    others = changes.pop("others", 0.0)
    for number, speed in enumerate(speeds):
        seconds = tokens / speed
        passes = [seconds / tokens] * tokens if kind == "tg" else [seconds]
        counters = {
            "bytes_read": 1000 * tokens, "wait_ns": int(seconds * 2e8), "compute_ns": int(seconds * 5e8),
            "read_ns": int(seconds * 9e8), "decode_ns": int(seconds * 1e8), "nodes_unclaimed": 0,
        }  # fmt: skip
        repetitions.append(
            {
                "seconds": seconds, "tokens_per_s": speed, "tokens": tokens, "pass_seconds": passes,
                "counters": counters, "peak_rss_bytes": 2_000_000_000, "started_s": start, "ended_s": start + seconds,
                "round": number // max(1, size),
            }
        )  # fmt: skip
        if waits is not None:
            repetitions[-1] |= {
                "cpu_seconds": seconds * (1 - waits[number]), "wait_seconds": seconds * waits[number],
                "others_seconds": 2 * seconds * others, "stolen_seconds": 0.0, "machine_seconds": 2 * seconds,
            }  # fmt: skip
        start += seconds
    test = {
        "name": f"{kind}{tokens}", "kind": kind, "tokens": tokens, "depth": 0, "threads": 4, "provider": "lpc",
        "load": {}, "mode": "warm", "repetitions": repetitions, "load_seconds": 1.25, "peak_rss_bytes": 2_000_000_000,
        "bytes_read_per_token": 1000.0, "energy": {"joules_per_token": 0.75},
    }  # fmt: skip
    return {**test, **changes}


def make_result(*tests: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A result of a board with power, temperature, a budget and layers."""
    samples = [
        {
            "t_s": 0.5 * i,
            "power_w": 6 + i % 3,
            "temperatures_c": {"cpu": 45 + i / 2, "gpu": 44.0},
            "rss_bytes": 1_900_000_000,
        }
        for i in range(30)
    ]
    result = {
        "schema": "lpc-bench-result", "schema_version": 1, "created": "2026-01-02T03:04:05+00:00",
        "command": ["lpc-bench", "run", "model"],
        "model": {"folder": "model-lpc", "name": "a model", "blob_bytes": 1_500_000_000, "bits_per_weight": 10.9},
        "environment": {"cpu": "Cortex-A78AE", "cpus_usable": 6, "packages": {"onnxruntime": "1.23.2"}},
        "board": {"id": "jetson-orin-nano-8gb", "name": "Jetson Orin Nano 8GB"},
        "build": {"version": "0.1.0", "isa": "neon", "library_sha256": "ab" * 32},
        "settings": {"repetitions": 5, "mode": "warm"}, "excluded": ["opening the model"],
        "check": {"token_ids": [1, 2, 3]}, "tests": list(tests),
        "telemetry": {
            "sources": ["tegrastats"], "missing": {}, "power": {"basis": "rail VDD_IN"}, "interval_s": 0.5,
            "cpu_fraction": 0.004, "samples": samples,
        },
        "plan": {"budget_bytes": 2_500_000_000}, "warnings": [],
    }  # fmt: skip
    return {**result, **changes}


def a_result(*tests: dict[str, Any], **changes: Any) -> Result:
    """`make_result`, read."""
    return from_json(make_result(*tests, **changes))


def a_test(kind: str, speeds: Sequence[float], /, **changes: Any) -> Test:
    """`make_test`, read."""
    return a_result(make_test(kind, speeds, **changes)).tests[0]
