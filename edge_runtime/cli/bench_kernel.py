"""`lpc-bench kernel`: products with packed weights against products with plain bf16 weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import click

from edge_runtime.cli.options import debug_option, thread_counts
from edge_runtime.io.screen import show
from edge_runtime.io.typed_json import read, write

if TYPE_CHECKING:
    from edge_runtime.bench.kernel_measure import Row

_EPILOG = """\b
Examples:
  lpc-bench kernel
  lpc-bench kernel --shapes 4096x4096,tinyllama --threads 1,2
  lpc-bench kernel --impl avx2 --layouts hi4p --json
  lpc-bench kernel --batch 4 --samples 40

\b
The matrices of each layout fill far more memory than the last-level cache.
Each sample times a BF16 multiplication, a plain read of the same bytes and the
packed multiplications, one after another; outputs are compared first. Making
the matrices is not timed. Decoding to memory is timed by itself: a cached tile
on one thread, and DRAM to DRAM against memcpy on two. Speedups are ratios of
the median rates, and of the 90th percentiles.
"""
_IMPLEMENTATION = "LPC_FORCE_IMPL"
_MAIN = "from edge_runtime.cli.bench import main; main()"

# outputs x inputs of every weight of a layer, and of the head.
SHAPES = {
    "llama-2-7b": ["4096x4096", "11008x4096", "4096x11008", "32000x4096"],
    "tinyllama": ["2048x2048", "256x2048", "5632x2048", "2048x5632", "32000x2048"],
}


def _shapes(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[tuple[int, int], ...]:
    names = [shape for name in value.split(",") for shape in SHAPES.get(name, [name])]
    try:
        found = [tuple(int(extent) for extent in name.split("x")) for name in names]
    except ValueError:
        found = [()]
    if any(len(shape) != 2 or min(shape) < 1 for shape in found):
        raise click.BadParameter(f"{value!r} is not a list such as 4096x4096,{','.join(SHAPES)}")
    return tuple((rows, columns) for rows, columns in dict.fromkeys(found))


def _names(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(dict.fromkeys(value.split(",")))


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--shapes", callback=_shapes, default="4096x4096", show_default=True, metavar="OUTxIN[,...]")
@click.option("--layouts", callback=_names, metavar="NAME[,...]", help="Layouts of codec packed.  [default: all]")
@click.option(
    "--impl", callback=_names, metavar="NAME[,...]", help="SIMD implementations to measure.  [default: the fastest]"
)
@click.option("--threads", callback=thread_counts, default="1,2", show_default=True, metavar="N[,...]")
@click.option(
    "--batch", type=click.IntRange(1, 4096), default=1, show_default=True, help="Batch size: rows of activations."
)
@click.option(
    "--samples",
    type=click.IntRange(20),
    default=40,
    show_default=True,
    help="Number of samples of each codec or layout.",
)
@click.option(
    "--working-set",
    type=click.IntRange(64, 65536),
    default=512,
    show_default=True,
    help="Size of the BF16 matrices, in MiB.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a list of rows.")
@debug_option
def command(
    shapes: tuple[tuple[int, int], ...],
    layouts: tuple[str, ...] | None,
    impl: tuple[str, ...] | None,
    threads: tuple[int, ...],
    batch: int,
    samples: int,
    working_set: int,
    as_json: bool,
    debug: bool,
) -> None:
    """Time matrix multiplications with packed weights against BF16 weights."""
    from edge_runtime import native
    from edge_runtime.bench import kernel_measure
    from edge_runtime.facts import packed_layouts

    layouts = layouts or tuple(packed_layouts())
    kernel_measure.check_layouts(layouts)
    rows: list[kernel_measure.Row] = []
    if impl and (len(impl) > 1 or os.environ.get(_IMPLEMENTATION) != impl[0]):
        for name in impl:
            rows += _other_process(name)
    else:
        native.implementation()  # an implementation that cannot run is an error before anything is made
        for shape in shapes:
            rows += kernel_measure.measure(shape, layouts, threads, batch, samples, working_set << 20)
    if as_json:
        click.echo(json.dumps([write(row) for row in rows], indent=1))
    else:
        show(kernel_measure.sheet(rows))


def _other_process(implementation: str) -> list[Row]:
    """The same command with one implementation, which a process chooses only once."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--json"]
    done = subprocess.run(
        [sys.executable, "-c", _MAIN, *arguments, "--impl", implementation, "--json"],
        env={**os.environ, _IMPLEMENTATION: implementation},
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(done.returncode)
    from edge_runtime.bench.kernel_measure import Row

    return [read(Row, row, f"rows of {implementation}") for row in json.loads(done.stdout)]
