"""Mutations of any file's bytes."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from mutate.cases import NotApplicable

INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x0A, 0x22, 0x7B, 0x7D)
_ENCODINGS = ("utf-16", "utf-8-sig", "utf-32", "latin-1", "utf-7", "cp037")
_LARGEST = 1 << 26


def content(file: Path) -> bytes:
    """A regular file's bytes; NotApplicable for anything else, and for what another mutation made huge."""
    if file.is_symlink() or not file.is_file() or file.stat().st_size > _LARGEST:
        raise NotApplicable
    return file.read_bytes()


def regular(folder: Path) -> list[Path]:
    """The regular files of a folder, in order of name."""
    found = [file for file in sorted(folder.iterdir()) if not file.is_symlink() and file.is_file()]
    if not found:
        raise NotApplicable
    return found


def flipped(data: bytes, rng: random.Random) -> bytes:
    """Some bits or bytes changed."""
    if not data:
        raise NotApplicable
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8, 64))):
        at = rng.randrange(len(changed))
        changed[at] = rng.choice((changed[at] ^ 1 << rng.randrange(8), rng.choice(INTERESTING), rng.randrange(256)))
    return bytes(changed)


def cut(data: bytes, rng: random.Random) -> bytes:
    """Its end, or a part of it, taken out."""
    if not data:
        raise NotApplicable
    begin = rng.choice((0, rng.randrange(len(data)), max(0, len(data) - rng.randrange(1, 64))))
    end = rng.choice((len(data), len(data), min(len(data), begin + rng.randrange(1, 4096))))
    return data[:begin] + data[end:]


def extended(data: bytes, rng: random.Random) -> bytes:
    """Bytes put in, or a part of it doubled."""
    at = rng.choice((len(data), rng.randrange(len(data) + 1)))
    begin = rng.randrange(len(data) + 1)
    more = rng.choice((bytes(rng.randrange(1, 5000)), rng.randbytes(rng.randrange(1, 300)), data[begin : begin + 2000]))
    return data[:at] + more + data[at:]


def overwritten(data: bytes, rng: random.Random) -> bytes:
    """An aligned number replaced by a telling one."""
    width = rng.choice((1, 2, 4, 8))
    if len(data) < width:
        raise NotApplicable
    at = rng.randrange(len(data) // width) * width
    value = rng.choice((0, 1, 1 << (8 * width - 1), (1 << 8 * width) - 1, len(data), rng.getrandbits(8 * width)))
    return data[:at] + (value % (1 << 8 * width)).to_bytes(width, "little") + data[at + width :]


def recoded(data: bytes, rng: random.Random) -> bytes:
    """A text in another encoding, or with other line ends."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise NotApplicable from None
    return rng.choice(
        (text.encode(rng.choice(_ENCODINGS), "replace"), text.replace("\n", "\r\n").encode(), data + b"\0")
    )


def on_file(change: Callable[[bytes, random.Random], bytes], name: str | None = None) -> Callable[..., str]:
    """A mutator that changes one file: that of this name, or any."""

    def mutator(folder: Path, rng: random.Random) -> str:
        file = folder / name if name else rng.choice(regular(folder))
        file.write_bytes(change(content(file), rng))
        return f"{file.name} {change.__name__}"

    return mutator
