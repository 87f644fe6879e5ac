"""SmolLM3: a Llama in which every fourth layer has no rotary positions (NoPE, Yang et al., arXiv 2501.18795)."""

from __future__ import annotations

from edge_runtime.config.heads import Heads
from edge_runtime.config.reader import ConfigReader
from edge_runtime.config.rope import Rope
from exporters.architectures.architecture import Architecture
from exporters.architectures.causal_lm import CausalLM, windows
from exporters.blocks.attention import SelfAttention
from exporters.blocks.layers import ACTIVATIONS, GatedMLP, RMSNorm
from exporters.checkpoints.checkpoint import Checkpoint


def build(checkpoint: Checkpoint) -> Architecture:
    """Build the graph of a SmolLM3 checkpoint."""
    c = checkpoint.config
    activation = c.choice("hidden_act", ACTIVATIONS, "silu")
    heads, inner, epsilon = Heads.read(c, kv_heads=4), c.integer("intermediate_size"), c.number("rms_norm_eps", 1e-6)
    attention_bias, mlp_bias = c.flag("attention_bias", False), c.flag("mlp_bias", False)
    m = CausalLM(checkpoint, heads, positions=32768, tied=True)
    rotary = m.rotary(Rope.from_config(c, m.positions, theta=2e6))
    rotates = _rotates(c, m.layers)
    size, slides = c.nullable_integer("sliding_window", None), c.flag("use_sliding_window", False)
    window = windows(c, m, size, lambda layer: slides and not rotates[layer])

    x = m.residual(m.embed())
    for i, name in m.blocks():
        attention = SelfAttention(m.g, f"{name}.self_attn", heads, bias=attention_bias)
        mlp = GatedMLP(m.g, f"{name}.mlp", heads.hidden, inner, mlp_bias, activation)
        input_norm = RMSNorm(m.g, f"{name}.input_layernorm", heads.hidden, epsilon)
        post_norm = RMSNorm(m.g, f"{name}.post_attention_layernorm", heads.hidden, epsilon)
        x.add(attention(x.normed(input_norm), m.io, rotary if rotates[i] else None, window[i]))
        x.add(mlp(x.normed(post_norm)))
    return m.finish(x.normed(RMSNorm(m.g, "model.norm", heads.hidden, epsilon)))


def _rotates(c: ConfigReader, layers: int) -> list[bool]:
    """Return which layers have rotary positions: 1 in no_rope_layers, which is named after the others."""
    interval = c.integer("no_rope_layer_interval", 4)
    flags = c.get("no_rope_layers", [int((i + 1) % interval != 0) for i in range(layers)])
    if not isinstance(flags, list) or len(flags) != layers or set(flags) - {0, 1}:
        raise c.error("no_rope_layers", flags, f"{layers} of 0 (no rotary positions) or 1")
    return [bool(flag) for flag in flags]
