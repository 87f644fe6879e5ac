"""`lpc-bench run`: speed, memory and energy of one exported model on this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from edge_runtime.cli.common import EXIT_ERROR, EXIT_INTERRUPTED, debug_option

_EPILOG = """\b
Examples:
  lpc-bench run llama-lpc
  lpc-bench run llama-lpc -p 512 -n 128 -r 5 --threads 1,2 -o result.json
  lpc-bench run llama-lpc -p 0 -n 32 --cold --format csv
  lpc-bench run llama-lpc --memory-budget 4GiB --layers -o result.json

\b
pp512 is a prompt of 512 tokens in one go, tg128 are 128 tokens one by one.
The table goes to stdout, progress to stderr; -o keeps the whole result with
every sample, for `lpc-bench compare` and `lpc-bench report`.
"""
DEFAULT_PROMPT = 512
DEFAULT_GENERATE = 128


def numbers(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Return whole numbers separated by commas, each once; a click callback."""
    if value is None:
        return None
    try:
        found = tuple(dict.fromkeys(int(part) for part in value.split(",")))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of whole numbers, such as 1,2") from None
    if min(found) < 0:
        raise click.BadParameter(f"{min(found)} is below 0")
    return found


def providers(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """Return names of providers separated by commas, each once; a click callback."""
    names = tuple(dict.fromkeys(value.split(",")))
    for name in names:
        if name not in ("lpc", "cpu"):
            raise click.BadParameter(f"{name!r} is not one of lpc, cpu")
    return names


_LIST = "N[,N...]"


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-p", "--prompt", callback=numbers, metavar=_LIST, help=f"Prompt tokens; 0: none.  [default: {DEFAULT_PROMPT}]"
)
@click.option(
    "-n",
    "--generate",
    callback=numbers,
    metavar=_LIST,
    help=f"Tokens to generate; 0: none.  [default: {DEFAULT_GENERATE}]",
)
@click.option(
    "-d",
    "--depth",
    callback=numbers,
    metavar=_LIST,
    default="0",
    show_default=True,
    help="Tokens before those measured.",
)
@click.option("-r", "--repetitions", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("-t", "--threads", callback=numbers, metavar=_LIST, default="0", show_default=True, help="0: automatic.")
@click.option("--provider", callback=providers, metavar="lpc|cpu[,...]", default="lpc", show_default=True)
@click.option("--memory-budget", metavar="SIZE", help="All that the process may take, such as 4.5GiB.  [default: free]")
@click.option("--bus-limit", metavar="RATE", help="Imitate a slower bus, such as 1.5GB/s.")
@click.option("--layers", is_flag=True, help="Also time reading, decoding, computing and waiting by layer.")
@click.option("--load", multiple=True, metavar="NAME=VALUE", help="An argument of edge_runtime.load; may be repeated.")
@click.option("--cold", is_flag=True, help="A new process and an empty page cache for every repetition.")
@click.option("--sequential", is_flag=True, help="One configuration after the other: less memory, more drift.")
@click.option("--no-warmup", is_flag=True, help="Time the first passes too.")
@click.option("--interval", type=click.FloatRange(min=0.05), default=0.5, show_default=True, help="Telemetry, seconds.")
@click.option("--format", "output", type=click.Choice(["md", "csv", "json", "jsonl"]), default="md", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json: the whole result.")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="Also write the whole result here.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@debug_option
def command(model: Path, output: str, as_json: bool, out: Path | None, **options: Any) -> int:
    """Measure MODEL, a folder written by lpc-export: tokens/s, memory, energy."""
    from edge_runtime.bench.measure import Benchmark
    from edge_runtime.bench.results import save_result
    from edge_runtime.bench.tables import FORMATS

    if out is not None and not out.resolve().parent.is_dir():
        raise click.UsageError(f"-o {out}: the folder {out.resolve().parent} does not exist")
    benchmark = Benchmark(model, _settings(model, options), ["lpc-bench", *sys.argv[1:]])
    result = benchmark.run()
    if out is not None:
        save_result(out, result)
    click.echo(FORMATS["json" if as_json else output](result))
    if benchmark.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_ERROR if any(test.get("failed") for test in result["tests"]) else 0


def _settings(model: Path, options: dict[str, Any]) -> Any:
    from edge_runtime.bench.measure import Settings, Spec
    from edge_runtime.bench.workers import Configuration

    load = _load_arguments(options)
    prompt, generate = _defaults(model, options)
    specs = [Spec("pp", tokens, depth) for depth in options["depth"] for tokens in prompt if tokens]
    specs += [Spec("tg", tokens, depth) for depth in options["depth"] for tokens in generate if tokens]
    if not specs:
        raise click.UsageError("nothing to measure: give -p or -n above 0")
    return Settings(
        specs=tuple(specs),
        configurations=tuple(
            Configuration(provider, threads, load) for provider in options["provider"] for threads in options["threads"]
        ),
        repetitions=options["repetitions"],
        cold=options["cold"],
        interleave=not options["sequential"],
        warm_up=not options["no_warmup"],
        layers=options["layers"],
        interval_s=options["interval"],
        say=(lambda line: None) if options["quiet"] else _say,
    )


def _defaults(model: Path, options: dict[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What was asked for, or llama-bench's 512 and 128 as far as the model's context holds them."""
    from edge_runtime.package import Package

    room = Package.open(model).context_length - max(options["depth"])
    prompt, generate = options["prompt"], options["generate"]
    if prompt is None:
        prompt = (max(1, min(DEFAULT_PROMPT, room)),)
    if generate is None:
        generate = (max(1, min(DEFAULT_GENERATE, room)),)
    return prompt, generate


def _load_arguments(options: dict[str, Any]) -> dict[str, Any]:
    from edge_runtime.errors import ConfigError
    from edge_runtime.memory import parse_rate, parse_size

    load = dict(_load_option(text) for text in options["load"])
    try:
        if options["memory_budget"] is not None:
            load["memory_budget"] = parse_size(options["memory_budget"])
        if options["bus_limit"] is not None:
            load["bus_limit"] = parse_rate(options["bus_limit"])
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    return load


def _load_option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise click.UsageError(f"--load {text}: expected NAME=VALUE, such as prefill_chunk=128")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _say(line: str) -> None:
    click.echo(line, err=True)
