"""LongRoPE: a text takes the waves that the whole of it needs, however many passes it is read in."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import families
import numpy as np
import onnx
import pytest
from checkpoints import unseal

from edge_runtime.errors import FormatError
from edge_runtime.session import load
from exporters.export import export

TRAINED = 24  # original_max_position_embeddings of the records
NAMES = ("llama_longrope", "phi3_longrope")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The exported records."""
    folder = tmp_path_factory.mktemp("longrope")
    for name in NAMES:
        export(families.write_checkpoint(folder / f"{name}-model", families.load(name)), folder / name)
    return {name: folder / name for name in NAMES}


@pytest.mark.parametrize("chunk", [1, 4, 24, 512])
@pytest.mark.parametrize("name", NAMES)
def test_prompt_longer_than_the_original_length_in_several_passes_equals_one_pass(
    folders: dict[str, Path], name: str, chunk: int
) -> None:
    record = families.load(name)
    ids = families.PROMPT + record["tokens"]
    model = load(folders[name], provider="cpu", prefill_chunk=chunk)
    assert families.error_of(model.logits(ids)[-1], record["last_logits"]) < families.TOLERANCE
    assert families.error_of(model.decoder(len(ids)).prefill(ids), record["last_logits"]) < families.TOLERANCE
    short = model.logits(families.PROMPT)  # the next text has waves of its own
    assert families.error_of(short, record["logits"]) < families.TOLERANCE


@pytest.mark.parametrize("begin", [1, TRAINED - 1, TRAINED])
def test_phi3_text_that_outgrows_the_original_length_is_computed_anew(folders: dict[str, Path], begin: int) -> None:
    """By a second prompt or by single tokens, with a cache that ends before the border or at it."""
    record = families.load("phi3_longrope")
    ids = families.PROMPT + record["tokens"]
    model = load(folders["phi3_longrope"], provider="cpu", prefill_chunk=5)
    appended, stepped = model.decoder(len(ids)), model.decoder(len(ids))
    appended.prefill(ids[:begin])
    assert families.error_of(appended.prefill(ids[begin:]), record["last_logits"]) < families.TOLERANCE
    stepped.prefill(ids[:begin])
    rows = [np.array(stepped.step(token)) for token in ids[begin:]]
    whole = families.Runner(folders["phi3_longrope"], use_provider=False)
    border = whole.logits(ids[: TRAINED + 1])[-1]
    assert families.error_of(rows[TRAINED - begin], border) < families.TOLERANCE


def test_phi3_text_within_or_past_the_original_length_is_not_computed_anew(folders: dict[str, Path]) -> None:
    record = families.load("phi3_longrope")
    ids = families.PROMPT + record["tokens"]
    model = load(folders["phi3_longrope"], provider="cpu")
    for begin, end in ((5, TRAINED), (TRAINED + 1, len(ids))):
        decoder = model.decoder(len(ids))
        decoder.prefill(ids[:begin])
        passes = list(decoder.prefill_chunks(ids[begin:end]))
        assert [chunk.shape[1] for chunk in passes] == [end - begin]


def test_llama_text_that_outgrows_the_original_length_keeps_its_cache(folders: dict[str, Path]) -> None:
    """As transformers does: keys in the cache keep their waves, those that follow have the long ones."""
    ids = families.PROMPT + families.load("llama_longrope")["tokens"]
    runner = families.Runner(folders["llama_longrope"], use_provider=False)
    runner.reset(1)
    runner.step([ids[:20]])
    expected = runner.step([ids[20:]])[0]
    decoder = load(folders["llama_longrope"], provider="cpu", prefill_chunk=3).decoder(len(ids))
    decoder.prefill(ids[:20])
    assert families.error_of(np.concatenate([c[0] for c in decoder.prefill_chunks(ids[20:])]), expected) < 1e-6


def test_longrope_graph_is_complete_without_the_length(folders: dict[str, Path]) -> None:
    """A plain session need not know the input that tells the length of the text."""
    graph = onnx.load(folders["phi3_longrope"] / "model.onnx", load_external_data=False).graph
    initialized = {tensor.name for tensor in graph.initializer}
    assert [value.name for value in graph.input if value.name in initialized] == ["text_length"]
    runner = families.Runner(folders["phi3_longrope"], use_provider=False)
    assert "text_length" not in [value.name for value in runner.session.get_inputs()]


def test_longrope_graph_with_broken_metadata_is_refused_by_name(folders: dict[str, Path], tmp_path: Path) -> None:
    broken: dict[str, Any] = {"lpc.recomputed_after": "soon\x1b"}
    folder = unseal(Path(shutil.copytree(folders["phi3_longrope"], tmp_path / "out")))
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    onnx.helper.set_model_props(model, broken)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FormatError, match=r"its metadata says lpc.recomputed_after=soon\\x1b; expected a graph"):
        load(folder, provider="cpu")
