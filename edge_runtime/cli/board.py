"""The command `lpc-board`: board profiles, which board this is, its speeds, and plans for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from edge_runtime.cli.fence import run_command
from edge_runtime.cli.options import check_place, debug_option, gathered, parsed, version_option
from edge_runtime.io.screen import show
from edge_runtime.io.sheet import Column, Sheet, Table
from edge_runtime.io.typed_json import Json
from edge_runtime.io.units import format_bytes

if TYPE_CHECKING:
    from boards import Figure, Profile
    from edge_runtime.plan import Figures, Plan

_HELP = {"help_option_names": ["-h", "--help"]}
_EPILOG = """\b
Examples:
  lpc-board list
  lpc-board show raspberry-pi-5
  lpc-board detect
  lpc-board measure --save here.toml
  lpc-board plan llama-lpc --board here.toml --memory-budget 4.5GB --context 2048
  lpc-board console list
"""
_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


class _Group(click.Group):
    """Finds `console` in a module of its own, loaded only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands, "console"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name != "console":
            return super().get_command(ctx, cmd_name)
        from edge_runtime.cli.console import command as console

        return console


@click.group(cls=_Group, epilog=_EPILOG, context_settings=_HELP)
@version_option
def command() -> None:
    """Board profiles: list, show, detect, measure, plan; and a serial console."""


def main() -> NoReturn:
    """Entry point of `lpc-board`."""
    run_command(command, "lpc-board")


@command.command("list", context_settings=_HELP)
@_json_option
@debug_option
def list_command(as_json: bool, debug: bool) -> None:
    """List the boards with a profile."""
    from boards import load, names

    profiles = [load(name) for name in names()]
    if as_json:
        click.echo(json.dumps([{"id": p.id, "name": p.name, "soc": p.soc} for p in profiles]))
        return
    rows = [(profile.id, profile.name) for profile in profiles]
    show(Sheet([Table([Column(), Column()], rows, headed=False)]))


@command.command("show", context_settings=_HELP)
@click.argument("board", metavar="NAME|FILE")
@_json_option
@debug_option
def show_command(board: str, as_json: bool, debug: bool) -> None:
    """Show all figures of a board, each with unit, kind and source. What is unknown is not there."""
    from edge_runtime.machine.board import load_profile

    profile = load_profile(board)
    if as_json:
        click.echo(json.dumps(_profile_json(profile)))
    else:
        show(_profile_sheet(profile))


@command.command("detect", context_settings=_HELP)
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    default="/",
    help="Read the system's files below this folder, such as a mounted image.",
)
@_json_option
@debug_option
def detect_command(root: Path, as_json: bool, debug: bool) -> int:
    """Find the profile of the board that this runs on. Exits 1 if there is none."""
    from boards.detect import current_power_mode, detect

    found = detect(root)
    profile = found.profile
    if as_json:
        names = {"id": profile.id, "name": profile.name} if profile else {"id": None, "name": None}
        reasons = {"exact": found.exact, "reasons": list(found.reasons)}
        more = {"power_mode": current_power_mode(), "identity": found.identity.as_dict()}
        click.echo(json.dumps({**names, **reasons, **more}))
        return 0 if profile else 1
    known = {name: value for name, value in found.identity.as_dict().items() if value not in (None, "", ())}
    for name, value in known.items():
        click.echo(f"{name}: {', '.join(value) if isinstance(value, tuple) else value}", err=True)
    if mode := current_power_mode():
        click.echo(f"power_mode: {mode}", err=True)
    if profile is None:
        click.echo("lpc-board: no profile fits this machine; make one with `lpc-board measure --save FILE`", err=True)
        return 1
    near = "" if found.exact else " (the nearest there is: its figures may not hold here)"
    click.echo(f"{profile.id}{near}")
    return 0


@command.command("measure", context_settings=_HELP)
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Write the profile to this TOML file.")
@click.option(
    "--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".", show_default=True,
    help="Folder on the storage to measure; a temporary file is written there.",
)  # fmt: skip
@click.option("--file", type=click.Path(path_type=Path), help="Read this file instead, such as a model.lpc.")
@click.option(
    "--seconds",
    type=click.FloatRange(0.05, 1.2),
    default=0.5,
    show_default=True,
    help="Duration of one step, in seconds.",
)
@click.option(
    "--threads", type=click.IntRange(min=0), default=0, show_default=True, help="Maximum number of threads; 0: all."
)
@_json_option
@debug_option
def measure_command(
    save: Path | None, folder: Path, file: Path | None, seconds: float, threads: int, as_json: bool, debug: bool
) -> None:
    """Measure this machine: memory, storage, decoding. Takes under a minute; let nothing else run."""
    from boards.dump import to_toml
    from edge_runtime.io.files import write_whole
    from edge_runtime.io.terminal import step
    from edge_runtime.machine.measure import Settings, measure

    check_place("--save", save)
    profile = measure(Settings(folder=folder, file=file, seconds=seconds, threads=threads), step)
    text = to_toml(profile)
    if save is not None:
        write_whole(save, text)
        click.echo(f"written to {save}", err=True)
    if as_json:
        click.echo(json.dumps(_profile_json(profile)))
    elif save is None:
        click.echo(text, nl=False)


