"""Exported graphs compute what the source model computes: against numpy, transformers and recorded tokens."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from checkpoints import CONFIG, PlainRunner, random_tensors, shared_folder, write_llama

from exporters.export import ExportOptions, export
from exporters.package.codec_choice import CodecChoice

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "head_dim_8": {"head_dim": 8},
    "head_dim_16": {"head_dim": 16},
    "head_dim_20": {"head_dim": 20},
    "head_dim_2": {"head_dim": 2},
    "head_dim_24": {"head_dim": 24},
    "head_dim_64": {"head_dim": 64},
    "tied": {"tie_word_embeddings": True},
    "tied_head_dim_8": {"tie_word_embeddings": True, "head_dim": 8},
    "one_kv_head": {"num_key_value_heads": 1},
    "all_kv_heads": {"num_key_value_heads": 4},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "biases_head_dim_20": {"attention_bias": True, "mlp_bias": True, "head_dim": 20},
    "one_layer": {"num_hidden_layers": 1},
    "theta": {"rope_theta": 500000.0},
    "llama3": {"rope_scaling": LLAMA3},
    "llama3_head_dim_20": {"rope_scaling": LLAMA3, "head_dim": 20},
    "linear": {"rope_scaling": {"type": "linear", "factor": 2.5}},
    "rope_parameters": {"rope_theta": None, "rope_parameters": LLAMA3 | {"rope_theta": 50000.0}},
    "epsilon": {"rms_norm_eps": 0.01},
}
Exported: TypeAlias = tuple[Path, Path, dict[str, Any]]  # checkpoint, its export, its configuration
PROMPT = [1, 17, 42, 5, 91, 33, 60, 8, 8, 71]
TOLERANCE = 1e-4  # of the range of the logits; the sources are float32 sums of some hundred terms


def frequencies(config: dict[str, Any]) -> np.ndarray:
    """Rotations a position of each pair, from the definitions, in float64."""
    dim = config["head_dim"]
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    theta = rope.get("rope_theta") or config["rope_theta"]
    result = theta ** -(np.arange(0, dim, 2) / dim)
    kind = rope.get("rope_type", rope.get("type"))
    if kind == "linear":
        return result / rope["factor"]
    if kind != "llama3":
        return result
    turns = rope["original_max_position_embeddings"] * result / (2 * math.pi)
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    keep = np.clip((turns - low) / (high - low), 0, 1)
    return result * (keep + (1 - keep) / rope["factor"])


def reference_logits(config: dict[str, Any], tensors: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    """Logits [tokens, vocabulary] of a Llama in float64, written from the paper."""
    weights = {name: array.astype(np.float64) for name, array in tensors.items()}
    heads, kv_heads, dim = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    angles = np.arange(len(ids))[:, None] * frequencies(config)

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + config["rms_norm_eps"]) * weights[f"{name}.weight"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0.0)

    def rotate(x: np.ndarray) -> np.ndarray:
        first, second = x[..., : dim // 2], x[..., dim // 2 :]
        cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], -1)

    def attention(x: np.ndarray, name: str) -> np.ndarray:
        q = rotate(linear(x, f"{name}.q_proj").reshape(-1, heads, dim))
        k = rotate(linear(x, f"{name}.k_proj").reshape(-1, kv_heads, dim)).repeat(heads // kv_heads, 1)
        v = linear(x, f"{name}.v_proj").reshape(-1, kv_heads, dim).repeat(heads // kv_heads, 1)
        scores = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(dim)
        scores = np.where(np.tri(len(ids), dtype=bool), scores, -np.inf)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        return linear(np.einsum("hqk,khd->qhd", scores, v).reshape(len(ids), -1), f"{name}.o_proj")

    def mlp(x: np.ndarray, name: str) -> np.ndarray:
        gate = linear(x, f"{name}.gate_proj")
        return linear(gate / (1 + np.exp(-gate)) * linear(x, f"{name}.up_proj"), f"{name}.down_proj")

    x = weights["model.embed_tokens.weight"][ids]
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}"
        x = x + attention(norm(x, f"{layer}.input_layernorm"), f"{layer}.self_attn")
        x = x + mlp(norm(x, f"{layer}.post_attention_layernorm"), f"{layer}.mlp")
    head = weights.get("lm_head.weight", weights["model.embed_tokens.weight"])
    return norm(x, "model.norm") @ head.T


def assert_close(got: np.ndarray, expected: np.ndarray) -> None:
    error = np.abs(got - expected).max() / (expected.max() - expected.min())
    assert error < TOLERANCE, f"largest error {error:.2e} of the range"


@pytest.fixture(params=VARIANTS, scope="module")
def variant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A checkpoint, its export and its configuration."""
    changes = VARIANTS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    model = write_llama(folder / "model", **changes)
    export(model, folder / "out")
    return model, folder / "out", CONFIG | changes


