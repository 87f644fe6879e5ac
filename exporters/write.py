"""Writes one plan: weights, graph and manifest; verifies them, and gives the figures."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from edge_runtime.io.terminal import Progress
from exporters import __version__
from exporters.checkpoints import dtypes
from exporters.checkpoints.dtypes import KEEP
from exporters.checkpoints.tokenizer_files import TOKENIZER_CONFIG
from exporters.folders.staging import MANIFEST, MODEL_FILE, write_bytes, write_json, writing
from exporters.folders.working import Working
from exporters.graphs.interface import DATA_FILE
from exporters.package import disk_room, manifest
from exporters.package.codec_choice import CodecChoice
from exporters.package.manifest import WrittenTensor
from exporters.package.verify import verify
from exporters.package.weight_writer import WeightWriter, Written
from exporters.planning import genai_config
from exporters.planning.plan import Plan

if TYPE_CHECKING:
    from exporters.transforms.options import LossyOptions

DTYPES = (KEEP, *dtypes.NUMPY)


@dataclass(frozen=True)
class ExportOptions:
    """`dtype` is keep, bf16, fp16 or fp32; `threads` 0 is one a core.

    `tokenizer` is a folder with tokenizer.json, for a source that lacks one. `lossy` asks for transforms. `restart`
    drops what an export that did not end left, instead of going on with it.
    """

    codec: CodecChoice = field(default_factory=CodecChoice)
    dtype: str = KEEP
    verify: bool = True
    force: bool = False
    threads: int = 0
    tokenizer: Path | None = None
    lossy: LossyOptions | None = None
    restart: bool = False


@dataclass(frozen=True)
class ExportResult:
    """Figures of a finished export. Sizes in bytes, times in seconds, rates in MB (10^6) of source a second.

    `resumed` counts the weights that another export had finished; `plain` those left uncompressed.
    """

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
    resumed: int = 0
    plain: int = 0
    passes: tuple[dict[str, Any], ...] = ()
    loss: dict[str, Any] | None = None

    @property
    def mb_per_s(self) -> float:
        """Source bytes by the whole time, verification included."""
        return self.source_bytes / 1e6 / max(self.seconds, 1e-9)


Measure = Callable[[Path], dict[str, Any]]  # a folder -> what it lost


def write(
    plan: Plan, work: Working, target: Path, options: ExportOptions, start: float, measure: Measure | None = None
) -> ExportResult:
    """Write everything into a working folder, verify it, let `measure` find the loss, and return the figures.

    `target` is where it will be, `start` when the export began (time.monotonic).
    """
    with writing(target):
        work.keep_only(DATA_FILE)
        weights = WeightWriter(plan, work, options.codec, options.dtype, options.threads)
        disk_room.check(work.path, plan, options.codec, options.dtype, weights.kept_bytes())
        written = weights.run()
        not_finite = {tensor.name: tensor.not_finite for tensor in written.tensors} | _fill_parameters(plan)
        _write_rest(plan, work.package, written)
    verify_seconds = _verify(work.package, written, options.threads) if options.verify else 0.0
    loss = None if measure is None else measure(work.package)
    blobs = [tensor for tensor in written.tensors if not tensor.plain]
    totals = manifest.totals(blobs)
    return ExportResult(
        out=target,
        model_type=plan.model_type,
        tensors=totals["tensors"],
        layers=len(plan.graph.layers),
        source_bytes=totals["source_bytes"],
        blob_bytes=totals["blob_bytes"],
        bits_per_weight=totals["bits_per_weight"],
        codecs=dict(Counter(tensor.codec for tensor in blobs)),
        choices={tensor.name: tensor.reason for tensor in written.tensors if tensor.reason},
        encode_seconds=written.seconds,
        verify_seconds=verify_seconds,
        seconds=time.monotonic() - start,
        verified=options.verify,
        lossless=_lossless(written.tensors),
        warnings=(*plan.warnings, *_rounding(written.tensors), *_not_finite_warning(plan.not_finite | not_finite)),
        resumed=written.resumed,
        plain=len(written.tensors) - len(blobs),
        passes=tuple(plan.transform.report()) if plan.transform else (),
        loss=loss,
    )


def _fill_parameters(plan: Plan) -> dict[str, str]:
    """Put the small tensors into the graph; return what they hold of NaN and Inf, by name."""
    not_finite = {}
    for name in plan.graph.parameters:
        array, _ = dtypes.convert(plan.tensors.read(name), dtypes.FP32, lambda: None)
        not_finite[name] = dtypes.not_finite(array)
        plan.graph.fill(name, plan.transform.parameter(name, array) if plan.transform else array)
        plan.tensors.release(name)
    return not_finite


def _write_rest(plan: Plan, folder: Path, written: Written) -> None:
    """Write graph, configuration, tokenizer, and the manifest, which has the hashes of all."""
    path = folder / MODEL_FILE
    model = plan.graph.model(manifest.GENERATOR, __version__)
    with path.open("xb") as file:
        file.write(model.SerializeToString(deterministic=True))
        file.flush()
        os.fsync(file.fileno())
    if plan.checked:
        onnx.checker.check_model(str(path))
    names = [MODEL_FILE, DATA_FILE, *plan.files]
    for name, small in plan.files.items():
        write_bytes(folder / name, small)
    configs = {genai_config.FILE: plan.genai_config, TOKENIZER_CONFIG: genai_config.TOKENIZER_CONFIG}
    for name, config in configs.items() if plan.genai_config is not None else ():
        if name not in names:
            write_json(folder / name, config)
            names.append(name)
    content = manifest.make(plan, written.tensors, written.constants, _lossless(written.tensors), written.bytes)
    content["files"] = manifest.files(folder, names, content, written.hash)
    write_json(folder / MANIFEST, content)


def _verify(folder: Path, written: Written, threads: int) -> float:
    """Decode everything that was written and compare it; return the seconds it took."""
    with Progress("verifying", sum(tensor.decoded_bytes for tensor in written.tensors)) as progress:
        verify(folder, threads, progress.advance)
    return progress.seconds


def _lossless(tensors: Sequence[WrittenTensor]) -> bool:
    """Whether every weight can be had back exactly."""
    return not any(tensor.changed for tensor in tensors)


def _rounding(tensors: Sequence[WrittenTensor]) -> list[str]:
    changed = sum(tensor.changed for tensor in tensors)
    if not changed:
        return []
    total = sum(tensor.elements for tensor in tensors)
    dtype = next(tensor.dtype for tensor in tensors if tensor.changed)
    return [f"not lossless: {changed:,} of {total:,} weights were rounded to {dtype}"]


def _not_finite_warning(found: Mapping[str, str]) -> list[str]:
    """One line that tells what weights and small tensors hold of NaN and Inf; `found` by name, "" for nothing."""
    names = [f"{name} ({kind})" for name, kind in found.items() if kind]
    if not names:
        return []
    rest = f" and {len(names) - 4} more" if len(names) > 4 else ""
    kinds = [kind for kind in ("NaN", "Inf") if any(kind in held for held in found.values())]
    return [
        f"{' and '.join(kinds)} in {', '.join(names[:4])}{rest}: kept as it is, but the model will hardly compute "
        "anything useful"
    ]
