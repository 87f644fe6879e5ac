"""Turns a checkpoint into an exported folder: graph, compressed weights, manifest and tokenizer."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from edge_runtime.errors import ExportError
from exporters import __version__, codec_choice, dtypes, genai_config, manifest
from exporters.architectures import Architecture, build
from exporters.blob_writer import ALIGNMENT, BlobWriter
from exporters.checkpoint import Checkpoint
from exporters.graph import DATA_FILE, Graph, Weight
from exporters.manifest import WrittenConstant, WrittenTensor
from exporters.progress import Progress
from exporters.staging import MANIFEST, check_target, copy_file, staging, write_json, writing
from exporters.verify import hash_of, verify

KEEP = "keep"
DTYPES = (KEEP, *dtypes.NUMPY)
MODEL_FILE = "model.onnx"
_TOKENIZER = "tokenizer.json"
_COPIED = (
    _TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
)
_LEAST_RATIO = 0.6  # no lossless codec leaves less of weights; below this much room an export cannot end well
_SPARE_BYTES = 32 << 20


@dataclass(frozen=True)
class ExportOptions:
    """`codec` is auto, stored or lz4; `dtype` is keep, bf16, fp16 or fp32; `threads` 0 is one a core."""

    codec: str = codec_choice.AUTO
    dtype: str = KEEP
    verify: bool = True
    force: bool = False
    threads: int = 0


@dataclass(frozen=True)
class ExportResult:
    """Figures of a finished export. Sizes in bytes, times in seconds, rates in MB (10^6) of source a second."""

    out: Path
    model_type: str
    tensors: int
    layers: int
    source_bytes: int
    blob_bytes: int
    bits_per_weight: float
    codecs: dict[str, int]
    choices: dict[str, str]
    encode_seconds: float
    verify_seconds: float
    seconds: float
    verified: bool
    lossless: bool
    warnings: tuple[str, ...]

    @property
    def mb_per_s(self) -> float:
        """Source bytes by the whole time, verification included."""
        return self.source_bytes / 1e6 / max(self.seconds, 1e-9)


def export(model: str | Path, out: str | Path, options: ExportOptions | None = None) -> ExportResult:
    """Export the Hugging Face folder `model` to the new folder `out`, which appears only when it is whole.

    Progress goes to stderr. Raises ConfigError, ExportError or FormatError; `out` is then as it was before.
    """
    start = time.monotonic()
    options = options or ExportOptions()
    target = Path(os.path.abspath(out))
    check_target(target, options.force)
    checkpoint = Checkpoint(Path(model))
    try:
        architecture = build(checkpoint)
        graph = architecture.graph
        checkpoint.check(graph.shapes(), architecture.ignored)
        _check_tokenizer(checkpoint)
        with staging(target, options.force) as folder:
            _check_room(folder, _stored_bytes(checkpoint, graph, options.dtype), options.codec)
            job = _Export(checkpoint, architecture, folder, target, options)
            return job.run(start)
    finally:
        checkpoint.close()


class _Export:
    """One export into an empty folder."""

    def __init__(
        self, checkpoint: Checkpoint, architecture: Architecture, folder: Path, target: Path, options: ExportOptions
    ) -> None:
        self.checkpoint, self.architecture, self.graph = checkpoint, architecture, architecture.graph
        self.folder, self.target, self.options = folder, target, options
        self.tensors: list[WrittenTensor] = []
        self.constants: list[WrittenConstant] = []
        self.encoder = codec_choice.Encoder(options.codec, options.threads)
        self.genai_config = genai_config.make(architecture, checkpoint.config)
        self.data_bytes = 0

    def run(self, start: float) -> ExportResult:
        """Write everything, verify it and return the figures."""
        with writing(self.target):
            encode_seconds = self.write_weights()
            self.fill_parameters()
            self.write_rest()
        verify_seconds = self.verify() if self.options.verify else 0.0
        totals = manifest.totals(self.tensors)
        return ExportResult(
            out=self.target,
            model_type=self.architecture.model_type,
            tensors=totals["tensors"],
            layers=len(self.graph.layers),
            source_bytes=totals["source_bytes"],
            blob_bytes=totals["blob_bytes"],
            bits_per_weight=totals["bits_per_weight"],
            codecs=dict(Counter(tensor.codec for tensor in self.tensors)),
            choices={tensor.name: tensor.reason for tensor in self.tensors if tensor.reason},
            encode_seconds=encode_seconds,
            verify_seconds=verify_seconds,
            seconds=time.monotonic() - start,
            verified=self.options.verify,
            lossless=self.lossless,
            warnings=(*self.architecture.warnings, *_rounding(self.tensors)),
        )

    @property
    def lossless(self) -> bool:
        """Whether every weight can be had back exactly."""
        return not any(tensor.changed for tensor in self.tensors)

    def write_weights(self) -> float:
        """Encode weight after weight in the order of use, then the large constants; return the seconds it took."""
        infos = self.checkpoint.tensors
        total = sum(infos[name].nbytes for name in self.graph.weights)
        with Progress("encoding", total) as progress, BlobWriter(self.folder / DATA_FILE) as writer:
            names = list(self.graph.weights)
            for weight, following in zip(self.graph.weights.values(), [*names[1:], ""], strict=True):
                if following:
                    self.checkpoint.prefetch(following)
                written = self.write_weight(writer, weight)
                self.tensors.append(written)
                self.graph.place(weight.tensor, written.extent, written.dtype, written.codec)
                progress.advance(written.source_bytes)
            for name, array in self.graph.constants.items():
                extent = writer.append(array)
                self.constants.append(WrittenConstant(name, array.shape, extent, hash_of(array)))
                self.graph.place_constant(name, extent)
            self.data_bytes = writer.size
        self.encoder.close()
        return progress.seconds

    def write_weight(self, writer: BlobWriter, weight: Weight) -> WrittenTensor:
        """Read, convert, hash, encode and write one weight."""
        source = self.checkpoint.read(weight.tensor)
        source_dtype, source_bytes = dtypes.name_of(source.dtype), source.nbytes
        try:
            array, changed = dtypes.convert(
                source, self.dtype_of(source_dtype), lambda: self.checkpoint.release(weight.tensor)
            )
        except OverflowError as error:
            place = self.checkpoint.tensors[weight.tensor].file
            raise ExportError(f"{place}: {weight.tensor}: {error}; choose --dtype keep, bf16 or fp32") from None
        if array is not source:
            self.checkpoint.release(weight.tensor)
            del source
        digest = hash_of(array)
        encoded = self.encoder.encode(array, weight)
        self.checkpoint.release(weight.tensor)
        return WrittenTensor(
            name=weight.tensor,
            layer=weight.layer,
            source_dtype=source_dtype,
            dtype=dtypes.name_of(array.dtype),
            shape=weight.shape,
            codec=encoded.codec,
            extent=writer.append(encoded.blob),
            source_bytes=source_bytes,
            decoded_bytes=array.nbytes,
            elements=array.size,
            hash=digest,
            changed=changed,
            reason=encoded.reason,
        )

    def dtype_of(self, source: str) -> str:
        """The dtype that a weight is stored in."""
        return source if self.options.dtype == KEEP else self.options.dtype

    def fill_parameters(self) -> None:
        """Put the small tensors into the graph."""
        for name in self.graph.parameters:
            array, _ = dtypes.convert(self.checkpoint.read(name), dtypes.FP32, lambda: None)
            self.graph.fill(name, array)
            self.checkpoint.release(name)

    def write_rest(self) -> None:
        """Write graph, manifest, configuration and tokenizer."""
        path = self.folder / MODEL_FILE
        model = self.graph.model(manifest.GENERATOR, __version__)
        with path.open("xb") as file:
            file.write(model.SerializeToString(deterministic=True))
            file.flush()
            os.fsync(file.fileno())
        onnx.checker.check_model(str(path))
        source = self.checkpoint
        content = manifest.make(
            source.name, self.architecture, self.tensors, self.constants, self.lossless, self.data_bytes
        )
        write_json(self.folder / MANIFEST, content)
        write_json(self.folder / genai_config.FILE, self.genai_config)
        for name in _COPIED:
            if (source.folder / name).is_file():
                copy_file(source.folder / name, self.folder / name)

    def verify(self) -> float:
        """Decode everything that was written and compare it; return the seconds it took."""
        with Progress("verifying", sum(tensor.decoded_bytes for tensor in self.tensors)) as progress:
            verify(self.folder, self.options.threads, progress.advance)
        return progress.seconds


def _check_tokenizer(checkpoint: Checkpoint) -> None:
    path = checkpoint.folder / _TOKENIZER
    if not path.is_file():
        raise ExportError(
            f"{path}: not found; lpc-run needs it: fetch it, or make it with transformers: "
            "AutoTokenizer.from_pretrained(MODEL, use_fast=True).save_pretrained(MODEL)"
        )


def _stored_bytes(checkpoint: Checkpoint, graph: Graph, dtype: str) -> int:
    """Bytes of all weights in the dtype that they are stored in, and of the large constants."""
    total = sum(array.nbytes for array in graph.constants.values())
    for name in graph.weights:
        info = checkpoint.tensors[name]
        elements = 1
        for extent in info.shape:
            elements *= extent
        total += info.nbytes if dtype == KEEP else elements * dtypes.NUMPY[dtype].itemsize
        total += ALIGNMENT
    return total


def _check_room(folder: Path, stored_bytes: int, codec: str) -> None:
    needed = int(stored_bytes * (1 if codec == codec_choice.STORED else _LEAST_RATIO)) + _SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ExportError(
            f"{folder.parent}: {free / 1e6:,.0f} MB free, expected at least {needed / 1e6:,.0f} MB for this model; "
            "make room or choose another place with -o"
        )


def _rounding(tensors: Sequence[WrittenTensor]) -> list[str]:
    changed = sum(tensor.changed for tensor in tensors)
    if not changed:
        return []
    total = sum(tensor.elements for tensor in tensors)
    dtype = tensors[0].dtype
    return [f"not lossless: {changed:,} of {total:,} weights were rounded to {dtype}"]


__all__ = ["ExportOptions", "ExportResult", "export", "DTYPES", "KEEP"]
