"""The output folder: written under a temporary name beside it and renamed when whole."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_runtime.errors import ExportError

MANIFEST = "lpc.json"
PACKAGE = "lpc-package"
JOURNAL = "journal.jsonl"
RESUMED = (JOURNAL, "model.lpc")  # what a killed export can go on with


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError inside into an ExportError that names `path` and the reason."""
    try:
        yield
    except OSError as error:
        raise ExportError(
            f"{path}: cannot be written ({error.strerror or error}); choose another place with -o, or make room"
        ) from None


def write_text(path: Path, text: str) -> None:
    """Write a small file and flush it to the device."""
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def copy_file(source: Path, target: Path) -> None:
    """Copy a small file and flush it to the device; ExportError if the source cannot be read."""
    try:
        content = source.read_bytes()
    except OSError as error:
        raise ExportError(f"{source}: cannot be read ({error.strerror}); check its permissions") from None
    with target.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON and flush it to the device."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def check_target(out: Path, force: bool) -> None:
    """ExportError if `out` exists and may not be replaced: `force` replaces exported folders and nothing else."""
    for above in out.parents:
        if above.exists() and not above.is_dir():
            raise ExportError(f"{out}: {above} is a file, expected a folder to write into; choose another with -o")
    if not out.exists() and not out.is_symlink():
        return
    if not force:
        raise ExportError(f"{out}: exists already; choose another place with -o, or replace it with --force")
    if not _is_package(out):
        raise ExportError(f"{out}: is not an exported folder, so --force does not replace it; choose another with -o")


@contextlib.contextmanager
def staging(out: Path, force: bool) -> Iterator[Path]:
    """Give a folder beside `out`; it becomes `out` when the block ends, and vanishes if the block fails.

    It is empty but for what a killed export left of RESUMED; the journal is no part of `out`.
    """
    partial = out.with_name(f"{out.name}.partial")
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        lock = _claim(partial)
    try:
        yield partial
        with writing(out):
            check_target(out, force)
            (partial / JOURNAL).unlink(missing_ok=True)
            _sync_folder(partial)
            _replace(partial, out)
            _sync_folder(out.parent)
    finally:
        os.close(lock)
        shutil.rmtree(partial, ignore_errors=True)


def _claim(partial: Path) -> int:
    """Make the folder, locked; of what a killed export left behind only RESUMED stays."""
    partial.mkdir(exist_ok=True)
    lock = os.open(partial, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ExportError(f"{partial}: another export is writing here; wait for it or choose another -o") from None
    for left in partial.iterdir():
        if left.name in RESUMED and left.is_file() and not left.is_symlink():
            continue
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()
    return lock


def _replace(partial: Path, out: Path) -> None:
    if not out.exists():
        partial.rename(out)
        return
    old = out.with_name(f"{out.name}.replaced")
    shutil.rmtree(old, ignore_errors=True)
    out.rename(old)
    try:
        partial.rename(out)
    except OSError:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _is_package(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("format") == PACKAGE


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
