"""Folders that exports work in. Each bears a mark from its first moment, and nothing without the mark is ever emptied.

A folder is made, and taken away, under a random name that no user's file has; only with its mark in it does it get its
own. So a kill at any moment leaves a marked folder, or an empty one of a random name, which the next export clears.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import xxhash

from edge_runtime.errors import ExportError
from edge_runtime.io.files import parse_json
from edge_runtime.io.printable import printable
from exporters.folders.rename import rename_new
from exporters.folders.staging import writing

MARK, JOURNAL, GROWING, REFERENCE, REPLACED, PUBLISHING = (
    "lpc-working.json", "journal.jsonl", "package", "reference", "replaced", "publishing.json",
)  # fmt: skip
_PARTS = (JOURNAL, GROWING, REFERENCE, "trial", REPLACED, PUBLISHING, MARK)  # the mark goes last
_FORMAT = "lpc-export working folder"
_MARK_BYTES = 1 << 16
_PASSING = re.compile(r"\.lpc-[0-9a-f]{16}")
_SUFFIXES = (".partial", *(f".partial-{number}" for number in range(2, 10)))
_NAME_BYTES = 255


def say(text: str) -> None:
    """Tell the user on stderr what was found or left alone."""
    click.echo(f"lpc-export: {printable(text)}", err=True)


class OtherExportError(ExportError):
    """What is finished in a working folder belongs to another export than the one that is asked for."""


class Working:
    """A working folder, or a part of one: the package that grows in it, and the journal of what is finished.

    `begun` are the "options" and "inputs" that its export was begun with; `other_inputs` are the names of inputs that
    now come from another path. It is locked until `close`, where it is a folder of its own.
    """

    def __init__(self, path: Path, begun: dict[str, Any], lock: int | None = None) -> None:
        self.path, self.begun, self._lock = path, begun, lock
        self.other_inputs: list[str] = []

    @property
    def package(self) -> Path:
        """The folder that becomes the export."""
        return self.path / GROWING

    @property
    def finished(self) -> bool:
        """Whether a weight of it, or of the reference in it, is finished."""
        return any(_has_entries(self.path / part) for part in (JOURNAL, f"{REFERENCE}/{JOURNAL}"))

    def inner(self, name: str) -> Working:
        """Return a part for another export: REFERENCE, which stays for a resumption, or "trial", which is new."""
        path = self.path / name
        if path.is_symlink() or (name != REFERENCE and path.exists()):
            delete(path)
        (path / GROWING).mkdir(parents=True, exist_ok=True)
        part = Working(path, self.begun)
        part.other_inputs = self.other_inputs
        return part

    def keep_only(self, *names: str) -> None:
        """Leave of the unfinished package only regular files of these names."""
        if self.package.is_symlink():
            self.package.unlink()
            self.package.mkdir()
        for left in self.package.iterdir():
            if left.name not in names or not stat.S_ISREG(left.lstat().st_mode):
                delete(left)

    def close(self) -> None:
        """Let others have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove(self) -> None:
        """Delete the folder. What a user put into it stays, without the mark: then the folder is his."""
        strangers = sorted(entry.name for entry in os.scandir(self.path) if entry.name not in _PARTS)
        if strangers:
            say(f"{self.path}: holds {strangers[0]}, which lpc-export did not write: left there")
            _empty(self.path)
            return
        passing = _passing(self.path.parent)
        self.path.rename(passing)
        self.path = passing
        _empty(passing)
        passing.rmdir()


def candidates(out: Path) -> list[Path]:
    """The names that a working folder of `out` may have, in order."""
    return [beside(out, suffix) for suffix in _SUFFIXES]


def beside(out: Path, suffix: str) -> Path:
    """Return the path of `out` with a suffix; a name that would be too long is cut, and told from others by a hash."""
    name, most = out.name, _longest_name(out.parent)
    if len(os.fsencode(name + suffix)) > most:
        suffix = f"-{xxhash.xxh3_64_hexdigest(os.fsencode(name))}{suffix}"
        name = os.fsencode(name)[: most - len(suffix)].decode("utf-8", "ignore")
    return out.with_name(name + suffix)


def found(out: Path) -> list[Path]:
    """The working folders of `out` that are there."""
    return [path for path in candidates(out) if is_marked(path)]


