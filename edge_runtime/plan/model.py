"""What a plan has to know of an exported model: bytes of every layer, and the memory that is no weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.config.decoder import DecoderShape
from edge_runtime.errors import CodecError, FormatError
from edge_runtime.facts import codecs, is_multiplied, memory_figures, transcoded_bytes_bound
from edge_runtime.io.checked_json import JsonObject
from edge_runtime.package.folder import CONFIG_FILE, Package
from edge_runtime.package.manifest import MANIFEST_FILE
from edge_runtime.package.model_files import file_of
from edge_runtime.plan.figures import Figures
from edge_runtime.plan.search import Item

PREFILL_CHUNKS = (512, 256, 128, 64, 32, 16)
"""Prompt tokens in one pass that a plan considers, largest first."""

PRODUCT_SECONDS = 0.2e-3
"""What a product costs beside its bytes: waking threads, its share of attention and norms. Measured with a
TinyLlama-1.1B shape on two x86 threads (35 ms per token of 155 products); elsewhere an assumption."""
ENCODE_BYTES_PER_S = 0.5e9
"""Decoded bytes that one thread encodes in codec packed: half of what Zen 4 does (docs/benchmarks/products.md), an
assumption."""


@dataclass(frozen=True)
class Tensor:
    """One blob: sizes in bytes, `rows` of the stored matrix. `direct`: computed from as stored, whatever its codec.

    `transcoded`: at most so many bytes when it is kept in the machine's packed layout; None if it is not transcoded."""

    name: str
    layer: int
    codec: str
    stored: int
    decoded: int
    rows: int
    direct: bool = False
    transcoded: int | None = None


@dataclass(frozen=True)
class Layer:
    """A layer and the blobs that its products use; none for the embedding, whose rows are fetched on demand."""

    index: int
    name: str
    tensors: tuple[Tensor, ...]
    on_demand: bool

    @property
    def stored(self) -> int:
        """Compressed bytes."""
        return sum(tensor.stored for tensor in self.tensors)

    @property
    def decoded(self) -> int:
        """Decoded bytes."""
        return sum(tensor.decoded for tensor in self.tensors)

    @property
    def transcoded(self) -> int | None:
        """Bytes with every blob computed from as it is kept, some of them transcoded; None if that cannot be."""
        sizes = [tensor.stored if _is_direct(tensor) else tensor.transcoded for tensor in self.tensors]
        if all(_is_direct(tensor) for tensor in self.tensors) or None in sizes:
            return None
        return sum(size for size in sizes if size is not None)

    @property
    def may_be_transcoded(self) -> bool:
        """Whether products can be computed from every blob, as it is stored or transcoded."""
        return all(_is_direct(tensor) or tensor.transcoded is not None for tensor in self.tensors)


@dataclass(frozen=True)
class ModelShape:
    """An exported model as the plan sees it; `tensors` in the manifest's order, `layers` in order of use."""

    name: str
    tensors: tuple[Tensor, ...]
    layers: tuple[Layer, ...]
    context_length: int
    vocab_size: int
    decoder: DecoderShape

    @classmethod
    def of(cls, package: Package, *, transcode: bool = True) -> ModelShape:
        """Read lpc.json and genai_config.json; FormatError if a field is missing or wrong."""
        tensors = _tensors(package, transcode)
        decoder = JsonObject.read(file_of(package.path, CONFIG_FILE)).object("model").object("decoder")
        return cls(
            name=package.path.name,
            tensors=tensors,
            layers=_layers(package, tensors),
            context_length=package.context_length,
            vocab_size=package.vocab_size,
            decoder=DecoderShape.read(decoder),
        )

    @property
    def codecs(self) -> list[str]:
        """Names of the codecs in use."""
        return sorted({tensor.codec for tensor in self.tensors})

    def kv_bytes(self, context_length: int, kv_dtype: str) -> int:
        """Bytes of keys and values for `context_length` positions; ConfigError for an unknown `kv_dtype`."""
        return self.decoder.kv_bytes(context_length, kv_dtype)

    def activation_bytes(self, context_length: int, chunk: int) -> int:
        """Bytes that a pass over `chunk` tokens takes at most: logits, attention scores, and what layers hand on.

        float32: logits; scores of all heads twice (with their mask); six hidden vectors, three of the widest product.
        """
        hidden = self.decoder.hidden_size
        widest = max((t.rows for t in self.tensors if t.rows != self.vocab_size), default=hidden)
        chunk = min(chunk, context_length)
        per_token = self.vocab_size + 2 * self.decoder.heads * context_length + 6 * hidden + 3 * widest
        return 4 * chunk * per_token

    def segment_bytes(self) -> int:
        """Bytes of memory for the rows of a table: the segment that they are in, as stored and decoded."""
        return 2 * memory_figures().row_segment_bytes * sum(layer.on_demand for layer in self.layers)

    def text_bytes(self, context_length: int, kv_dtype: str, chunk: int) -> int:
        """Bytes that a model takes beside its weights: KV cache, activations, rows of tables; ConfigError."""
        kv, activations = self.kv_bytes(context_length, kv_dtype), self.activation_bytes(context_length, chunk)
        return kv + activations + self.segment_bytes()

    def on_demand_bytes(self) -> int:
        """Bytes read per token for rows fetched on demand."""
        return sum(min(memory_figures().row_segment_bytes, layer.stored) for layer in self.layers if layer.on_demand)


