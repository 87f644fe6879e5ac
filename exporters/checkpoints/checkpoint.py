"""A Hugging Face model folder: config.json and its weights in one or several safetensors files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_runtime.config.reader import ConfigReader, read_json
from edge_runtime.errors import ExportError
from edge_runtime.io.checked_json import is_file_name
from edge_runtime.io.printable import printable
from exporters.checkpoints.safetensors_file import SafetensorsFile, TensorInfo
from exporters.checkpoints.source_maps import SourceMaps

CONFIG = "config.json"
_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_ADAPTER, _ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
_CONSOLIDATED = "consolidated"  # the same weights under the names of the model's authors
_COMPARE_BYTES = 16 << 20


class TensorFile(Protocol):
    """One file of weights."""

    path: Path
    tensors: dict[str, TensorInfo]
    metadata: dict[str, Any]

    def dtype(self, name: str) -> np.dtype[Any]:
        """Return the dtype of a tensor; FormatError for one that no weight may have."""

    def read(self, name: str) -> NDArray[Any]:
        """Return a tensor, a view on the file where it can be one."""

    def prefetch(self, name: str) -> None:
        """Let the system begin to read the tensor."""

    def release(self, name: str) -> None:
        """Give the tensor's memory back."""

    def close(self) -> None:
        """Unmap the file."""


class Checkpoint:
    """A model's configuration and weights, memory-mapped: a folder, or any `files` with a `config`.

    Raises ExportError, ConfigError or FormatError on anything that is off.
    """

    def __init__(self, folder: Path, config: ConfigReader | None = None, files: Sequence[TensorFile] = ()) -> None:
        self.folder = folder
        self.warnings: tuple[str, ...] = ()
        weight_map = None
        if config is None:
            if not folder.is_dir():
                kind = "is not a folder" if folder.exists() else "not found"
                raise ExportError(
                    f"{folder}: {kind}; expected a Hugging Face model folder (config.json, *.safetensors), an .onnx or "
                    ".gguf file, or the name of a model on the Hub (organisation/model)"
                )
            self.warnings = _adapter_warning(folder)
            config = ConfigReader.open(folder / CONFIG)
            shards, weight_map = _shards(folder)
            maps = SourceMaps()
            files = [SafetensorsFile(path, maps) for path in shards]
        self.config, self._files = config, list(files)
        self._owner: dict[str, TensorFile] = {}
        self._stored: dict[str, str] = {}  # what a name that is not stored itself stands for
        for file in self._files:
            for name in file.tensors:
                if name in self._owner:
                    raise ExportError(f"{file.path}: tensor {name} is also in {self._owner[name].path.name}; keep one")
                self._owner[name] = file
        if weight_map is not None:
            self._check_index(weight_map)
        self.tensors: dict[str, TensorInfo] = {name: file.tensors[name] for name, file in sorted(self._owner.items())}
        for file in self._files:
            for name, other in file.metadata.items():
                if other in file.tensors and name not in self.tensors:
                    self.alias(name, str(other))

    @property
    def name(self) -> str:
        """The folder's own name, or the file's without its suffix."""
        path = self.folder.resolve()
        return path.name if path.is_dir() else path.stem

    def alias(self, name: str, stored: str) -> None:
        """Give the tensor `stored` a further name."""
        self._owner[name], self._stored[name] = self._owner[stored], self._stored.get(stored, stored)
        self.tensors[name] = self.tensors[stored]

    def add_prefix(self, prefix: str, head: str) -> None:
        """Rename all tensors but those of `head`: a base model that was saved alone has them without the prefix."""
        for name in [name for name in self.tensors if not name.startswith((prefix, f"{head}."))]:
            self.alias(prefix + name, name)
            del self.tensors[name]

    def read(self, name: str) -> NDArray[Any]:
        """Return tensor `name` as a read-only view on the file (bfloat16, float16 or float32)."""
        return self._owner[name].read(self._stored.get(name, name))

    def prefetch(self, name: str) -> None:
        """Let the system begin to read the tensor."""
        self._owner[name].prefetch(self._stored.get(name, name))

    def release(self, name: str) -> None:
        """Give the tensor's memory back."""
        self._owner[name].release(self._stored.get(name, name))

    @property
    def _described(self) -> str:
        """Where the configuration comes from."""
        return CONFIG if self.config.path.name == CONFIG else "the file's metadata"

    def same_values(self, first: str, second: str) -> bool:
        """Tell whether two tensors have the same dtype, shape and bytes."""
        a, b = self.tensors[first], self.tensors[second]
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return False
        left, right = self.read(first).reshape(-1).view(np.uint8), self.read(second).reshape(-1).view(np.uint8)
        try:
            return all(
                np.array_equal(left[i : i + _COMPARE_BYTES], right[i : i + _COMPARE_BYTES])
                for i in range(0, left.size, _COMPARE_BYTES)
            )
        finally:
            self.release(first)
            self.release(second)

    def check(self, expected: Mapping[str, tuple[int, ...]], ignored: Iterable[str]) -> None:
        """Compare names and shapes with what the architecture needs; ExportError names the first few differences."""
        missing = [name for name in expected if name not in self.tensors]
        if missing:
            raise ExportError(
                f"{self.folder}: {_count(missing, 'tensor')} missing: {_some(missing)}; "
                f"the checkpoint is incomplete or {self._described} belongs to another model"
            )
        ignored = frozenset(ignored)
        extra = [name for name in self.tensors if name not in expected and name not in ignored]
        if extra:
            raise ExportError(
                f"{self.folder}: {_count(extra, 'unexpected tensor')}: {_some(extra)}; "
                f"{self._described} does not account for them, so the result would not be this model"
            )
        for name, shape in expected.items():
            self.check_shape(name, shape)
            self._owner[name].dtype(self._stored.get(name, name))

    def check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Compare a tensor's shape with what the configuration says, if there is such a tensor; ExportError."""
        found = self.tensors.get(name)
        if found is not None and found.shape != shape:
            raise ExportError(
                f"{found.file}: {name} has shape {list(found.shape)}, expected {list(shape)} from {self._described}"
            )

    def close(self) -> None:
        """Unmap the files."""
        for file in self._files:
            file.close()

    def _check_index(self, weight_map: dict[str, str]) -> None:
        index = self.folder / _INDEX
        for name, shard in weight_map.items():
            if name not in self._owner or self._owner[name].path.name != shard:
                raise ExportError(
                    f"{index}: puts {printable(name)} into {shard}, which does not hold it; fetch the folder again"
                )
        unlisted = [name for name in self._owner if name not in weight_map]
        if unlisted:
            raise ExportError(f"{index}: does not list {_some(unlisted)}, which the shards hold; fetch it again")


