"""Other compressors for comparison with ours, each on one thread; the extra `peers` installs them.

They restore into memory that is there already, as ours do, where their interface has that: blosc2 and zstandard. What
zipnn and lz4 return is newly allocated every time, which is part of their time; so `ans` stands beside them once more,
decoding to newly allocated memory as well.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime import codec

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Peer:
    """Compresses and restores bytes; `restored` gives the bytes of what `restore` returns."""

    name: str
    compress: Callable[[Bytes], Any]
    restore: Callable[[Any], Any]


@dataclass(frozen=True)
class _Made:
    """What a peer made of some bytes, with memory for restoring them."""

    data: Any
    out: Bytes

    def __len__(self) -> int:
        return len(self.data)


def _into_memory(name: str, compress: Callable[[Bytes], Any], fill: Callable[[Any, Bytes], object]) -> Peer:
    """A peer whose `fill(compressed, out)` restores into memory that is kept."""

    def restore(made: _Made) -> Bytes:
        fill(made.data, made.out)
        return made.out

    return Peer(name, lambda data: _Made(compress(data), np.empty(data.size, np.uint8)), restore)


def available(dtype: str, itemsize: int) -> tuple[list[Peer], list[str]]:
    """Those that are installed, and the names of packages that are not."""
    found: list[Peer] = []
    missing: list[str] = []
    for package, make in (("zipnn", _zipnn), ("blosc2", _blosc2), ("zstandard", _zstandard), ("lz4", _lz4)):
        try:
            found += make(dtype, itemsize)
        except ImportError:
            missing.append(package)
    if found:
        found.append(_ans_to_new_memory(dtype))
    return found, missing


def _ans_to_new_memory(dtype: str) -> Peer:
    numpy_dtype = codec.numpy_dtype(dtype)
    return Peer(
        "ans, new memory",
        lambda data: codec.encode(data.view(numpy_dtype), "ans", threads=1),
        lambda blob: codec.decode(blob, 1).view(np.uint8),
    )


def _zipnn(dtype: str, itemsize: int) -> list[Peer]:
    names = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
    zipnn = importlib.import_module("zipnn")
    if dtype not in names:
        return []
    with contextlib.redirect_stdout(io.StringIO()):
        coder = zipnn.ZipNN(bytearray_dtype=names[dtype], threads=1)

    def compress(data: Bytes) -> Any:
        return coder.compress(bytearray(data.tobytes()))  # it works in place: on a copy

    return [Peer("zipnn", compress, coder.decompress)]


def _blosc2(_dtype: str, itemsize: int) -> list[Peer]:
    blosc2 = importlib.import_module("blosc2")
    blosc2.set_nthreads(1)

    def peer(name: str, filter_name: str, coder: str) -> Peer:
        options = {"typesize": itemsize, "clevel": 5}
        options |= {"filter": getattr(blosc2.Filter, filter_name), "codec": getattr(blosc2.Codec, coder)}
        return _into_memory(
            name,
            lambda data: blosc2.compress(data, **options),
            lambda made, out: blosc2.decompress(made, dst=out),
        )

    return [
        peer(f"blosc2 {filter_name.lower()}+{coder.lower()}", filter_name, coder)
        for filter_name in ("BITSHUFFLE", "SHUFFLE")
        for coder in ("LZ4", "ZSTD")
    ]


def _zstandard(_dtype: str, _itemsize: int) -> list[Peer]:
    zstandard = importlib.import_module("zstandard")
    compressor, decompressor = zstandard.ZstdCompressor(level=3), zstandard.ZstdDecompressor()

    def fill(made: Any, out: Bytes) -> None:
        reader, done = decompressor.stream_reader(made), 0
        while got := reader.readinto(out[done:].data):
            done += got

    return [_into_memory("zstandard-3", lambda data: compressor.compress(data.data), fill)]


def _lz4(_dtype: str, _itemsize: int) -> list[Peer]:
    block = importlib.import_module("lz4.block")
    return [Peer("lz4 (plain)", lambda data: block.compress(data.data), block.decompress)]
