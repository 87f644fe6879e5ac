"""The report page of one or more results: what was measured, on what, and the plots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape

from edge_runtime.bench.layers import PARTS
from edge_runtime.bench.records import Open, TelemetrySample
from edge_runtime.bench.results import Result
from edge_runtime.bench.tables import rows
from edge_runtime.chart import STYLE, Axis, Bar, Key, Line, bars, legend, plane, stacked
from edge_runtime.io.typed_json import Json, write
from edge_runtime.io.units import format_bytes

Named = tuple[str, Result]

_COLOURS = 8  # of results beside each other; the ninth is drawn as the first
_STYLE = """
:root { --ink: #1c2127; --soft: #5b6570; --line: #dfe3e8; --back: #fff; --warn: #8a4b00; --warnback: #fff4e0 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --soft: #a0a8b2; --line: #3a414a; --back: #16191d; --warn: #ffc977; --warnback: #33260f }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); max-width: 920px;
  margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em; margin: 0 }
h2 { font-size: 1.1em; margin: 2.2em 0 .4em; border-bottom: 1px solid var(--line); padding-bottom: .2em }
table { border-collapse: collapse; width: 100%; font-size: 13px }
th, td { text-align: left; padding: .25em .6em .25em 0; border-bottom: 1px solid var(--line); vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
.soft, figcaption { color: var(--soft); font-size: 13px }
.warn { background: var(--warnback); color: var(--warn); padding: .4em .8em; margin: .3em 0; font-size: 13px }
svg { width: 100%; height: auto }
"""


def page(results: list[Named]) -> str:
    """Return a whole HTML page that needs nothing else; `results` are (name, result) in the order to show."""
    sections = [
        ("Speed", _speed(results)),
        ("Results", _table(results)),
        ("Time per token", _attribution(results)),
        ("Each token of a generation", _tokens(results)),
        ("Memory over time", _over_time(results, _memory_lines, "MB", True)),
        ("Power over time", _power(results)),
        ("Temperature over time", _over_time(results, _temperature_lines, "°C", False)),
        ("What was measured, and on what", _facts(results)),
    ]
    body = "".join(f"<h2>{escape(title)}</h2>\n{content}\n" for title, content in sections)
    names = ", ".join(name for name, _ in results)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>lpc-bench report</title>'
        f'<link rel="icon" href="data:,"><style>{_STYLE}{STYLE}</style></head><body>\n<h1>lpc-bench report</h1>\n'
        f'<p class="soft">{escape(names)}</p>\n{_warnings(results)}{body}</body></html>\n'
    )


def _style(index: int) -> str:
    return f"s{index % _COLOURS}"


def _warnings(results: list[Named]) -> str:
    return "".join(
        f'<p class="warn">{escape(name)}: {escape(warning)}</p>\n'
        for name, result in results
        for warning in result.warnings
    )


def _speed(results: list[Named]) -> str:
    groups: dict[tuple[str | int, ...], tuple[str, list[Bar]]] = {}
    for index, (name, result) in enumerate(results):
        for test in result.tests:
            speed = test.summary
            if speed is not None:
                _, found = groups.setdefault(test.identity, (test.label, []))
                found.append(Bar(speed.mean, test.speeds, _style(index), name))
    by_kind = [
        bars([group for key, group in groups.items() if key[0] == kind], f"tokens/s ({what})").inline()
        for kind, what in (("tg", "one token at a time"), ("pp", "prompt in one go"))
        if any(key[0] == kind for key in groups)
    ]
    note = "<figcaption>Bars are means, dots the repetitions.</figcaption>"
    return "".join(by_kind) + legend([Key(_style(index), name) for index, (name, _) in enumerate(results)]) + note


def _table(results: list[Named]) -> str:
    head = ("result", "test", "tokens/s", "±", "peak memory", "read/token", "J/token", "opening")
    cells = []
    for name, result in results:
        for test, row in zip(result.tests, rows(result), strict=True):
            speed, deviation = row.tokens_per_s_mean, row.tokens_per_s_deviation
            cells.append((
                name, test.label, f"failed: {row.failed}" if speed is None else f"{speed:.2f}",
                "-" if deviation is None else f"{deviation:.2f}", row.peak_memory,
                "-" if row.bytes_read_per_token is None else format_bytes(row.bytes_read_per_token), row.joules,
                "-" if row.load_seconds is None else f"{row.load_seconds:.2f} s",
            ))  # fmt: skip
    return _html_table(head, cells, numbers_from=2)


def _attribution(results: list[Named]) -> str:
    parts = []
    for name, result in results:
        if result.layers:
            table = [
                (layer.name, [layer.read_s, layer.decode_s, layer.compute_s, layer.wait_s]) for layer in result.layers
            ]
            note = "By layer; reading and decoding go on beside computing, so the parts overlap."
            plot = _milliseconds(table, PARTS)
            parts.append(f'<p>{escape(name)} <span class="soft">{note}</span></p>{plot}')
        parts.append(_waits(name, result))
    return "".join(parts)


def _milliseconds(table: Sequence[tuple[str, Sequence[float]]], parts: Sequence[str]) -> str:
    scaled = [(name, [seconds * 1000 for seconds in values]) for name, values in table]
    return stacked(scaled, parts, "milliseconds per token").inline()


def _waits(name: str, result: Result) -> str:
    """What the provider's counters tell where no layer was timed."""
    table, background = [], []
    for test in result.tests:
        counters = [repetition.counters for repetition in test.repetitions]
        if test.kind != "tg" or not counters or not all({"wait_ns", "compute_ns"} <= set(item) for item in counters):
            continue
        tokens = test.tokens * len(counters)
        compute, wait, read, decode = (
            sum(item.get(f"{part}_ns", 0) for item in counters) / 1e9 / tokens
            for part in ("compute", "wait", "read", "decode")
        )
        seconds = sum(repetition.seconds for repetition in test.repetitions) / tokens
        table.append((test.label, [compute, wait, max(0.0, seconds - compute - wait)]))
        background.append(f"{test.label}: reading {read * 1000:.3g} ms, decoding {decode * 1000:.3g} ms")
    if not table:
        return f'<p class="soft">{escape(name)}: not attributed: the provider kept no counters.</p>'
    plot = _milliseconds(table, ("matrix multiplications", "waiting for weights", "everything else"))
    beside = f"Beside it, in the prefetching threads, summed over them, per token: {'; '.join(background)}."
    return f'<p>{escape(name)}</p>{plot}<p class="soft">{escape(beside)}</p>'


def _tokens(results: list[Named]) -> str:
    series: list[Line] = []
    for name, result in results:
        for test in result.tests:
            passes = [repetition.pass_seconds for repetition in test.repetitions]
            if test.kind == "tg" and passes and all(passes):
                middle = [sorted(values)[len(values) // 2] for values in zip(*passes, strict=False)]
                points = [(float(number), seconds * 1000) for number, seconds in enumerate(middle, 1)]
                series.append(Line(points, _style(len(series)), f"{name}: {test.label}"))
    if not series:
        return '<p class="soft">No test generated tokens.</p>'
    note = "<figcaption>Median over the repetitions.</figcaption>"
    return _lines(series, "token", "milliseconds") + note


def _samples(result: Result) -> list[tuple[float, TelemetrySample]]:
    """The samples whose time is known, with their seconds since the start."""
    return [(max(0.0, sample.t_s), sample) for sample in result.telemetry.samples if sample.t_s is not None]


def _memory_lines(index: int, name: str, result: Result) -> Iterable[Line]:
    points = [(seconds, sample.rss_bytes / 1e6) for seconds, sample in _samples(result) if sample.rss_bytes is not None]
    if points:
        yield Line(points, _style(index), f"{name}: resident memory of the measured process")
    budget = result.plan.budget_bytes if result.plan is not None else None
    if budget and points:
        ends = [(points[0][0], budget / 1e6), (points[-1][0], budget / 1e6)]
        yield Line(ends, _style(index), f"{name}: memory budget", dashed=True)


def _power_lines(index: int, name: str, result: Result) -> Iterable[Line]:
    points = [(seconds, sample.power_w) for seconds, sample in _samples(result) if sample.power_w is not None]
    if points:
        yield Line(points, _style(index), f"{name}: {result.telemetry.power.basis or 'power'}")


def _temperature_lines(index: int, name: str, result: Result) -> Iterable[Line]:
    """The hottest zone of each moment: boards have up to a dozen zones, and the hottest one throttles."""
    zones = [(seconds, sample.temperatures_c.values()) for seconds, sample in _samples(result)]
    points = [(seconds, max(zone)) for seconds, zone in zones if zone]
    if points:
        yield Line(points, _style(index), f"{name}: hottest zone")


def _over_time(
    results: list[Named],
    lines_of: Callable[[int, str, Result], Iterable[Line]],
    unit: str,
    from_zero: bool,
) -> str:
    series: list[Line] = []
    notes = ""
    for index, (name, result) in enumerate(results):
        found = list(lines_of(index, name, result))
        series += found
        if not found:
            missing = "; ".join(f"{source}: {why}" for source, why in result.telemetry.missing.items())
            notes += f'<p class="soft">{escape(name)}: unavailable ({escape(missing or "no samples")})</p>'
    plot = _lines(series, "seconds since the start", unit, from_zero) if series else ""
    return plot + notes


def _power(results: list[Named]) -> str:
    series = [line for index, (name, result) in enumerate(results) for line in _power_lines(index, name, result)]
    notes = "".join(
        f'<p class="soft">{escape(name)}: unavailable: {escape(result.telemetry.power.unavailable)}</p>'
        for name, result in results
        if result.telemetry.power.unavailable
    )
    return (_lines(series, "seconds since the start", "W") if series else "") + notes


def _lines(series: Sequence[Line], x: str, y: str, from_zero: bool = True) -> str:
    return plane(Axis(x, from_zero=False), Axis(y, from_zero), lines=series).inline()


def _facts(results: list[Named]) -> str:
    facts = [_told(result) for _, result in results]
    keys = dict.fromkeys(key for told in facts for key in told)
    table = [
        (f"{place}: {name.replace('_', ' ')}", *(_fact(name, told.get((place, name))) for told in facts))
        for place, name in keys
    ]
    table.append(("measured at", *(result.created for _, result in results)))
    table.append(("command", *(" ".join(result.command) for _, result in results)))
    table.append(("not in the figures", *("; ".join(result.excluded) for _, result in results)))
    return _html_table(("", *(name for name, _ in results)), table, numbers_from=len(results) + 1)


def _told(result: Result) -> dict[tuple[str, str], Json]:
    """All that a result says of what was measured and on what, by place and name."""
    places: dict[str, Open] = {
        "model": result.model, "board": result.board, "environment": result.environment, "build": result.build,
        "settings": result.settings,
    }  # fmt: skip
    return {(place, name): value for place, record in places.items() for name, value in write(record).items()}


def _fact(name: str, value: Json) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) and not isinstance(value, bool) and name.endswith("bytes"):
        return format_bytes(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_fact(name, item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 or " " in text else f"{text[:16]}..."


def _html_table(head: Iterable[str], table: Iterable[Iterable[str]], numbers_from: int) -> str:
    def row(cells: Iterable[str], tag: str) -> str:
        marked = (
            f"<{tag}{' class=n' if index >= numbers_from else ''}>{escape(str(cell))}</{tag}>"
            for index, cell in enumerate(cells)
        )
        return f"<tr>{''.join(marked)}</tr>"

    return f"<table>{row(head, 'th')}{''.join(row(cells, 'td') for cells in table)}</table>"
