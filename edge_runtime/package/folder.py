"""The exported folder: opened and checked before anything heavy is loaded (docs/format.md, section 6)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.errors import FormatError, PackageWarning
from edge_runtime.io.checked_json import JsonObject
from edge_runtime.package.manifest import MOST_POSITIONS, read_manifest
from edge_runtime.package.model_files import file_of
from edge_runtime.package.seal import changed_error, changed_files, changed_line, data_file_of

CONFIG_FILE = "genai_config.json"
TOKENIZER_FILE = "tokenizer.json"
MOST_TOKENS = 1 << 24
"""No vocabulary is larger; the largest in use have 262,144."""
_READ = (CONFIG_FILE, TOKENIZER_FILE)
_LARGEST_GRAPH = (1 << 31) - 1  # of a protobuf


@dataclass(frozen=True)
class LayerExtent:
    """One layer's place in the data file: `offset`, `bytes` (compressed) and `decoded_bytes`, all in bytes."""

    index: int
    name: str
    offset: int
    bytes: int
    decoded_bytes: int


@dataclass(frozen=True)
class Package:
    """An exported model's folder, its files and what they say.

    `context_length` is the largest number of positions; `eos_ids` are the tokens that end a text;
    `cache_in_place` tells that past and present keys and values may share their memory. `manifest` is the whole of
    lpc.json.
    """

    path: Path
    manifest: Mapping[str, Any]
    model_file: Path
    data_file: Path
    tokenizer_file: Path
    model_type: str
    context_length: int
    vocab_size: int
    bos_id: int | None
    eos_ids: frozenset[int]
    cache_in_place: bool
    layers: tuple[LayerExtent, ...]

    @classmethod
    def open(cls, path: str | Path) -> Package:
        """Read and check the folder at `path`; no weight is read.

        Raises ConfigError if the folder or a file of it is missing, FormatError if a file is malformed, of another
        format version, or a graph or weights that the manifest was not written for. A configuration or tokenizer that
        has changed is a PackageWarning: people edit them.
        """
        folder = Path(path)
        manifest = read_manifest(folder)
        data_file = data_file_of(folder, manifest.values)
        genai = JsonObject.read(file_of(folder, CONFIG_FILE))
        config, search = genai.object("model"), genai.optional("search", dict) or {}
        model_file = _graph(folder, config.object("decoder").file_name("filename"))
        changed = changed_files(folder, manifest.values, (model_file.name, *_READ))
        for name in (data_file.name, model_file.name):
            if name in changed:
                raise changed_error(folder, name, data_file.name)
        package = cls(
            path=folder,
            manifest=manifest.values,
            model_file=model_file,
            data_file=data_file,
            tokenizer_file=file_of(folder, TOKENIZER_FILE),
            model_type=config.get("type", str),
            context_length=manifest.positive("context_length", MOST_POSITIONS),
            vocab_size=config.positive("vocab_size", MOST_TOKENS),
            bos_id=_bos_id(config),
            eos_ids=_token_ids(config, "eos_token_id"),
            cache_in_place=search.get("past_present_share_buffer") is not False,
            layers=tuple(_layer(entry) for entry in manifest.objects("layers")),
        )
        if changed:
            warnings.warn(changed_line(folder, changed), PackageWarning, stacklevel=2)
        return package


def _graph(folder: Path, name: str) -> Path:
    file = file_of(folder, name)
    if file.stat().st_size > _LARGEST_GRAPH:
        raise FormatError(
            f"{file}: has {file.stat().st_size} bytes, expected at most {_LARGEST_GRAPH}, as every ONNX graph has; "
            "copy it or export the model again",
            file=str(file),
        )
    return file


def _layer(entry: JsonObject) -> LayerExtent:
    return LayerExtent(
        index=entry.natural("index"),
        name=entry.get("name", str),
        offset=entry.natural("offset"),
        bytes=entry.natural("bytes"),
        decoded_bytes=entry.natural("decoded_bytes"),
    )


def _bos_id(config: JsonObject) -> int | None:
    return None if config.values.get("bos_token_id") is None else config.natural("bos_token_id", MOST_TOKENS)


def _token_ids(config: JsonObject, key: str) -> frozenset[int]:
    value = config.values.get(key)
    ids = value if isinstance(value, list) else [] if value is None else [value]
    if not all(type(token_id) is int and 0 <= token_id <= MOST_TOKENS for token_id in ids):
        raise config.error(key, "a token id or a list of them")
    return frozenset(ids)
