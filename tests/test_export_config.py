"""config.json: everything that changes numbers is honoured or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import CONFIG, write_llama

from edge_runtime.config.heads import Heads
from edge_runtime.config.reader import ConfigReader
from edge_runtime.config.rope import Rope
from edge_runtime.errors import ConfigError
from exporters.export import export

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


def reader(**changes: Any) -> ConfigReader:
    return ConfigReader(Path("config.json"), {k: v for k, v in (CONFIG | changes).items() if v is not None})


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown_model_type": ({"model_type": "gpt9"}, r'model_type is "gpt9", expected a known family: .*llama'),
    "no_model_type": ({"model_type": None}, r"model_type is missing, expected a known family: .*llama"),
    "model_type_is_a_list": ({"model_type": ["llama"]}, r"model_type is \[\"llama\"\], expected a known family"),
    "gelu": ({"hidden_act": "gelu"}, r"hidden_act is \"gelu\", expected 'silu'"),
    "no_hidden_size": ({"hidden_size": None}, r"hidden_size is missing, expected an integer of at least 1"),
    "no_layers": ({"num_hidden_layers": 0}, r"num_hidden_layers is 0, expected an integer of at least 1"),
    "text_vocab_size": ({"vocab_size": "96"}, r'vocab_size is "96", expected an integer'),
    "boolean_intermediate_size": ({"intermediate_size": True}, r"intermediate_size is true, expected an integer"),
    "fractional_heads": ({"num_attention_heads": 4.0}, r"num_attention_heads is 4.0, expected an integer"),
    "kv_heads_no_divisor": ({"num_key_value_heads": 3}, r"num_key_value_heads is 3, expected a divisor of .*, 4"),
    "odd_head_dim": ({"head_dim": 15}, r"head_dim is 15, expected an even number"),
    "heads_do_not_divide": ({"num_attention_heads": 6, "head_dim": None}, r"hidden_size is 64, expected a multiple of"),
    "negative_epsilon": ({"rms_norm_eps": -1e-5}, r"rms_norm_eps is -1e-05, expected a number above 0"),
    "text_epsilon": ({"rms_norm_eps": "1e-5"}, r'rms_norm_eps is "1e-5", expected a number'),
    "infinite_theta": ({"rope_theta": float("inf")}, r"rope_theta is Infinity, expected a number"),
    "text_bias": ({"attention_bias": "no"}, r'attention_bias is "no", expected true or false'),
    "quantized": ({"quantization_config": {"bits": 4}}, r"quantization_config is .*expected"),
    "sliding_window": ({"sliding_window": 64}, r"sliding_window is 64, expected no such key"),
    "chunks": ({"attention_chunk_size": 64}, r"attention_chunk_size is 64, expected no such key"),
    "both_directions": ({"is_causal": False}, r"is_causal is false, expected true"),
    "layers_of_their_own": ({"per_layer_config": {"0": {"head_dim": 8}}}, r"per_layer_config is .*, expected \{\}"),
    "layer_types": ({"layer_types": ["sliding_attention"] * 2}, r"layer_types is .*, expected \"full_attention\" for"),
    "rope_yarn_factor": (
        {"rope_scaling": {"type": "yarn", "factor": -4.0}},
        r"factor is -4.0, expected a number above 0",
    ),
    "rope_proportional": (
        {"rope_scaling": {"rope_type": "proportional"}},
        r"rope_scaling.rope_type is \"proportional\"",
    ),
    "rope_dynamic_no_factor": ({"rope_scaling": {"rope_type": "dynamic"}}, r"factor is missing, expected a number"),
    "rope_longrope_text": (
        {"rope_scaling": {"rope_type": "longrope", "short_factor": "1"}},
        r'short_factor is "1", expected a list of numbers above 0',
    ),
    "rope_longrope_length": (
        {"rope_scaling": {"rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}},
        r"short_factor, long_factor is \[1, 1\], expected 8 numbers each",
    ),
    "rope_unknown": ({"rope_parameters": {"rope_type": "spiral"}}, r"rope_parameters.rope_type is \"spiral\""),
    "rope_is_a_list": ({"rope_scaling": [1]}, r"rope_scaling is \[1\], expected an object"),
    "rope_linear_no_factor": ({"rope_scaling": {"type": "linear"}}, r"factor is missing, expected a number above 0"),
    "rope_llama3_incomplete": ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, r"low_freq_factor is missing"),
    "rope_llama3_reversed": (
        {"rope_scaling": LLAMA3 | {"high_freq_factor": 1.0}},
        r"high_freq_factor is 1.0, expected more than low_freq_factor, 1.0",
    ),
    "rope_by_layer_type": (
        {"rope_parameters": {"full_attention": {"rope_type": "default"}}},
        r"rope_parameters is .*expected one set of parameters for all layers",
    ),
    "rope_partial": (
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "partial_rotary_factor": 0.25}},
        r"partial_rotary_factor is 0.25, expected 1",
    ),
    "rope_su_of_another_family": (
        {"rope_scaling": {"type": "su", "short_factor": [1.0] * 8, "long_factor": [2.0] * 8}},
        r'rope_scaling.type is "su", expected',
    ),
    "rope_yarn_no_waves": (
        {"rope_theta": 1.0, "rope_scaling": {"rope_type": "yarn", "factor": 2.0}},
        r"rope_.* expected finite rotary waves",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_export_of_config_it_cannot_honour_is_refused_by_name(tmp_path: Path, case: str) -> None:
    changes, expected = REFUSED[case]
    model = write_llama(tmp_path / "model")
    config = {key: value for key, value in (CONFIG | changes).items() if value is not None}
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=expected) as caught:
        export(model, tmp_path / "out")
    assert str(model / "config.json") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"pretraining_tp": 2},
        {"partial_rotary_factor": 1.0},
        {"sliding_window": None},
        {"sliding_window": 4096},
        {"layer_types": ["full_attention"] * 2},
        {"is_causal": True},
        {"quantization_config": None},
        {"attention_dropout": 0.1},
        {"rope_scaling": None},
        {"rope_scaling": {"rope_type": "default"}},
        {"transformers_version": "5.23.0"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_export_of_neutral_keys_is_accepted(tmp_path: Path, changes: dict[str, Any]) -> None:
    model = write_llama(tmp_path / "model")
    (model / "config.json").write_text(json.dumps(CONFIG | changes))
    assert export(model, tmp_path / "out").verified


def test_export_of_unknown_keys_warns_and_names_them(tmp_path: Path) -> None:
    model = write_llama(tmp_path / "model")
    (model / "config.json").write_text(json.dumps(CONFIG | {"warp_factor": 9, "a_b": {"c": 1}, "nothing": None}))
    (warning,) = export(model, tmp_path / "out").warnings
    assert (
        warning == f"{model / 'config.json'}: keys that are not known here were left out of account: a_b, warp_factor"
    )


OF_OTHER_FAMILIES: dict[str, Any] = {
    "attn_logit_softcapping": 50.0, "clip_qkv": 8.0, "embedding_multiplier": 12.0, "final_logit_softcapping": 30.0,
    "no_rope_layers": [1, 0], "num_local_experts": 8, "partial_rotary_factor": 0.5, "qk_layernorm": True,
    "residual_multiplier": 0.22, "use_parallel_residual": True, "use_sliding_window": True,
}  # fmt: skip


def test_export_of_keys_that_transformers_ignores_in_this_family_is_the_same_and_names_them(tmp_path: Path) -> None:
    for name, changes in (("plain", {}), ("more", OF_OTHER_FAMILIES)):
        model = write_llama(tmp_path / name)
        (model / "config.json").write_text(json.dumps(CONFIG | changes))
    assert export(tmp_path / "plain", tmp_path / "plain-out").warnings == ()
    (warning,) = export(tmp_path / "more", tmp_path / "more-out").warnings
    assert warning.endswith(f": {', '.join(sorted(OF_OTHER_FAMILIES))}")
    first, second = ((tmp_path / out / "model.onnx").read_bytes() for out in ("plain-out", "more-out"))
    assert first == second


def test_heads_without_optional_keys_have_transformers_defaults() -> None:
    config = ConfigReader(Path("config.json"), {key: CONFIG[key] for key in ("hidden_size", "num_attention_heads")})
    assert Heads.read(config) == Heads(hidden=64, heads=4, kv_heads=4, head_dim=16)


def test_rope_of_both_config_styles_is_the_same() -> None:
    old = Rope.from_config(reader(rope_theta=5e5, rope_scaling=LLAMA3 | {"original_max_position_embeddings": 64}), 128)
    both = LLAMA3 | {"original_max_position_embeddings": 64, "rope_theta": 5e5}
    assert Rope.from_config(reader(rope_theta=None, rope_parameters=both), 128) == old


def test_rope_llama3_without_original_length_takes_the_context() -> None:
    rope = Rope.from_config(reader(rope_scaling=LLAMA3), 128)
    assert rope.llama3 is not None
    assert rope.llama3.original_max_position_embeddings == 128


def test_rope_llama3_original_length_of_the_config_wins() -> None:
    scaling = LLAMA3 | {"original_max_position_embeddings": 64}
    rope = Rope.from_config(reader(rope_scaling=scaling, original_max_position_embeddings=32), 128)
    assert rope.llama3 is not None
    assert rope.llama3.original_max_position_embeddings == 32


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("head_dim", [8, 64, 80, 128])
@pytest.mark.parametrize(
    "parameters",
    [
        {"rope_type": "default", "rope_theta": 10000.0},
        {"rope_type": "linear", "rope_theta": 10000.0, "factor": 3.0},
        LLAMA3 | {"rope_theta": 500000.0, "original_max_position_embeddings": 8192},
    ],
    ids=lambda parameters: parameters["rope_type"],
)
def test_rope_tables_equal_transformers(head_dim: int, parameters: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    config = llama.LlamaConfig(
        hidden_size=4 * head_dim, num_attention_heads=4, max_position_embeddings=16384, rope_parameters=dict(parameters)
    )
    cos, sin = llama.LlamaRotaryEmbedding(config)(torch.zeros(1), torch.arange(16384)[None])
    rope = Rope.from_config(ConfigReader(Path("config.json"), {"rope_parameters": parameters}), 16384)
    tables = rope.tables(16384, head_dim)
    for got, expected in zip(tables, (cos, sin), strict=True):
        # The angles are the same bits; the two libraries' cosines differ by one unit in the last place at most.
        np.testing.assert_allclose(got, expected[0, :, : head_dim // 2].numpy(), rtol=0, atol=6e-8)
