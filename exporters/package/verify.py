"""Checks an exported folder: decodes every weight from the written file and compares it with the source's hash."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from edge_runtime import codec
from edge_runtime.errors import ExportError, FormatError, LpcError
from edge_runtime.io.printable import printable
from edge_runtime.package.manifest import MANIFEST_FILE
from edge_runtime.package.seal import changed_error, changed_files, changed_line, data_file_of
from exporters.checkpoints import dtypes
from exporters.folders.staging import MODEL_FILE
from exporters.package.inspect import read_manifest
from exporters.package.manifest import WrittenTensor
from exporters.planning.plan import Tensors


def hash_of(array: NDArray[Any]) -> str:
    """Return XXH3-128 (hex) of a contiguous array's bytes."""
    return xxhash.xxh3_128_hexdigest(array.reshape(-1).view(np.uint8).data)


def verify(folder: Path, threads: int = 0, advance: Callable[[int], None] = lambda count: None) -> int:
    """Decode every tensor of `folder` and compare its hash, and that of every file; return how many tensors there are.

    `advance` hears of every tensor's decoded bytes; `threads` 0 is one a core. Raises FormatError for a blob that
    cannot be decoded and ExportError for one that decodes to something else, or for a file that changed.
    """
    manifest = read_manifest(folder)
    _check_files(folder, manifest)
    data = DataFile(data_file_of(folder, manifest), threads)
    for tensor in manifest["tensors"]:
        data.pass_over(tensor)
        data.check(tensor, data.decoded_hash(tensor), tensor["source_xxh3_128"])
        advance(tensor["decoded_bytes"])
    for constant in manifest["constants"]:
        data.pass_over(constant)
        data.check(constant, data.plain_hash(constant), constant["xxh3_128"])
    expected = manifest.get("files", {}).get(data.path.name)
    if expected is not None and data.whole_hash() != expected["xxh3_128"]:
        raise ExportError(
            f"{data.path}: changed between its weights since the export: copy it or export the model again"
        )
    return len(manifest["tensors"])


def _check_files(folder: Path, manifest: dict[str, Any]) -> None:
    """ExportError or FormatError if a file is not what the manifest says; the weights are decoded and say more."""
    data = manifest["data"]["file"]
    changed = [name for name in changed_files(folder, manifest, whole=True) if name != data]
    if MODEL_FILE in changed:
        raise changed_error(folder, MODEL_FILE, data)
    if changed:
        raise ExportError(changed_line(folder, changed))


