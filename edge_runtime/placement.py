"""Where each layer's weights live while a model runs, as options for the execution provider."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edge_runtime.budget import ledger
from edge_runtime.errors import BudgetError
from edge_runtime.facts import memory_figures
from edge_runtime.machine.memory import default_budget, require_within_group
from edge_runtime.package import Package
from edge_runtime.plan import Figures, Placement, plan_for, provider_option
from edge_runtime.plan.model import PREFILL_CHUNKS, ModelShape

_FALLBACK_COPIES = 5  # of a decoded weight: as it is, widened to float32, and that transposed


@dataclass(frozen=True)
class _Wanted:
    """A model that asks for a place, as `place` describes it."""

    package: Package
    shape: ModelShape
    memory_budget: int | None
    context_length: int | None
    prefill_chunk: int | None
    transcode: bool
    weights: object
    figures: Callable[[], Figures]

    def text_bytes(self, chunk: int) -> int:
        """What a text takes beside the weights, with `chunk` prompt tokens a pass."""
        return self.shape.text_bytes(self.context_length or self.shape.context_length, "fp32", chunk)

    @property
    def moderate_bytes(self) -> int:
        """The same where nobody named a budget for it: texts are rarely as long as the context."""
        return min(memory_figures().text_bytes, self.text_bytes(self.prefill_chunk or PREFILL_CHUNKS[0]))


def place(
    package: Package,
    *,
    memory_budget: int | None,
    context_length: int | None,
    prefill_chunk: int | None,
    transcode: bool,
    figures: Callable[[], Figures],
    layout: str = "auto",
) -> Placement:
    """Choose where the weights of `package` live.

    The budget (bytes) is the smallest of `memory_budget` and those of the models that this process has loaded: what
    they take is taken. Without any, everything stays in memory if that leaves room on this machine: in the packed
    layout `layout` with `transcode`, else as it is stored. Otherwise, and always with a budget, a plan made from
    `figures` decides; BudgetError with the smallest budget that works, and for a budget above the limit of this
    process's control group. Weights that a loaded model has in memory already are shared.
    """
    if memory_budget is not None:
        require_within_group(memory_budget)
    wanted = _Wanted(
        package, ModelShape.of(package, transcode=transcode), memory_budget, context_length, prefill_chunk, transcode,
        weights_of(package, layout if transcode else "off"), figures,
    )  # fmt: skip
    with ledger.lock:
        try:
            return _place(wanted)
        except BudgetError:
            if not ledger.collect():
                raise
        return _place(wanted)


def weights_of(package: Package, layout: str) -> object:
    """Return what is equal for models that may share their weights: the file, its version, and the form in memory."""
    file = os.stat(package.data_file)
    return file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, layout


def _place(wanted: _Wanted) -> Placement:
    budget = ledger.budget(wanted.memory_budget)
    twin = ledger.twin(wanted.weights)
    if budget is None:
        room = default_budget() - ledger.promised
        if twin is not None and wanted.moderate_bytes <= room:
            return replace(twin.placement, plan=None, text_bytes=wanted.moderate_bytes, prefill_chunk=None)
        return _whole(wanted, room) or _planned(wanted, room, 0)
    others = ledger.taken
    return (twin and _shared(wanted, twin.placement, budget - memory_figures().process_bytes - others)) or _planned(
        wanted, budget, others
    )


def _shared(wanted: _Wanted, placed: Placement, room: int) -> Placement | None:
    """The placement of another model on the same weights, if `room` is left for a text."""
    for chunk in [wanted.prefill_chunk] if wanted.prefill_chunk else PREFILL_CHUNKS:
        if wanted.text_bytes(chunk) <= room:
            return replace(placed, plan=None, text_bytes=wanted.text_bytes(chunk), prefill_chunk=chunk)
    return None


def _whole(wanted: _Wanted, room: int) -> Placement | None:
    """Everything in memory, in the best form that leaves room."""
    beside = memory_figures().text_bytes + memory_figures().process_bytes
    for states in _whole_states(wanted):
        weights = _weight_bytes(wanted.package, states)
        if weights + beside <= room:
            residence = provider_option(
                (layer.index, state) for layer, state in zip(wanted.shape.layers, states, strict=True)
            )
            return Placement(residence, 0, weight_bytes=weights, text_bytes=wanted.moderate_bytes)
    return None


def _planned(wanted: _Wanted, budget: int, others: int) -> Placement:
    """As a plan says; `others` are the bytes of the budget that other models have."""
    plan = plan_for(
        wanted.package,
        wanted.figures(),
        max(budget, 1),
        context_length=wanted.context_length,
        prefill_chunk=wanted.prefill_chunk,
        process_bytes=memory_figures().process_bytes + others,
        transcode=wanted.transcode,
    )
    if plan.verdict == "impossible":
        raise BudgetError(f"{plan.model}: {plan.headline()}{ledger.others_line() if others else ''}")
    text = wanted.text_bytes(plan.prefill_chunk)
    return Placement(
        plan.provider_option(),
        max(plan.ring_bytes, _least_ring_bytes(wanted.shape)),
        plan,
        weight_bytes=plan.memory.total - plan.memory.process - text,
        text_bytes=text,
        prefill_chunk=plan.prefill_chunk,
    )


def _least_ring_bytes(shape: ModelShape) -> int:
    """The least that the provider's ring must hold: three of the largest parts, as decoded or as stored."""
    largest = max((max(tensor.stored, tensor.decoded) for tensor in shape.tensors), default=0)
    figures = memory_figures()
    return figures.least_ring_parts * (min(figures.part_bytes, largest) + figures.part_padding_bytes)


def place_fallback(
    package: Package, *, memory_budget: int | None, context_length: int | None, prefill_chunk: int | None
) -> Placement:
    """Return what `package` takes in plain onnxruntime: the mapped file, and one decoded weight at a time.

    BudgetError for a budget above the limit of this process's control group.
    """
    if memory_budget is not None:
        require_within_group(memory_budget)
    shape = ModelShape.of(package, transcode=False)
    largest = max((tensor.decoded for tensor in shape.tensors), default=0)
    text = shape.text_bytes(context_length or shape.context_length, "fp32", prefill_chunk or PREFILL_CHUNKS[0])
    weights = int(package.manifest["data"]["bytes"]) + _FALLBACK_COPIES * largest
    return Placement("fallback", 0, weight_bytes=weights, text_bytes=min(text, memory_figures().text_bytes))


def _whole_states(wanted: _Wanted) -> list[list[str]]:
    """The states of all layers, one list a way to keep everything where nothing is planned, the best first.

    The provider chooses in the same way for a session without options (native/ep/auto_placement.cc). Packed weights may
    have another machine's layout, but serve as they are where memory is short.
    """
    layers = wanted.shape.layers
    quickest = (
        [["transcoded" if layer.may_be_transcoded else "decoded" for layer in layers]] if wanted.transcode else []
    )
    gains = any(tensor.transcoded is not None for tensor in wanted.shape.tensors)
    return quickest if gains else [*quickest, ["resident"] * len(layers)]


def _weight_bytes(package: Package, states: Sequence[str]) -> int:
    """An upper bound of what kept weights and their ring take: no encoded weight is larger than decoded."""
    layers = [layer.decoded_bytes for layer in package.layers]
    ring = max((a + b for a, b in itertools.pairwise(layers)), default=sum(layers))
    return (int(package.manifest["data"]["bytes"]) if "resident" in states else sum(layers)) + ring
