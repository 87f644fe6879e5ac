"""The command `lpc-run`: text from an exported model."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TextIO

import click
from click.core import ParameterSource

from edge_runtime.cli.exporter import exported
from edge_runtime.cli.fence import EXIT_INTERRUPTED, run_command
from edge_runtime.cli.library_choice import LibraryChoice
from edge_runtime.cli.options import debug_option, gathered, parsed, version_option
from edge_runtime.facts import packed_layouts
from edge_runtime.io.printable import printable
from edge_runtime.io.screen import say, show
from edge_runtime.io.streams import write_raw
from edge_runtime.io.typed_json import Json
from edge_runtime.io.units import format_bytes, format_rate, format_seconds
from edge_runtime.machine.memory import peak_rss_bytes

if TYPE_CHECKING:
    from edge_runtime.bench.token_time import TokenTime
    from edge_runtime.cli.generation import Progress
    from edge_runtime.generate import Generation, GenerationReport
    from edge_runtime.provider import SessionStats
    from edge_runtime.sampling import SamplingParams
    from edge_runtime.session import Model, ProviderName, ReadMode

_EPILOG = """\b
Examples:
  lpc-run llama-lpc -p "Once upon a time"
  lpc-run llama-lpc -p "Once upon a time" -n 64 --greedy
  lpc-run llama-lpc -p "List three colours:" --temperature 0.3 --top-p 0.9 --seed 7
  lpc-run llama-lpc -p "Once upon a time" --json > result.json
  lpc-run llama-lpc -p "Once upon a time" --memory-budget 4.5GB
  lpc-run llama-lpc --plan --memory-budget 2GB
  lpc-run Llama-3.2-1B --export -p "Once upon a time"
  lpc-run llama-lpc -p "Once upon a time" --memory-budget 2GB --board here.toml

