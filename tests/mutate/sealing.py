"""The hashes in lpc.json (docs/format.md, 6): made right again as anybody can who can write the folder."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import xxhash

from mutate.bytes_ import content
from mutate.cases import NotApplicable

_MANIFEST, _DATA = "lpc.json", "model.lpc"
_HEADER_BYTES = 96


def seal(folder: Path) -> None:
    """State size and hashes of the files as they are now, as far as the manifest still has the form for it."""
    manifest = _manifest(folder)
    if manifest is None:
        return
    files = manifest.get("files")
    for name, entry in files.items() if isinstance(files, dict) else ():
        data = _bytes(folder / name) if isinstance(name, str) and "\0" not in name and "/" not in name else None
        if data is None or not isinstance(entry, dict):
            continue
        entry |= {"bytes": len(data), "xxh3_128": xxhash.xxh3_128_hexdigest(data)}
        if "headers_xxh3_128" in entry:
            entry["headers_xxh3_128"] = _headers(data, manifest)
    data = _bytes(folder / _DATA)
    if data is not None and isinstance(manifest.get("data"), dict):
        manifest["data"]["bytes"] = len(data)
    (folder / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8", errors="surrogatepass")


def is_sealed(folder: Path, base: Path) -> bool:
    """Whether the manifest still has the hashes of the base; not so after `seal`, nor if a mutation took them away."""
    now, before = _manifest(folder), _manifest(base)
    return now is not None and before is not None and bool(before.get("files")) and now.get("files") == before["files"]


def forget(folder: Path, rng: random.Random) -> str:
    """The hashes taken out: a folder of an older version."""
    manifest = _manifest(folder)
    if manifest is None or "files" not in manifest:
        raise NotApplicable
    del manifest["files"]
    (folder / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8", errors="surrogatepass")
    return "no hashes"


def changed(folder: Path, base: Path) -> set[str]:
    """Names of the files that are not those of the base."""
    names = {file.name for file in (*folder.iterdir(), *base.iterdir())}
    return {name for name in names if _bytes(folder / name) != _bytes(base / name)}


def _headers(data: bytes, manifest: dict[str, Any]) -> str:
    """The hash of the blobs' fixed headers and of the constants, for a manifest that may say anything."""
    digest = xxhash.xxh3_128()
    for key, size in (("tensors", _HEADER_BYTES), ("constants", None)):
        entries = manifest.get(key)
        for entry in entries if isinstance(entries, list) else ():
            offset, length = (entry.get("offset"), entry.get("bytes")) if isinstance(entry, dict) else (None, None)
            if type(offset) is int and type(length) is int and 0 <= offset < len(data) and length >= 0:
                digest.update(data[offset : offset + (size or length)])
    return digest.hexdigest()


def _bytes(file: Path) -> bytes | None:
    """A file's bytes; for anything else what it is."""
    try:
        return content(file)
    except (NotApplicable, OSError, ValueError):
        return str(file.readlink()).encode() if file.is_symlink() else None


def _manifest(folder: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads(content(folder / _MANIFEST))
    except (NotApplicable, ValueError, RecursionError):
        return None
    return manifest if isinstance(manifest, dict) else None
