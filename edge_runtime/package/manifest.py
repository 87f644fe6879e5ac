"""`lpc.json` of an exported folder, read and checked in full (docs/format.md, section 6)."""

from __future__ import annotations

from pathlib import Path

from edge_runtime.errors import ConfigError, FormatError
from edge_runtime.io.checked_json import JsonObject, is_file_name
from edge_runtime.io.printable import printable
from edge_runtime.package.model_files import file_of

FORMAT = "lpc-package"
FORMAT_VERSION = 1
OPERATOR_DOMAIN, OPERATOR_VERSION = "lpc", 1
"""The newest operators that the library has (kOperatorVersion in native/ep/api.h; docs/compatibility.md)."""
MANIFEST_FILE = "lpc.json"
MOST_POSITIONS = (1 << 31) - 1
_PASS_FIELDS: dict[str, dict[str, type]] = {
    "prune": {"weights": int, "zeros": float, "pattern": str, "score": str},
    "quantize": {"granularity": str, "entropy_bits": float},
    "scale": {"rescaled": int, "activations": int},
}
UPDATE = "update lpc-edge-runtime to run this model"
"""What a newer folder asks for; the library says the same of newer operators."""


def read_manifest(folder: Path) -> JsonObject:
    """Return lpc.json of an exported folder: every field of section 6 that is there has its type and range.

    Raises ConfigError for a folder that is none, FormatError for a manifest that is malformed or of a newer version.
    """
    _check_folder(folder)
    manifest = JsonObject.read(file_of(folder, MANIFEST_FILE))
    _check_versions(manifest)
    manifest.optional("lossless", bool)
    manifest.natural("context_length", MOST_POSITIONS)
    size = _data_bytes(manifest.object("data"))
    _check_source(manifest)
    if manifest.values.get("lossy") is not None:
        _check_loss(manifest.object("lossy"))
    _check_layers(manifest.objects("layers"), size)
    _check_arrays(manifest, size)
    if "files" in manifest.values:
        _check_files(manifest.object("files"))
    return manifest


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise ConfigError(f"{folder}: {what}; expected a folder written by lpc-export")
    if not (folder / MANIFEST_FILE).exists():
        hint = ""
        if (folder / "config.json").exists():
            hint = f"; it looks like a checkpoint: export it first with `lpc-export {folder}`"
        raise ConfigError(f"{folder}: has no {MANIFEST_FILE}, so it was not written by lpc-export{hint}")


def _check_versions(manifest: JsonObject) -> None:
    if manifest.values.get("format") != FORMAT:
        raise manifest.error("format", repr(FORMAT))
    version = manifest.get("format_version", int)
    if version > FORMAT_VERSION:
        raise manifest.error("format_version", f"at most {FORMAT_VERSION}: {UPDATE}")
    if version != FORMAT_VERSION:
        raise manifest.error("format_version", str(FORMAT_VERSION))
    if "operators" in manifest.values:  # folders from before it was written down have version 1
        operators = manifest.object("operators")
        if operators.positive(OPERATOR_DOMAIN) > OPERATOR_VERSION:
            raise operators.error(OPERATOR_DOMAIN, f"at most {OPERATOR_VERSION}: {UPDATE}")


def _data_bytes(data: JsonObject) -> int:
    data.file_name("file")
    return data.natural("bytes")


def _check_source(manifest: JsonObject) -> None:
    """What is only shown."""
    manifest.optional("generator", str)
    if "source" in manifest.values:
        source = manifest.object("source")
        for key in ("name", "model_type", "dtype"):
            source.get(key, str)
    if "totals" in manifest.values:
        totals = manifest.object("totals")
        for key in ("tensors", "source_bytes", "blob_bytes"):
            totals.natural(key)
        totals.get("bits_per_weight", float)


def _check_loss(lossy: JsonObject) -> None:
    """What is only shown of a lossy model (edge_runtime/package/loss.py)."""
    for entry in lossy.objects("passes"):
        for key, kind in _PASS_FIELDS.get(entry.get("pass", str), {}).items():
            entry.natural(key) if kind is int else entry.get(key, kind)
    if lossy.values.get("loss") is not None:
        loss = lossy.object("loss")
        loss.get("text", str)
        loss.natural("tokens")
        for key in ("perplexity_change", "kl", "top1_agreement"):
            loss.object(key).get("value", float)


def _check_layers(layers: list[JsonObject], size: int) -> None:
    for position, layer in enumerate(layers):
        if layer.natural("index") != position:
            raise layer.error("index", f"{position}, its place in the list")
        layer.natural("decoded_bytes")
        _check_extent(layer, f"layer {printable(layer.get('name', str))}", size)


def _check_arrays(manifest: JsonObject, size: int) -> None:
    """Tensors and constants: names are told apart, and no two share a byte of the data file."""
    layers, seen = len(manifest.objects("layers")), set()
    arrays = manifest.objects("tensors")
    for tensor in arrays:
        tensor.natural("layer", max(layers - 1, 0))
        tensor.natural("decoded_bytes")
        tensor.get("codec", str)
        tensor.optional("bits_per_weight", float)
        tensor.optional("source_xxh3_128", str)
        tensor.optional("scale_bytes", int)
        tensor.optional("direct", bool)
    constants = manifest.objects("constants")
    for constant in constants:
        constant.get("xxh3_128", str)
    for array in (*arrays, *constants):
        name = array.get("name", str)
        if name in seen:
            raise array.error("name", "a name that no other has")
        seen.add(name)
        array.get("dtype", str)
        array.naturals("shape")
        _check_extent(array, printable(name), size)
    _check_disjoint([*arrays, *constants])


def _check_extent(entry: JsonObject, name: str, size: int) -> None:
    end = entry.natural("offset") + entry.natural("bytes")
    if end > size:
        raise FormatError(
            f"{entry.file}: {name} ends at byte {end}, but data.bytes is {size}; export the model again",
            file=str(entry.file),
            field=entry.field + "bytes",
        )


def _check_disjoint(arrays: list[JsonObject]) -> None:
    end, before = 0, ""
    for array in sorted(arrays, key=lambda entry: entry.values["offset"]):
        if array.values["offset"] < end:
            raise array.error("offset", f"at least {end}, where {printable(before)} ends")
        end, before = array.values["offset"] + array.values["bytes"], array.values["name"]


def _check_files(files: JsonObject) -> None:
    for name in files.values:
        if not is_file_name(name) or name == MANIFEST_FILE:
            raise FormatError(
                f"{files.file}: files names {printable(name)!r}; expected names of files in the same folder, without "
                f"{MANIFEST_FILE}",
                file=str(files.file), field="files",
            )  # fmt: skip
        entry = files.object(name)
        entry.natural("bytes")
        entry.get("xxh3_128", str)
        entry.optional("headers_xxh3_128", str)