\b
The generated text goes to stdout, everything else to stderr.
Ctrl-C stops and keeps the text so far; a second one ends at once.
"""
_NOT_GREEDY = {"temperature": "--temperature", "top_k": "--top-k", "top_p": "--top-p"}


@dataclass(frozen=True)
class _Sampling:
    """The values of the options that choose tokens."""

    temperature: float
    top_k: int
    top_p: float
    seed: int | None


@dataclass(frozen=True)
class _Loading:
    """The values of the options that say how the model is opened, or planned; None where it is found out."""

    threads: int
    provider: ProviderName
    context: int | None
    memory_budget: int | None
    board: str | None
    storage: str | None
    bus_limit: float | None
    read_mode: ReadMode
    transcode: str
    trace: str | None
    debug: bool


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", type=click.Path())
@click.option("-p", "--prompt", help="The text to continue.")
@click.option(
    "-n",
    "--max-tokens",
    type=click.IntRange(min=1),
    default=128,
    show_default=True,
    help="Maximum number of tokens to generate.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    default=0.8,
    show_default=True,
    help="Higher is more varied; 0 always takes the most likely token.",
)
@click.option(
    "--top-k",
    type=click.IntRange(min=0),
    default=40,
    show_default=True,
    help="Sample from the K most likely tokens; 0: all.",
)
@click.option(
    "--top-p",
    type=click.FloatRange(min=0, max=1, min_open=True),
    default=0.95,
    show_default=True,
    help="Sample from the most likely tokens that together have this probability; 1: all.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the random choices.  [default: a new one]")
@click.option("--greedy", is_flag=True, help="The same as --temperature 0.")
@click.option(
    "--threads", type=click.IntRange(min=0), default=0, show_default=True, help="Number of threads; 0: automatic."
)
@click.option(
    "--provider",
    type=click.Choice(["lpc", "cpu"]),
    default="lpc",
    show_default=True,
    help="lpc: our execution provider; cpu: plain onnxruntime, weights decoded by the fallback operator.",
)
@click.option(
    "--context",
    type=click.IntRange(min=2),
    help="Context length, in tokens: prompt and generated text.  [default: the model's]",
)
@click.option(
    "--memory-budget",
    metavar="SIZE",
    callback=parsed("parse_size"),
    help="Memory limit, such as 4.5GB; weights that do not fit are streamed.  [default: available memory]",
)
@click.option(
    "--board",
    metavar="NAME|FILE",
    help="Board profile whose speeds the plan uses; lpc-board measure writes one.  [default: this board's]",
)
@click.option("--storage", help="Storage of the board that holds MODEL, such as nvme or sd.  [default: the fastest]")
@click.option(
    "--plan", "plan_only", is_flag=True, help="Print what would stay in memory and the predicted speed; run nothing."
)
@click.option(
    "--bus-limit",
    metavar="RATE",
    callback=parsed("parse_rate"),
    help="Limit reads to this rate, such as 1.5GB/s, to simulate slower storage.",
)
@click.option(
    "--read-mode",
    type=click.Choice(["auto", "direct", "buffered"]),
    default="auto",
    show_default=True,
    help="Read the weights past the page cache or through it; auto: the faster of both, measured by the first reads.",
)
@click.option(
    "--transcode",
    type=LibraryChoice(lambda: ["auto", "off", *packed_layouts()]),
    default="auto",
    show_default=True,
    help="Packed layout for the weights that stay in memory; auto: this machine's fastest; off: as in the file.",
)
@click.option("--trace", type=click.Path(), metavar="FILE", help="Write a Chrome trace of the run.")
@click.option(
    "--raw/--escaped",
    "raw",
    default=None,
    help="Print control characters of the text as they are, or as \\x1b.  [default: escaped on a terminal only]",
)
@click.option(
    "--export", "export_first", is_flag=True, help="Export MODEL to ./<its name>-lpc first, if it is not exported."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@debug_option
@version_option
@gathered(_Sampling, "sampling")
@gathered(_Loading, "loading")
@click.pass_context
def command(
    context_: click.Context,
    /,
    model: str,
    prompt: str | None,
    max_tokens: int,
    greedy: bool,
    raw: bool | None,
    as_json: bool,
    plan_only: bool,
    export_first: bool,
    sampling: _Sampling,
    loading: _Loading,
) -> int:
    """Continue a prompt with MODEL, a folder written by lpc-export."""
    if prompt is None and not plan_only:
        raise click.UsageError("Missing option '-p' / '--prompt'.")
    model = exported(model) if export_first else model
    if prompt is None or plan_only:
        return _print_plan(model, loading, as_json)
    if greedy:
        _refuse_sampling_options(context_)
    chosen = _sampling(sampling, greedy)
    loaded = _load(model, loading)
    generation = loaded.generate(
        prompt, max_new_tokens=max_tokens, temperature=chosen.temperature, top_k=chosen.top_k, top_p=chosen.top_p,
        seed=chosen.seed,
    )  # fmt: skip
    show = _no_text if as_json else write_raw if raw or (raw is None and not sys.stdout.isatty()) else _write_shown
    progress = _stream(loaded, generation, show)
    report, stats = generation.report, loaded.stats()
    plan = loaded.placement.plan if loaded.placement is not None else None
    time = progress.token_time()
    if as_json:
        timing: dict[str, Json] = {
            "token_seconds": progress.token_seconds,
            "token_time": time.as_dict() if time else None,
            "planned_seconds_per_token": plan.seconds_per_token if plan else None,
        }
        click.echo(json.dumps(result(report, stats, loaded.provider) | timing))
    else:
        click.echo(summary(report, stats), err=True)
        if time is not None and plan is not None:
            click.echo(attribution(time, plan.seconds_per_token), err=True)
    return EXIT_INTERRUPTED if report.finish_reason == "interrupted" else 0


def main() -> NoReturn:
    """Entry point of `lpc-run`."""
    run_command(command, "lpc-run", ends_at_once=True)


def result(report: GenerationReport, stats: SessionStats | None, provider: str) -> dict[str, Json]:
    """Return what `--json` prints. Counts that provider "cpu" does not keep are None, and so is a rate without a time.

    Sizes in bytes, rates in tokens a second; `token_ids` and `text` are the generated ones alone.
    """
    return {
        "token_ids": list(report.token_ids),
        "text": report.text,
        "finish_reason": report.finish_reason,
        "prompt_tokens": report.prompt_tokens,
        "prompt_tokens_per_s": report.prompt_tokens_per_s,
        "generation_tokens": len(report.token_ids),
        "generation_tokens_per_s": report.generation_tokens_per_s,
        "seed": report.seed,
        "peak_rss_bytes": peak_rss_bytes(),
        "provider": provider,
        "nodes_claimed": stats.nodes_claimed if stats else None,
        "nodes_unclaimed": stats.nodes_unclaimed if stats else None,
        "bytes_read": stats.bytes_read if stats else None,
        "layers_decompressed": stats.layers_decompressed if stats else None,
        "read_mode": stats.reading if stats else None,
        "transcoded_from_bytes": stats.transcoded_from_bytes if stats else None,
        "transcoded_bytes": stats.transcoded_bytes if stats else None,
        "transcode_seconds": stats.transcode_ns / 1e9 if stats else None,
    }


def summary(report: GenerationReport, stats: SessionStats | None) -> str:
    """Return the line that ends a run."""
    peak = peak_rss_bytes()
    parts = [
        f"prompt: {_tokens(report.prompt_tokens)}, {_rate(report.prompt_tokens_per_s)}",
        f"generation: {_tokens(len(report.token_ids))}, {_rate(report.generation_tokens_per_s)}",
        f"peak memory: {'unknown' if peak is None else format_bytes(peak)}",
    ]
    if stats is not None:
        parts += [f"read: {format_bytes(stats.bytes_read)}", f"layers decompressed: {stats.layers_decompressed}"]
        if stats.transcoded_bytes:
            before, after = format_bytes(stats.transcoded_from_bytes), format_bytes(stats.transcoded_bytes)
            parts.append(f"transcoded: {before} to {after} in {format_seconds(stats.transcode_ns / 1e9)}")
    if report.seed is not None:
        parts.append(f"seed: {report.seed}")
    return " | ".join(parts)


def attribution(time: TokenTime, planned: float) -> str:
    """Return the line that tells where a streamed token's time went."""
    shown = format_seconds
    return (
        f"per token: {shown(time.seconds)} (planned {shown(planned)}) = {shown(time.wait)} waiting for weights + "
        f"{shown(time.compute)} multiplying + {shown(time.other)} other; "
        f"meanwhile {format_bytes(time.bytes_read)} read at {format_rate(time.bytes_read / time.seconds)}, "
        f"{shown(time.decode)} decoding (all threads)"
    )