class DataFile:
    """The data file through a memory map whose pages are given back, decoded into one buffer."""

    def __init__(self, path: Path, threads: int) -> None:
        self.path, self._threads = path, threads
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._buffer: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._digest, self._hashed = xxhash.xxh3_128(), 0

    def pass_over(self, entry: dict[str, Any]) -> None:
        """Hash the file up to the end of a tensor that is looked at next, so that it is read once for both."""
        self._hash_to(entry["offset"] + entry["bytes"])

    def whole_hash(self) -> str:
        """Return the hash of the whole file."""
        self._hash_to(len(self._map))
        return str(self._digest.hexdigest())

    def decoded_hash(self, tensor: dict[str, Any]) -> str:
        """Decode a tensor and hash it."""
        return hash_of(self.decoded(tensor))

    def decoded(self, tensor: dict[str, Any]) -> NDArray[np.uint8]:
        """Return a tensor's bytes, valid until the next call."""
        size = tensor["decoded_bytes"]
        try:
            view = self._view(tensor)
            if codec.describe(view).decoded_bytes != size:
                raise FormatError(f"decodes to another size than the {size} bytes that {MANIFEST_FILE} says")
            if size > self._buffer.nbytes:
                self._buffer = np.empty(0, np.uint8)
                self._buffer = np.empty(size, np.uint8)
            codec.decode_into(view, self._buffer, self._threads)
        except MemoryError:
            raise FormatError(
                f"{self.path}: {printable(tensor['name'])} at byte {tensor['offset']} decodes to {size} bytes, more "
                "than there is memory for; verify it on a larger machine",
                file=str(self.path), field=tensor["name"], offset=tensor["offset"],
            ) from None  # fmt: skip
        except LpcError as error:
            raise FormatError(
                f"{self.path}: {printable(tensor['name'])} at byte {tensor['offset']}: {error}; export again",
                file=str(self.path), field=tensor["name"], offset=tensor["offset"],
            ) from error  # fmt: skip
        self._release(tensor)
        return self._buffer[:size]

    def hash_of_tensor(self, record: WrittenTensor) -> str:
        """Return the hash of the elements of a weight; FormatError if the file ends before it does."""
        extent = record.extent
        entry = {
            "name": record.name, "offset": extent.offset, "bytes": extent.length, "decoded_bytes": record.decoded_bytes,
        }  # fmt: skip
        if extent.offset + extent.length > len(self._map):
            raise FormatError(f"{self.path}: ends before {record.name} does", file=str(self.path), field=record.name)
        return self.plain_hash(entry) if record.plain else self.decoded_hash(entry)

    def plain_hash(self, constant: dict[str, Any]) -> str:
        """Hash an uncompressed array."""
        result = hash_of(self._view(constant))
        self._release(constant)
        return result

    def check(self, entry: dict[str, Any], got: str, expected: str) -> None:
        """Compare two hashes."""
        if got != expected:
            raise ExportError(
                f"{self.path}: {printable(entry['name'])} at byte {entry['offset']} has hash {got}, expected the "
                f"source's {expected}; the file or this machine's memory is damaged: export again"
            )

    def close(self) -> None:
        """Unmap the file."""
        self._buffer = np.empty(0, np.uint8)
        self._map.close()

    def _hash_to(self, end: int) -> None:
        if end > self._hashed:
            self._digest.update(np.frombuffer(self._map, np.uint8, end - self._hashed, self._hashed).data)
            self._hashed = end

    def _view(self, entry: dict[str, Any]) -> NDArray[np.uint8]:
        return np.frombuffer(self._map, np.uint8, entry["bytes"], entry["offset"])

    def _release(self, entry: dict[str, Any]) -> None:
        begin = entry["offset"] - entry["offset"] % mmap.PAGESIZE
        self._map.madvise(mmap.MADV_DONTNEED, begin, entry["offset"] + entry["bytes"] - begin)


def verify_against(folder: Path, model: str, advance: Callable[[int], None] = lambda count: None) -> int:
    """Compare every weight of `folder` with the model that it was made from; return how many there are.

    `model` is what lpc-export takes. ExportError for a weight that is missing, extra or different.
    """
    from exporters.planning.sources import open_plan

    manifest = read_manifest(folder)
    if "lossy" in manifest:
        raise ExportError(
            f"{folder}: is lossy: its weights are not those of {model}; lpc-eval tells how much it differs"
        )
    stored = {entry["name"]: entry for entry in (*manifest["constants"], *manifest["tensors"])}
    plan = open_plan(model, tokenizer=folder)
    try:
        absent = [name for name in plan.graph.weights if name not in stored]
        extra = [entry["name"] for entry in manifest["tensors"] if entry["name"] not in plan.graph.weights]
        if absent or extra:
            raise ExportError(
                f"{folder}: {(absent + extra)[0]} is in only one of the folder and {model}: another model"
            )
        for name in plan.graph.weights:
            _compare(folder, stored[name], plan.tensors, model)
            advance(plan.tensors.tensors[name].nbytes)
    finally:
        plan.tensors.close()
    return len(plan.graph.weights)


def _compare(folder: Path, entry: dict[str, Any], tensors: Tensors, model: str) -> None:
    """Compare the hash of one stored weight with that of the source's, in the stored dtype."""
    name = entry["name"]
    array = tensors.read(name)
    if codec.dtype_name(array.dtype) != entry["dtype"] and entry["dtype"] in dtypes.NUMPY:
        array, _ = dtypes.convert(array, entry["dtype"], lambda: tensors.release(name))
    expected = entry.get("source_xxh3_128", entry.get("xxh3_128"))
    same = codec.dtype_name(array.dtype) == entry["dtype"] and list(array.shape) == entry["shape"]
    if not same or hash_of(array) != expected:
        raise ExportError(f"{folder}: {name} differs from {tensors.tensors[name].file}: not made from this {model}")
    tensors.release(name)
