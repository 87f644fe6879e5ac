"""What all decoder-only families share: reading the common keys, embedding, blocks in order, head, outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edge_runtime.config.decoder import Decoder, DecoderShape
from edge_runtime.config.heads import Heads, kv_width
from edge_runtime.config.reader import ConfigReader
from edge_runtime.config.rope import Rope
from exporters.architectures.architecture import Architecture
from exporters.blocks.attention import DecoderIO, RotaryEmbedding
from exporters.blocks.layers import Embedding, Linear, Residual, scaled, softcapped
from exporters.checkpoints.checkpoint import Checkpoint
from exporters.graphs.builder import Graph
from exporters.graphs.interface import Value

RECOMPUTED_AFTER = "lpc.recomputed_after"
"""The graph's metadata: a text that grows past so many tokens is computed anew, the whole of it."""
FULL, SLIDING = "full_attention", "sliding_attention"
_TABLE_LIMIT = 2 << 30  # bytes: 4 million positions of 128 rotated values
_SMALLER_TABLE = f"at most {_TABLE_LIMIT >> 30} GiB of cosines and sines of all positions"
MORE_THAN_TENSORS = "the checkpoint has no more tensors"


class CausalLM:
    """A model under construction. `tied` and `positions` are the family's defaults of tie_word_embeddings and of the
    key `positions_key`; `embedding` and `head` are names in the checkpoint."""

    def __init__(
        self, checkpoint: Checkpoint, heads: Heads, *, positions: int, tied: bool = False,
        embedding: str = "model.embed_tokens", head: str = "lm_head", layers_key: str = "num_hidden_layers",
        positions_key: str = "max_position_embeddings",
    ) -> None:  # fmt: skip
        c = checkpoint.config
        self.checkpoint, self.heads, self._embedding, self._head = checkpoint, heads, embedding, head
        self.model_type = str(c.get("model_type"))
        self.layers = c.integer(layers_key, at_most=len(checkpoint.tensors), why=MORE_THAN_TENSORS)
        self.stated_positions = self.positions = c.integer(positions_key, positions)
        self.vocabulary = c.integer("vocab_size")
        _complete_names(checkpoint, embedding, head)
        self.tied, self._warnings = _is_tied(checkpoint, c.flag("tie_word_embeddings", tied), embedding, head)
        self.g = Graph(self.model_type)
        self.io = DecoderIO(self.g, self.layers, heads.kv_heads, heads.head_dim)

    def rotary(self, rope: Rope) -> RotaryEmbedding:
        """Return the rotary positions of `rope`."""
        return self.rotaries({"": rope})[""]

    def rotaries(self, ropes: dict[str, Rope]) -> dict[str, RotaryEmbedding]:
        """Return the rotary positions of several kinds of layer."""
        for rope in ropes.values():
            self._check(rope)
        dim = max(rope.rotary_dim(self.heads.head_dim) for rope in ropes.values())
        longest = min(max(rope.positions for rope in ropes.values()), _TABLE_LIMIT // (4 * dim))
        self.positions = max(self.positions, longest)
        if 4 * self.positions * dim > _TABLE_LIMIT:
            sizes = [self.positions, self.heads.head_dim]
            raise self.checkpoint.config.error("max_position_embeddings, head_dim", sizes, _SMALLER_TABLE)
        names = {kind: f"rotary_{kind}" if kind else "rotary" for kind in ropes}
        return {
            kind: RotaryEmbedding.make(self.io, rope, self.positions, self.heads.head_dim, names[kind])
            for kind, rope in ropes.items()
        }

    def _check(self, rope: Rope) -> None:
        """Refuse positions that do not fit the heads."""
        dim, c = rope.rotary_dim(self.heads.head_dim), self.checkpoint.config
        if dim == 0 or dim % 2:
            key = "head_dim" if rope.partial == 1 else "partial_rotary_factor"
            value = dim if rope.partial == 1 else rope.partial
            raise c.error(key, value, "an even number: rotary positions turn pairs")
        if rope.longrope and {len(rope.longrope.short), len(rope.longrope.long)} != {dim // 2}:
            sizes = [len(rope.longrope.short), len(rope.longrope.long)]
            raise c.error("short_factor, long_factor", sizes, f"{dim // 2} numbers each: one a rotated pair")
        if not rope.is_finite(dim):
            raise c.error("rope_parameters", c.get("rope_parameters", c.get("rope_scaling")), "finite rotary waves")

    def embed(self, scale: float = 1.0, width: int = 0) -> Value:
        """Return the embeddings of the tokens, times `scale`; `width` is their size if not the hidden size."""
        width = width or self.heads.hidden
        self.checkpoint.check_shape(f"{self._embedding}.weight", (self.vocabulary, width))
        with self.g.layer("embed_tokens"):
            x = Embedding(self.g, self._embedding, self.vocabulary, width)(self.io.input_ids)
        return scaled(self.g, x, scale, self._embedding)

    def blocks(self, name: str = "model.layers") -> Iterator[tuple[int, str]]:
        """Yield number and name of every block; what is built meanwhile belongs to that layer."""
        for i in range(self.layers):
            with self.g.layer(f"layers.{i}"):
                yield i, f"{name}.{i}"

    def finish(self, x: Value, *, scale: float = 1.0, softcap: float | None = None, width: int = 0) -> Architecture:
        """Multiply by the head, times `scale`, capped; declare the outputs and return the model."""
        with self.g.layer(self._head):
            weight = f"{self._embedding}.weight" if self.tied else ""
            logits = Linear(self.g, self._head, width or self.heads.hidden, self.vocabulary, weight=weight)(x)
        logits = softcapped(self.g, scaled(self.g, logits, scale, self._head), softcap, self._head)
        self.io.finish(logits, self.vocabulary)
        heads, width = self.heads, kv_width(self.heads.head_dim)
        decoder = Decoder(
            DecoderShape(heads.hidden, self.layers, heads.heads, heads.kv_heads, width),
            vocab_size=self.vocabulary,
            context_length=self.positions,
            usual_length=self.stated_positions,
        )
        ignored = {name for name in self.checkpoint.tensors if name.endswith(".rotary_emb.inv_freq")}
        if self.tied:
            ignored.add(f"{self._head}.weight")
        return Architecture(self.model_type, self.g, decoder, frozenset(ignored), self._warnings)

    def residual(self, x: Value) -> Residual:
        """Return the residual stream that begins with x."""
        return Residual(self.g, x)


def refuse_bidirectional(c: ConfigReader) -> None:
    """Refuse what the Gemma families carry out and others do not know."""
    if c.flag("use_bidirectional_attention", False):
        raise c.error("use_bidirectional_attention", True, "false: this export does not carry it out")


def same_window(c: ConfigReader, m: CausalLM, size: int | None) -> list[int]:
    """Return the attention window of every layer, 0 for all tokens before, where all layers have the same.

    As in transformers, layer_types changes nothing in such a family, but has to be well-formed.
    """
    layer_types(c, m, lambda layer: size is not None)
    return [size if size is not None and size < m.positions else 0] * m.layers


def windows(c: ConfigReader, m: CausalLM, size: int | None, slides: Callable[[int], bool]) -> list[int]:
    """Return the attention window of every layer, 0 for all tokens before, where layer_types tells which have one.

    `slides` does where config.json has no layer_types.
    """
    kinds = layer_types(c, m, slides)
    if size is None and SLIDING in (c.get("layer_types") or ()):
        raise c.error("layer_types", kinds, f'no "{SLIDING}", as there is no window')
    return [size if kind == SLIDING and size is not None and size < m.positions else 0 for kind in kinds]


def layer_types(c: ConfigReader, m: CausalLM, slides: Callable[[int], bool]) -> list[str]:
    """Return layer_types, made of `slides` where config.json has none; ConfigError for one that is not known here."""
    kinds = c.get("layer_types")
    if kinds is None:
        return [SLIDING if slides(i) else FULL for i in range(m.layers)]
    if not isinstance(kinds, list) or len(kinds) != m.layers or any(kind not in (FULL, SLIDING) for kind in kinds):
        raise c.error("layer_types", kinds, f'{m.layers} of "{FULL}" or "{SLIDING}"')
    return kinds


def prefix_of(checkpoint: Checkpoint, tensor: str, prefixes: tuple[str, ...]) -> str:
    """Return the first of `prefixes` under which the checkpoint has `tensor`, the first of all if none has."""
    return next((prefix for prefix in prefixes if f"{prefix}{tensor}" in checkpoint.tensors), prefixes[0])


def _complete_names(checkpoint: Checkpoint, embedding: str, head: str) -> None:
    """Give the tensors of a base model that was saved without its head the prefix that they have in the whole model."""
    prefix, _, rest = embedding.partition(".")
    if f"{embedding}.weight" not in checkpoint.tensors and f"{rest}.weight" in checkpoint.tensors:
        checkpoint.add_prefix(f"{prefix}.", head)


def _is_tied(checkpoint: Checkpoint, tied: bool, embedding: str, head: str) -> tuple[bool, tuple[str, ...]]:
    """As transformers does it: a head that is stored and differs from the embedding is used, whatever config says.

    Of two names for one tensor a checkpoint may store either.
    """
    head, table = f"{head}.weight", f"{embedding}.weight"
    if tied and head in checkpoint.tensors and table not in checkpoint.tensors:
        checkpoint.alias(table, head)
    stored = head in checkpoint.tensors and table in checkpoint.tensors
    if not tied or not stored or checkpoint.same_values(table, head):
        return tied, ()
    return False, (f"tie_word_embeddings is true, but {head} differs from {table}: not tied",)
