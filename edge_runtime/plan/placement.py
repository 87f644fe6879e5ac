"""Where the weights of a model live while it runs, and what that takes."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.plan.result import Plan


@dataclass(frozen=True)
class Placement:
    """`residence` and `ring_bytes` are the provider options of these names; `plan` tells why, if one was made.

    `weight_bytes` is what the weights take in memory with all that is needed to read them, `text_bytes` what a text
    takes beside them: KV cache, activations of `prefill_chunk` prompt tokens a pass (None: as the caller wants).
    """

    residence: str
    ring_bytes: int
    plan: Plan | None = None
    weight_bytes: int = 0
    text_bytes: int = 0
    prefill_chunk: int | None = None

    def options(self) -> dict[str, str]:
        """As provider options."""
        return {"residence": self.residence, "ring_bytes": str(self.ring_bytes)}
