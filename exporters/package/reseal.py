"""Accepts what people changed in an exported folder: writes new hashes (docs/format.md, section 6)."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.package.manifest import MANIFEST_FILE
from edge_runtime.package.model_files import file_of
from edge_runtime.package.seal import changed_error, changed_files, data_file_of, entry_of
from exporters.checkpoints.tokenizer_files import TOKENIZER, TOKENIZER_FILES
from exporters.folders.staging import MODEL_FILE, writing
from exporters.package.inspect import read_manifest
from exporters.package.verify import verify
from exporters.planning import genai_config


@dataclass(frozen=True)
class Resealed:
    """The files whose hashes are others now, those that are new in the manifest, and those that are gone from it."""

    changed: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]

    def line(self) -> str:
        """Say what was accepted."""
        kinds = {"changed": self.changed, "added": self.added, "removed": self.removed}
        return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names) or "nothing changed"


def reseal(folder: Path, threads: int = 0) -> Resealed:
    """Write the hashes of the files of `folder` into its manifest; return what was accepted so.

    Weights must be those of the manifest: of a folder without hashes they are verified. Raises ConfigError, ExportError
    or FormatError; the manifest is then as it was.
    """
    manifest = read_manifest(folder)
    before: dict[str, Any] = manifest.get("files", {})
    data = data_file_of(folder, manifest)
    needed = (MODEL_FILE, data.name, *((genai_config.FILE, TOKENIZER) if genai_config.FILE in before else ()))
    for name in needed:
        file_of(folder, name)
    names = [name for name in dict.fromkeys((*needed, *before, *_known(folder))) if (folder / name).exists()]
    removed = tuple(name for name in before if name not in names)
    kept = {**manifest, "files": {name: entry for name, entry in before.items() if name in names}}
    changed = tuple(changed_files(folder, kept, whole=True))
    if data.name in changed:
        raise changed_error(folder, data.name, data.name)
    if data.name not in before:
        verify(folder, threads)
    added = tuple(name for name in names if name not in before)
    fresh = {name: entry_of(file_of(folder, name), manifest) for name in (*changed, *added)}
    if fresh or removed:
        files = {name: fresh[name] if name in fresh else before[name] for name in names}
        _write(folder / MANIFEST_FILE, {**manifest, "files": files})
    return Resealed(changed, added, removed)


def _known(folder: Path) -> list[str]:
    """Files that an export may have and that somebody may have added since."""
    names = (genai_config.FILE, genai_config.GENERATION, *TOKENIZER_FILES)
    return [name for name in names if (folder / name).exists()]


def _write(path: Path, manifest: dict[str, Any]) -> None:
    """Put a manifest in the place of the one that is there: whole, or not at all."""
    with (
        writing(path),
        tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file,
    ):
        try:
            file.write(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
            file.flush()
            os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
