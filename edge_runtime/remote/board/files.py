"""Taking and hashing files."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edge_runtime.remote.board.common import COMPLETE, inside, open_regular, remove, say

CHUNKS_A_LINE = 32
"""An answer of less than 4096 bytes crosses a pipe in one piece, whoever else writes there."""


def digests(path: Path, chunk: int) -> Iterator[str]:
    """SHA-256 of each chunk of a file; nothing for a file that is not there."""
    with contextlib.suppress(OSError), open(open_regular(path), "rb") as stream:
        while piece := stream.read(chunk):
            yield hashlib.sha256(piece).hexdigest()


def hash_files(base: Path, folder: str, files: list[str], chunk: int) -> None:
    """Tell the chunks of files that are there, a few at a time."""
    for name in files:
        found = digests(inside(base, f"{folder}/{name}"), chunk)
        while some := list(itertools.islice(found, CHUNKS_A_LINE)):
            say(file=name, chunks=some)


def receive(base: Path, folder: str, files: dict[str, int]) -> None:
    """Take chunks from stdin, each checked before it is written, then cut every file to its size."""
    place = inside(base, folder)
    if place.is_symlink():
        remove(place)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    (place / COMPLETE).unlink(missing_ok=True)
    handles: dict[str, BinaryIO] = {}
    source = sys.stdin.buffer
    say(ready=True)  # what is sent before would be lost with the connection, unread
    try:
        while line := source.readline():
            head = json.loads(line)
            if "end" in head:
                finish(place, files, handles)
                say(done=True)
                return
            data = source.read(head["size"])
            if len(data) < head["size"]:
                return  # the connection ended in the middle of a chunk: it is not written
            if hashlib.sha256(data).hexdigest() != head["sha256"]:
                raise ValueError(f"{head['file']}: the chunk at {head['offset']} was damaged on its way")
            handle = handles.get(head["file"]) or handles.setdefault(head["file"], opened(place, head["file"]))
            handle.seek(head["offset"])
            handle.write(data)
            handle.flush()
            with contextlib.suppress(BrokenPipeError):  # the client is gone: what it has sent is stored all the same
                say(stored=head["size"])
    finally:
        for handle in handles.values():
            handle.close()


def opened(place: Path, name: str) -> BinaryIO:
    """Open for writing without cutting what is there; anything but a file is removed first."""
    path = inside(place, name)
    if path.is_symlink() or not path.is_file():
        remove(path)
    return os.fdopen(open_regular(path, os.O_RDWR | os.O_CREAT), "r+b")


def finish(place: Path, files: dict[str, int], handles: dict[str, BinaryIO]) -> None:
    """Files of the stated size, on storage; others in the folder go."""
    for name, size in files.items():
        handle = handles.get(name) or handles.setdefault(name, opened(place, name))
        handle.truncate(size)
        handle.flush()
        os.fsync(handle.fileno())
    for path in place.iterdir():
        if path.name not in files:
            remove(path)
    (place / COMPLETE).touch()


def stored(base: Path) -> tuple[dict[str, int], list[str]]:
    """Models with the bytes that are there, and which models, runtimes and wheels are complete."""
    models = {f"models/{path.name}": sum(map(_size, path.iterdir())) for path in base.glob("models/*") if path.is_dir()}
    complete = [f"{path.parent.parent.name}/{path.parent.name}" for path in base.glob(f"*/*/{COMPLETE}")]
    return models, complete


def _size(path: Path) -> int:
    """Bytes of a file that lie on storage."""
    status = path.lstat()
    return min(status.st_size, status.st_blocks * 512)
