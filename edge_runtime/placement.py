"""Where each layer's weights live while a model runs, as options for the execution provider."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from edge_runtime.memory import default_budget
from edge_runtime.package import Package
from edge_runtime.plan import Figures, Plan, plan_for

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
    figures: Callable[[], Figures],
) -> Placement:
    """Choose where the weights of `package` live.

    Without a budget (bytes), everything stays in memory as it is stored if that leaves room on this machine. Otherwise,
    and always with a budget, a plan made from `figures` decides; BudgetError with the smallest budget that works.
    """
    if memory_budget is None:
        room = default_budget()
        if _resident_bytes(package) <= room:
            return Placement(f"0-{len(package.layers)}:resident", 0)
        memory_budget = room
    plan = plan_for(
        package, figures(), memory_budget, context_length=context_length, prefill_chunk=prefill_chunk
    ).require()
    return Placement(plan.provider_option(), max(plan.ring_bytes, _RING_PARTS * (PART_BYTES + 64)), plan)


def _resident_bytes(package: Package) -> int:
    """An upper bound of what a run takes with every weight kept as it is stored."""
    layers = [layer.decoded_bytes for layer in package.layers]
    ring = max((a + b for a, b in itertools.pairwise(layers)), default=sum(layers))
    return int(package.manifest["data"]["bytes"]) + ring + _PROCESS_BYTES
