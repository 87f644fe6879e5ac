"""Real models, end to end: the tokens and logits that transformers computed, through every way of running them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from real_models import CODECS, MODELS, ExportModel, RunPython, checkpoint_folder, golden, with_old_onnxruntime

from edge_runtime.session import Model, ProviderName, load

PROVIDERS: tuple[ProviderName, ...] = ("lpc", "cpu")
RELATIVE_TOLERANCE = 1e-4
"""Of the logit range: float32 sums in another order."""

OLD_ONNXRUNTIME = """
import json, sys
import onnxruntime
from edge_runtime import load

model = load(sys.argv[1], provider=sys.argv[2])
tokens = []
for record in json.load(open(sys.argv[3], encoding="utf-8")):
    generation = model.generate(record["prompt"], max_new_tokens=len(record["greedy_ids"]), greedy=True)
    list(generation)
    tokens.append(generation.report.token_ids)
stats = model.stats()
print(json.dumps({
    "version": onnxruntime.__version__, "tokens": tokens, "unclaimed": stats.nodes_unclaimed if stats else None
}))
"""


def greedy_ids(model: Model, prompt: str, count: int) -> list[int]:
    generation = model.generate(prompt, max_new_tokens=count, greedy=True)
    text = "".join(piece.text for piece in generation)
    assert text == generation.report.text
    return list(generation.report.token_ids)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("model_name", MODELS)
def test_generate_greedy_equals_transformers(
    model_name: str, codec: str, provider: ProviderName, export_model: ExportModel
) -> None:
    model = load(export_model(model_name, codec), provider=provider)
    for record in golden(model_name):
        assert model.prompt_ids(record["prompt"]) == record["prompt_ids"]
        assert greedy_ids(model, record["prompt"], len(record["greedy_ids"])) == record["greedy_ids"]
    stats = model.stats()
    if provider == "cpu":
        assert stats is None
    else:
        assert stats is not None
        assert stats.nodes_unclaimed == 0
        assert stats.nodes_claimed > 0
        assert stats.bytes_read > 0
        assert stats.layers_decompressed > 0


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("model_name", MODELS)
def test_generate_greedy_onnxruntime_1_23_equals_transformers(
    model_name: str, codec: str, provider: str, export_model: ExportModel, run_python: RunPython
) -> None:
    environment = with_old_onnxruntime()
    file = checkpoint_folder(model_name) / "golden.json"
    arguments = (str(export_model(model_name, codec)), provider, str(file))
    done = run_python(OLD_ONNXRUNTIME, *arguments, env=environment)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["version"].startswith("1.23.")
    assert result["tokens"] == [record["greedy_ids"] for record in golden(model_name)]
    assert result["unclaimed"] == (0 if provider == "lpc" else None)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("model_name", MODELS)
def test_logits_after_prompt_equal_transformers(
    model_name: str, provider: ProviderName, export_model: ExportModel
) -> None:
    model = load(export_model(model_name, "lz4"), provider=provider)
    for record in golden(model_name):
        logits = model.logits(record["prompt_ids"])
        assert logits.shape == (len(record["prompt_ids"]), model.package.vocab_size)
        expected = np.array(record["last_logits_first8"])
        assert np.abs(logits[-1, :8] - expected).max() <= RELATIVE_TOLERANCE * np.ptp(logits[-1])


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("chunk", [1, 3])
def test_prefill_in_chunks_equals_one_pass(chunk: int, provider: ProviderName, export_model: ExportModel) -> None:
    folder = export_model("demo_model", "lz4")
    whole, chunked = load(folder, provider=provider), load(folder, provider=provider, prefill_chunk=chunk)
    for record in golden("demo_model"):
        expected = whole.logits(record["prompt_ids"])
        difference = np.abs(chunked.logits(record["prompt_ids"]) - expected).max()
        assert difference <= RELATIVE_TOLERANCE * np.ptp(expected)
        assert greedy_ids(chunked, record["prompt"], 16) == record["greedy_ids"][:16]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("model_name", MODELS)
def test_logits_every_position_equal_live_transformers(
    model_name: str, provider: ProviderName, export_model: ExportModel
) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    reference = transformers.AutoModelForCausalLM.from_pretrained(checkpoint_folder(model_name), dtype=torch.float32)
    model = load(export_model(model_name, "lz4"), provider=provider)
    for record in golden(model_name):
        ids = record["prompt_ids"] + record["greedy_ids"]
        with torch.no_grad():
            expected = reference(torch.tensor([ids])).logits[0].numpy()
        assert np.abs(model.logits(ids) - expected).max() <= RELATIVE_TOLERANCE * np.ptp(expected)
