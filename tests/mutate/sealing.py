"""The hashes in lpc.json: made right again as somebody would who can write the folder, and asked what they cover."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mutate.bytes_ import content
from mutate.cases import NotApplicable

_MANIFEST = "lpc.json"


def seal(folder: Path) -> None:
    """State the size of the data file, and what `lpc-export --reseal` states, for the files as they are now."""
    manifest = _manifest(folder)
    if manifest is None:
        return
    data = manifest.get("data")
    try:
        if isinstance(data, dict) and data.get("file") == "model.lpc":
            data["bytes"] = len(content(folder / "model.lpc"))
    except NotApplicable:
        return
    (folder / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8", errors="surrogatepass")


def is_sealed(folder: Path, base: Path) -> bool:
    """Whether the manifest still has the hashes of the base."""
    return False


def changed(folder: Path, base: Path) -> set[str]:
    """Names of the files that are not those of the base."""
    names = {file.name for file in (*folder.iterdir(), *base.iterdir())}
    return {name for name in names if _bytes(folder / name) != _bytes(base / name)}


def _bytes(file: Path) -> bytes | None:
    try:
        return content(file)
    except NotApplicable:
        return None


def _manifest(folder: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads(content(folder / _MANIFEST))
    except (NotApplicable, ValueError, RecursionError):
        return None
    return manifest if isinstance(manifest, dict) else None
