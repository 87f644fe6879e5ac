"""The commands on exported folders, and `frontier`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from edge_runtime.cli.fence import failing
from edge_runtime.cli.options import check_place
from edge_runtime.io.screen import show
from exporters.commands.export import default_out
from exporters.commands.lossy_options import base_of, board_of, lossy_options


@click.group("lpc-export", context_settings={"help_option_names": ["-h", "--help"]})
def tools() -> None:
    """Commands on exported folders; to export a model: lpc-export MODEL."""


@tools.command("inspect")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the manifest and sums as one JSON object.")
@click.option("--debug", is_flag=True, help="Show a traceback on failure.")
def inspect_command(folder: Path, as_json: bool, debug: bool) -> None:
    """Show tensors, dtypes, codecs, bits per weight and layers of an exported FOLDER."""
    with failing(""):
        from exporters.package.inspect import sheet, summary

        if as_json:
            click.echo(json.dumps(summary(folder)))
        else:
            show(sheet(folder))


@tools.command("verify")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--against", help="Source model to compare every weight with.")
@click.option(
    "--threads", type=click.IntRange(min=0), default=0, help="Number of threads; 0: one per core.", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
@click.option("--debug", is_flag=True, help="Show a traceback on failure.")
def verify_command(folder: Path, against: str | None, threads: int, as_json: bool, debug: bool) -> None:
    """Decode every weight of an exported FOLDER and compare it with the checksum of its source; compare every file."""
    with failing(""):
        figures = _verify(folder, against, threads)
        text = f"{figures['folder']}: {figures['tensors']} weights are what they were, bit for bit"
        if figures["files"] is None:
            text += " (its files have no hashes: it was exported by an older version)"
        else:
            text += f", and so are its {figures['files']} files"
        click.echo(json.dumps(figures) if as_json else text + (f", and those of {against}" if against else ""))


@tools.command("reseal")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--threads", type=click.IntRange(min=0), default=0, help="Number of threads; 0: one per core.", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="Print what was accepted as one JSON object.")
@click.option("--debug", is_flag=True, help="Show a traceback on failure.")
def reseal_command(folder: Path, threads: int, as_json: bool, debug: bool) -> None:
    """Accept what was edited in an exported FOLDER: write new hashes of its files, and say what changed."""
    with failing("nothing was written"):
        from dataclasses import asdict

        from exporters.package.reseal import reseal

        accepted = reseal(folder, threads)
        found = {"folder": str(folder), **asdict(accepted)}
        click.echo(json.dumps(found) if as_json else f"{folder}: {accepted.line()}")


@tools.command("frontier", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--svg", type=click.Path(path_type=Path), metavar="FILE", help="Plot loss over bits into this file.")
@click.option(
    "--threads", type=click.IntRange(min=0), default=0, help="Number of threads; 0: one per core.", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="Print the points as one JSON object.")
@click.option("--debug", is_flag=True, help="Show a traceback on failure.")
@lossy_options
def frontier_command(model: Path, svg: Path | None, threads: int, as_json: bool, debug: bool, **lossy: Any) -> None:
    """Export MODEL in many ways, measure size and loss of each, and predict its speed on --plan-for BOARD."""
    check_place("--svg", svg)
    base = base_of(lossy)
    with failing("nothing was written"):
        from edge_runtime.io.files import write_whole
        from exporters import frontier
        from exporters.export import ExportOptions

        board = board_of(lossy["plan_for"], lossy["memory_budget"]) if lossy["plan_for"] else None
        name = default_out(model).name.removesuffix("-lpc")
        found = frontier.frontier(model, Path.cwd(), base, board, ExportOptions(threads=threads))
        points = [point for _, point in found]
        if svg is not None:
            write_whole(svg, frontier.picture(points, f"{name}: loss over size"))
        if as_json:
            click.echo(json.dumps(frontier.as_dict(points)))
        else:
            show(frontier.sheet(points))


def _verify(folder: Path, against: str | None, threads: int) -> dict[str, Any]:
    from edge_runtime.io.terminal import Progress
    from exporters.package.inspect import read_manifest
    from exporters.package.verify import verify, verify_against

    manifest = read_manifest(folder)
    with Progress("verifying", sum(tensor["decoded_bytes"] for tensor in manifest["tensors"])) as progress:
        count = verify(folder, threads, progress.advance)
    if against is not None:
        with Progress("comparing", manifest["totals"]["source_bytes"]) as progress:
            verify_against(folder, against, progress.advance)
    files = len(manifest["files"]) if "files" in manifest else None
    return {"folder": str(folder), "tensors": count, "files": files, "verified": True, "against": against}
