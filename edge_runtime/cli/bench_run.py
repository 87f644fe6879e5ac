"""`lpc-bench run`: speed, memory and energy of one exported model on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_runtime.cli.bench_options import DEFAULT_GENERATE, DEFAULT_PROMPT, MeasureOptions, is_drawn, measure_options
from edge_runtime.cli.fence import EXIT_ERROR, EXIT_INTERRUPTED
from edge_runtime.cli.options import check_place, debug_option
from edge_runtime.io.screen import show

if TYPE_CHECKING:
    from edge_runtime.bench.measure import Settings

_EPILOG = """\b
Examples:
  lpc-bench run llama-lpc
  lpc-bench run llama-lpc -p 512 -n 128 -r 5 --threads 1,2 -o result.json
  lpc-bench run llama-lpc --precision 3% -o result.json
  lpc-bench run llama-lpc -p 0 -n 32 --cold --format csv
  lpc-bench run llama-lpc --memory-budget 4GB --layers -o result.json

\b
pp512 is a prompt of 512 tokens in one go, tg128 are 128 tokens one by one.
The table goes to stdout, progress to stderr; -o keeps the whole result with
every sample, for `lpc-bench compare` and `lpc-bench report`.
"""


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", type=click.Path(path_type=Path))
@measure_options
@click.option("--format", "output", type=click.Choice(["md", "csv", "json", "jsonl"]), default="md", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json: the whole result.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="Also write the whole result to this file."
)
@click.option("-q", "--quiet", is_flag=True, help="Print no progress.")
@debug_option
def command(
    model: Path, output: str, as_json: bool, out: Path | None, quiet: bool, debug: bool, measure: MeasureOptions
) -> int:
    """Measure MODEL, a folder written by lpc-export: tokens/s, memory, energy."""
    from edge_runtime.bench.measure import Benchmark
    from edge_runtime.bench.result_file import save_result
    from edge_runtime.bench.tables import FORMATS, sheet

    check_place("-o", out)
    benchmark = Benchmark(model, _settings(model, measure, quiet), ["lpc-bench", *sys.argv[1:]])
    result = benchmark.run()
    if out is not None:
        save_result(out, result)
    if as_json or not is_drawn():
        click.echo(FORMATS["json" if as_json else output](result))
    else:
        show(sheet(result))
    if benchmark.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_ERROR if result.failed else 0


def _settings(model: Path, options: MeasureOptions, quiet: bool) -> Settings:
    from edge_runtime.bench.measure import Settings
    from edge_runtime.bench.precision import Precision
    from edge_runtime.bench.running import Spec
    from edge_runtime.bench.workers import Configuration

    load = options.load_arguments()
    prompt, generate = _defaults(model, options)
    specs = [Spec("pp", tokens, depth) for depth in options.depth for tokens in prompt if tokens]
    specs += [Spec("tg", tokens, depth) for depth in options.depth for tokens in generate if tokens]
    if not specs:
        raise click.UsageError("nothing to measure: give -p or -n above 0")
    return Settings(
        specs=tuple(specs),
        configurations=tuple(
            Configuration(provider, threads, load) for provider in options.provider for threads in options.threads
        ),
        repetitions=options.repetitions,
        cold=options.cold,
        interleave=not options.sequential,
        warm_up=not options.no_warmup,
        layers=options.layers,
        interval_s=options.interval,
        precision=None if options.precision is None else Precision(options.precision, options.at_most),
        say=(lambda line: None) if quiet else _say,
    )


def _defaults(model: Path, options: MeasureOptions) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What was asked for, or llama-bench's 512 and 128 as far as the model's context holds them."""
    from edge_runtime.package import Package

    room = Package.open(model).context_length - max(options.depth)
    prompt, generate = options.prompt, options.generate
    if prompt is None:
        prompt = (max(1, min(DEFAULT_PROMPT, room)),)
    if generate is None:
        generate = (max(1, min(DEFAULT_GENERATE, room)),)
    return prompt, generate


def _say(line: str) -> None:
    click.echo(line, err=True)
