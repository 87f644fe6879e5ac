"""`genai_config.json`, as onnxruntime-genai's model builder writes it for a decoder with a KV cache."""

from __future__ import annotations

import os
from typing import Any

from edge_runtime.config.reader import ConfigReader, read_json
from edge_runtime.provider import get_ep_name
from exporters.architectures.architecture import Architecture

FILE = "genai_config.json"
GENERATION = "generation_config.json"
PROVIDER_OPTIONS: list[dict[str, Any]] = [{get_ep_name(): {}}]
# What onnxruntime-genai 0.18 calls decoder-only families; "decoder" is its name for any other with these inputs, GPT-2
# among them: "gpt2" stands for one with a combined cache.
_GENAI_TYPES = frozenset(
    {"gemma", "gemma2", "gemma3_text", "granite", "llama", "mistral", "phi3", "qwen2", "qwen3", "smollm3"}
)
_SEARCH: dict[str, Any] = {
    "diversity_penalty": 0.0,
    "do_sample": False,
    "early_stopping": True,
    "length_penalty": 1.0,
    "max_length": 0,
    "min_length": 0,
    "no_repeat_ngram_size": 0,
    "num_beams": 1,
    "num_return_sequences": 1,
    "past_present_share_buffer": True,
    "repetition_penalty": 1.0,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
}
# What onnxruntime-genai needs to know of tokenizer.json, where the source has no tokenizer_config.json.
TOKENIZER_CONFIG = {"tokenizer_class": "PreTrainedTokenizerFast"}
_FROM_GENERATION = ("do_sample", "repetition_penalty", "temperature", "top_k", "top_p")


def make(architecture: Architecture, config: ConfigReader) -> dict[str, Any]:
    """Return the file's content; values of generation_config.json win over those of config.json.

    ConfigError if generation_config.json is there and not a JSON object.
    """
    path = config.path.parent / GENERATION
    generation = read_json(path) if os.path.lexists(path) else {}
    tokens = _token_ids(config, generation)
    search = dict(_SEARCH, max_length=architecture.decoder.usual_length)
    search.update({key: generation[key] for key in _FROM_GENERATION if generation.get(key) is not None})
    return {
        "model": {
            **tokens,
            "context_length": architecture.decoder.context_length,
            "decoder": _decoder(architecture),
            "type": architecture.model_type if architecture.model_type in _GENAI_TYPES else "decoder",
            "vocab_size": architecture.decoder.vocab_size,
        },
        "search": search,
    }


def _token_ids(config: ConfigReader, generation: dict[str, Any]) -> dict[str, Any]:
    def first(key: str) -> Any:
        value = generation.get(key)
        return config.get(key) if value is None else value

    bos, eos, pad = first("bos_token_id"), first("eos_token_id"), first("pad_token_id")
    if pad is None:
        pad = eos[0] if isinstance(eos, list) and eos else eos
    ids = {"bos_token_id": bos, "eos_token_id": eos, "pad_token_id": pad}
    return {key: value for key, value in ids.items() if value is not None}


def _decoder(architecture: Architecture) -> dict[str, Any]:
    sizes = architecture.decoder.shape.as_genai()
    widths = {key: sizes.pop(key) for key in ("head_size", "hidden_size")}  # in the model builder's order
    return {
        "session_options": {"log_id": "onnxruntime-genai", "provider_options": PROVIDER_OPTIONS},
        "filename": "model.onnx",
        **widths,
        "inputs": {
            "input_ids": "input_ids",
            "attention_mask": "attention_mask",
            "position_ids": "position_ids",
            "past_key_names": "past_key_values.%d.key",
            "past_value_names": "past_key_values.%d.value",
        },
        "outputs": {
            "logits": "logits",
            "present_key_names": "present.%d.key",
            "present_value_names": "present.%d.value",
        },
        **sizes,
    }
