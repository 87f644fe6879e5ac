"""Unmutated inputs: tiny models of several shapes, exported in several ways."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import families
from checkpoints import write_llama

ROOT = Path(__file__).resolve().parents[2]
WORDS = "w5 w17 w42 w9"
TEXT = "Once upon a time"


def llama(folder: Path) -> Path:
    """A Llama with a tokenizer of words."""
    return write_llama(folder, max_position_embeddings=64)


def sharded(folder: Path) -> Path:
    """The same in three files with an index, float16, the head tied."""
    return write_llama(folder, dtype="F16", shards=3, tie_word_embeddings=True)


def demo(folder: Path) -> Path:
    """The demo model, whose tokenizer has merges, a decoder and a configuration."""
    source = ROOT / "examples" / "demo_model"
    folder.mkdir()
    for name in (
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ):
        shutil.copy(source / name, folder)
    return folder


def family(name: str) -> Callable[[Path], Path]:
    """A tiny model of a family that transformers knows."""

    def write(folder: Path) -> Path:
        return families.write_checkpoint(folder, families.load(name))

    return write


CHECKPOINTS: dict[str, Callable[[Path], Path]] = {
    "llama": llama,
    "sharded": sharded,
    "demo": demo,
    "gemma3": family("gemma3"),
    "gpt2": family("gpt2"),
    "mixtral": family("mixtral"),
    "phi3": family("phi3_longrope"),
}
PACKAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "lz4": ("llama", ("--codec", "lz4")),
    "ans": ("llama", ("--codec", "ans")),
    "packed": ("llama", ("--codec", "packed")),
    "stored": ("llama", ("--codec", "stored")),
    "int8": ("llama", ("--quantize", "int8", "--codec", "ans")),
    "pruned": ("llama", ("--prune", "0.5", "--codec", "bitmap:stored")),
    "tied": ("sharded", ("--codec", "lz4")),
    "gemma3": ("gemma3", ("--codec", "ans")),
    "gpt2": ("gpt2", ("--codec", "lz4")),
    "mixtral": ("mixtral", ("--codec", "packed")),
    "demo": ("demo", ("--codec", "lz4")),
}


def prompt(base: str) -> str:
    """What a base is asked to continue."""
    return TEXT if base == "demo" else WORDS


def write(names: set[str], place: Path) -> dict[str, Path]:
    """Write these checkpoints below `place`."""
    place.mkdir(parents=True, exist_ok=True)
    return {name: CHECKPOINTS[name](place / name) for name in sorted(names)}
