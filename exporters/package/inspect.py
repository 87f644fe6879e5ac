"""What an exported folder holds, read from its manifest: no weight is touched."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from edge_runtime.io.sheet import Column, Sheet, Table
from edge_runtime.io.units import format_bytes
from edge_runtime.package.loss import lossy_line
from edge_runtime.package.manifest import read_manifest as manifest_of

_SHOWN = ("generator", "lossless", "source", "tensors", "constants", "totals")
_SHOWN_OF_TENSOR = ("bits_per_weight", "source_xxh3_128")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return lpc.json of `folder`; ConfigError if it is no exported folder, FormatError if the file is damaged."""
    manifest = manifest_of(folder)
    for key in _SHOWN:
        if manifest.values.get(key) is None:
            raise manifest.error(key, "what lpc-export writes there")
    for tensor in manifest.objects("tensors"):
        for key in _SHOWN_OF_TENSOR:
            if tensor.values.get(key) is None:
                raise tensor.error(key, "what lpc-export writes there")
    return dict(manifest.values)


def summary(folder: Path) -> dict[str, Any]:
    """Return the manifest with sums by codec and by layer; sizes in bytes."""
    manifest = read_manifest(folder)
    codecs: dict[str, dict[str, int]] = defaultdict(lambda: {"tensors": 0, "bytes": 0, "decoded_bytes": 0})
    for tensor in manifest["tensors"]:
        entry = codecs[tensor["codec"]]
        entry["tensors"] += 1
        entry["bytes"] += tensor["bytes"]
        entry["decoded_bytes"] += tensor["decoded_bytes"]
    return {"folder": str(folder), **manifest, "codecs": dict(codecs)}


def sheet(folder: Path) -> Sheet:
    """Return the same for people: head, codecs, layers, tensors."""
    found = summary(folder)
    source, totals = found["source"], found["totals"]
    lines = [
        f"{found['folder']}: {source['name']} ({source['model_type']}, {source['dtype']}), "
        f"{'lossless' if found['lossless'] else 'not lossless'}, by {found['generator']}",
        f"{totals['tensors']} tensors, {format_bytes(totals['blob_bytes'])} from "
        f"{format_bytes(totals['source_bytes'])}, {totals['bits_per_weight']:.2f} bits per weight; "
        f"context {found['context_length']} tokens",
    ]
    if not found["lossless"]:
        lines.append(f"lossy: {lossy_line(found)}")
    for name, entry in sorted(found["codecs"].items()):
        ratio = entry["bytes"] / max(entry["decoded_bytes"], 1)
        lines.append(f"codec {name}: {entry['tensors']} tensors, {format_bytes(entry['bytes'])} ({ratio:.1%})")
    return Sheet([*lines, "", _layers(found), "", _tensors(found)])


def _layers(found: dict[str, Any]) -> Table:
    sizes = ("offset", "bytes", "decoded_bytes")
    rows = [[layer["name"], *(f"{layer[size]:,}" for size in sizes)] for layer in found["layers"]]
    heads = (Column(head, right=True, width=14) for head in ("offset", "bytes", "decoded"))
    return Table([Column("layer", width=28), *heads], rows, gap=" ")


def _tensors(found: dict[str, Any]) -> Table:
    columns = [
        Column("tensor", width=52), Column("dtype", width=9), Column("shape", width=16), Column("codec", width=7),
        Column("bits", right=True, width=6), Column("bytes", right=True, width=13),
    ]  # fmt: skip
    rows = [_row(tensor, tensor["codec"], f"{tensor['bits_per_weight']:.2f}") for tensor in found["tensors"]]
    return Table(columns, rows + [_row(constant, "plain", "") for constant in found["constants"]], gap=" ")


def _row(entry: dict[str, Any], codec: str, bits: str) -> list[str]:
    size = entry["bytes"]
    return [entry["name"], entry["dtype"], _shape(entry), codec, bits, f"{size:,}" if isinstance(size, int) else size]


def _shape(entry: dict[str, Any]) -> str:
    return "x".join(map(str, entry["shape"]))
