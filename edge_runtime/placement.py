"""Where each layer's weights live while a model runs, as options for the execution provider."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from edge_runtime.memory import default_budget
from edge_runtime.package import Package
from edge_runtime.plan import Figures, Plan, plan_for
from edge_runtime.plan.model import ModelShape

PART_BYTES = 16 << 20
"""What the provider decodes and multiplies in one piece (kPartBytes in native/store/schedule.cc)."""
_RING_PARTS = 3  # the least that the provider's ring must hold
_PROCESS_BYTES = 300 << 20  # Python, onnxruntime, activations and a moderate KV cache


@dataclass(frozen=True)
class Placement:
    """`residence` and `ring_bytes` are the provider options of these names; `plan` tells why, if one was made."""

    residence: str
    ring_bytes: int
    plan: Plan | None = None

    def options(self) -> dict[str, str]:
        return {"residence": self.residence, "ring_bytes": str(self.ring_bytes)}


def place(
    package: Package,
    *,
    memory_budget: int | None,
    context_length: int | None,
    prefill_chunk: int | None,
    transcode: bool,
    figures: Callable[[], Figures],
) -> Placement:
    """Choose where the weights of `package` live.

    Without a budget (bytes), everything stays in memory if that leaves room on this machine: in this machine's packed
    layout with `transcode`, else as it is stored. Otherwise, and always with a budget, a plan made from `figures`
    decides; BudgetError with the smallest budget that works.
    """
    if memory_budget is None:
        memory_budget = default_budget()
        for state in _whole_states(package, transcode):
            if _kept_bytes(package, state) <= memory_budget:
                return Placement(f"0-{len(package.layers)}:{state}", 0)
    plan = plan_for(
        package,
        figures(),
        memory_budget,
        context_length=context_length,
        prefill_chunk=prefill_chunk,
        transcode=transcode,
    ).require()
    return Placement(plan.provider_option(), max(plan.ring_bytes, _RING_PARTS * (PART_BYTES + 64)), plan)


def _whole_states(package: Package, transcode: bool) -> list[str]:
    """The states that all layers may have where nothing is planned, the better first.

    Packed weights may have another machine's layout, but serve as they are where memory is short.
    """
    shape = ModelShape.of(package, transcode=transcode)
    gains = any(tensor.transcoded is not None for tensor in shape.tensors)
    states = ["transcoded"] if gains or (transcode and "packed" in shape.codecs) else []
    return states if gains else [*states, "resident"]


def _kept_bytes(package: Package, state: str) -> int:
    """An upper bound of what a run takes with every weight kept: no encoded weight is larger than decoded."""
    layers = [layer.decoded_bytes for layer in package.layers]
    ring = max((a + b for a, b in itertools.pairwise(layers)), default=sum(layers))
    weights = sum(layers) if state == "transcoded" else int(package.manifest["data"]["bytes"])
    return weights + ring + _PROCESS_BYTES