def item(layer: Layer, figures: Figures) -> Item:
    """The layer as the search sees it: products wait for DRAM; what is not multiplied as stored is decoded before.

    A layer that can be transcoded has that in place of its decoded form, which takes more memory and more time."""
    dram, beside = figures.dram.bytes_per_s, PRODUCT_SECONDS * len(layer.tensors)
    stored_seconds = beside
    for tensor in layer.tensors:
        if _is_direct(tensor):
            stored_seconds += tensor.stored / dram
        else:
            stored_seconds += tensor.decoded / figures.decode_rate(tensor.codec).bytes_per_s + tensor.decoded / dram
    indirect = [tensor.decoded for tensor in layer.tensors if not _is_direct(tensor)]
    every = [tensor.decoded for tensor in layer.tensors]
    return Item(
        stored=layer.stored,
        decoded=layer.decoded if layer.transcoded is None else layer.transcoded,
        stored_seconds=stored_seconds,
        decoded_seconds=(layer.decoded if layer.transcoded is None else layer.transcoded) / dram + beside,
        streamed_part=min(memory_figures().part_bytes, max(every, default=0)),
        resident_part=min(memory_figures().part_bytes, max(indirect, default=0)),
    )


def _is_direct(tensor: Tensor) -> bool:
    return tensor.direct or is_multiplied(tensor.codec)


def _gains_by_transcoding(codec_name: str) -> bool:
    """Whether products cannot be computed as it is stored, and packed weights would not be far larger."""
    codec = codecs().get(codec_name)
    return codec is not None and not codec.is_multiplied and not codec.is_sparse


def _tensors(package: Package, transcode: bool) -> tuple[Tensor, ...]:
    found = []
    for entry in JsonObject(package.path / MANIFEST_FILE, "", package.manifest).objects("tensors"):
        shape = entry.naturals("shape")
        stored, decoded = entry.natural("bytes"), entry.natural("decoded_bytes")
        direct = entry.optional("direct", bool) or False
        matrix = entry.optional("dtype", str) == "bf16" and len(shape) == 2
        transcoded = transcode and matrix and not direct and _gains_by_transcoding(entry.get("codec", str))
        found.append(
            Tensor(
                name=entry.get("name", str),
                layer=entry.natural("layer"),
                codec=entry.get("codec", str),
                stored=stored,
                decoded=decoded,
                rows=shape[0] if shape else 1,
                direct=direct,
                transcoded=_transcoded_bytes(entry, shape, stored) if transcoded else None,
            )
        )
    return tuple(found)


def _transcoded_bytes(entry: JsonObject, shape: Sequence[int], stored: int) -> int:
    rows, columns = shape
    try:
        return transcoded_bytes_bound(rows, columns, stored)
    except CodecError as error:
        raise entry.error("shape", f"that of a weight ({error})") from error


def _layers(package: Package, tensors: Sequence[Tensor]) -> tuple[Layer, ...]:
    """Layer 0 is the embedding. A layer without blobs of its own, the tied head, uses those in its extent."""
    layers = []
    for extent in package.layers:
        own = tuple(tensor for tensor in tensors if tensor.layer == extent.index)
        if not own:
            own = tuple(tensor for tensor in tensors if tensor.layer == _owner(package, extent.offset))
        if not own:
            file = str(Path(package.path) / MANIFEST_FILE)
            raise FormatError(f"{file}: layer {extent.name} has no tensor; export the model again", file=file)
        layers.append(Layer(extent.index, extent.name, own, on_demand=extent.index == 0))
    return tuple(layers)


def _owner(package: Package, offset: int) -> int:
    return next(layer.index for layer in package.layers if layer.offset == offset)