def _print_plan(path: str, options: _Loading, as_json: bool) -> int:
    from edge_runtime.machine.board import figures_for
    from edge_runtime.machine.memory import default_budget
    from edge_runtime.package import Package
    from edge_runtime.plan import plan_for, sheet

    plan = plan_for(
        Package.open(path),
        figures_for(options.board, storage=options.storage, threads=options.threads, bus_limit=options.bus_limit),
        options.memory_budget or default_budget(),
        context_length=options.context,
        transcode=options.transcode != "off",
    )
    if as_json:
        click.echo(json.dumps(plan.as_dict()))
    else:
        show(sheet(plan))
    return 1 if plan.verdict == "impossible" else 0


def _refuse_sampling_options(context: click.Context) -> None:
    given = [
        flag for name, flag in _NOT_GREEDY.items() if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(f"--greedy always takes the most likely token: leave out {' and '.join(given)}")


def _sampling(options: _Sampling, greedy: bool) -> SamplingParams:
    """How to choose tokens, checked: an infinite temperature passes click's ranges."""
    from edge_runtime.errors import ConfigError
    from edge_runtime.sampling import SamplingParams

    temperature = 0.0 if greedy else options.temperature
    try:
        return SamplingParams(temperature, options.top_k, options.top_p, options.seed)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


def _load(path: str, options: _Loading) -> Model:
    from edge_runtime.package.loss import lossy_line
    from edge_runtime.session import load

    model = load(
        path,
        provider=options.provider,
        threads=options.threads,
        context_length=options.context,
        memory_budget=options.memory_budget,
        board=options.board,
        storage=options.storage,
        bus_limit=options.bus_limit,
        read_mode=options.read_mode,
        transcode=options.transcode,
        trace=options.trace,
        debug=options.debug,
    )
    lossy = lossy_line(model.package.manifest)
    if lossy:
        click.echo(f"lpc-run: lossy model: {lossy}", err=True)
    stats = model.stats()
    if stats is not None and stats.nodes_unclaimed:
        unclaimed = f"{stats.nodes_unclaimed} of {stats.nodes_claimed + stats.nodes_unclaimed} compressed weights"
        slower = "were not taken by the execution provider and run through the slower fallback operator"
        say("lpc-run: warning", f"{unclaimed} {slower}", "warning")
    return model


def _stream(model: Model, generation: Generation, show: Callable[[TextIO, str], None]) -> Progress:
    """Give the pieces to `show` as they come, with stdout, and end the line."""
    from edge_runtime.cli.generation import Progress
    from edge_runtime.cli.watch import Watch

    stdout = sys.stdout
    progress = Progress(model, generation.report.prompt_tokens)
    last = "\n"
    try:
        with Watch(generation.cancel, progress.describe, stdout, sys.stderr) as watch:
            for piece in generation:
                watch.clear()
                if piece.token_id is not None:
                    progress.token_done()
                if piece.text:
                    show(stdout, piece.text)
                    stdout.flush()
                    watch.wrote(piece.text)
                    last = piece.text
    finally:
        if not last.endswith("\n"):
            show(stdout, "\n")
            stdout.flush()
    return progress


def _write_shown(stream: TextIO, text: str) -> None:
    stream.write(printable(text, keep="\n\t"))


def _no_text(stream: TextIO, text: str) -> None:
    """With --json the text comes at the end, in the object."""


def _rate(tokens_per_s: float | None) -> str:
    return "-" if tokens_per_s is None else f"{tokens_per_s:.{1 if tokens_per_s < 1000 else 0}f} tokens/s"


def _tokens(count: int) -> str:
    return f"{count} token{'' if count == 1 else 's'}"
