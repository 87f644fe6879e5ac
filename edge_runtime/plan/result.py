"""A finished plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from edge_runtime.errors import BudgetError
from edge_runtime.io.typed_json import Json
from edge_runtime.io.units import format_allowed, format_needed, format_seconds
from edge_runtime.plan.figures import Figures

State = Literal["decoded", "transcoded", "resident", "streamed", "on_demand"]
Verdict = Literal["fits", "streams", "impossible"]


@dataclass(frozen=True)
class LayerPlan:
    """One layer's state; `bytes` compressed and `decoded_bytes`."""

    index: int
    name: str
    state: State
    bytes: int
    decoded_bytes: int


@dataclass(frozen=True)
class MemoryPlan:
    """Where the memory goes, in bytes.

    `transcoded` is what such weights take at most. `ring` holds decoded parts of weights around their use, `staging`
    the compressed segments on their way there, `on_demand` the segment of a row being fetched, `process` interpreter
    and onnxruntime.
    """

    decoded: int
    transcoded: int
    resident: int
    ring: int
    staging: int
    on_demand: int
    kv_cache: int
    activations: int
    process: int

    @property
    def total(self) -> int:
        """The peak."""
        return sum(self.as_dict().values())

    def as_dict(self) -> dict[str, int]:
        """The parts by name."""
        return {
            "decoded": self.decoded,
            "transcoded": self.transcoded,
            "resident": self.resident,
            "ring": self.ring,
            "staging": self.staging,
            "on_demand": self.on_demand,
            "kv_cache": self.kv_cache,
            "activations": self.activations,
            "process": self.process,
        }


@dataclass(frozen=True)
class Plan:
    """What stays where, and what follows. Nothing is loaded or allocated.

    `verdict` "fits": no weight is streamed; "streams": some are; "impossible": even the smallest plan, which `layers`
    and `memory` then describe, needs more than `budget_bytes`. `needed_bytes` is what the smallest plan needs,
    `largest_context` the most tokens of context that the budget can hold (0: not even one). `prefill_chunk` is the
    number of prompt tokens a pass that `memory` allows for.

    `bound_seconds` is max(bus_seconds, compute_seconds), which no schedule beats; `seconds_per_token` the prediction
    with the ring as it is. `first_token_seconds`: everything is read once, what is kept is loaded on the way; without
    the prompt's arithmetic. `bytes_per_token` are read from the weight file.
    """

    model: str
    verdict: Verdict
    layers: tuple[LayerPlan, ...]
    tensor_states: tuple[State, ...]
    memory: MemoryPlan
    budget_bytes: int
    needed_bytes: int
    largest_context: int
    context_length: int
    kv_dtype: str
    prefill_chunk: int
    bus_seconds: float
    compute_seconds: float
    seconds_per_token: float
    first_token_seconds: float
    bytes_per_token: int
    figures: Figures
    codecs: tuple[str, ...]

    @property
    def states(self) -> tuple[State, ...]:
        """The state of each layer, in order of use."""
        return tuple(layer.state for layer in self.layers)

    @property
    def peak_bytes(self) -> int:
        """Everything: weights, ring, KV cache, activations, process."""
        return self.memory.total

    @property
    def ring_bytes(self) -> int:
        """Decoded bytes that the provider's ring holds."""
        return self.memory.ring

    @property
    def spare_bytes(self) -> int:
        """What the plan leaves of the budget; negative if it is impossible."""
        return self.budget_bytes - self.peak_bytes

    @property
    def bound_seconds(self) -> float:
        """The larger of bus and compute seconds."""
        return max(self.bus_seconds, self.compute_seconds)

    def require(self) -> Plan:
        """Return the plan itself; BudgetError with the smallest budget that works if it is impossible."""
        if self.verdict == "impossible":
            raise BudgetError(f"{self.model}: {self.headline()}")
        return self

    def headline(self) -> str:
        """The verdict in a line."""
        if self.verdict != "impossible":
            speed = f"{predicted(self.seconds_per_token)} per token"
            return f"fits, {speed}" if self.verdict == "fits" else f"streams at {speed}"
        longest = self.largest_context
        context = f"at most {longest} tokens of context" if longest else "no context is short enough"
        return (
            f"impossible: needs at least {format_needed(self.needed_bytes)} for {self.context_length} tokens of "
            f"context, the budget is {format_allowed(self.budget_bytes)}; {context}"
        )

    def provider_option(self) -> str:
        """The states for the execution provider, such as "0:on_demand,1-5:decoded,6-9:resident,10-23:streamed".

        Syntax: entries joined by ","; an entry is INDEX:STATE or FIRST-LAST:STATE (both included) with the decimal
        layer indices of lpc.json; STATE is decoded, transcoded, resident, streamed or on_demand. Entries ascend and
        cover every layer once. No spaces. `parse_provider_option` is the reverse.
        """
        return provider_option((layer.index, layer.state) for layer in self.layers)

    def as_dict(self) -> dict[str, Json]:
        """For JSON: sizes in bytes, times in seconds."""
        return {
            "model": self.model,
            "verdict": self.verdict,
            "headline": self.headline(),
            "budget_bytes": self.budget_bytes,
            "peak_bytes": self.peak_bytes,
            "needed_bytes": self.needed_bytes,
            "memory": self.memory.as_dict(),
            "ring_bytes": self.ring_bytes,
            "context_length": self.context_length,
            "largest_context": self.largest_context,
            "kv_dtype": self.kv_dtype,
            "prefill_chunk": self.prefill_chunk,
            "seconds_per_token": self.seconds_per_token,
            "bound_seconds": self.bound_seconds,
            "bus_seconds": self.bus_seconds,
            "compute_seconds": self.compute_seconds,
            "first_token_seconds": self.first_token_seconds,
            "bytes_per_token": self.bytes_per_token,
            "layers": [
                {"index": x.index, "name": x.name, "state": x.state, "bytes": x.bytes, "decoded_bytes": x.decoded_bytes}
                for x in self.layers
            ],
            "tensor_states": list(self.tensor_states),
            "provider_option": self.provider_option(),
            "figures": self.figures.as_dict(list(self.codecs)),
        }


def predicted(seconds: float) -> str:
    """A predicted duration: two digits, as it is no better known."""
    return format_seconds(seconds, digits=2)


def provider_option(states: Iterable[tuple[int, str]]) -> str:
    """Return ascending layer indices with their states as `Plan.provider_option` writes them."""
    entries: list[tuple[int, int, str]] = []
    for index, state in states:
        if entries and entries[-1][1:] == (index - 1, state):
            entries[-1] = (entries[-1][0], index, state)
        else:
            entries.append((index, index, state))
    return ",".join(f"{a}:{state}" if a == b else f"{a}-{b}:{state}" for a, b, state in entries)


def parse_provider_option(text: str) -> dict[int, str]:
    """Return the state of each layer index in what `Plan.provider_option` wrote."""
    states: dict[int, str] = {}
    for entry in text.split(","):
        span, _, state = entry.partition(":")
        first, _, last = span.partition("-")
        states.update(dict.fromkeys(range(int(first), int(last or first) + 1), state))
    return states


def spread(chosen: Sequence[int], among: Sequence[int]) -> list[int]:
    """As many members of `among` as are chosen, at even distances."""
    return [among[(2 * k + 1) * len(among) // (2 * len(chosen))] for k in range(len(chosen))]
