"""From an exported model, figures and a budget to a plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import cast

from edge_runtime.errors import ConfigError
from edge_runtime.facts import memory_figures
from edge_runtime.package import Package
from edge_runtime.plan.figures import Figures
from edge_runtime.plan.model import (
    ENCODE_BYTES_PER_S,
    PREFILL_CHUNKS,
    Layer,
    ModelShape,
    item,
)
from edge_runtime.plan.pipeline import Step, token_seconds
from edge_runtime.plan.result import LayerPlan, MemoryPlan, Plan, State, Verdict, spread
from edge_runtime.plan.search import Choice, Item, Problem, best, classes_of, evaluate, pages, ring_of, smallest

_PROMPT_TOKENS, _NEW_TOKENS = 512, 128  # the request that the size of a prompt's pass is chosen for
_RINGS = (1, 2, 4)  # sizes of the ring that are tried, in the least that the provider needs
_NEAR = 1.005  # a placement is as good as the best if its bound is within this factor


def plan_for(
    package: Package,
    figures: Figures,
    budget_bytes: int,
    *,
    context_length: int | None = None,
    kv_dtype: str = "fp32",
    prefill_chunk: int | None = None,
    process_bytes: int | None = None,
    transcode: bool = True,
) -> Plan:
    """Choose the state of every layer of `package` within `budget_bytes`, and predict speed and memory.

    `context_length` is the number of positions to keep room for (default: the model's own limit). `prefill_chunk` is
    the number of prompt tokens a pass (default: that of PREFILL_CHUNKS which takes least time for 512 prompt tokens and
    128 new ones: more tokens a pass are fewer passes, but leave less memory to the weights). `transcode`: weights that
    stay in memory may do so in the machine's packed layout, whatever the file has. The objective is stated in
    edge_runtime/plan/search.py; among the placements whose bound is within half a percent of the optimum, the one with
    the best pipeline time is taken: as a rule streamed layers at even distances, which keep the bus busy with a small
    ring.

    Raises ConfigError for an argument out of its range, FormatError for a malformed manifest. A budget that is too
    small is no error: `verdict` says so (`Plan.require` raises).
    """
    shape = ModelShape.of(package, transcode=transcode)
    context = shape.context_length if context_length is None else context_length
    if not 1 <= context <= shape.context_length:
        raise ConfigError(
            f"context_length is {context}; expected 1 to {shape.context_length}, which is this model's limit"
        )
    if prefill_chunk is not None and prefill_chunk < 1:
        raise ConfigError(f"prefill_chunk is {prefill_chunk}; expected 1 or more")
    if budget_bytes < 1:
        raise ConfigError(f"memory budget is {budget_bytes} bytes; expected 1 or more")
    process = memory_figures().process_bytes if process_bytes is None else process_bytes
    return _Planner(shape, figures, budget_bytes, kv_dtype, prefill_chunk, process).plan(context)


class _Planner:
    """One plan in the making."""

    def __init__(
        self, shape: ModelShape, figures: Figures, budget: int, kv_dtype: str, chunk: int | None, process: int
    ) -> None:
        self._shape = shape
        self._figures = figures
        self._budget = budget
        self._kv_dtype = kv_dtype
        self._process = process
        self._asked_chunk = chunk
        self._weights = [layer for layer in shape.layers if not layer.on_demand]
        self._items = [item(layer, figures) for layer in self._weights]
        states = ("decoded", "resident", "streamed")
        self._steps = [{state: tuple(self._parts(layer, state)) for state in states} for layer in self._weights]

    def plan(self, context: int) -> Plan:
        tried = [
            (self._request_seconds(choice, chunk), -chunk, choice)
            for chunk in ([self._asked_chunk] if self._asked_chunk else PREFILL_CHUNKS)
            if (choice := best(self._problem(self._budget - self._others(context, chunk).total))) is not None
        ]
        if not tried:
            chunk = self._asked_chunk or PREFILL_CHUNKS[-1]
            problem = self._problem(0)
            return self._result(problem, smallest(problem), context, chunk, "impossible")
        chunk = -min(tried, key=lambda trial: trial[:2])[1]
        problem, choice = self._best_ring(self._budget - self._others(context, chunk).total)
        return self._result(problem, choice, context, chunk, "streams" if "streamed" in choice.states else "fits")

    def _best_ring(self, room: int) -> tuple[Problem, Choice]:
        """The best placement over rings of several sizes, by the pipeline's time; the smallest ring is known to fit."""
        found = []
        for rings in _RINGS:
            problem = self._problem(room, rings)
            choice = best(problem)
            if choice is not None:
                placed = self._placed(problem, choice)
                found.append((self._token_seconds(problem, placed), rings, problem, placed))
        return min(found, key=lambda entry: entry[:2])[2:]

    def _request_seconds(self, choice: Choice, chunk: int) -> float:
        return choice.seconds * (-(-_PROMPT_TOKENS // chunk) + _NEW_TOKENS)

    def _problem(self, room: int, rings: int = 1) -> Problem:
        bus = self._figures.bus.bytes_per_s
        rows = self._shape.on_demand_bytes()
        return Problem(
            self._items, room, bus, bus_seconds=rows / bus, ring_parts=rings * memory_figures().least_ring_parts
        )

    def _others(self, context: int, chunk: int) -> MemoryPlan:
        """The memory that is neither weights nor ring."""
        return MemoryPlan(
            decoded=0,
            transcoded=0,
            resident=0,
            ring=0,
            staging=(self._figures.threads + memory_figures().read_ahead_threads) * memory_figures().read_buffer_bytes,
            on_demand=self._shape.segment_bytes(),
            kv_cache=self._shape.kv_bytes(context, self._kv_dtype),
            activations=self._shape.activation_bytes(context, chunk),
            process=self._process,
        )

    def _placed(self, problem: Problem, choice: Choice) -> Choice:
        """The best of the placements that are as good as `choice` by the bound, by the pipeline's time."""
        near = [
            other
            for other in (evaluate(problem, states) for states in _placements(problem.items, choice.states))
            if other.memory <= problem.budget and other.seconds <= choice.seconds * _NEAR
        ]
        return min([choice, *near], key=lambda other: (self._token_seconds(problem, other), other.rank))

    def _token_seconds(self, problem: Problem, choice: Choice) -> float:
        steps = [Step(problem.bus_seconds, 0, 0.0)]
        for parts, state in zip(self._steps, choice.states, strict=True):
            steps += parts[state]
        return max(choice.seconds, token_seconds(steps, ring_of(problem, choice.states)))

    def _parts(self, layer: Layer, state: str) -> Iterator[Step]:
        """The layer's parts, as the provider cuts each blob."""
        for tensor in layer.tensors:
            alone = item(replace(layer, tensors=(tensor,)), self._figures)
            streamed = state == "streamed"
            kept_as_stored = state == "resident" and alone.resident_part == 0
            parts = max(1, -(-tensor.decoded // memory_figures().part_bytes))
            step = Step(
                bus_seconds=tensor.stored / self._figures.bus.bytes_per_s / parts if streamed else 0.0,
                ring_bytes=0 if state == "decoded" or kept_as_stored else alone.streamed_part,
                compute_seconds=(alone.decoded_seconds if state == "decoded" else alone.stored_seconds) / parts,
            )
            yield from [step] * parts

    def _result(self, problem: Problem, choice: Choice, context: int, chunk: int, verdict: Verdict) -> Plan:
        states = {
            layer.index: cast(State, "transcoded" if state == "decoded" and layer.transcoded is not None else state)
            for layer, state in zip(self._weights, choice.states, strict=True)
        }
        layers = tuple(
            LayerPlan(layer.index, layer.name, states.get(layer.index, "on_demand"), layer.stored, layer.decoded)
            for layer in self._shape.layers
        )
        kept = {
            state: [x for x in self._weights if states[x.index] == state]
            for state in ("decoded", "transcoded", "resident")
        }
        memory = replace(
            self._others(context, chunk),
            decoded=sum(pages(layer.decoded) for layer in kept["decoded"]),
            transcoded=sum(pages(layer.transcoded or 0) for layer in kept["transcoded"]),
            resident=sum(pages(layer.stored) for layer in kept["resident"]),
            ring=ring_of(problem, choice.states),
        )
        streamed = sum(layer.bytes for layer in layers if layer.state == "streamed")
        return Plan(
            model=self._shape.name,
            verdict=verdict,
            layers=layers,
            tensor_states=_tensor_states(self._shape, layers),
            memory=memory,
            budget_bytes=self._budget,
            needed_bytes=self._needed(context),
            largest_context=self._largest_context(),
            context_length=context,
            kv_dtype=self._kv_dtype,
            prefill_chunk=chunk,
            bus_seconds=choice.bus_seconds,
            compute_seconds=choice.compute_seconds,
            seconds_per_token=self._token_seconds(problem, choice),
            first_token_seconds=self._first_token_seconds(problem, choice, kept["transcoded"]),
            bytes_per_token=streamed + self._shape.on_demand_bytes(),
            figures=self._figures,
            codecs=tuple(self._shape.codecs),
        )

    def _first_token_seconds(self, problem: Problem, choice: Choice, transcoded: Sequence[Layer]) -> float:
        """Every weight crosses the bus once, is decoded once, where it will be decoded at all, and transcoded once."""
        everything = evaluate(problem, ["streamed"] * len(self._items))
        encoding = sum(layer.decoded for layer in transcoded) / (ENCODE_BYTES_PER_S * self._figures.threads)
        compute = everything.compute_seconds + encoding
        return max(everything.bus_seconds, compute, self._token_seconds(problem, choice))

    def _needed(self, context: int) -> int:
        """The smallest budget that works for `context`."""
        chunk = self._asked_chunk or PREFILL_CHUNKS[-1]
        return smallest(self._problem(0)).memory + self._others(context, chunk).total

    def _largest_context(self) -> int:
        """The most positions that the budget can hold, by bisection: the need grows with them."""
        low, high = 0, self._shape.context_length
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._needed(middle) <= self._budget else (low, middle - 1)
        return low


def _placements(items: Sequence[Item], states: Sequence[str]) -> Iterator[list[str]]:
    """The same number of layers a class in each state, the streamed, or the kept ones, at even distances."""
    groups = [sorted(group.members) for group in classes_of(items)]
    for states_spread in (("streamed",), ("decoded", "resident"), ("resident",)):
        placed = list(states)
        for members in groups:
            chosen = [index for index in members if states[index] in states_spread]
            if not chosen:
                continue
            rest = iter([states[index] for index in members if index not in set(chosen)])
            moved = iter([states[index] for index in chosen])
            targets = set(spread(chosen, members))
            for index in members:
                placed[index] = next(moved) if index in targets else next(rest)
        yield placed


def _tensor_states(shape: ModelShape, layers: Sequence[LayerPlan]) -> tuple[State, ...]:
    """Each blob's state, in the manifest's order; that of the product where a look-up and a product share the blob."""
    found: dict[str, State] = {}
    for layer, planned in zip(shape.layers, layers, strict=True):
        for tensor in layer.tensors:
            if not layer.on_demand or tensor.name not in found:
                found[tensor.name] = planned.state
    return tuple(found[tensor.name] for tensor in shape.tensors)
