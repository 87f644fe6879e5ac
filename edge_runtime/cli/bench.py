"""The command `lpc-bench`: a group whose subcommands are loaded when they are used."""

from __future__ import annotations

import importlib
from typing import NoReturn

import click

from edge_runtime.cli.fence import run_command
from edge_runtime.cli.options import version_option

# Name -> (module in this folder with the click command `command`, what it does in a line).
SUBCOMMANDS = {
    "run": ("bench_run", "Speed, memory and energy of a model on this machine."),
    "codec": ("bench_codec", "Size and speed of the codecs, beside memcpy and other compressors."),
    "compare": ("bench_compare", "Is one result faster than another, and is that more than noise?"),
    "kernel": ("bench_kernel", "Matrix multiplications with packed weights against BF16 ones."),
    "remote": ("bench_remote", "The same as run on boards reached over SSH: deploy, run, fetch, clean up."),
    "report": ("bench_report", "One page with the plots of one or more results."),
}
_EPILOG = """\b
Examples:
  lpc-bench run llama-lpc -o before.json
  lpc-bench remote ubuntu@orin.local llama-lpc -o orin.json
  lpc-bench compare before.json after.json
  lpc-bench report before.json after.json -o report.html
"""


class LazyGroup(click.Group):
    """A group that imports a subcommand's module only when that subcommand runs or shows its own help."""

    def __init__(self, *, table: dict[str, tuple[str, str]], **attributes: object) -> None:
        super().__init__(**attributes)  # type: ignore[arg-type]
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the table's order."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load and return a subcommand; None for an unknown name."""
        if cmd_name not in self._table:
            return None
        command = importlib.import_module(f"edge_runtime.cli.{self._table[cmd_name][0]}").command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table, without loading anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._table.items()])


@click.group(cls=LazyGroup, table=SUBCOMMANDS, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@version_option
def command() -> None:
    """Benchmark models and boards; compare and show the results."""


def main() -> NoReturn:
    """Entry point of `lpc-bench`."""
    run_command(command, "lpc-bench")
