"""Seconds per token by layer, from the timeline that the provider writes (Chrome trace format)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PARTS = ("read", "decode", "compute", "wait")


def by_layer(trace: Path, names: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return, in order of layers, the mean seconds per pass of each part: `{"name", "read_s", "decode_s", ...}`.

    The first pass is left out, because it also loads what then stays in memory. Reading and decoding happen beside the
    computing thread, in several threads at once, so the parts of a layer overlap and their sum is no time. Empty if the
    trace has fewer than two passes.
    """
    events = [event for event in json.loads(trace.read_text(encoding="utf-8"))["traceEvents"] if event["name"] in PARTS]
    passes = _passes(events)
    if len(passes) < 2:
        return []
    seconds: dict[int, dict[str, float]] = defaultdict(lambda: dict.fromkeys(PARTS, 0.0))
    for event in events:
        if event["ts"] >= passes[1]:
            seconds[event["args"]["layer"]][event["name"]] += event["dur"] / 1e6 / (len(passes) - 1)
    return [
        {"name": names.get(layer, f"layer {layer}"), **{f"{part}_s": parts[part] for part in PARTS}}
        for layer, parts in sorted(seconds.items())
    ]


def _passes(events: list[dict[str, Any]]) -> list[float]:
    """When each pass began: with the first product, and wherever the layers of the products start over."""
    products = sorted((event["ts"], event["args"]["layer"]) for event in events if event["name"] == "compute")
    return [when for index, (when, layer) in enumerate(products) if index == 0 or layer < products[index - 1][1]]