@dataclass(frozen=True)
class _PlanOptions:
    """The values of the options of `plan`; None where the board or the model decides."""

    board: str | None
    storage: str | None
    memory_budget: int | None
    bus_limit: float | None
    context: int | None
    kv_dtype: str
    prefill_chunk: int | None
    threads: int | None


@command.command("plan", context_settings=_HELP)
@click.argument("model", type=click.Path())
@click.option("--board", metavar="NAME|FILE", help="Board profile to plan for.  [default: this machine's]")
@click.option(
    "--storage", help="Storage of the board that holds the model, such as nvme or sd.  [default: the fastest]"
)
@click.option(
    "--memory-budget",
    metavar="SIZE",
    callback=parsed("parse_size"),
    help="Memory limit of the process, such as 4.5GB.  [default: available memory, less a reserve]",
)
@click.option(
    "--bus-limit",
    metavar="RATE",
    callback=parsed("parse_rate"),
    help="Plan for storage of this read rate, such as 1.5GB/s.",
)
@click.option(
    "--context", type=click.IntRange(min=1), help="Context length, in tokens.  [default: the model's maximum]"
)
@click.option(
    "--kv-dtype",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help="Data type of the KV cache.",
)
@click.option(
    "--prefill-chunk", type=click.IntRange(min=1), help="Prompt tokens per forward pass.  [default: chosen by the plan]"
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads to plan for.  [default: the board's cores]")
@_json_option
@debug_option
@gathered(_PlanOptions, "options")
def plan_command(model: str, as_json: bool, debug: bool, options: _PlanOptions) -> int:
    """Plan how MODEL, a folder written by lpc-export, would run. Nothing is loaded. Exits 1 if it cannot run."""
    from edge_runtime.plan import sheet

    made = _plan(model, options)
    if as_json:
        click.echo(json.dumps(made.as_dict()))
    else:
        show(sheet(made))
    return 1 if made.verdict == "impossible" else 0


def _plan(model: str, options: _PlanOptions) -> Plan:
    from edge_runtime.package import Package
    from edge_runtime.plan import plan_for

    package = Package.open(model)
    figures, budget = _figures_and_budget(options)
    return plan_for(
        package,
        figures,
        budget,
        context_length=options.context,
        kv_dtype=options.kv_dtype,
        prefill_chunk=options.prefill_chunk,
    )


def _figures_and_budget(options: _PlanOptions) -> tuple[Figures, int]:
    """The board's, this machine's where none is named; a given budget or bus limit wins."""
    from boards.detect import detect
    from edge_runtime.machine import memory
    from edge_runtime.machine.board import budget_of, figures_of, limited, load_profile

    here = options.board is None
    profile = detect().profile if options.board is None else load_profile(options.board)
    if profile is None:
        raise click.UsageError(
            "no profile fits this machine: give --board NAME or a file of `lpc-board measure --save`"
        )
    threads = options.threads or (_own_threads() if here else None)
    figures = limited(figures_of(profile, options.storage, threads), options.bus_limit)
    if options.memory_budget is not None:
        return figures, options.memory_budget
    if here:
        return figures, memory.default_budget()
    budget, source = budget_of(profile)
    click.echo(f"memory budget {format_bytes(budget)}: {source}", err=True)
    return figures, budget


def _own_threads() -> int:
    import os

    return len(os.sched_getaffinity(0))


def _figure_json(figure: Figure) -> dict[str, Json]:
    values = {
        "value": figure.value,
        "unit": figure.unit,
        **figure.details,
        "kind": figure.kind,
        "source": figure.source,
    }
    return {name: value for name, value in {**values, "note": figure.note}.items() if value is not None}


def _profile_json(profile: Profile) -> dict[str, Json]:
    return {
        "id": profile.id,
        "name": profile.name,
        "soc": profile.soc,
        "notes": list(profile.notes),
        "match": {name: list(texts) for name, texts in profile.match.items()},
        "figures": {name: [_figure_json(figure) for figure in figures] for name, figures in profile.figures.items()},
        "software": [{name: _figure_json(figure) for name, figure in entry.items()} for entry in profile.software],
    }


def _profile_sheet(profile: Profile) -> Sheet:
    rows = [_figure_row(name, figure) for name, figures in profile.figures.items() for figure in figures]
    for entry in profile.software:
        rows += [_figure_row(f"software.{name}", figure) for name, figure in entry.items()]
    table = Table([Column(width=24), Column()], rows, headed=False, gap=" ")
    return Sheet([f"{profile.id}: {profile.name}", table, *(f"note: {note}" for note in profile.notes)])


def _figure_row(name: str, figure: Figure) -> tuple[str, str]:
    value = ", ".join(map(str, figure.value)) if isinstance(figure.value, list) else str(figure.value)
    unit = f" {figure.unit}" if figure.unit else ""
    details = "".join(f", {key.replace('_', ' ')} {text}" for key, text in figure.details.items())
    return name, f"{value}{unit}{details}  [{figure.kind}: {figure.source}]"