def claim(out: Path, begun: dict[str, Any]) -> Working:
    """Return the locked working folder of `out`: the one that is there, whatever it was begun with, or a new one.

    ExportError if another export has it, or every name is taken by something that is not ours.
    """
    for path in found(out):
        return opened(path)
    for path in candidates(out):
        if os.path.lexists(path):
            say(f"{path}: is not of lpc-export: left alone")
            continue
        return _made(path, begun, out.parent)
    raise ExportError(f"{out}: {candidates(out)[0].name} and eight like it are taken; choose another place with -o")


def opened(path: Path) -> Working:
    """Lock a marked folder; ExportError if another process has it."""
    lock = _locked(path)
    if lock is None:
        raise ExportError(f"{path}: another export is writing here; wait for it or choose another -o")
    mark = _mark(lock)
    if mark is None or not os.path.samestat(os.fstat(lock), path.lstat()):
        os.close(lock)
        raise ExportError(f"{path}: another export has just taken it; start this one again")
    return Working(path, {"options": mark["options"], "inputs": mark["inputs"]}, lock)


@contextlib.contextmanager
def scratch(parent: Path) -> Iterator[Working]:
    """Give a working folder of a random name in `parent`, deleted at the end; ExportError if it cannot be made."""
    with writing(parent):
        parent.mkdir(parents=True, exist_ok=True)
        sweep(parent)
        work = _made(None, {"options": {}, "inputs": {}}, parent)
    try:
        yield work
    finally:
        shutil.rmtree(work.path, ignore_errors=True)
        work.close()


def sweep(parent: Path) -> None:
    """Delete what killed exports left in `parent` under random names."""
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(parent)):
            if _PASSING.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                _sweep(Path(entry.path))


def _sweep(path: Path) -> None:
    with contextlib.suppress(OSError):
        lock = _locked(path)
        if lock is None:
            return
        try:
            if _mark(lock) is not None:
                shutil.rmtree(path)
            else:
                path.rmdir()  # if it is empty
        finally:
            os.close(lock)


def is_marked(path: Path) -> bool:
    """Tell whether `path` is a working folder: a real folder with our mark in it."""
    try:
        folder = _folder(path)
    except OSError:
        return False
    try:
        return _mark(folder) is not None
    finally:
        os.close(folder)


def delete(path: Path) -> None:
    """Delete a file, a link (never what it leads to) or a folder; nothing where there is nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write_mark(folder: Path, begun: dict[str, Any]) -> None:
    """Mark a folder as ours."""
    text = json.dumps({"format": _FORMAT, "note": "lpc-export may delete this folder", **begun}, indent=1)
    with (folder / MARK).open("x", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def _empty(folder: Path) -> None:
    for part in _PARTS:
        delete(folder / part)


def _made(path: Path | None, begun: dict[str, Any], parent: Path) -> Working:
    """Make a marked folder under a random name, lock it, and only then give it its own; None keeps the random one."""
    while True:
        passing = _passing(parent)
        passing.mkdir()
        lock = None
        try:
            lock = _locked(passing)
            if lock is None:
                continue  # another export sweeps it away
            (passing / GROWING).mkdir()
            _write_mark(passing, begun)
            if path is not None:
                rename_new(passing, path)
            return Working(path or passing, begun, lock)
        except OSError as error:
            if lock is not None:
                os.close(lock)
            swept = isinstance(error, FileNotFoundError) and not passing.exists() and parent.is_dir()
            shutil.rmtree(passing, ignore_errors=True)
            if not swept:
                raise


def _locked(path: Path) -> int | None:
    """Open and lock a real folder; None if another process has the lock."""
    handle = _folder(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:
        os.close(handle)
        raise
    return handle


def _folder(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _mark(folder: int) -> dict[str, Any] | None:
    """What the mark in a folder says; None without a regular file that is one."""
    try:
        handle = os.open(MARK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    with open(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        try:
            mark = parse_json(file.read(_MARK_BYTES))
        except (OSError, ValueError):
            return None
    ours = isinstance(mark, dict) and mark.get("format") == _FORMAT
    return mark if ours and all(isinstance(mark.get(part), dict) for part in ("options", "inputs")) else None


def _has_entries(journal: Path) -> bool:
    try:
        with journal.open("rb") as file:
            return file.readline().endswith(b"\n") and file.readline().endswith(b"\n")
    except OSError:
        return False


def _passing(parent: Path) -> Path:
    return parent / f".lpc-{secrets.token_hex(8)}"


def _longest_name(parent: Path) -> int:
    try:
        return os.pathconf(parent, "PC_NAME_MAX")
    except (OSError, ValueError):
        return _NAME_BYTES
