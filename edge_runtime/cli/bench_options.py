"""What is to be measured, as options: the same for a run here and for one on a board."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
from click.core import ParameterSource

from edge_runtime.cli.options import gathered, parsed
from edge_runtime.io.screen import is_terminal
from edge_runtime.io.typed_json import Json

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
        help="Memory limit of the process, such as 4.5GB.  [default: available memory]",
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


@dataclass(frozen=True)
class MeasureOptions:
    """The values of the options of a measurement; None where the model decides."""

    prompt: tuple[int, ...] | None
    generate: tuple[int, ...] | None
    depth: tuple[int, ...]
    repetitions: int
    precision: float | None
    at_most: float
    threads: tuple[int, ...]
    provider: tuple[str, ...]
    memory_budget: int | None
    bus_limit: float | None
    layers: bool
    load: tuple[str, ...]
    cold: bool
    sequential: bool
    no_warmup: bool
    interval: float

    def arguments(self) -> list[str]:
        """Return the command line of `lpc-bench run` that they come from."""
        words: list[str] = []
        lists = {
            "prompt": self.prompt, "generate": self.generate, "depth": self.depth, "threads": self.threads,
            "provider": self.provider,
        }  # fmt: skip
        for name, values in lists.items():
            if values is not None:
                words += [f"--{name}", ",".join(map(str, values))]
        numbers = {
            "repetitions": self.repetitions, "precision": self.precision, "at-most": self.at_most,
            "interval": self.interval, "memory-budget": self.memory_budget, "bus-limit": self.bus_limit,
        }  # fmt: skip
        for name, value in numbers.items():
            if value is not None:
                words += [f"--{name}", str(value)]
        for text in self.load:
            words += ["--load", text]
        flags = {"layers": self.layers, "cold": self.cold, "sequential": self.sequential, "no-warmup": self.no_warmup}
        return words + [f"--{name}" for name, given in flags.items() if given]

    def load_arguments(self) -> dict[str, Json]:
        """Return the arguments of edge_runtime.load that they give; raises click.UsageError."""
        load = dict(_load_option(text) for text in self.load)
        limits: dict[str, Json] = {"memory_budget": self.memory_budget, "bus_limit": self.bus_limit}
        return load | {name: value for name, value in limits.items() if value is not None}


def measure_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a measurement, as one argument `measure`."""
    function = gathered(MeasureOptions, "measure")(function)
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def _load_option(text: str) -> tuple[str, Json]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise click.UsageError(f"--load {text}: expected NAME=VALUE, such as prefill_chunk=128")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
