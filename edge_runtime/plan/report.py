"""A plan for people."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from edge_runtime.plan.figures import ASSUMED, Rate

if TYPE_CHECKING:
    from edge_runtime.plan.result import LayerPlan, Plan

_PARTS = {
    "decoded": "weights, decoded",
    "transcoded": "weights, transcoded (at most)",
    "resident": "weights, compressed",
    "ring": "ring of decoded parts",
    "staging": "segments on their way",
    "on_demand": "embedding rows",
    "kv_cache": "KV cache",
    "activations": "activations",
    "process": "process",
}


def headline(plan: Plan) -> str:
    """The verdict in a line."""
    if plan.verdict == "impossible":
        context = (
            f"at most {plan.largest_context} tokens of context"
            if plan.largest_context
            else "no context is short enough"
        )
        return (
            f"impossible: needs at least {size(plan.needed_bytes)} for {plan.context_length} tokens of context, "
            f"the budget is {size(plan.budget_bytes)}; {context}"
        )
    speed = f"{seconds(plan.seconds_per_token)} a token"
    return f"fits, {speed}" if plan.verdict == "fits" else f"streams at {speed}"


def table(plan: Plan) -> str:
    """Verdict, layers by state, memory by part, times, and the figures they come from."""
    lines = [f"{plan.model}: {headline(plan)}", ""]
    lines += _columns([["layers", "state", "compressed", "decoded"], *map(_group, _groups(plan))], "<<>>")
    lines += ["", *_columns(_memory_rows(plan), "<>")]
    if plan.verdict != "impossible":
        lines += ["", *_columns(_time_rows(plan), "<>")]
    lines += ["", *_figure_lines(plan)]
    return "\n".join(lines)


def size(count: int) -> str:
    """Bytes in binary units, because budgets are given so: "512 MiB", "4.50 GiB"."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if abs(value) < 1023.5:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.2f} GiB"


def seconds(value: float) -> str:
    """A duration with two or three digits: "1.9 s", "38 ms"."""
    if value >= 9.95:
        return f"{value:.0f} s"
    if value >= 0.995:
        return f"{value:.1f} s"
    return f"{value * 1000:.0f} ms" if value >= 0.00995 else f"{value * 1000:.2g} ms"


def _groups(plan: Plan) -> list[list[LayerPlan]]:
    return [list(group) for _, group in groupby(plan.layers, key=lambda layer: layer.state)]


def _group(layers: list[LayerPlan]) -> list[str]:
    first, last = layers[0], layers[-1]
    name = first.name if first is last else f"{first.name} - {last.name}"
    stored, decoded = sum(layer.bytes for layer in layers), sum(layer.decoded_bytes for layer in layers)
    return [name, layers[0].state.replace("_", " "), size(stored), size(decoded)]


def _memory_rows(plan: Plan) -> list[list[str]]:
    parts = [[_PARTS[name], size(count)] for name, count in plan.memory.as_dict().items() if count]
    context = f"{plan.context_length} tokens, {plan.kv_dtype}"
    for part in parts:
        if part[0] == _PARTS["kv_cache"]:
            part[0] += f" ({context})"
        elif part[0] == _PARTS["activations"]:
            part[0] += f" ({plan.prefill_chunk} prompt tokens a pass)"
    return [
        ["memory", ""],
        *([f"  {name}", count] for name, count in parts),
        ["  peak", size(plan.peak_bytes)],
        ["  budget", size(plan.budget_bytes)],
    ]


def _time_rows(plan: Plan) -> list[list[str]]:
    return [
        ["a token", seconds(plan.seconds_per_token)],
        ["  bus", seconds(plan.bus_seconds)],
        ["  compute", seconds(plan.compute_seconds)],
        ["first token (short prompt)", seconds(plan.first_token_seconds)],
        ["read a token", size(plan.bytes_per_token)],
    ]


def _figure_lines(plan: Plan) -> list[str]:
    figures = plan.figures
    rates = {"DRAM": figures.dram, "bus": figures.bus}
    rates |= {f"decode {codec}": figures.decode_rate(codec) for codec in plan.codecs if codec not in figures.direct}
    rows = [[f"  {name}", f"{rate.bytes_per_s / 1e9:.2f} GB/s", _origin(rate)] for name, rate in rates.items()]
    lines = [f"figures of {figures.name}, {figures.threads} threads", *_columns(rows, "<><")]
    if any(rate.kind == ASSUMED for rate in rates.values()):
        lines.append("  Assumed figures are guesses: times may be off by a factor. Memory is not affected.")
    return lines


def _origin(rate: Rate) -> str:
    return f"{rate.kind}: {rate.source}" if rate.source else rate.kind


def _columns(rows: list[list[str]], alignment: str) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(alignment))]
    return [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, alignment, widths, strict=True)).rstrip()
        for row in rows
    ]
