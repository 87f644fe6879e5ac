"""`lpc-bench report`: one self-contained page with the plots of one or more results."""

from __future__ import annotations

from pathlib import Path

import click

from edge_runtime.cli.options import check_place, debug_option

_EPILOG = """\b
Examples:
  lpc-bench report result.json -o report.html
  lpc-bench report nano.json orin.json desk.json -o report.html

\b
The page needs no network and no other file: mail it, or open it from disk.
"""


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Page to write.")
@debug_option
def command(results: tuple[Path, ...], out: Path, debug: bool) -> None:
    """Write a page from RESULTS, files of `lpc-bench run -o`."""
    from edge_runtime.bench.page import page
    from edge_runtime.bench.result_file import load_result
    from edge_runtime.io.files import write_whole

    check_place("-o", out)
    loaded = [load_result(path) for path in results]
    write_whole(out, page(list(zip(_names(results), loaded, strict=True))))
    click.echo(out)


def _names(paths: tuple[Path, ...]) -> list[str]:
    """The files' names without ending, or their paths where two have the same name."""
    names = [path.stem for path in paths]
    return [name if names.count(name) == 1 else str(path) for name, path in zip(names, paths, strict=True)]
