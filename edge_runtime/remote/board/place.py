"""Our folder on the board: ROOT/board-ID, where ROOT carries our mark and may be in a home that boards share."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from edge_runtime.remote.board.common import COMPLETE, FOLDERS, read, remove, system_text, texts, write

MARK = ".lpc-bench"
_TRIES = 50
_PAUSE_SECONDS = 0.002
_OF_A_BOARD = re.compile(r"board-.*-[0-9a-f]{8}").fullmatch
_OLD_SCRIPT = '"""What runs on the board before anything of ours'
_SERIALS = ("/sys/firmware/devicetree/base/serial-number", "/etc/machine-id")


def board_id() -> str:
    """A name for this machine that others which share its files do not have."""
    node = os.uname().nodename
    total = hashlib.sha256("\0".join([node, *map(system_text, _SERIALS)]).encode("utf-8", "replace"))
    return f"{re.sub('[^A-Za-z0-9-]', '_', node)[:24]}-{total.hexdigest()[:8]}"


def base_of(root: str) -> Path:
    """The folder of this board in a root."""
    return Path(root).resolve() / f"board-{board_id()}"


def make(base: Path, is_default: bool) -> None:
    """Make the base folder; ValueError if its root is somebody else's. A default root is ours by its name."""
    made: set[str] = set()
    for _ in range(_TRIES):
        with contextlib.suppress(FileNotFoundError):  # a board with the same home has just removed the empty root
            _make(base, base.parent, is_default, made)
            return
    raise ValueError(f"{base}: is removed by others while it is made")


def _make(base: Path, root: Path, is_default: bool, made: set[str]) -> None:
    """Adds to `made` the folders above the base that were not there."""
    _make_folders(root, made)
    if not _marks(root) and not is_default and any(not path.name.startswith(MARK) for path in root.iterdir()):
        raise ValueError(f"{root}: is there, and lpc-bench did not make it; name another place with --board-folder")
    if made or not _marks(root):
        _note(root, made)
    if base.is_symlink():
        raise ValueError(f"{base}: is a symbolic link, expected a folder; remove the link")
    base.mkdir(mode=0o700, exist_ok=True)


def _make_folders(root: Path, made: set[str]) -> None:
    """Make a folder and those above it; adds to `made` the ones that were not there."""
    for path in (*reversed(root.parents), root):
        if not path.is_dir():
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o700)
                made.add(str(path))


def _marks(root: Path) -> list[Path]:
    """Our marks in a root: each board that made a folder has one of its own, as boards of one home have no lock."""
    return [path for path in root.glob(f"{MARK}*") if path.suffix != ".partial" and read(path) is not None]


def _note(root: Path, made: Iterable[str]) -> None:
    """Add to our mark; paths in it are relative to the root, as a home may move."""
    mark = root / f"{MARK}.{board_id()}"
    write(mark, {"made": sorted(os.path.relpath(path, root) for path in {*made, *_noted(root, mark)})})


def _noted(root: Path, mark: Path) -> set[str]:
    """The root and folders above it that a mark says were made."""
    made = texts((read(mark) or {}).get("made"))
    return {os.path.normpath(root / path) for path in made} & {str(root), *map(str, root.parents)}


def _take(root: Path, marks: list[Path]) -> set[str]:
    """Remove marks; returns the folders that they say were made. What another board takes first is left to it."""
    made: set[str] = set()
    taken = root / f"{MARK}.{board_id()}.{os.getpid()}.taken"
    for mark in marks:
        with contextlib.suppress(FileNotFoundError):
            mark.rename(taken)  # so that its board cannot add to it between reading and removing
            made |= _noted(root, taken)
            taken.unlink()
    return made


def drop(base: Path) -> None:
    """Remove the base if nothing is left in it, with the folders that were made for it; what holds files stays.

    Boards of one home may come and go meanwhile: the last one removes what any of them made.
    """
    root = base.parent
    _remove_empty([*(base / name for name in FOLDERS), base])
    made: set[str] = set()
    for _ in range(_TRIES):
        with contextlib.suppress(FileNotFoundError):  # another board was faster
            if any(not path.name.startswith(MARK) for path in root.iterdir()):
                if made:
                    _note(root, made)  # for the board that is there
                return
            made |= _take(root, _marks(root))
        _remove_empty(sorted(made, reverse=True))
        made = {path for path in made if os.path.isdir(path)}
        if not made:
            return
        time.sleep(_PAUSE_SECONDS)
    with contextlib.suppress(FileNotFoundError):
        _note(root, made)


def _remove_empty(folders: Iterable[str | Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def clean(base: Path) -> None:
    """Remove what the base holds of ours."""
    if not base.is_symlink():
        for name in FOLDERS:
            remove(base / name)
    drop(base)


def old_jobs(root: Path) -> Iterator[Path]:
    """Jobs of version 0.1.0, which had no folder for each board."""
    yield from (log.parent for log in root.glob("jobs/*/log"))


def clean_old(root: Path, is_default: bool) -> None:
    """Remove what version 0.1.0 left in a folder: everything where the folder is ours by name, else what it marked."""
    for path in (root / "agent.py", root / "agent.new"):
        if is_default or system_text(str(path))[: len(_OLD_SCRIPT)] == _OLD_SCRIPT:
            remove(path)
    for name in FOLDERS:
        folder = root / name
        if folder.is_symlink():
            continue
        for path in folder.glob("*"):
            if (is_default and name != "wheels") or _is_old(path, name):
                remove(path)
        with contextlib.suppress(OSError):
            folder.rmdir()
    if is_default:
        with contextlib.suppress(OSError):
            root.rmdir()


def _is_old(path: Path, kind: str) -> bool:
    """Whether version 0.1.0 made a folder: its marks, or a model whose upload was cut off."""
    if path.is_symlink() or not path.is_dir():
        return False
    if kind == "jobs":
        return (path / "log").is_file() and (path / "made").is_file()
    cut = kind == "models" and (path / "model.lpc").is_file() and not (path / "lpc.json").exists()
    return (path / COMPLETE).is_file() or cut


def left(base: Path) -> list[str]:
    """What is still in the base and its root, for the client to say; other boards' folders are none of its business."""
    found: list[str] = []
    for folder in (base, base.parent):
        with contextlib.suppress(OSError):
            found += [
                str(path) for path in folder.iterdir() if not path.name.startswith(MARK) and not _OF_A_BOARD(path.name)
            ]
    return sorted(found)
