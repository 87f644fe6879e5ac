"""Mutations of a folder: files swapped, gone, or something else in their place."""

from __future__ import annotations

import os
import random
import shutil
import socket
from pathlib import Path

from mutate.bytes_ import regular
from mutate.cases import NotApplicable

SPARSE_BYTES = (3 << 30, 20 << 30)
_ADDED = (
    "tokenizer_config.json", "chat_template.jinja", "generation_config.json", "added_tokens.json", "config.json",
    "special_tokens_map.json", "extra.bin", "x.safetensors", "y.onnx", ".hidden",
)  # fmt: skip


def swapped(folder: Path, rng: random.Random) -> str:
    """Two files exchange their names, or one takes the other's place."""
    files = regular(folder)
    if len(files) < 2:
        raise NotApplicable
    first, second = rng.sample(files, 2)
    if rng.random() < 0.5:
        shutil.copyfile(first, second)
        return f"{second.name} is a copy of {first.name}"
    aside = folder / ".swap"
    first.rename(aside)
    second.rename(first)
    aside.rename(second)
    return f"{first.name} and {second.name} swapped"


def gone(folder: Path, rng: random.Random) -> str:
    """A file is not there."""
    file = rng.choice(regular(folder))
    file.unlink()
    return f"{file.name} is gone"


def replaced(folder: Path, rng: random.Random) -> str:
    """Something that is no regular file, or a huge one, lies in a file's place."""
    file = rng.choice(regular(folder))
    what = rng.choice(
        ("pipe", "folder", "socket", "zero", "null", "loop", "dangling", "sparse", "mem", "moved", "empty")
    )
    data = file.read_bytes() if what == "moved" else b""
    file.unlink()
    if what == "pipe":
        os.mkfifo(file)
    elif what == "folder":
        file.mkdir()
    elif what == "socket":
        _bind(file)
    elif what == "sparse":
        _sparse(file, rng.choice(SPARSE_BYTES))
    elif what == "empty":
        file.touch()
    elif what == "moved":
        elsewhere = folder.parent / "elsewhere"
        elsewhere.write_bytes(data)
        file.symlink_to(elsewhere)
    else:
        links = {"zero": "/dev/zero", "null": "/dev/null", "loop": file.name, "dangling": "nowhere"}
        file.symlink_to(links.get(what, "/proc/self/mem"))
    return f"{file.name} is now: {what}"


def added(folder: Path, rng: random.Random) -> str:
    """A file that nobody asked for."""
    name = rng.choice(_ADDED)
    file = folder / name
    if file.exists() or file.is_symlink():
        raise NotApplicable
    file.write_bytes(rng.choice((b"", b"{}", b"[]", b"null", b'{"add_bos_token": true}', rng.randbytes(64))))
    return f"{name} added"


def _bind(file: Path) -> None:
    """A socket's name; its path must be short, so it is bound from inside the folder."""
    handle = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(file.parent)
    try:
        handle.bind(file.name)
    finally:
        os.chdir(here)
        handle.close()


def _sparse(file: Path, size: int) -> None:
    with file.open("wb") as handle:
        handle.truncate(size)
