"""What lpc-export reads: mutated, exported, and the folder's weights compared with what the mutated source says."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mutate import bases, bytes_, child, files_, gguf_, json_, reading, safetensors_, verdict
from mutate.cases import Case, Mutators, NotApplicable, Weights, mutate
from mutate.packages import export
from mutate.verdict import FAILED, OTHER, SAME, Verdict, failed

_ON_BYTES = (bytes_.flipped, bytes_.cut, bytes_.extended, bytes_.overwritten, bytes_.recoded)
_PLAIN_NORMS = ("llama", "sharded", "demo")


def on_files() -> Mutators:
    """Mutations that any folder can have."""
    found: Mutators = {
        "swapped": (files_.swapped, 2),
        "gone": (files_.gone, 2),
        "replaced": (files_.replaced, 5),
        "added": (files_.added, 3),
    }
    return found | {change.__name__: (bytes_.on_file(change), 2) for change in _ON_BYTES}


class Source(ABC):
    """A kind of source. Subclasses say how it is written, and what its weights are."""

    name = ""
    mutators: ClassVar[Mutators] = {}
    manners: ClassVar[Weights] = {"lz4": 3, "auto": 3, "packed": 2, "ans": 1, "fp32": 1}
    bases: tuple[str, ...] = ()
    file = ""

    def __init__(self, only: tuple[str, ...] = ()) -> None:
        self.bases = only or self.bases
        self._folders: dict[str, Path] = {}

    @abstractmethod
    def write(self, base: str, folder: Path) -> None:
        """Write the unmutated input."""

    @abstractmethod
    def checked(self, case: Case, folder: Path, out: Path) -> Verdict | None:
        """What is wrong with the exported folder; None if nothing is."""

    def prepare(self, place: Path) -> None:
        """Write the bases and export each."""
        for base in self.bases:
            self._folders[base] = place / base
            self.write(base, place / base)
            found = self.attempt(Case(self.name, 0, 0, base, (), False, "auto"), place / "try" / base)
            assert found.outcome == SAME, f"{base}: {found}"

    def attempt(self, case: Case, place: Path) -> Verdict:
        """Mutate a copy, export it, compare."""
        place.mkdir(parents=True, exist_ok=True)
        folder = place / "input"
        shutil.copytree(self._folders[case.base], folder)
        done_to_it = mutate(self, case, folder)
        before = {path.name for path in place.iterdir()}
        done = export(folder / self.file, place / "out", *_options(case))
        said = verdict.of_end(done, "lpc-export")
        left = {path.name for path in place.iterdir()} - before
        if said is not None:
            return failed(f"refused, but left {', '.join(sorted(left))}") if left and said.outcome != FAILED else said
        if left != {"out"}:
            return failed(f"left {', '.join(sorted(left))}")
        return self.checked(case, folder, place / "out") or Verdict(OTHER if done_to_it else SAME)

    def script(self, case: Case) -> str:
        """How the kept input is used."""
        return f"lpc-export input/{self.file} -o out --threads 1 {' '.join(_options(case))}"


class Model(Source):
    """A source that says what its weights are."""

    @abstractmethod
    def weights(self, folder: Path, out: Path) -> dict[str, Any]:
        """What the mutated input says the weights are, read without the code under test."""

    def checked(self, case: Case, folder: Path, out: Path) -> Verdict | None:
        """What is wrong with the exported folder; None if nothing is."""
        lossless = case.manner != "fp32"
        if lossless:
            try:
                expected = self.weights(folder, out)
            except (NotApplicable, KeyError, ValueError, TypeError) as error:
                return failed(
                    f"exported, but by the format's description it is malformed ({type(error).__name__}: {error})"
                )
            wrong = reading.difference(out, expected, case.base in _PLAIN_NORMS)
            if wrong:
                return failed(f"exported, but {wrong}")
            said = verdict.of_end(verified(folder / self.file, out), "lpc-export")
            if said is not None:
                return failed(f"exported, but verify --against says: {said.reason[:300]}")
        return self.ran(case, out)

    def ran(self, case: Case, out: Path) -> Verdict | None:
        """Whether what was exported runs, or is refused clearly."""
        from edge_runtime.cli.run import main

        arguments = [out.name, "-p", bases.prompt(case.base), "-n", "2", "--greedy", "--json", "--threads", "1"]
        said = verdict.of_end(child.run(main, arguments, out.parent), "lpc-run")
        return said if said is not None and said.outcome == FAILED else None


class Checkpoints(Model):
    """The kind `checkpoint`: Hugging Face folders."""

    name = "checkpoint"
    bases = tuple(bases.CHECKPOINTS)
    mutators: ClassVar[Mutators] = on_files() | {
        "config": (json_.on_json("config.json"), 16),
        "index": (json_.on_json("*.index.json"), 4),
        "tokenizer": (json_.on_json("tokenizer*.json"), 8),
        "generation": (json_.on_json("generation_config.json"), 1),
        "header": (safetensors_.on_header, 16),
        "length": (safetensors_.on_length, 4),
        "values": (safetensors_.on_values, 4),
    }

    def write(self, base: str, folder: Path) -> None:
        bases.CHECKPOINTS[base](folder)

    def weights(self, folder: Path, out: Path) -> dict[str, Any]:
        return safetensors_.tensors(folder)


class Ggufs(Model):
    """The kind `gguf`: GGUF files with a tokenizer beside them, or one of their own."""

    name = "gguf"
    file = "model.gguf"
    bases = ("F16", "BF16", "F32", "own")
    mutators: ClassVar[Mutators] = {
        "header": (gguf_.on_gguf(gguf_.header), 3),
        "value": (gguf_.on_gguf(gguf_.value), 12),
        "info": (gguf_.on_gguf(gguf_.info), 10),
        "payload": (gguf_.on_gguf(gguf_.payload), 3),
        "replaced": (files_.replaced, 2),
        "tokenizer": (json_.on_json("tokenizer.json"), 2),
        **{change.__name__: (bytes_.on_file(change, "model.gguf"), 2) for change in _ON_BYTES[:4]},
    }

    def write(self, base: str, folder: Path) -> None:
        from test_gguf_source import write_gguf
        from test_gguf_tokenizer import sentence_piece, with_tokenizer

        folder.mkdir(parents=True)
        file = write_gguf(folder / self.file, "F16" if base == "own" else base)
        if base == "own":
            with_tokenizer(file, file, sentence_piece())
            (folder / "tokenizer.json").unlink()

    def weights(self, folder: Path, out: Path) -> dict[str, Any]:
        import json

        from test_gguf_source import NAMES

        genai = json.loads((out / "genai_config.json").read_bytes())["model"]["decoder"]
        back = {name: transformers for transformers, name in NAMES.items()}
        found = {}
        for name, array in gguf_.tensors(folder / self.file).items():
            *block, kind, suffix = name.split(".")
            if kind not in back:
                continue  # factors of the rotation
            if kind in ("attn_q", "attn_k"):
                heads = genai["num_attention_heads" if kind == "attn_q" else "num_key_value_heads"]
                array = _in_order_of_transformers(array, heads)
            found[f"model.layers.{block[1]}.{back[kind]}.{suffix}" if block else f"{back[kind]}.{suffix}"] = array
        return found


def _in_order_of_transformers(array: Any, heads: int) -> Any:
    """Rows 2 i and 2 i + 1 of a head are its rows i and i + half: row by row, not as the exporter does it."""
    rows = array.shape[0] // heads
    order = [head * rows + (row % (rows // 2)) * 2 + row // (rows // 2) for head in range(heads) for row in range(rows)]
    return np.ascontiguousarray(array[order])


def verified(source: Path, out: Path) -> child.Done:
    from exporters.cli import main

    return child.run(main, ["verify", out.name, "--against", str(source), "--threads", "1"], out.parent)


def _options(case: Case) -> tuple[str, ...]:
    return ("--dtype", "fp32") if case.manner == "fp32" else ("--codec", case.manner)
