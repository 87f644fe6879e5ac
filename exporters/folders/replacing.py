"""What an export may replace: exported folders as they were written, and nothing that a user made or changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from edge_runtime.errors import ExportError
from edge_runtime.io.files import parse_json, read_small
from exporters.checkpoints.tokenizer_files import TOKENIZER_FILES
from exporters.folders.staging import MANIFEST, MODEL_FILE, PACKAGE
from exporters.graphs.interface import DATA_FILE
from exporters.planning import genai_config

_WRITTEN = frozenset({MANIFEST, DATA_FILE, MODEL_FILE, genai_config.FILE, genai_config.GENERATION, *TOKENIZER_FILES})


def resolved(out: Path) -> Path:
    """Return where `out` leads: itself, or what a symbolic link names; ExportError for a link that leads nowhere."""
    if not out.is_symlink():
        return out
    target = Path(os.path.realpath(out))
    if target.is_symlink():
        raise ExportError(f"{out}: is a symbolic link that leads back to itself; choose another place with -o")
    return target


def check_target(out: Path, force: bool) -> None:
    """ExportError if `out` exists and may not be replaced: `force` replaces exported and empty folders only."""
    for above in out.parents:
        if above.exists() and not above.is_dir():
            raise ExportError(f"{out}: {above} is a file, expected a folder to write into; choose another with -o")
    target = resolved(out)
    if not target.exists():
        return
    if not force:
        raise ExportError(f"{out}: exists already; choose another place with -o, or replace it with --force")
    if os.path.ismount(target):
        raise ExportError(f"{out}: is a mount point, which cannot be replaced; choose a folder inside it with -o")
    if not is_package(target) and not is_empty(target):
        raise ExportError(f"{out}: is not an exported folder, so --force does not replace it; choose another with -o")
    if not os.access(target, os.W_OK | os.X_OK):
        raise ExportError(f"{out}: may not be changed, so --force does not replace it; check its permissions")
    strangers = not_written(target)
    if strangers:
        rest = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
        raise ExportError(
            f"{out}: holds {strangers[0]}{rest}, which lpc-export did not write and --force would delete; move what "
            "you need elsewhere, or choose another place with -o"
        )


def is_package(folder: Path) -> bool:
    """Tell whether `folder` is an exported one."""
    return bool(_manifest(folder))


def is_whole(folder: Path) -> bool:
    """Tell whether `folder` is an exported one itself, and no link to one."""
    return not folder.is_symlink() and is_package(folder)


def is_empty(folder: Path) -> bool:
    """Tell whether `folder` is a folder with nothing in it."""
    return folder.is_dir() and not any(folder.iterdir())


def not_written(folder: Path) -> list[str]:
    """Return what an exported folder holds that no export wrote, or that a user has changed since."""
    return sorted(
        entry.name for entry in os.scandir(folder) if entry.name not in _WRITTEN or entry.is_dir(follow_symlinks=False)
    )


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = parse_json(read_small(folder / MANIFEST))
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) and manifest.get("format") == PACKAGE else {}
