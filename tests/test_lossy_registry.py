"""Passes are objects: one that is new needs a line in the registry, and nothing else."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from checkpoints import CONFIG, random_tensors, write_llama

from edge_runtime import codec
from edge_runtime.errors import ExportError
from exporters.export import ExportOptions, export
from exporters.graphs.interface import WeightGraph
from exporters.transforms import registry, transform
from exporters.transforms.options import LossyOptions
from exporters.transforms.passes import Pass
from exporters.transforms.pieces import Piece
from exporters.transforms.prune import Pruning
from exporters.transforms.subject import Subject

SIZES = {"hidden_size": 128, "intermediate_size": 160, "vocab_size": 96}
QUIET = LossyOptions(compensate=False, measure=False)


class Halve(Pass):
    """Halves products' weights whose largest magnitude is over the mean of all: it has to look at all of them first."""

    name = "halve"
    changes_graph = False

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.elements = 0

    @classmethod
    def of(cls, options: LossyOptions) -> Halve:
        return cls()

    def decide(self, subject: Subject) -> None:
        inner = [name for name in subject.names if subject.is_inner_factor(name)]
        largest = {name: float(np.abs(subject.sample(name)).max()) for name in inner}
        self.chosen = sorted(name for name in largest if largest[name] >= np.mean(list(largest.values())))

    def decided(self) -> Iterable[Any]:
        return (self.chosen,)

    def touches(self, name: str) -> bool:
        return name in self.chosen

    def apply(self, piece: Piece) -> None:
        piece.values *= 0.5
        piece.tally[self.name] += piece.values.size

    def end(self, name: str, stored: np.ndarray[Any, Any], tally: Mapping[str, int]) -> int:
        self.seen.append(name)
        self.elements += tally[self.name]
        return 0

    def report(self, compensated: bool) -> dict[str, Any]:
        return {"pass": self.name, "weights": self.elements, "compensated": compensated}


class Named(Halve):
    """The same, and leaves a note in the graph."""

    name = "named"
    changes_graph = True

    def rewrite(self, graph: WeightGraph) -> None:
        graph.metadata["lpc.halved"] = ",".join(self.chosen)  # type: ignore[attr-defined]


class Undeclared(Named):
    """Would change the graph, and does not say so."""

    changes_graph = False


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "model", **SIZES)


def tensors_of(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    manifest = json.loads((folder / "lpc.json").read_bytes())
    data = np.fromfile(folder / "model.lpc", np.uint8)
    return {
        entry["name"]: codec.decode(data[entry["offset"] : entry["offset"] + entry["bytes"]])
        for entry in manifest["tensors"]
    }


def metadata(folder: Path) -> dict[str, str]:
    return {
        entry.key: entry.value for entry in onnx.load(folder / "model.onnx", load_external_data=False).metadata_props
    }


def registered(monkeypatch: pytest.MonkeyPatch, known: type[Pass]) -> None:
    monkeypatch.setattr(registry, "PASSES", [*registry.PASSES, known])


def test_pass_that_is_registered_decides_is_applied_and_reports(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not registry.changes(QUIET)
    registered(monkeypatch, Halve)
    result = export(model, tmp_path / "out", ExportOptions(lossy=QUIET))
    source, stored = random_tensors({**CONFIG, **SIZES}), tensors_of(tmp_path / "out")
    halved = [name for name in stored if np.array_equal(stored[name], source[name] * ml_dtypes.bfloat16(0.5))]
    kept = [name for name in stored if np.array_equal(stored[name], source[name])]
    assert halved
    assert kept
    assert len(halved) + len(kept) == len(stored)
    weights = sum(stored[name].size for name in halved)
    assert result.passes == ({"pass": "halve", "weights": weights, "compensated": False},)
    assert json.loads((tmp_path / "out" / "lpc.json").read_bytes())["lossy"]["passes"] == list(result.passes)
    assert not result.lossless


def test_pass_that_is_registered_works_with_the_others(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(monkeypatch, Halve)
    options = LossyOptions(
        quantize=True, scaling=False, pruning=Pruning(0.5, "row", "magnitude"), compensate=False, measure=False
    )
    result = export(model, tmp_path / "out", ExportOptions(lossy=options))
    assert [each["pass"] for each in result.passes] == ["prune", "quantize", "halve"]
    assert all(array.dtype == np.int8 for array in tensors_of(tmp_path / "out").values())
    pruned = next(each for each in result.passes if each["pass"] == "prune")
    assert pruned["zeros"] == pytest.approx(0.5, abs=0.01)


def test_pass_that_is_registered_takes_part_in_compensation(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(monkeypatch, Halve)
    text = tmp_path / "text.txt"
    text.write_text("Once upon a time there was a little cat. " * 20, encoding="utf-8")
    options = LossyOptions(calibration=text, measure=False)
    result = export(model, tmp_path / "out", ExportOptions(lossy=options))
    assert [each["pass"] for each in result.passes] == ["calibrate", "halve"]
    assert result.passes[1]["compensated"]
    source, stored = random_tensors({**CONFIG, **SIZES}), tensors_of(tmp_path / "out")
    first = [
        name for name in stored if np.array_equal(stored[name][:, 0], source[name][:, 0] * ml_dtypes.bfloat16(0.5))
    ]
    assert first  # the first column has nothing to make up for
    assert any(not np.array_equal(stored[name], source[name] * ml_dtypes.bfloat16(0.5)) for name in first)


@pytest.mark.parametrize(("known", "noted"), [(Named, True), (Undeclared, False)])
def test_pass_changes_the_graph_only_if_it_says_so(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: type[Pass], noted: bool
) -> None:
    registered(monkeypatch, known)
    export(model, tmp_path / "out", ExportOptions(lossy=QUIET))
    assert ("lpc.halved" in metadata(tmp_path / "out")) == noted


def test_what_a_pass_decides_is_part_of_what_an_export_goes_on_with(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stubborn(Halve):
        def end(self, name: str, stored: np.ndarray[Any, Any], tally: Mapping[str, int]) -> int:
            if len(self.seen) == 2:
                raise ExportError("that is enough")
            return super().end(name, stored, tally)

    class Other(Halve):
        def decide(self, subject: Subject) -> None:
            super().decide(subject)
            self.chosen = self.chosen[:-1]

    registered(monkeypatch, Stubborn)
    with pytest.raises(ExportError, match="that is enough"):
        export(model, tmp_path / "out", ExportOptions(lossy=QUIET))
    monkeypatch.setattr(registry, "PASSES", [*registry.PASSES[:-1], Other])
    assert export(model, tmp_path / "out", ExportOptions(lossy=QUIET)).resumed == 0


def test_every_pass_says_whether_it_changes_the_graph() -> None:
    declared = {known.name: known.changes_graph for known in registry.PASSES}
    assert declared == {"prune": False, "quantize": True, "scale": True}


def test_runner_names_no_pass() -> None:
    text = inspect.getsource(transform)
    assert not [known.name for known in registry.PASSES if known.__name__ in text]
