"""`lpc.json`: what an exported folder holds (docs/format.md, section 6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_runtime.package.manifest import FORMAT, FORMAT_VERSION, OPERATOR_DOMAIN, OPERATOR_VERSION
from edge_runtime.package.seal import entry_of
from exporters import __version__
from exporters.graphs.interface import DATA_FILE, Extent, WeightGraph
from exporters.planning.plan import Plan

GENERATOR = "lpc-export"


@dataclass(frozen=True)
class WrittenTensor:
    """A weight in the data file. Sizes in bytes; `hash` is XXH3-128 (hex) of the decoded bytes.

    `changed` counts elements that a conversion rounded; `reason` says why the codec was chosen.
    """

    name: str
    layer: int
    source_dtype: str
    dtype: str
    shape: tuple[int, ...]
    codec: str
    extent: Extent
    source_bytes: int
    decoded_bytes: int
    elements: int
    hash: str
    changed: int = 0
    reason: str = ""
    not_finite: str = ""  # what the source holds of NaN and Inf
    plain: bool = False  # not a blob: the elements themselves, because no codec pays
    direct: bool = False  # computed from as stored, which the codec alone does not tell
    scale_bytes: int = 0  # of an int8 weight's scales, which lie elsewhere
    source: str = ""  # what it was made from: a hash of the source's bytes and of how the graph uses them

    def at(self, extent: Extent) -> WrittenTensor:
        """Return the same weight with its place."""
        return replace(self, extent=extent)


@dataclass(frozen=True)
class WrittenConstant:
    """A plain array in the data file; `dtype` is a name of docs/format.md, or numpy's where that has none."""

    name: str
    shape: tuple[int, ...]
    extent: Extent
    hash: str
    dtype: str = "fp32"


def make(
    plan: Plan,
    tensors: Sequence[WrittenTensor],
    constants: Sequence[WrittenConstant],
    lossless: bool,
    data_bytes: int,
) -> dict[str, Any]:
    """Return the manifest of a package; weights left uncompressed are among its constants."""
    blobs = [tensor for tensor in tensors if not tensor.plain]
    passes = {"lossy": {"passes": plan.transform.report(), "loss": None}} if plan.transform else {}
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "operators": {OPERATOR_DOMAIN: OPERATOR_VERSION},
        "generator": f"{GENERATOR} {__version__}",
        "source": {"name": plan.name, "model_type": plan.model_type, "dtype": _main_dtype(tensors)},
        "lossless": lossless,
        **passes,
        "context_length": plan.context_length,
        "data": {"file": DATA_FILE, "bytes": data_bytes},
        "totals": totals(blobs),
        "layers": _layers(plan.graph, {tensor.name: tensor for tensor in tensors}),
        "tensors": [_tensor(tensor) for tensor in blobs],
        "constants": [_constant(constant) for constant in (*_plain(tensors), *constants)],
    }


def files(folder: Path, names: Sequence[str], manifest: dict[str, Any], data_hash: str) -> dict[str, Any]:
    """Return the manifest's entries of these files of a package; `data_hash` is the data file's."""
    return {name: entry_of(folder / name, manifest, data_hash if name == DATA_FILE else None) for name in names}


def totals(tensors: Sequence[WrittenTensor]) -> dict[str, Any]:
    """Return number and size of all weights, as in the manifest; scales count among the bits."""
    blob_bytes = sum(tensor.extent.length for tensor in tensors)
    elements = sum(tensor.elements for tensor in tensors)
    return {
        "tensors": len(tensors),
        "source_bytes": sum(tensor.source_bytes for tensor in tensors),
        "blob_bytes": blob_bytes,
        "bits_per_weight": _bits(blob_bytes + sum(tensor.scale_bytes for tensor in tensors), elements),
    }


def _main_dtype(tensors: Sequence[WrittenTensor]) -> str:
    counted: Counter[str] = Counter()
    for tensor in tensors:
        counted[tensor.source_dtype] += tensor.elements
    return counted.most_common(1)[0][0]


def _layers(graph: WeightGraph, tensors: dict[str, WrittenTensor]) -> list[dict[str, Any]]:
    """A layer's extent runs from its first blob to the end of its last; a tied head has the embedding's."""
    result = []
    for index, name in enumerate(graph.layers):
        used = [tensors[tensor] for tensor in graph.used_in(index)]
        blobs = [tensor for tensor in used if tensor.layer == index] or used
        begin = min(blob.extent.offset for blob in blobs)
        result.append(
            {
                "index": index,
                "name": name,
                "offset": begin,
                "bytes": max(blob.extent.offset + blob.extent.length for blob in blobs) - begin,
                "decoded_bytes": sum(blob.decoded_bytes for blob in blobs),
            }
        )
    return result


def _tensor(tensor: WrittenTensor) -> dict[str, Any]:
    more: dict[str, Any] = {"scale_bytes": tensor.scale_bytes} if tensor.scale_bytes else {}
    more |= {"direct": True} if tensor.direct else {}
    return {
        "name": tensor.name,
        "layer": tensor.layer,
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "codec": tensor.codec,
        "offset": tensor.extent.offset,
        "bytes": tensor.extent.length,
        "decoded_bytes": tensor.decoded_bytes,
        "bits_per_weight": _bits(tensor.extent.length + tensor.scale_bytes, tensor.elements),
        "source_xxh3_128": tensor.hash,
        **more,
    }


def _constant(constant: WrittenConstant) -> dict[str, Any]:
    return {
        "name": constant.name,
        "dtype": constant.dtype,
        "shape": list(constant.shape),
        "offset": constant.extent.offset,
        "bytes": constant.extent.length,
        "xxh3_128": constant.hash,
    }


def _plain(tensors: Sequence[WrittenTensor]) -> list[WrittenConstant]:
    return [WrittenConstant(t.name, t.shape, t.extent, t.hash, t.dtype) for t in tensors if t.plain]


def _bits(count: int, elements: int) -> float:
    return round(8 * count / elements, 4) if elements else 0.0
