"""`config.json`: typed reads with errors that name file, key, value and what was expected."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_runtime.errors import ConfigError
from edge_runtime.io.files import parse_json
from edge_runtime.io.source_files import read_source

LARGEST_INTEGER = 2**31 - 1
"""No size of a model comes near it, and products of two such numbers still fit ONNX's 64 bits."""
# Keys that transformers carries out in every family, in code that all families share, with the values that change
# nothing. A family that does not read such a key cannot honour it, so any other value is refused.
_CHANGES_NUMBERS: dict[str, tuple[Any, ...]] = {
    "attention_chunk_size": (),
    "is_causal": (True,),
    "kv_sharing_modes": (),
    "layer_types": (),
    "per_layer_config": ({},),
    "quantization_config": ({},),
    "sliding_window": (),
}
_HIDES_TOKENS = ("attention_chunk_size", "sliding_window")
_EXPECTED = {"layer_types": '"full_attention" for every layer'}
# Keys that only some families have, with the values that mean nothing. transformers leaves them out of account in every
# other family, and so does an export, which names them in a warning.
_OF_SOME_FAMILIES: dict[str, tuple[Any, ...]] = {
    "add_cross_attention": (False,),
    "alibi": (False,),
    "apply_residual_connection_post_layernorm": (False,),
    "attention_multiplier": (),
    "attn_logit_softcapping": (),
    "clip_qkv": (),
    "embedding_multiplier": (1, 1.0),
    "final_logit_softcapping": (),
    "logit_scale": (1, 1.0),
    "logits_scaling": (1, 1.0),
    "mrope_section": (),
    "no_rope_layers": ([],),
    "num_experts": (0,),
    "num_local_experts": (0,),
    "partial_rotary_factor": (1, 1.0),
    "qk_layernorm": (False,),
    "query_pre_attn_scalar": (),
    "residual_multiplier": (1, 1.0),
    "rotary_pct": (1, 1.0),
    "scale_attn_weights": (True,),
    "use_bidirectional_attention": (False,),
    "use_mrope": (False,),
    "use_parallel_residual": (False,),
    "use_qk_norm": (False,),
    "use_sliding_window": (False,),
}
# Keys that change no number of a forward pass: names, training, generation (generation_config.json's business), and
# biases, which the checkpoint's tensors tell.
_NEUTRAL_KEYS = """
    _name_or_path _sliding_window_pattern activation_dropout architectures attention_bias attention_dropout
    attention_probs_dropout_prob attn_implementation attn_pdrop auto_map bad_words_ids begin_suppress_tokens
    bos_token_id cache_implementation chunk_size_feed_forward cross_attention_hidden_size decoder_start_token_id
    diversity_penalty do_sample dropout dtype early_stopping embd_pdrop encoder_no_repeat_ngram_size eos_token_id
    exponential_decay_length_penalty finetuning_task forced_bos_token_id forced_eos_token_id gradient_checkpointing
    hidden_dropout hidden_dropout_prob id2label init_std initializer_range is_decoder is_encoder_decoder label2id
    layerdrop length_penalty lm_head_bias max_length max_window_layers min_length mlp_bias model_type n_ctx
    no_repeat_ngram_size num_beam_groups num_beams num_return_sequences original_max_position_embeddings
    output_attentions output_hidden_states output_router_logits output_scores pad_token_id prefix pretraining_tp
    problem_type pruned_heads remove_invalid_values reorder_and_upcast_attn repetition_penalty resid_pdrop return_dict
    return_dict_in_generate router_aux_loss_coef router_jitter_noise sep_token_id summary_activation
    summary_first_dropout summary_proj_to_labels summary_type summary_use_proj suppress_tokens task_specific_params
    temperature tf_legacy_loss tie_encoder_decoder tokenizer_class top_k top_p torch_dtype torchscript
    transformers_version typical_p use_bfloat16 use_cache
"""
_CHANGES_NOTHING = frozenset(_NEUTRAL_KEYS.split())
_LARGEST_FLOAT32 = 3.4028234663852886e38
_REQUIRED = object()


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`; ConfigError if it is absent, not JSON or not an object.

    ExportError if it cannot be read, is no regular file, or is a Git LFS pointer.
    """
    if not os.path.lexists(path):
        raise ConfigError(f"{path}: not found; expected a file that every Hugging Face model folder has")
    content = read_source(path)
    try:
        value = parse_json(content.decode("utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path}: is not JSON ({error}); fetch the file again") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: is a JSON {type(value).__name__}, expected an object; fetch the file again")
    return value


class ConfigReader:
    """A JSON object that remembers which keys were read."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        self.path = path
        self._values = dict(values)
        self._read: set[str] = set()

    @classmethod
    def open(cls, path: Path) -> ConfigReader:
        """Read `path`; ConfigError as in `read_json`."""
        return cls(path, read_json(path))

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key` as it is, `default` where it is absent or null."""
        self._read.add(key)
        value = self._values.get(key)
        return default if value is None else value

    def has(self, key: str) -> bool:
        """Whether the key is there, null or not."""
        return key in self._values

    def rename(self, names: Mapping[str, str]) -> None:
        """Take other names of keys for the keys themselves: what stands under another name wins."""
        for other, key in names.items():
            if self._values.get(other) is not None:
                self._values[key] = self._values.pop(other)

    def integer(
        self, key: str, default: Any = _REQUIRED, at_least: int = 1, at_most: int = LARGEST_INTEGER, why: str = ""
    ) -> int:
        """Return an integer of at least `at_least` and at most `at_most`; `why` tells where that bound comes from."""
        value = self._typed(key, default)
        if type(value) is not int or value < at_least:
            raise self.error(key, value, f"an integer of at least {at_least}")
        if value > at_most:
            raise self.error(key, value, f"at most {at_most}{f': {why}' if why else ''}")
        return value

    def number(self, key: str, default: Any = _REQUIRED) -> float:
        """Return a finite number above 0."""
        value = self._typed(key, default)
        if type(value) not in (int, float) or not 0 < value <= _LARGEST_FLOAT32:
            raise self.error(key, value, "a number above 0")
        return float(value)

    def nullable_integer(self, key: str, default: int | None) -> int | None:
        """Return an integer of at least 1, None where it is null; `default` stands for an absent key alone."""
        return None if self._is_null(key, default) else self.integer(key, default)

    def nullable_number(self, key: str, default: float | None) -> float | None:
        """Return a finite number above 0, None where it is null; `default` stands for an absent key alone."""
        return None if self._is_null(key, default) else self.number(key, default)

    def flag(self, key: str, default: Any = _REQUIRED) -> bool:
        """Return true or false."""
        value = self._typed(key, default)
        if type(value) is not bool:
            raise self.error(key, value, "true or false")
        return value

    def choice(self, key: str, allowed: tuple[str, ...], default: Any = _REQUIRED) -> str:
        """Return a string that is one of `allowed`."""
        value = self._typed(key, default)
        if value not in allowed:
            raise self.error(key, value, " or ".join(repr(name) for name in allowed))
        return str(value)

    def section(self, key: str) -> ConfigReader | None:
        """Return the object under `key`, or None where it is absent or null."""
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.error(key, value, "an object")
        return ConfigReader(self.path, value)

    def over(self, other: ConfigReader) -> ConfigReader:
        """Return an object with the keys of both; where both have one, this object's value."""
        return ConfigReader(self.path, {**other._values, **self._values})

    def refuse_unread(self, positions: int) -> None:
        """Refuse every key that changes numbers and that nobody has read, unless its value changes nothing.

        `positions` is the context: a window of at least so many tokens hides none.
        """
        for key, neutral in _CHANGES_NUMBERS.items():
            value = self._values.get(key)
            if key in self._read or value is None or value in neutral:
                continue
            if key in _HIDES_TOKENS and type(value) is int and value >= positions:
                continue
            if key == "layer_types" and isinstance(value, list) and all(kind == "full_attention" for kind in value):
                continue
            expected = " or ".join(json.dumps(item) for item in neutral) or _EXPECTED.get(key, "no such key")
            raise self.error(key, value, f"{expected}: this export does not carry it out")

    def unknown(self) -> list[str]:
        """Return the keys that nobody has read, but for those that are known to change nothing."""
        known = self._read | _CHANGES_NUMBERS.keys() | _CHANGES_NOTHING
        return sorted(
            key
            for key, value in self._values.items()
            if key not in known and value is not None and value not in _OF_SOME_FAMILIES.get(key, ())
        )

    def error(self, key: str, value: Any, expected: str) -> ConfigError:
        """Return the error for `key`; the caller raises it."""
        got = _shown(value) if value is not None else "missing"
        return ConfigError(f"{self.path}: {key} is {got}, expected {expected}")

    def _is_null(self, key: str, default: Any) -> bool:
        self._read.add(key)
        return self._values.get(key, default) is None

    def _typed(self, key: str, default: Any) -> Any:
        value = self.get(key)
        if value is None and default is not _REQUIRED:
            return default
        return value


def _shown(value: Any) -> str:
    if type(value) is int and abs(value) > 10**78:
        return f"a number of {value.bit_length()} bits"
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
