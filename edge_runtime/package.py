"""The exported folder: opened and checked before anything heavy is loaded (docs/format.md, section 6)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edge_runtime.errors import ConfigError, FormatError

FORMAT = "lpc-package"
FORMAT_VERSION = 1
MANIFEST_FILE = "lpc.json"
CONFIG_FILE = "genai_config.json"
TOKENIZER_FILE = "tokenizer.json"

_Value = TypeVar("_Value")


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
        format version, or if the data file does not have the size that the manifest states.
        """
        folder = Path(path)
        _check_folder(folder)
        manifest = _Json.read(folder / MANIFEST_FILE)
        _check_version(manifest)
        genai = _Json.read(folder / CONFIG_FILE)
        config, search = genai.object("model"), genai.optional("search", dict) or {}
        data = manifest.object("data")
        layers = tuple(_layer(entry) for entry in manifest.objects("layers"))
        data_file = _existing(folder / data.file_name("file"))
        _check_data_file(data_file, data.get("bytes", int), layers)
        return cls(
            path=folder,
            manifest=manifest.values,
            model_file=_existing(folder / config.object("decoder").file_name("filename")),
            data_file=data_file,
            tokenizer_file=_existing(folder / TOKENIZER_FILE),
            model_type=config.get("type", str),
            context_length=manifest.positive("context_length"),
            vocab_size=config.positive("vocab_size"),
            bos_id=config.optional("bos_token_id", int),
            eos_ids=_token_ids(config, "eos_token_id"),
            cache_in_place=search.get("past_present_share_buffer") is not False,
            layers=layers,
        )


@dataclass(frozen=True)
class _Json:
    """A JSON object with its place, so that an error can name file and field."""

    file: Path
    field: str
    values: Mapping[str, Any]

    @classmethod
    def read(cls, file: Path) -> _Json:
        _existing(file)
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise FormatError(
                f"{file}: not readable as JSON ({error}); export the model again", file=str(file)
            ) from error
        if not isinstance(values, dict):
            raise FormatError(f"{file}: holds a JSON {type(values).__name__}; expected an object", file=str(file))
        return cls(file, "", values)

    def error(self, key: str, expected: str) -> FormatError:
        name = self.field + key
        got = repr(self.values[key]) if key in self.values else "nothing"
        return FormatError(f"{self.file}: {name} is {got}; expected {expected}", file=str(self.file), field=name)

    def get(self, key: str, kind: type[_Value]) -> _Value:
        value = self.values.get(key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            raise self.error(key, {int: "an integer", str: "a string", dict: "an object", list: "a list"}[kind])
        return value

    def optional(self, key: str, kind: type[_Value]) -> _Value | None:
        return None if self.values.get(key) is None else self.get(key, kind)

    def positive(self, key: str) -> int:
        value = self.get(key, int)
        if value < 1:
            raise self.error(key, "an integer above 0")
        return value

    def natural(self, key: str) -> int:
        value = self.get(key, int)
        if value < 0:
            raise self.error(key, "an integer of 0 or more")
        return value

    def object(self, key: str) -> _Json:
        return _Json(self.file, f"{self.field}{key}.", self.get(key, dict))

    def objects(self, key: str) -> list[_Json]:
        entries = self.get(key, list)
        if not all(isinstance(entry, dict) for entry in entries):
            raise self.error(key, "a list of objects")
        return [_Json(self.file, f"{self.field}{key}[{index}].", entry) for index, entry in enumerate(entries)]

    def file_name(self, key: str) -> str:
        value = self.get(key, str)
        if value in ("", ".", "..") or "/" in value or "\\" in value:
            raise self.error(key, "the name of a file in the same folder")
        return value


def read_json_object(file: Path) -> _Json:
    """Return a JSON file of the folder, with checked access to its fields; raises ConfigError, FormatError."""
    return _Json.read(file)


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise ConfigError(f"{folder}: {what}; expected a folder written by lpc-export")
    if not (folder / MANIFEST_FILE).exists():
        hint = ""
        if (folder / "config.json").exists():
            hint = f"; it looks like a checkpoint: export it first with `lpc-export {folder}`"
        raise ConfigError(f"{folder}: has no {MANIFEST_FILE}, so it was not written by lpc-export{hint}")


def _check_version(manifest: _Json) -> None:
    if manifest.values.get("format") != FORMAT:
        raise manifest.error("format", repr(FORMAT))
    version = manifest.get("format_version", int)
    if version > FORMAT_VERSION:
        raise manifest.error("format_version", f"at most {FORMAT_VERSION}: update lpc-edge-runtime to run this model")
    if version != FORMAT_VERSION:
        raise manifest.error("format_version", str(FORMAT_VERSION))


def _layer(entry: _Json) -> LayerExtent:
    return LayerExtent(
        index=entry.natural("index"),
        name=entry.get("name", str),
        offset=entry.natural("offset"),
        bytes=entry.natural("bytes"),
        decoded_bytes=entry.natural("decoded_bytes"),
    )


def _check_data_file(file: Path, expected: int, layers: tuple[LayerExtent, ...]) -> None:
    size = file.stat().st_size
    if size != expected:
        state = "was cut short" if size < expected else "does not belong to this manifest"
        raise FormatError(
            f"{file}: has {size} bytes where {MANIFEST_FILE} says {expected}: the file {state}; "
            "copy it or export the model again",
            file=str(file),
        )
    for layer in layers:
        if layer.offset + layer.bytes > size:
            raise FormatError(
                f"{file.with_name(MANIFEST_FILE)}: layer {layer.name} ends at byte {layer.offset + layer.bytes}, "
                f"but {file.name} has {size} bytes; export the model again",
                file=str(file.with_name(MANIFEST_FILE)),
                field="layers",
            )


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise ConfigError(
            f"{file}: missing; an exported folder needs it: copy the whole folder or export the model again"
        )
    return file


def _token_ids(config: _Json, key: str) -> frozenset[int]:
    value = config.values.get(key)
    ids = value if isinstance(value, list) else [] if value is None else [value]
    if not all(type(token_id) is int for token_id in ids):
        raise config.error(key, "a token id or a list of them")
    return frozenset(ids)