def _shards(folder: Path) -> tuple[list[Path], dict[str, str] | None]:
    """Return the weight files as transformers would choose them, and what the index says if there is one."""
    single, index = folder / _SINGLE, folder / _INDEX
    if os.path.lexists(single):
        return [single], None
    if os.path.lexists(index):
        weight_map = _weight_map(index)
        names = sorted(set(weight_map.values()))
        absent = [name for name in names if not os.path.lexists(folder / name)]
        if absent:
            raise ExportError(f"{index}: names {_count(absent, 'file')} not there: {_some(absent)}; fetch the rest")
        return [folder / name for name in names], weight_map
    others = sorted(
        p for p in folder.glob("*.safetensors") if p.name != _ADAPTER and not p.name.startswith(_CONSOLIDATED)
    )
    if len(others) != 1:
        raise ExportError(_no_weights(folder, others))
    return others, None


def _weight_map(index: Path) -> dict[str, str]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ExportError(f"{index}: weight_map is missing or empty, expected tensor names with file names")
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or not is_file_name(shard):
            raise ExportError(
                f"{index}: {printable(name)} is in {ascii(shard)[:80]}, expected the name of a file in the same folder"
            )
    return weight_map


def _adapter_warning(folder: Path) -> tuple[str, ...]:
    """ExportError if the folder is a LoRA adapter and no model; a warning if it holds one beside the model."""
    adapter = next((name for name in (_ADAPTER, _ADAPTER_CONFIG) if os.path.lexists(folder / name)), "")
    if not adapter:
        return ()
    if os.path.lexists(folder / CONFIG) and any(path.name != _ADAPTER for path in folder.glob("*.safetensors")):
        return (
            f"{folder / adapter}: an adapter beside the model was left out; to export both as one, merge them first",
        )
    raise ExportError(
        f"{folder}: is an adapter (LoRA) and no model; merge it with its base first: "
        "peft.AutoPeftModelForCausalLM.from_pretrained(ADAPTER).merge_and_unload().save_pretrained(NEW_MODEL), then "
        "copy tokenizer.json"
    )


def _no_weights(folder: Path, others: list[Path]) -> str:
    if others:
        return f"{folder}: {len(others)} safetensors files, but no {_INDEX} that tells how they belong together"
    if any(folder.glob(f"{_CONSOLIDATED}*.safetensors")):
        return f"{folder}: {_CONSOLIDATED}*.safetensors are not in the layout of transformers; expected {_SINGLE}"
    if any(folder.glob("*.bin")):
        return (
            f"{folder}: has PyTorch .bin weights, which can run code when they are read; expected {_SINGLE}. Convert "
            "them where you trust them: transformers.AutoModelForCausalLM.from_pretrained(MODEL, dtype='auto')"
            ".save_pretrained(NEW_MODEL, safe_serialization=True), then copy tokenizer.json"
        )
    return f"{folder}: no weights; expected {_SINGLE}, or several files with {_INDEX}"


def _count(items: list[str], what: str) -> str:
    return f"{len(items)} {what}{'s' if len(items) > 1 else ''}"


def _some(names: list[str], most: int = 4) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return printable(", ".join(names[:most])) + rest
