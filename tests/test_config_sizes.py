"""Absurd sizes in config.json are refused at once by one line, before anything is built from them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import families
import pytest

from edge_runtime.errors import ConfigError, ExportError, LpcError
from exporters.export import export

HUGE = 2**31
# record, what config.json says instead, and what the refusal says
ABSURD: dict[str, tuple[str, dict[str, Any], str]] = {
    "layers": ("llama", {"num_hidden_layers": HUGE}, "num_hidden_layers is 2147483648, expected at most 30: the check"),
    "layers_of_gpt2": ("gpt2", {"n_layer": HUGE - 1}, "n_layer is 2147483647, expected at most"),
    "layers_by_another_name": ("gpt2", {"num_hidden_layers": 10**9}, "n_layer is 1000000000, expected at most"),
    "layers_with_many_digits": ("llama", {"num_hidden_layers": 10**400}, "num_hidden_layers is a number of 1329 bits"),
    "layers_no_number": ("llama", {"num_hidden_layers": float("nan")}, "num_hidden_layers is NaN, expected an integer"),
    "vocabulary": ("llama", {"vocab_size": 2**40}, "vocab_size is 1099511627776, expected at most 2147483647"),
    "vocabulary_just_possible": ("llama", {"vocab_size": HUGE - 1}, r"has shape \[64, 64\], expected \[2147483647,"),
    "hidden": ("opt", {"hidden_size": HUGE - 4}, "missing: model.decoder.project_in.weight, "),
    "heads": ("llama", {"num_attention_heads": HUGE - 2, "head_dim": 2**20}, "head_dim is 1048576, expected at most 1"),
    "no_heads": ("llama", {"num_attention_heads": 0}, "num_attention_heads is 0, expected an integer of at least 1"),
    "negative_heads": ("falcon_7b", {"num_attention_heads": -4}, "num_attention_heads is -4, expected an integer"),
    "fractional_heads": ("gpt2", {"n_head": 4.5}, "n_head is 4.5, expected an integer"),
    "norms_of_heads": (
        "stablelm_parallel",
        {"num_attention_heads": 2**30, "num_key_value_heads": 2**30, "hidden_size": 2**30},
        "num_attention_heads is 1073741824, expected at most",
    ),
    "positions": ("llama", {"max_position_embeddings": HUGE - 1}, r"head_dim is \[2147483647, 16\], expected at most"),
    "positions_learned": ("gpt2", {"n_positions": HUGE - 1}, r"has shape \[96, 64\], expected \[2147483647, 64\]"),
    "experts": ("mixtral", {"num_local_experts": HUGE - 1}, "num_local_experts is 2147483647, expected at most"),
    "experts_of_qwen": ("qwen3_moe", {"num_local_experts": 10**9}, "num_experts is 1000000000, expected at most"),
    "inner": ("llama", {"intermediate_size": HUGE - 1}, r"has shape \[.*\], expected \[.*2147483647.*\]"),
    "text": ("llama", {"hidden_size": "9" * 10**6}, 'hidden_size is "999'),
    "theta": ("llama", {"rope_parameters": {"rope_theta": 10**400}}, "rope_theta is a number of 1329 bits, expected a"),
    "window": ("mistral", {"sliding_window": 10**30}, "sliding_window is 1000000000000000000000000000000, expected at"),
    "epsilon": ("llama", {"rms_norm_eps": 1e300}, r"rms_norm_eps is 1e\+300, expected a number above 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", ABSURD)
def test_export_with_an_absurd_size_is_refused_at_once(tmp_path: Path, case: str) -> None:
    name, changes, expected = ABSURD[case]
    record = families.load(name)
    model = families.write_checkpoint(tmp_path / "model", record)
    (model / "config.json").write_text(json.dumps(record["config"] | changes))
    start = time.monotonic()
    with pytest.raises((ConfigError, ExportError), match=expected) as caught:
        export(model, tmp_path / "out")
    assert time.monotonic() - start < 1
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"model_type": "llama", "hidden_size": ' + "9" * 5000 + "}", "is not JSON"),
        ('{"a": ' * 100_000 + "1" + "}" * 100_000, "is not JSON .nested too deeply"),
        ("[" * 10, "is not JSON"),
        ("7", "is a JSON int, expected an object"),
    ],
    ids=["five_thousand_digits", "deep", "cut", "number"],
)
def test_config_that_is_no_usable_json_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    model = families.write_checkpoint(tmp_path / "model", families.load("llama"))
    (model / "config.json").write_text(text)
    with pytest.raises(LpcError, match=expected):
        export(model, tmp_path / "out")


def test_layers_that_are_missing_are_still_named(tmp_path: Path) -> None:
    record = families.load("llama")
    config = record["config"] | {"num_hidden_layers": 4}
    model = families.write_checkpoint(tmp_path / "model", record | {"config": config})
    assert json.loads((model / "config.json").read_text())["num_hidden_layers"] == 4
    with pytest.raises(ExportError, match=r"9 tensors missing: model.layers.3.self_attn"):
        export(model, tmp_path / "out")
