"""What is to be measured, as options: the same for a run here and for one on a board."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from edge_runtime.cli.options import parsed
from edge_runtime.io.screen import is_terminal

_Command = TypeVar("_Command", bound=Callable[..., Any])

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


def share(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """Return a share from 0.1 to 50 %, given as "3%" or "0.03"; a click callback."""
    if value is None:
        return None
    text = value.strip()
    try:
        found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a share, such as 3% or 0.03") from None
    if not 0.001 <= found <= 0.5:
        raise click.BadParameter(f"{value} is not between 0.1% and 50%")
    return found


def providers(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """Return names of providers separated by commas, each once; a click callback."""
    names = tuple(dict.fromkeys(value.split(",")))
    for name in names:
        if name not in ("lpc", "cpu"):
            raise click.BadParameter(f"{name!r} is not one of lpc, cpu")
    return names


def is_drawn() -> bool:
    """Return whether the running command draws its table: on a terminal, if no --format was asked for."""
    source = click.get_current_context().get_parameter_source("output")
    return source is not ParameterSource.COMMANDLINE and is_terminal(sys.stdout)


_LIST = "N[,N...]"
_OPTIONS = (
    click.option(
        "-p",
        "--prompt",
        callback=numbers,
        metavar=_LIST,
        help=f"Prompt lengths, in tokens; 0: none.  [default: {DEFAULT_PROMPT}]",
    ),
    click.option(
        "-n",
        "--generate",
        callback=numbers,
        metavar=_LIST,
        help=f"Numbers of tokens to generate; 0: none.  [default: {DEFAULT_GENERATE}]",
    ),
    click.option(
        "-d",
        "--depth",
        callback=numbers,
        metavar=_LIST,
        default="0",
        show_default=True,
        help="Context depths: tokens in the KV cache before the measured ones.",
    ),
    click.option(
        "-r",
        "--repetitions",
        "--repeat",
        "repetitions",
        type=click.IntRange(min=1),
        default=5,
        show_default=True,
        help="Repetitions of each test; with --precision, of each round.",
    ),
    click.option(
        "--precision",
        callback=share,
        metavar="SHARE",
        help="Repeat in rounds, each in a new process, until the means have this precision, such as 3%.",
    ),
    click.option(
        "--at-most",
        type=click.FloatRange(min=1),
        default=300.0,
        show_default=True,
        help="Time limit for --precision, in seconds.",
    ),
    click.option(
        "-t",
        "--threads",
        callback=numbers,
        metavar=_LIST,
        default="0",
        show_default=True,
        help="Numbers of threads; 0: automatic.",
    ),
    click.option("--provider", callback=providers, metavar="lpc|cpu[,...]", default="lpc", show_default=True),
    click.option(
        "--memory-budget",
        metavar="SIZE",
        callback=parsed("parse_size"),
        help="Memory limit of the process, such as 4.5GiB.  [default: available memory]",
    ),
    click.option(
        "--bus-limit",
        metavar="RATE",
        callback=parsed("parse_rate"),
        help="Limit reads to this rate, such as 1.5GB/s, to simulate slower storage.",
    ),
    click.option("--layers", is_flag=True, help="Also time reading, decoding, computing and waiting by layer."),
    click.option(
        "--load", multiple=True, metavar="NAME=VALUE", help="Pass this argument to edge_runtime.load; may be repeated."
    ),
    click.option("--cold", is_flag=True, help="Start each repetition in a new process with an empty page cache."),
    click.option(
        "--sequential", is_flag=True, help="Measure one configuration after the other: less memory, more drift."
    ),
    click.option("--no-warmup", is_flag=True, help="Do not warm up: time the first passes too."),
    click.option(
        "--interval",
        type=click.FloatRange(min=0.05),
        default=0.5,
        show_default=True,
        help="Interval of the telemetry, in seconds.",
    ),
)


def measure_options(function: _Command) -> _Command:
    """Give a command the options of a measurement."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def arguments_of(options: dict[str, Any]) -> list[str]:
    """Return the command line of `lpc-bench run` that these values of the options come from."""
    words: list[str] = []
    for name in ("prompt", "generate", "depth", "threads", "provider"):
        if options[name] is not None:
            words += [f"--{name}", ",".join(map(str, options[name]))]
    for name in ("repetitions", "precision", "at_most", "interval", "memory_budget", "bus_limit"):
        if options[name] is not None:
            words += [f"--{name.replace('_', '-')}", str(options[name])]
    for text in options["load"]:
        words += ["--load", text]
    return words + [
        f"--{name.replace('_', '-')}" for name in ("layers", "cold", "sequential", "no_warmup") if options[name]
    ]


def load_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of edge_runtime.load that the options give; raises click.UsageError."""
    load = dict(_load_option(text) for text in options["load"])
    return load | {name: options[name] for name in ("memory_budget", "bus_limit") if options[name] is not None}


def _load_option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise click.UsageError(f"--load {text}: expected NAME=VALUE, such as prefill_chunk=128")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
