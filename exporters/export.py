"""Turns a model into an exported folder: graph, compressed weights, manifest and tokenizer."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from exporters import __version__, codec_choice, dtypes, genai_config, manifest, room
from exporters.dtypes import KEEP
from exporters.manifest import WrittenTensor
from exporters.plan import Plan
from exporters.progress import Progress
from exporters.sources import TOKENIZER_CONFIG, open_plan
from exporters.staging import MANIFEST, check_target, copy_file, staging, write_json, writing
from exporters.verify import verify
from exporters.weight_writer import WeightWriter, Written

if TYPE_CHECKING:
    from exporters.lossy import LossyExport
    from exporters.transforms.options import LossyOptions

DTYPES = (KEEP, *dtypes.NUMPY)
MODEL_FILE = "model.onnx"


@dataclass(frozen=True)
class ExportOptions:
    """`codec` is one of codec_choice.CODECS; `dtype` is keep, bf16, fp16 or fp32; `threads` 0 is one a core.

    `tokenizer` is a folder with tokenizer.json, for a source that lacks one. `lossy` asks for transforms.
    """

    codec: str = codec_choice.AUTO
    dtype: str = KEEP
    verify: bool = True
    force: bool = False
    threads: int = 0
    tokenizer: Path | None = None
    lossy: LossyOptions | None = None


@dataclass(frozen=True)
class ExportResult:
    """Figures of a finished export. Sizes in bytes, times in seconds, rates in MB (10^6) of source a second.

    `resumed` counts the weights that a killed export had finished; `plain` those left uncompressed.
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


def export(model: str | Path, out: str | Path, options: ExportOptions | None = None) -> ExportResult:
    """Export `model` to the new folder `out`, which appears only when it is whole.

    `model` is a Hugging Face folder, an ONNX file or a folder with one, a GGUF file, or the name of a model on the
    Hugging Face Hub. Progress goes to stderr. Raises ConfigError, ExportError or FormatError; `out` is then as it was
    before. What a killed export finished is taken over.
    """
    start = time.monotonic()
    options = options or ExportOptions()
    target = Path(os.path.abspath(out))
    check_target(target, options.force)
    if options.lossy is None or not options.lossy.changes:
        return _export(model, target, options, start)
    from exporters import lossy

    lossy.refuse_quantized(model)
    with lossy.opened(model, target, options.lossy, options.threads) as run:

        def measured(attempt: LossyOptions) -> ExportResult:
            with trial(model, target, options, attempt, run) as result:
                return result

        chosen = lossy.chosen(run, measured)
        return _export(model, target, replace(options, lossy=chosen), start, run)


def _export(
    model: str | Path, target: Path, options: ExportOptions, start: float, lossy: LossyExport | None = None
) -> ExportResult:
    plan = open_plan(model, options.dtype, options.tokenizer)
    try:
        with staging(target, options.force) as folder:
            if lossy is not None:
                plan = lossy.transformed(plan, options.lossy)
            return _run(plan, folder, target, options, start, lossy)
    finally:
        plan.tensors.close()


@contextlib.contextmanager
def trial(
    model: str | Path, target: Path, options: ExportOptions, attempt: LossyOptions, lossy: LossyExport
) -> Iterator[ExportResult]:
    """Export beside the target and measure; the folder is deleted again at the end."""
    place = target.with_name(f"{target.name}.trial")
    changed = replace(options, lossy=attempt, verify=False, force=place.exists())
    try:
        yield _export(model, place, changed, time.monotonic(), lossy)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _run(
    plan: Plan, folder: Path, target: Path, options: ExportOptions, start: float, lossy: LossyExport | None
) -> ExportResult:
    """Write everything, verify it, measure a loss, and return the figures."""
    weights = WeightWriter(plan, folder, options.codec, options.dtype, options.threads)
    room.check(folder, plan, options.codec, options.dtype, weights.kept_bytes())
    with writing(target):
        written = weights.run()
        not_finite = [tensor.name for tensor in written.tensors if tensor.nan] + _fill_parameters(plan)
        _write_rest(plan, folder, written)
    verify_seconds = _verify(folder, written, options.threads) if options.verify else 0.0
    loss = None
    if lossy is not None and options.lossy is not None and options.lossy.measure:
        loss = lossy.measure(folder)
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
        warnings=(*plan.warnings, *_rounding(written.tensors), *_nan_warning(not_finite)),
        resumed=written.resumed,
        plain=len(written.tensors) - len(blobs),
        passes=tuple(plan.transform.report()) if plan.transform else (),
        loss=loss,
    )


def _fill_parameters(plan: Plan) -> list[str]:
    """Put the small tensors into the graph; return the names of those that hold a NaN."""
    not_finite = []
    for name in plan.graph.parameters:
        array, _ = dtypes.convert(plan.tensors.read(name), dtypes.FP32, lambda: None)
        if dtypes.has_nan(array):
            not_finite.append(name)
        plan.graph.fill(name, plan.transform.parameter(name, array) if plan.transform else array)
        plan.tensors.release(name)
    return not_finite


def _write_rest(plan: Plan, folder: Path, written: Written) -> None:
    """Write graph, manifest, configuration and tokenizer."""
    path = folder / MODEL_FILE
    model = plan.graph.model(manifest.GENERATOR, __version__)
    with path.open("xb") as file:
        file.write(model.SerializeToString(deterministic=True))
        file.flush()
        os.fsync(file.fileno())
    if plan.checked:
        onnx.checker.check_model(str(path))
    content = manifest.make(plan, written.tensors, written.constants, _lossless(written.tensors), written.bytes)
    write_json(folder / MANIFEST, content)
    if plan.genai_config is not None:
        write_json(folder / genai_config.FILE, plan.genai_config)
    for source in plan.copied:
        copy_file(source, folder / source.name)
    if plan.genai_config is not None and not (folder / TOKENIZER_CONFIG).exists():
        write_json(folder / TOKENIZER_CONFIG, genai_config.TOKENIZER_CONFIG)


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


def _nan_warning(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    rest = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return [f"NaN in {', '.join(names[:4])}{rest}: kept as it is, but the model will not compute anything useful"]


__all__ = ["ExportOptions", "ExportResult", "export", "trial", "DTYPES", "KEEP"]
