"""Every model family computes what transformers computed: golden records, through the provider and the fallback op."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import families
import numpy as np
import onnx
import pytest
from checkpoints import write_safetensors

from edge_runtime import provider
from edge_runtime.errors import ConfigError
from edge_runtime.session import load
from exporters.architectures import registry
from exporters.architectures.registry import MODEL_TYPES, REFUSED
from exporters.checkpoints.checkpoint import Checkpoint
from exporters.export import export

Exported = tuple[dict[str, Any], Path]  # the record and the exported folder


@pytest.fixture(params=families.names(), scope="module")
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A record and its export."""
    record = families.load(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    export(families.write_checkpoint(folder / "model", record), folder / "out")
    return record, folder / "out"


@pytest.mark.parametrize("use_provider", [True, False], ids=["provider", "fallback"])
def test_family_logits_and_tokens_equal_transformers(family: Exported, use_provider: bool) -> None:
    record, out = family
    runner = families.Runner(out, use_provider)
    assert families.error_of(runner.logits(families.PROMPT), record["logits"]) < families.TOLERANCE
    whole = families.PROMPT + record["tokens"]
    assert families.error_of(runner.logits(whole)[-1], record["last_logits"]) < families.TOLERANCE
    assert runner.greedy([families.PROMPT], families.NEW_TOKENS)[0] == record["tokens"]
    assert runner.greedy(families.BATCH, families.BATCH_NEW_TOKENS) == record["batch_tokens"]
    if use_provider:
        graph = onnx.load(out / "model.onnx", load_external_data=False).graph
        weights = sum(node.op_type == "Decompress" for node in graph.node)
        stats = provider.session_stats(runner.session_id)
        assert (stats.nodes_claimed, stats.nodes_unclaimed) == (weights, 0)


def test_family_with_cache_in_place_gives_the_same_tokens(family: Exported) -> None:
    record, out = family
    model = load(out, prefill_chunk=4)
    generation = model.generate(families.PROMPT, max_new_tokens=families.NEW_TOKENS, greedy=True)
    for _ in generation:
        pass
    tokens = record.get("generated", record["tokens"])
    expected = itertools.takewhile(lambda token: token not in model.package.eos_ids, tokens)
    assert list(generation.report.token_ids) == list(expected)


def test_every_family_has_a_golden_record() -> None:
    recorded = {families.load(name)["config"]["model_type"] for name in families.names()}
    assert recorded == set(MODEL_TYPES)


@pytest.mark.parametrize("model_type", sorted(REFUSED))
def test_refused_family_is_named_with_its_reason(tmp_path: Path, model_type: str) -> None:
    with pytest.raises(ConfigError, match=f'model_type is "{model_type}", .*; {model_type}: {REFUSED[model_type]}'):
        export(with_config(tmp_path, "llama", model_type=model_type), tmp_path / "out")


REFUSED_CONFIGS: dict[str, tuple[str, dict[str, Any], str]] = {
    "falcon_alibi": ("falcon_7b", {"alibi": True}, "alibi is true, expected false"),
    "falcon_new_serial": ("falcon_40b", {"parallel_attn": False}, "parallel_attn is false, expected true with"),
    "falcon_three_norms": ("falcon_7b", {"num_ln_in_parallel_attn": 3}, "num_ln_in_parallel_attn is 3, expected 1"),
    "gemma2_bidirectional": ("gemma2", {"use_bidirectional_attention": True}, "use_bidirectional_attention is true"),
    "gemma_bidirectional": ("gemma", {"use_bidirectional_attention": True}, "use_bidirectional_attention is true"),
    "gemma3_bidirectional": ("gemma3", {"use_bidirectional_attention": True}, "use_bidirectional_attention is true"),
    "gemma3_layer_types": ("gemma3", {"layer_types": ["chunked_attention"] * 4}, "layer_types is .*, expected 4 of"),
    "gpt2_cross_attention": ("gpt2", {"add_cross_attention": True}, "add_cross_attention is true, expected false"),
    "gpt2_activation": ("gpt2", {"activation_function": "mish"}, 'activation_function is "mish", expected \'silu\''),
    "gpt2_odd_heads": ("gpt2", {"n_head": 7}, "n_embd is 64, expected a multiple of n_head, 7"),
    "llama_window": ("llama", {"sliding_window": 16}, "sliding_window is 16, expected no such key"),
    "mixtral_too_many_chosen": ("mixtral", {"num_experts_per_tok": 5}, "num_experts_per_tok is 5, expected at most"),
    "opt_no_norm_weights": ("opt", {"layer_norm_elementwise_affine": False}, "layer_norm_elementwise_affine is false"),
    "phi3_odd_part": (
        "phi3",
        {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.1}},
        "partial_rotary_factor is 0.1, expected an even number",
    ),
    "qwen2_window_no_integer": (
        "qwen2_window", {"sliding_window": 6.5}, "sliding_window is 6.5, expected an integer of at least 1"
    ),
    "smollm3_layers": ("smollm3", {"no_rope_layers": [1, 0]}, "no_rope_layers is .*, expected 3 of 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED_CONFIGS)
def test_export_of_a_config_the_family_cannot_carry_out_is_refused(tmp_path: Path, case: str) -> None:
    name, changes, expected = REFUSED_CONFIGS[case]
    with pytest.raises(ConfigError, match=expected):
        export(with_config(tmp_path, name, **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["mistral", "gemma2"])
def test_null_window_differs_from_an_absent_one(tmp_path: Path, name: str) -> None:
    """Null means none; absent means the family's 4096, which matters once the context is longer."""

    def windowed(folder: Path) -> bool:
        export(folder, folder.with_name("out"))
        graph = onnx.load(folder.with_name("out") / "model.onnx", load_external_data=False).graph
        return any(node.name.startswith("window_4096/") for node in graph.node)

    without = with_config(tmp_path / "null", name, sliding_window=None, max_position_embeddings=4100, layer_types=None)
    default = with_config(tmp_path / "absent", name, max_position_embeddings=4100)
    stated = json.loads((default / "config.json").read_text())
    (default / "config.json").write_text(json.dumps({k: v for k, v in stated.items() if k != "sliding_window"}))
    assert (windowed(without), windowed(default)) == (False, True)


def test_experts_are_weights_of_their_own(tmp_path: Path) -> None:
    graph = registry.build(Checkpoint(with_config(tmp_path, "mixtral"))).graph
    experts = [name for name in graph.weights if ".experts." in name]
    assert len(experts) == 3 * 4 * 3  # layers, experts, products
    assert all(graph.weights[name].shape in [(48, 64), (64, 48)] for name in experts)


@pytest.mark.parametrize(("name", "prefix"), [("gpt2", "transformer."), ("opt", "model.")])
def test_names_of_the_bare_model_are_understood(tmp_path: Path, name: str, prefix: str) -> None:
    """The first checkpoints of both families lack the prefix, and GPT-2's store their causal masks."""
    record = families.load(name)
    model = families.write_checkpoint(tmp_path / "model", record)
    tensors = families.weights(record["tensors"], record["seed"])
    bare = {tensor.removeprefix(prefix): array for tensor, array in tensors.items()}
    if name == "gpt2":
        bare["h.0.attn.bias"] = np.ones((1, 1, 8, 8), np.float32)
    write_safetensors(model / "model.safetensors", bare)
    export(model, tmp_path / "out")
    logits = families.Runner(tmp_path / "out", use_provider=False).logits(families.PROMPT)
    assert families.error_of(logits, record["logits"]) < families.TOLERANCE


OLD_STYLE: dict[str, dict[str, Any]] = {
    "gemma3": {
        "rope_parameters": None, "rope_theta": 1e6, "rope_local_base_freq": 1e4, "layer_types": None,
        "sliding_window_pattern": 3, "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    },
    "llama_yarn": {
        "rope_parameters": None,
        "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 24},
    },
    "stablelm": {"rope_parameters": None, "rope_theta": 1e4, "partial_rotary_factor": 0.25},
    "smollm3": {"layer_types": None},
    "qwen2_window": {"layer_types": None, "rope_parameters": None, "rope_theta": 1e4},
}  # fmt: skip


@pytest.mark.parametrize("name", OLD_STYLE)
def test_config_as_transformers_4_wrote_it_gives_the_same_logits(tmp_path: Path, name: str) -> None:
    export(with_config(tmp_path, name, **OLD_STYLE[name]), tmp_path / "out")
    logits = families.Runner(tmp_path / "out", use_provider=False).logits(families.PROMPT)
    assert families.error_of(logits, families.load(name)["logits"]) < families.TOLERANCE


def test_phi3_longrope_by_its_first_name_gives_the_same_tokens(tmp_path: Path) -> None:
    record = families.load("phi3_longrope")
    new = record["config"]["rope_parameters"]
    old = {"type": "su", "short_factor": new["short_factor"], "long_factor": new["long_factor"]}
    changes = {"rope_parameters": None, "rope_scaling": old, "original_max_position_embeddings": 24}
    export(with_config(tmp_path, "phi3_longrope", rope_theta=1e4, **changes), tmp_path / "out")
    runner = families.Runner(tmp_path / "out", use_provider=False)
    assert runner.greedy([families.PROMPT], families.NEW_TOKENS)[0] == record["tokens"]


def with_config(folder: Path, name: str, **changes: Any) -> Path:
    """Write a record's checkpoint with another config.json."""
    record = families.load(name)
    return families.write_checkpoint(folder / "model", record | {"config": record["config"] | changes})
