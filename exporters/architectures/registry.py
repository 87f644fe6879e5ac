"""Model families: one module a `model_type`, one line here."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Protocol

from edge_runtime.io.printable import printable
from exporters.architectures.architecture import Architecture
from exporters.checkpoints.checkpoint import Checkpoint

_MODULES = {
    "falcon": "exporters.architectures.falcon",
    "gemma": "exporters.architectures.gemma",
    "gemma2": "exporters.architectures.gemma2",
    "gemma3_text": "exporters.architectures.gemma3",
    "gpt2": "exporters.architectures.gpt2",
    "granite": "exporters.architectures.granite",
    "llama": "exporters.architectures.llama",
    "mistral": "exporters.architectures.mistral",
    "mixtral": "exporters.architectures.mixtral",
    "olmo2": "exporters.architectures.olmo2",
    "opt": "exporters.architectures.opt",
    "phi3": "exporters.architectures.phi3",
    "qwen2": "exporters.architectures.qwen2",
    "qwen3": "exporters.architectures.qwen3",
    "qwen3_moe": "exporters.architectures.qwen3_moe",
    "smollm3": "exporters.architectures.smollm3",
    "stablelm": "exporters.architectures.stablelm",
}
MODEL_TYPES = tuple(_MODULES)
_NAMED = 16  # keys named in a warning

# Families that people bring and that are refused, with the reason.
REFUSED = {
    "bloom": "its positions are ALiBi biases, not rotary or learned ones",
    "deepseek_v2": "its attention keeps a latent vector in the cache instead of keys and values",
    "deepseek_v3": "its attention keeps a latent vector in the cache instead of keys and values",
    "falcon_mamba": "it is a state space model without a KV cache",
    "gemma3": "it sees images; its text model alone has model_type gemma3_text",
    "gpt_neo": "its attention scores are not scaled and its local layers use another mask",
    "gpt_oss": "its attention has sinks and its experts are stored as packed 4-bit numbers",
    "gptj": "its rotary positions turn neighbouring pairs",
    "llama4": "it sees images and its attention is chunked",
    "mamba": "it is a state space model without a KV cache",
    "mllama": "it sees images through cross-attention",
    "mpt": "its positions are ALiBi biases, not rotary or learned ones",
    "qwen2_vl": "it sees images and its positions have three axes",
    "qwen3_next": "its linear attention keeps a state instead of keys and values",
    "t5": "it is an encoder with a decoder",
}


class Family(Protocol):
    """A module in this folder."""

    def build(self, checkpoint: Checkpoint) -> Architecture:
        """Read the configuration, refuse by name what cannot be carried out, and build the graph."""


def build(checkpoint: Checkpoint) -> Architecture:
    """Build the graph of the checkpoint's `model_type`; ConfigError for a family that is not known."""
    model_type = checkpoint.config.get("model_type")
    if not isinstance(model_type, str) or model_type not in _MODULES:
        known = f"a known family: {', '.join(MODEL_TYPES)}"
        why = REFUSED.get(model_type) if isinstance(model_type, str) else None
        raise checkpoint.config.error("model_type", model_type, f"{known}; {model_type}: {why}" if why else known)
    family: Family = importlib.import_module(_MODULES[model_type])
    architecture = family.build(checkpoint)
    checkpoint.config.refuse_unread(architecture.decoder.context_length)
    unknown = checkpoint.config.unknown()
    if not unknown:
        return architecture
    names = printable(", ".join(unknown[:_NAMED])) + (f" and {len(unknown) - _NAMED} more" if unknown[_NAMED:] else "")
    warning = f"{checkpoint.config.path}: keys that are not known here were left out of account: {names}"
    return dataclasses.replace(architecture, warnings=(*architecture.warnings, warning))
