"""The options of `lpc-export` that say how weights are encoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge_runtime.cli.library_choice import LibraryChoice
from exporters.package.codec_names import AUTO, BUS, COMPUTE, OBJECTIVES, usual_choices

if TYPE_CHECKING:
    from exporters.package.codec_choice import CodecChoice

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]  # generic from click 8.2 on
else:
    _ParamType = click.ParamType

_Command = TypeVar("_Command", bound=Callable[..., Any])


class CodecText(LibraryChoice):
    """A usual choice, or any other text of a CodecChoice; gives the CodecChoice."""

    name = "CODEC"

    def __init__(self) -> None:
        super().__init__(usual_choices)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> CodecChoice:
        from edge_runtime.errors import ConfigError
        from exporters.package.codec_choice import CodecChoice

        if isinstance(value, CodecChoice):
            return value
        if not {":", "@"} & set(value):
            super().convert(value, param, ctx)
        try:
            return CodecChoice.parse(value)
        except ConfigError as error:
            self.fail(str(error), param, ctx)


class FractionOrAuto(_ParamType):
    """A number from 0 to 1, or "auto"."""

    name = "FRACTION|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        if value == "auto":
            return "auto"
        return click.FloatRange(0, 1).convert(value, param, ctx)


_OPTIONS = [
    click.option(
        "--codec", type=CodecText(), default=AUTO, show_default=True,
        help="auto: by measured size, as --objective says; stored for a tensor where less than 1 % is saved. For "
        "pruned weights bitmap is smallest, and bitmap:stored is what products are computed from. "
        "CODEC:LAYOUT@FRACTION says all at once, such as packed:hi4p@0.5 or auto:compute:hi3.",
    ),
    click.option(
        "--objective", type=click.Choice(list(OBJECTIVES)),
        help="What is scarce, for --codec auto: space (the smallest codec), the bus (lz4; bitmap if pruned), or memory "
        f"bandwidth (packed; bitmap:stored if pruned: what products are computed from).  [default: {BUS}]",
    ),
    click.option(
        "--board", metavar="NAME|FILE|this",
        help="For --partial auto: a board's profile. For codec packed: the layout that it, or this machine, computes "
        "from fastest.  [default: the smallest layout]",
    ),
    click.option(
        "--partial", type=FractionOrAuto(),
        help="Compress only this share of each weight, where decoding is slower than the bus; auto: what suits "
        "--board.  [default: 1]",
    ),
]  # fmt: skip


def codec_options(command: _Command) -> _Command:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def asked_codec(
    codec: CodecChoice, objective: str | None, board: str | None, partial: float | str | None
) -> CodecChoice:
    """Return the choice with the objective; UsageError for options that do not go together."""
    if codec.codec == AUTO and objective is not None:
        if codec.objective not in (BUS, objective):
            raise click.UsageError(f"--codec {codec} and --objective {objective} say different things.")
        codec = replace(codec, objective=objective)
    unsuitable = partial == "auto" and (board is None or codec.codec == AUTO)
    if unsuitable or (board and partial != "auto" and not _packs(codec)):
        raise click.UsageError("--partial auto and --board go together, and with a --codec.")
    if partial is not None and codec.fraction is not None:
        raise click.UsageError(f"--partial and --codec {codec}: the share that is compressed is said twice.")
    if board is not None and _packs(codec) and codec.layout:
        raise click.UsageError(f"--board and --codec {codec}: the layout is said twice.")
    return codec


def completed_codec(
    codec: CodecChoice, model: Path, board: str | None, partial: float | str | None, tokenizer: Path | None
) -> CodecChoice:
    """Return what `asked_codec` gave with the layout and the fraction that suit the board; raises BoardError too."""
    from exporters.package.codec_choice import packed_layout

    if board is not None and partial == "auto":
        partial = _fraction(model, codec, board, tokenizer)
    if board is not None and _packs(codec):
        codec = replace(codec, layout=packed_layout(board))
    return codec if partial is None else replace(codec, fraction=float(partial))


def _packs(codec: CodecChoice) -> bool:
    return codec.codec == "packed" or (codec.codec == AUTO and codec.objective == COMPUTE)


def _fraction(model: Path, codec: CodecChoice, board: str, tokenizer: Path | None) -> float:
    """What suits the board, said on stderr."""
    from edge_runtime.io.units import format_rate
    from edge_runtime.machine.board import figures_of, load_profile
    from exporters.partial import fraction_for

    figures = figures_of(load_profile(board))
    fraction = round(fraction_for(model, codec, figures, tokenizer), 3)
    decode = figures.decode_rate(codec.codec)
    click.echo(
        f"lpc-export: {fraction:.1%} of each weight is compressed: {board} reads "
        f"{format_rate(figures.bus.bytes_per_s)} ({figures.bus.kind}) and decodes {codec} at "
        f"{format_rate(decode.bytes_per_s)} ({decode.kind})",
        err=True,
    )
    return fraction
