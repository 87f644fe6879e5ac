"""The options of `lpc-export` that make a model smaller than losslessly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from exporters.frontier import Board
    from exporters.transforms.options import LossyOptions

_Command = TypeVar("_Command", bound=Callable[..., Any])


_OPTIONS = [
    click.option("--quantize", type=click.Choice(["int8"]), help="Lossy: symmetric INT8 weights."),
    click.option(
        "--granularity", default="row", show_default=True, metavar="G",
        help="Weights that share a scale: tensor, row, or group:N (N columns of a row).",
    ),
    click.option(
        "--scaling/--no-scaling", default=True, show_default=True,
        help="Compression-aware scaling: fewer bits for the same error.",
    ),
    click.option("--target-bits", type=float, metavar="B", help="Coarsen INT8 until it takes B bits per weight."),
    click.option("--max-kl", type=float, metavar="X", help="Coarsen INT8 up to a KL divergence of X nats per token."),
    click.option("--prune", type=float, metavar="S", help="Lossy: make the fraction S of the weights zero."),
    click.option(
        "--prune-pattern", type=click.Choice(["total", "row", "2:4"]), default="total", show_default=True,
        help="The fraction over all weights; the same in every row; or two of every four.",
    ),
    click.option(
        "--prune-score", type=click.Choice(["rms", "max", "magnitude"]), default="rms", show_default=True,
        help="Importance: magnitude times the input channel's root mean square or maximum, or magnitude alone.",
    ),
    click.option(
        "--compensation/--no-compensation", default=True, show_default=True,
        help="Adjust the rest of a row to compensate for pruning and rounding.",
    ),
    click.option(
        "--calibration", type=click.Path(path_type=Path), metavar="FILE",
        help="UTF-8 text for channel statistics; without --text a fifth of it measures the loss.  [default: the model "
        "writes some]",
    ),
    click.option("--text", type=click.Path(path_type=Path), metavar="FILE", help="UTF-8 text to measure the loss on."),
    click.option("--documents", is_flag=True, help="An empty line in a text ends a document: each is read by itself."),
    click.option(
        "--reference", type=click.Path(path_type=Path), metavar="FOLDER",
        help="A lossless export of MODEL to measure against.  [default: one is made and deleted]",
    ),
    click.option("--plan-for", metavar="BOARD", help="Search codec, INT8 and sparsity for this board; needs --target."),
    click.option("--target", metavar="SPEED", help='Speed that --plan-for must reach, such as "2 s/token".'),
    click.option("--memory-budget", metavar="SIZE", help="Memory limit for --plan-for.  [default: the board's]"),
    click.option("--loss/--no-loss", default=True, show_default=True, help="Measure the loss."),
]  # fmt: skip


def lossy_options(command: _Command) -> _Command:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def lossy_of(given: dict[str, Any]) -> LossyOptions | None:
    """Return what the options ask for; None if nothing lossy. UsageError for values that do not go together."""
    from edge_runtime.errors import ConfigError

    if given["quantize"] is None and given["prune"] is None:
        unused = [name for name in ("target_bits", "max_kl", "calibration", "reference") if given[name] is not None]
        if unused:
            raise click.UsageError(f"--{unused[0].replace('_', '-')} needs --quantize or --prune.")
        return None
    from exporters.transforms.options import LossyOptions
    from exporters.transforms.prune import Pruning

    try:
        pruning = None
        if given["prune"] is not None:
            pruning = Pruning(given["prune"], given["prune_pattern"], given["prune_score"])
        return LossyOptions(
            quantize=given["quantize"] is not None,
            granularity=given["granularity"],
            scaling=given["scaling"],
            target_bits=given["target_bits"],
            max_kl=given["max_kl"],
            pruning=pruning,
            compensate=given["compensation"],
            calibration=given["calibration"],
            text=given["text"],
            documents=given["documents"],
            reference=given["reference"],
            measure=given["loss"],
        )
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


def seconds_of(target: str) -> float:
    """Return the seconds per token of "2 s/token" or "0.5 tokens/s"; UsageError for anything else."""
    number, _, unit = target.strip().partition(" ")
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if value > 0 and unit.strip() in ("s/token", "tokens/s"):
        return value if unit.strip() == "s/token" else 1 / value
    raise click.UsageError(f"--target is {target!r}; expected such as '2 s/token' or '0.5 tokens/s'.")


def base_of(given: dict[str, Any]) -> LossyOptions:
    """Return the options that every candidate of a search shares."""
    return lossy_of({**given, "quantize": "int8", "target_bits": None, "max_kl": None}) or _nothing()


def board_of(name: str, budget: str | None) -> Board:
    """Return what speed is predicted for; raises BoardError, and UsageError for a budget that is no size."""
    from edge_runtime.errors import ConfigError
    from edge_runtime.io.units import parse_size
    from edge_runtime.machine.board import budget_of, figures_of, load_profile
    from exporters.frontier import Board

    profile = load_profile(name)
    try:
        return Board(figures_of(profile), budget_of(profile)[0] if budget is None else parse_size(budget))
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


def _nothing() -> LossyOptions:
    from exporters.transforms.options import LossyOptions

    return LossyOptions()