def test_logits_of_prompt_equal_numpy_reference(variant: Exported) -> None:
    _, out, config = variant
    expected = reference_logits(config, random_tensors(config), PROMPT)
    assert_close(PlainRunner(out).step(PROMPT), expected)


def test_logits_with_cache_equal_those_of_one_pass(variant: Exported) -> None:
    _, out, config = variant
    runner = PlainRunner(out)
    stepwise = np.concatenate([runner.step(PROMPT[:4]), runner.step(PROMPT[4:5]), runner.step(PROMPT[5:])])
    assert_close(stepwise, reference_logits(config, random_tensors(config), PROMPT))


def test_logits_of_a_batch_equal_those_of_its_rows(variant: Exported) -> None:
    _, out, _ = variant
    runner = PlainRunner(out)
    ids = np.array([PROMPT, PROMPT[::-1]], np.int64)
    feed = {name: cache.repeat(2, 0) for name, cache in runner.cache.items()}
    feed["input_ids"], feed["attention_mask"] = ids, np.ones_like(ids)
    feed["position_ids"] = np.arange(len(PROMPT), dtype=np.int64)[None].repeat(2, 0)
    logits = runner.session.run(["logits"], feed)[0]
    assert_close(logits[0], PlainRunner(out).step(PROMPT))
    assert_close(logits[1], PlainRunner(out).step(PROMPT[::-1]))


@pytest.mark.filterwarnings("ignore")
def test_logits_and_greedy_tokens_equal_transformers(variant: Exported) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    source, out, _ = variant
    model = transformers.LlamaForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    with torch.no_grad():
        assert_close(PlainRunner(out).step(PROMPT), model(torch.tensor([PROMPT])).logits[0].numpy())
        ids = list(PROMPT)
        for _ in range(32):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    assert PlainRunner(out).greedy(PROMPT, 32) == ids[len(PROMPT) :]


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
@pytest.mark.parametrize("codec", ["stored", "lz4"])
def test_logits_of_other_dtypes_equal_numpy_reference(tmp_path: Path, dtype: str, codec: str) -> None:
    export(
        write_llama(tmp_path / "model", dtype=dtype), tmp_path / "out", ExportOptions(codec=CodecChoice.parse(codec))
    )
    assert_close(
        PlainRunner(tmp_path / "out").step(PROMPT), reference_logits(CONFIG, random_tensors(CONFIG, dtype), PROMPT)
    )


def test_logits_of_shards_equal_those_of_one_file(tmp_path: Path) -> None:
    export(write_llama(tmp_path / "one"), tmp_path / "one-out")
    export(write_llama(tmp_path / "three", shards=3), tmp_path / "three-out")
    assert (tmp_path / "one-out/model.lpc").read_bytes() == (tmp_path / "three-out/model.lpc").read_bytes()
    np.testing.assert_array_equal(
        PlainRunner(tmp_path / "one-out").step(PROMPT), PlainRunner(tmp_path / "three-out").step(PROMPT)
    )


@pytest.mark.parametrize("codec", ["stored", "lz4"])
def test_stories260k_gives_recorded_greedy_tokens(tmp_path: Path, codec: str) -> None:
    model = shared_folder("models", "stories260k")
    export(model, tmp_path / "out", ExportOptions(codec=CodecChoice.parse(codec)))
    for golden in json.loads((model / "golden.json").read_text()):
        runner = PlainRunner(tmp_path / "out")
        assert runner.greedy(golden["prompt_ids"], len(golden["greedy_ids"])) == golden["greedy_ids"]
        last = PlainRunner(tmp_path / "out").step(golden["prompt_ids"])[-1]
        np.testing.assert_allclose(last[:8], golden["last_logits_first8"], atol=2e-5)
