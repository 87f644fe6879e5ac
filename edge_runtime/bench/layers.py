"""Seconds per token by layer, from the timeline that the provider writes (Chrome trace format)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.bench.results import LayerTime

PARTS = ("read", "decode", "compute", "wait")


@dataclass(frozen=True)
class _Event:
    """A part of a layer that took `seconds`, begun at `when` (microseconds)."""

    part: str
    layer: int
    when: float
    seconds: float


def by_layer(trace: Path, names: Mapping[int, str]) -> list[LayerTime]:
    """Return, in order of layers, the mean seconds per pass of each part.

    The first pass is left out, because it also loads what then stays in memory. Reading and decoding happen beside the
    computing thread, in several threads at once, so the parts of a layer overlap and their sum is no time. Empty if the
    trace has fewer than two passes.
    """
    events = _events(json.loads(trace.read_text(encoding="utf-8")))
    passes = _passes(events)
    if len(passes) < 2:
        return []
    seconds: dict[int, dict[str, float]] = defaultdict(lambda: dict.fromkeys(PARTS, 0.0))
    for event in events:
        if event.when >= passes[1]:
            seconds[event.layer][event.part] += event.seconds / (len(passes) - 1)
    return [
        LayerTime(
            name=names.get(layer, f"layer {layer}"), read_s=parts["read"], decode_s=parts["decode"],
            compute_s=parts["compute"], wait_s=parts["wait"],
        )
        for layer, parts in sorted(seconds.items())
    ]  # fmt: skip


def _events(trace: Any) -> list[_Event]:
    return [
        _Event(event["name"], event["args"]["layer"], event["ts"], event["dur"] / 1e6)
        for event in trace["traceEvents"]
        if event["name"] in PARTS
    ]


def _passes(events: Sequence[_Event]) -> list[float]:
    """When each pass began: with the first product, and wherever the layers of the products start over."""
    products = sorted((event.when, event.layer) for event in events if event.part == "compute")
    return [when for index, (when, layer) in enumerate(products) if index == 0 or layer < products[index - 1][1]]
