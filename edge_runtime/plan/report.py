"""A plan for people."""

from __future__ import annotations

from itertools import groupby

from edge_runtime.facts import is_multiplied
from edge_runtime.io.sheet import Column, Note, Part, Sheet, Table
from edge_runtime.io.units import format_bytes, format_rate
from edge_runtime.plan.figures import ASSUMED, Rate
from edge_runtime.plan.result import LayerPlan, Plan, predicted

_PARTS = {
    "decoded": "weights, decoded",
    "transcoded": "weights, transcoded (at most)",
    "resident": "weights, compressed",
    "ring": "ring of decoded weights",
    "staging": "read buffers",
    "on_demand": "embedding rows",
    "kv_cache": "KV cache",
    "activations": "activations",
    "process": "process",
}


def table(plan: Plan) -> str:
    """Verdict, layers by state, memory by part, times, and the figures they come from, as lines."""
    return str(sheet(plan))


def sheet(plan: Plan) -> Sheet:
    """The same, for a terminal too."""
    impossible = plan.verdict == "impossible"
    heads = [Column("layers"), Column("state"), Column("compressed", right=True), Column("decoded", right=True)]
    parts: list[Part] = [
        Note(f"{plan.model}: {plan.headline()}", "bad" if impossible else "good"), "",
        Table(heads, list(map(_group, _groups(plan)))), "",
        Table([Column("memory"), Column(right=True)], _memory_rows(plan)), "",
    ]  # fmt: skip
    if not impossible:
        parts += [Table([Column(), Column(right=True)], _time_rows(plan), headed=False), ""]
    return Sheet([*parts, *_figure_parts(plan)])


def _groups(plan: Plan) -> list[list[LayerPlan]]:
    return [list(group) for _, group in groupby(plan.layers, key=lambda layer: layer.state)]


def _group(layers: list[LayerPlan]) -> list[str]:
    first, last = layers[0], layers[-1]
    name = first.name if first is last else f"{first.name} - {last.name}"
    stored, decoded = sum(layer.bytes for layer in layers), sum(layer.decoded_bytes for layer in layers)
    return [name, layers[0].state.replace("_", " "), format_bytes(stored), format_bytes(decoded)]


def _memory_rows(plan: Plan) -> list[list[str]]:
    parts = [[_PARTS[name], format_bytes(count)] for name, count in plan.memory.as_dict().items() if count]
    context = f"{plan.context_length} tokens, {plan.kv_dtype}"
    for part in parts:
        if part[0] == _PARTS["kv_cache"]:
            part[0] += f" ({context})"
        elif part[0] == _PARTS["activations"]:
            part[0] += f" ({plan.prefill_chunk} prompt tokens per pass)"
    return [
        *([f"  {name}", count] for name, count in parts),
        ["  peak", format_bytes(plan.peak_bytes)],
        ["  budget", format_bytes(plan.budget_bytes)],
    ]


def _time_rows(plan: Plan) -> list[list[str]]:
    return [
        ["per token", predicted(plan.seconds_per_token)],
        ["  bus", predicted(plan.bus_seconds)],
        ["  compute", predicted(plan.compute_seconds)],
        ["first token (short prompt)", predicted(plan.first_token_seconds)],
        ["read per token", format_bytes(plan.bytes_per_token)],
    ]


def _figure_parts(plan: Plan) -> list[Part]:
    figures = plan.figures
    rates = {"DRAM": figures.dram, "bus": figures.bus}
    rates |= {f"decode {codec}": figures.decode_rate(codec) for codec in plan.codecs if not is_multiplied(codec)}
    rows = [[f"  {name}", format_rate(rate.bytes_per_s), _origin(rate)] for name, rate in rates.items()]
    table = Table([Column(), Column(right=True), Column()], rows, headed=False)
    parts: list[Part] = [f"figures of {figures.name}, {figures.threads} threads", table]
    if any(rate.kind == ASSUMED for rate in rates.values()):
        note = "  Assumed figures are guesses: times may be off by a factor. Memory is not affected."
        parts.append(Note(note, "warning"))
    return parts


def _origin(rate: Rate) -> str:
    return f"{rate.kind}: {rate.source}" if rate.source else rate.kind
