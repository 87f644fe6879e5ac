"""The hashes that an exported folder's manifest keeps of its files, and what is checked of them when it is opened.

docs/format.md, section 6, has the definition. The weight file is not read for that: its headers, which hold the
checksums of all that they describe, and the constants stand for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import xxhash

from edge_runtime.errors import FormatError
from edge_runtime.io.files import SMALL_FILE_BYTES, open_regular
from edge_runtime.package.manifest import MANIFEST_FILE
from edge_runtime.package.model_files import file_of

HEADER_BYTES = 96
"""A blob's fixed header (docs/format.md, section 2.1)."""
CONSTANT_BYTES = 64 << 20
"""Constants are hashed whole up to so many bytes together; of later ones only the ends."""
_END_BYTES = 4096
_CHUNK_BYTES = 1 << 20

Entry = Mapping[str, Any]


def file_hash(file: Path, advance: Callable[[int], None] = lambda count: None) -> str:
    """Return XXH3-128 (hex) of a regular file, read in pieces; `advance` hears of the bytes. OSError if it fails."""
    digest = xxhash.xxh3_128()
    for piece in _pieces(file):
        digest.update(piece)
        advance(len(piece))
    return str(digest.hexdigest())


def headers_hash(file: Path, tensors: Sequence[Entry], constants: Sequence[Entry]) -> str:
    """Return XXH3-128 (hex) of the fixed headers of a weight file's blobs and of its constants, as far as they count.

    `tensors` and `constants` are those of a checked manifest. Of the file little more than these bytes is read.
    """
    digest = xxhash.xxh3_128()
    descriptor = open_regular(file)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)  # no read-ahead into weights
        for tensor in tensors:
            digest.update(os.pread(descriptor, HEADER_BYTES, tensor["offset"]))
        for begin, size in _of_constants(constants):
            for offset in range(begin, begin + size, _CHUNK_BYTES):
                digest.update(os.pread(descriptor, min(_CHUNK_BYTES, begin + size - offset), offset))
    finally:
        os.close(descriptor)
    return str(digest.hexdigest())


def entry_of(file: Path, manifest: Entry, whole_hash: str | None = None) -> dict[str, Any]:
    """Return what `files` of the manifest says of a file; `whole_hash` is its hash, if that is known already."""
    entry = {"bytes": file.stat().st_size, "xxh3_128": whole_hash or file_hash(file)}
    if file.name == manifest["data"]["file"]:
        entry["headers_xxh3_128"] = headers_hash(file, manifest["tensors"], manifest["constants"])
    return entry


def changed_files(folder: Path, manifest: Entry, read: Sequence[str] = (), whole: bool = False) -> list[str]:
    """Return the names of the files that are not what the manifest says, in its order; the weight file by its headers.

    Unless `whole`, a file that is neither a graph nor small is known by its size alone: nobody reads it.
    Of the files that are `read`, those that are there and not listed are among them. Nothing is where the manifest has
    no hashes. ConfigError for one that is missing, FormatError for one that is no regular file.
    """
    if "files" not in manifest:
        return []
    data, files = manifest["data"]["file"], manifest["files"]
    changed = [
        name
        for name, entry in files.items()
        if not _is_same(file_of(folder, name), entry, manifest if name == data else None, whole)
    ]
    return [*changed, *(name for name in read if name not in files and (folder / name).exists())]


def data_file_of(folder: Path, manifest: Entry) -> Path:
    """Return the weight file; FormatError if it does not have the size that the checked manifest states."""
    file, expected = file_of(folder, manifest["data"]["file"]), manifest["data"]["bytes"]
    size = file.stat().st_size
    if size != expected:
        state = "was cut short" if size < expected else "does not belong to this manifest"
        raise FormatError(
            f"{file}: has {size} bytes where {MANIFEST_FILE} says {expected}: the file {state}; "
            "copy it or export the model again",
            file=str(file),
        )
    return file


def changed_line(folder: Path, names: Sequence[str]) -> str:
    """Return the line that says which files changed, and what to do."""
    some = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return f"{folder}: {some} changed since the export; if that was meant, accept it: lpc-export --reseal {folder}"


def changed_error(folder: Path, name: str, data_file: str) -> FormatError:
    """Return the error for a graph or weight file that is not what was exported."""
    what = "weights" if name == data_file else "graph"
    return FormatError(
        f"{folder / name}: is not the {what} that {MANIFEST_FILE} was written for (another export's file, or damaged): "
        "copy the whole folder again or export the model again",
        file=str(folder / name),
    )


def _is_same(file: Path, entry: Entry, manifest: Entry | None, whole: bool) -> bool:
    try:
        size = file.stat().st_size
        if size != entry["bytes"]:
            return False
        if manifest is None and size > SMALL_FILE_BYTES and file.suffix != ".onnx" and not whole:
            return True
        if manifest is None:
            return file_hash(file) == str(entry["xxh3_128"])
        expected = entry.get("headers_xxh3_128")
        return expected is None or headers_hash(file, manifest["tensors"], manifest["constants"]) == str(expected)
    except OSError as error:
        raise FormatError(f"{file}: cannot be read ({error.strerror}); copy the folder again", file=str(file)) from None


def _pieces(file: Path) -> Iterator[bytes]:
    with open(open_regular(file), "rb", buffering=0) as opened:
        while piece := opened.read(_CHUNK_BYTES):
            yield piece


def _of_constants(constants: Sequence[Entry]) -> Iterator[tuple[int, int]]:
    """Offset and length of the bytes that count: whole constants at first, then ends."""
    total = 0
    for constant in constants:
        offset, size = constant["offset"], constant["bytes"]
        total += size
        if total <= CONSTANT_BYTES or size <= 2 * _END_BYTES:
            yield offset, size
        else:
            yield offset, _END_BYTES
            yield offset + size - _END_BYTES, _END_BYTES
