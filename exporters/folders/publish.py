"""The output folder: it grows in a working folder beside it, and takes its place in one step when it is whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_runtime.errors import ExportError, LpcError
from edge_runtime.io.files import parse_json, read_small
from exporters.folders import replacing, working
from exporters.folders.rename import exchange, rename_new
from exporters.folders.staging import write_json, writing
from exporters.folders.working import PUBLISHING, REPLACED, Working, delete, say


def prepare(out: Path, force: bool) -> None:
    """Finish what a kill left half done at `out`; ExportError if `out` may not be written."""
    with writing(out):
        working.sweep(replacing.resolved(out).parent)
        _settle_all(replacing.resolved(out))
    replacing.check_target(out, force)


@contextlib.contextmanager
def working_folder(out: Path, force: bool, begun: dict[str, Any], restart: bool = False) -> Iterator[Working]:
    """Give a working folder whose package becomes `out` when the block ends.

    `begun` are the "options" and "inputs" of this export, for JSON. If the block fails, what is finished stays for the
    same command to go on with; a folder with nothing finished is deleted. `prepare` comes first. ExportError if `out`
    may not be written, or an unfinished export with other options is there that is not to be dropped (`restart`).
    """
    target = replacing.resolved(out)
    with writing(out):
        target.parent.mkdir(parents=True, exist_ok=True)
        work = _agreed(target, begun, restart)
    try:
        yield work
        with writing(out):
            replacing.check_target(out, force)
            _publish(work, target)
    except BaseException as error:
        _keep_or_remove(work, error)
        raise
    finally:
        work.close()


def _agreed(target: Path, begun: dict[str, Any], restart: bool) -> Working:
    """Return the working folder; one of another export is dropped if nothing in it is finished, or else refused."""
    work = working.claim(target, begun)
    before = work.begun
    if restart or (before != begun and not work.finished):
        work.remove()
        work.close()
        return working.claim(target, begun)
    if before["options"] != begun["options"]:
        work.close()
        raise working.OtherExportError(
            f"{work.path}: holds what is finished of an export with {_difference(before['options'], begun['options'])}"
            "; go on with the options that it was begun with, choose another place with -o, or drop it with --restart"
        )
    work.other_inputs = [name for name, path in begun["inputs"].items() if before["inputs"].get(name) != path]
    return work


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return ", ".join(f"{name} {before.get(name)} (now {now.get(name)})" for name in names)


def _keep_or_remove(work: Working, error: BaseException) -> None:
    if not work.finished:
        with contextlib.suppress(OSError):
            work.remove()
        return
    if isinstance(error, working.OtherExportError):
        return
    kept = f"what is finished is kept in {work.path}: the same command goes on from there"
    if isinstance(error, LpcError):
        error.args = (f"{error}; {kept}",)
    elif isinstance(error, KeyboardInterrupt):
        error.args = (kept,)


# ---- taking the place ----


def _publish(work: Working, out: Path) -> None:
    """Put the whole package into its place. A kill at any moment leaves one whole folder there, or one that
    `_settle_all` puts there."""
    _sync_folder(work.package)
    if not os.path.lexists(out):
        rename_new(work.package, out)
    elif replacing.is_empty(out):
        work.package.rename(out)
    else:
        _swap(work, out)
    _sync_folder(work.path)
    _sync_folder(out.parent)
    try:
        _clear(work, out)
    except OSError as error:
        say(f"{work.path}: could not be deleted ({error.strerror or error}); {out} is whole")


def _swap(work: Working, out: Path) -> None:
    """Exchange package and old folder. Afterwards the old one lies where the package was, or in REPLACED."""
    delete(work.path / PUBLISHING)
    _drop_if_there(work.path / REPLACED, out)
    state = work.package.lstat()
    write_json(work.path / PUBLISHING, {"device": state.st_dev, "inode": state.st_ino})
    _sync_folder(work.path)
    if exchange(work.package, out):
        return
    rename_new(out, work.path / REPLACED)
    try:
        rename_new(work.package, out)
    except OSError:
        rename_new(work.path / REPLACED, out)
        raise


def _settle_all(out: Path) -> None:
    """Finish what a kill left between two steps, and say so; a folder that another export works in is left to it."""
    for path in working.found(out):
        with contextlib.suppress(ExportError):
            work = working.opened(path)
            try:
                _settle(work, out)
            finally:
                work.close()


def _settle(work: Working, out: Path) -> None:
    replaced = work.path / REPLACED
    if _has_placed(work, out) or not os.path.lexists(work.package):
        if replacing.is_whole(replaced) and not os.path.lexists(out):
            rename_new(replaced, out)
        say(f"{out}: the last export had taken its place when it was stopped; the rest of it is cleared away")
        _clear(work, out)
    elif replacing.is_whole(replaced) and replacing.is_whole(work.package) and not os.path.lexists(out):
        rename_new(work.package, out)
        say(f"{out}: the last export was whole, but stopped before it took its place: it is there now")
        _clear(work, out)


def _has_placed(work: Working, out: Path) -> bool:
    """Tell whether the folder that was to take the place of `out` is there."""
    try:
        noted, state = parse_json(read_small(work.path / PUBLISHING)), out.lstat()
    except (OSError, ValueError):
        return False
    return bool(noted == {"device": state.st_dev, "inode": state.st_ino})


def _clear(work: Working, out: Path) -> None:
    """Delete the working folder with the old export in it."""
    for old in (work.package, work.path / REPLACED):
        _drop_if_there(old, out)
    work.remove()


def _drop_if_there(old: Path, out: Path) -> None:
    """Delete an export that was replaced; one with something of a user's in it is put beside `out` instead."""
    strangers = replacing.not_written(old) if old.is_dir() and not old.is_symlink() else []
    if not strangers:
        delete(old)
        return
    kept = next(path for number in range(1, 1 << 16) if not os.path.lexists(path := _beside(out, number)))
    rename_new(old, kept)
    say(f"{kept}: is what {out} was, with {strangers[0]}, which lpc-export did not write")


def _beside(out: Path, number: int) -> Path:
    return working.beside(out, f".replaced-{number}")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
