"""`lpc-bench codec`: bits per weight and speed of the codecs on files or random weights, beside memcpy and peers."""

from __future__ import annotations

import json
import os
from itertools import groupby
from typing import TYPE_CHECKING

import click

from edge_runtime.cli.options import debug_option, thread_counts
from edge_runtime.errors import ConfigError
from edge_runtime.io.screen import show
from edge_runtime.io.sheet import Column, Part, Sheet, Table
from edge_runtime.io.typed_json import write

if TYPE_CHECKING:
    import numpy as np

    from edge_runtime.bench.codec_measure import Row
    from edge_runtime.bench.codec_peers import Peer

_EPILOG = """\b
Examples:
  lpc-bench codec gauss:4096x4096
  lpc-bench codec model.safetensors --codec ans,lz4 --threads 1,2 --json
  lpc-bench codec weights.bin --dtype fp16 --peers
  lpc-bench codec gauss:4096x4096 --sparsity 0.5 --codec bitmap,bitmap:stored
  lpc-bench codec gauss:4096x4096 --codec ans@0,ans@0.5,ans   partial compression

\b
A FILE is safetensors, raw (with --dtype, or named .bf16 and so on), or random:
gauss, laplace or t5 (Student) with a shape. "@0.5" after a codec encodes half
of the segments; with "@0" and the whole codec beside it, the table also has
the predicted decode rate, and the best fraction for storage of 1, 2 and
4 GB/s. Each sample times every codec and a memcpy, one after another; rates
are medians, in GB/s of decoded bytes. LPC_FORCE_IMPL chooses the SIMD
implementation. Peers need: pip install "lpc-edge-runtime[peers]".
"""


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--codec",
    "codecs",
    metavar="NAME[,...]",
    help="Codecs to measure.  [default: all but those for weights with many zeros]",
)
@click.option(
    "--dtype", help="Data type of raw files and random weights: bf16, fp16, fp32, int8, int8-row, fp8_e4m3, ..."
)
@click.option(
    "--sparsity",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    help="Fraction of the weights to set to zero first.",
)
@click.option("--threads", callback=thread_counts, default="1", show_default=True, metavar="N[,...]")
@click.option(
    "--samples", type=click.IntRange(3), default=9, show_default=True, help="Number of samples of each codec or layout."
)
@click.option(
    "--peers", is_flag=True, help="Also measure zipnn, blosc2, zstandard and lz4 on the same bytes, with one thread."
)
@click.option("--json", "as_json", is_flag=True, help="Print a list of rows.")
@debug_option
def command(
    files: tuple[str, ...], codecs: str | None, dtype: str | None, sparsity: float, threads: tuple[int, ...],
    samples: int, peers: bool, as_json: bool, debug: bool,
) -> None:  # fmt: skip
    """Compress every FILE with every codec: size against the entropy bound, speed against memcpy."""
    from edge_runtime import facts
    from edge_runtime.bench import codec_measure, codec_sources

    if dtype is not None and dtype not in codec_sources.DTYPES:
        raise click.BadParameter(
            f"got {dtype!r}, expected one of {', '.join(codec_sources.DTYPES)}", param_hint="--dtype"
        )
    names = codecs.split(",") if codecs else [codec.name for codec in facts.codecs().values() if not codec.is_sparse]
    if not all(0 <= fraction <= 1 for fraction in map(_fraction, names)):
        raise click.BadParameter(f"{codecs!r}: expected a fraction of 0 to 1 after @", param_hint="--codec")
    rows: list[Row] = []
    for spec in files:
        source = codec_sources.load(spec, dtype, sparsity)
        for count in threads:
            others = _peers(source.tensors[0].dtype) if peers and count == threads[0] else []
            rows += codec_measure.measure(source, names, count, others, samples)
    if as_json:
        click.echo(json.dumps([write(row) for row in rows], indent=1))
    else:
        show(sheet(rows))


def _fraction(name: str) -> float:
    try:
        return float(name.partition("@")[2] or 1)
    except ValueError:
        return -1.0


def _peers(dtype: np.dtype[np.generic]) -> list[Peer]:
    from edge_runtime import codec
    from edge_runtime.bench import codec_peers

    found, missing = codec_peers.available(codec.dtype_name(dtype), dtype.itemsize)
    if missing:
        click.echo(f"not installed, left out: {', '.join(missing)}", err=True)
    if not found:
        raise ConfigError('no peer is installed: pip install "lpc-edge-runtime[peers]"')
    return found


_COLUMNS = (
    Column("codec", width=24), Column("impl", width=12), *(Column(head, right=True, width=width) for head, width in (
        ("threads", 7), ("bits", 7), ("to bound", 8), ("encode", 7), ("decode", 7), ("memcpy", 7), ("decode/memcpy", 13)
    )),
)  # fmt: skip


def sheet(rows: list[Row]) -> Sheet:
    """The rows for people: a table a source."""
    parts: list[Part] = []
    for source, group in groupby(rows, key=lambda row: row.source):
        found = list(group)
        parts.append(f"{source}  (bound {found[0].bound_bits_per_weight:.3f} bits, {os.cpu_count()} processors)")
        notes = {index: _notes(row) for index, row in enumerate(found)}
        parts.append(Table(_COLUMNS, list(map(_cells, found)), gap=" ", indent="  ", notes=notes))
    return Sheet(parts)


def _cells(row: Row) -> list[str]:
    to_bound = f"{row.ratio_to_bound - 1:+.2%}" if row.ratio_to_bound else "-"
    decode, memcpy = row.decode_gb_per_s, row.memcpy_gb_per_s
    return [
        row.codec, row.impl or "-", str(row.threads), f"{row.bits_per_weight:.3f}", to_bound,
        f"{row.encode_gb_per_s:.2f}", f"{decode:.2f}", f"{memcpy:.2f}", f"{decode / memcpy:.2f}",
    ]  # fmt: skip


def _notes(row: Row) -> list[str]:
    notes = []
    bound, predicted = row.bitmap_bound_bits_per_weight, row.predicted_decode_gb_per_s
    if bound is not None:
        notes.append(f"1 + (1 - s) x bound of the non-zeros: {bound:.3f} bits ({row.bits_per_weight / bound - 1:+.2%})")
    if predicted is not None and "@" in row.codec:
        notes.append(f"predicted decode {predicted:.2f} GB/s ({row.decode_gb_per_s / predicted - 1:+.1%})")
    if row.fraction_for_bus:
        chosen = ", ".join(f"{fraction:.3f} at {bus} GB/s" for bus, fraction in row.fraction_for_bus.items())
        notes.append(f"fraction to encode so that decoding keeps up with the bus: {chosen}")
    return notes
