"""A lossy export from end to end: lossless reference, calibration, passes, and the loss against the reference."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bench.evaluation import Evaluation, Observed, generated_windows, observe, text_windows
from edge_runtime.errors import ConfigError, ExportError
from edge_runtime.io.terminal import TOKENS, Progress
from edge_runtime.session import Model, load
from exporters.checkpoints.checkpoint import CONFIG
from exporters.folders.staging import MANIFEST, write_json
from exporters.folders.working import REFERENCE, Working
from exporters.package.codec_choice import CodecChoice
from exporters.package.codec_names import STORED
from exporters.package.inspect import read_manifest
from exporters.package.verify import verify_against
from exporters.planning.plan import Plan
from exporters.planning.sources import onnx_file, open_plan
from exporters.transforms import registry
from exporters.transforms.calibrate import Calibration, calibrate, input_widths, second_moments
from exporters.transforms.compensate import Moments
from exporters.transforms.options import LossyOptions
from exporters.transforms.subject import refuse_fixed
from exporters.transforms.transform import Transform
from exporters.write import ExportOptions, ExportResult, write

_COARSEST, _TRIALS = 1.0, 7  # steps that are searched, relative to the root mean square
_HELD_OUT = 5  # of one text, every fifth window is kept for measuring the loss
_LEAST_CALIBRATION = 128  # tokens
_MOST_TOKENS = 32768  # read of a text, for calibration and for measuring each

Windows = list[list[int]]


def refuse_quantized(model: str | Path) -> None:
    """ExportError for a model that is quantized already, or that lpc-export made."""
    path = Path(model)
    if (path / MANIFEST).is_file():
        raise ExportError(f"{path}: is an exported folder; expected the checkpoint that it was made from")
    if onnx_file(path) is not None:
        plan = open_plan(path)
        plan.tensors.close()
        refuse_fixed(plan)
        return
    try:
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    found = config.get("quantization_config") if isinstance(config, dict) else None
    if found:
        method = found.get("quant_method", "unknown") if isinstance(found, dict) else "unknown"
        raise ExportError(
            f"{path / CONFIG}: quantization_config says that the model is quantized already (method {method}); "
            "expected a checkpoint in bf16, fp16 or fp32"
        )


class LossyExport:
    """What a lossy export knows of its reference: texts and calibration."""

    def __init__(self, options: LossyOptions, reference: Path, threads: int) -> None:
        self.options, self._reference, self._threads = options, reference, threads
        self.calibration = Calibration(0, {})
        if not needs_reference(options):
            return
        model = load(reference, threads=threads)
        self._calibration_windows, self._loss_windows, self.text = _texts(model, options)
        del model
        if sum(map(len, self._calibration_windows)) < _LEAST_CALIBRATION:
            raise ConfigError(
                f"{options.calibration}: {sum(map(len, self._calibration_windows))} tokens are too few to calibrate; "
                f"expected at least {_LEAST_CALIBRATION}, some thousands to be worth something"
            )
        self.calibration = calibrate(reference, self._calibration_windows, threads)

    def write(self, plan: Plan, work: Working, target: Path, options: ExportOptions, start: float) -> ExportResult:
        """Write the plan with the passes of `options.lossy`, and measure the loss if they ask for it."""
        assert options.lossy is not None
        transform = Transform(plan, options.lossy, self.calibration, self._moments())
        measure = self.measure if options.lossy.measure else None
        return write(replace(plan, transform=transform), work, target, options, start, measure)

    def _moments(self) -> Moments | None:
        if not self.options.compensate:
            return None
        places, widths = input_widths(self._reference)

        def measured(values: Sequence[str]) -> dict[str, NDArray[np.float32]]:
            return second_moments(self._reference, self._calibration_windows, values, self._threads)

        return Moments(places, widths, measured)

    def measure(self, folder: Path) -> dict[str, Any]:
        """Measure what `folder` lost, put it into its manifest, and return it."""
        found = self.observe(folder).summary(self.text)
        write_loss(folder, found)
        return found.as_dict()

    def observe(self, folder: Path) -> Observed:
        """Compare `folder` with the reference, token by token, on the text that measures."""
        model, reference = load(folder, threads=self._threads), load(self._reference, threads=self._threads)
        windows = self._loss_windows
        with Progress("measuring the loss", sum(map(len, windows)), unit=TOKENS) as progress:
            return observe(model, windows, reference, progress.advance)


def needs_reference(options: LossyOptions) -> bool:
    """Whether anything is asked of the model as it was."""
    return registry.calibrates(options) or options.measure or options.max_kl is not None


def opened(model: str | Path, work: Working, options: LossyOptions, threads: int) -> LossyExport:
    """Return what a lossy export of `model` needs; a reference is made in the working folder if `options` have none."""
    if not needs_reference(options):
        return LossyExport(options, work.path, threads)
    if options.reference is not None:
        _check_reference(options.reference, model)
        return LossyExport(options, options.reference, threads)
    return LossyExport(options, reference(model, work, threads), threads)


def reference(model: str | Path, work: Working, threads: int) -> Path:
    """Export losslessly into a part of a working folder, which is kept for as long as that, and return the package."""
    with contextlib.closing(open_plan(model)) as plan:
        part, options = work.inner(REFERENCE), ExportOptions(CodecChoice(STORED), verify=False, threads=threads)
        write(plan, part, part.package, options, time.monotonic())
    return part.package


def trial(
    model: str | Path, work: Working, options: ExportOptions, attempt: LossyOptions | None, lossy: LossyExport
) -> ExportResult:
    """Export into a part of a working folder and measure; the next trial takes its place."""
    with contextlib.closing(open_plan(model, options.dtype, options.tokenizer)) as plan:
        part, changed = work.inner("trial"), replace(options, lossy=attempt, verify=False)
        if attempt is None:
            return write(plan, part, part.package, changed, time.monotonic())
        return lossy.write(plan, part, part.package, changed, time.monotonic())


def export_lossily(
    model: str | Path, plan: Plan, work: Working, target: Path, options: ExportOptions, start: float
) -> ExportResult:
    """Write the plan with the passes of `options.lossy`, with the step that its target needs."""
    assert options.lossy is not None
    run = opened(model, work, options.lossy, options.threads)
    found = chosen(run, lambda attempt: trial(model, work, options, attempt, run))
    return run.write(plan, work, target, replace(options, lossy=found), start)


def _check_reference(folder: Path, model: str | Path) -> None:
    """ConfigError or ExportError for a reference that is lossy, or another model's."""
    manifest = read_manifest(folder)
    if not manifest.get("lossless"):
        raise ConfigError(f"{folder}: is lossy itself; expected a lossless export as the reference")
    with Progress("comparing the reference", manifest["totals"]["source_bytes"]) as progress:
        verify_against(folder, str(model), progress.advance)


def chosen(run: LossyExport, trial: Callable[[LossyOptions], ExportResult]) -> LossyOptions:
    """Return the options with the step that `max_kl` allows, found by trying; unchanged without that target.

    ExportError if not even the finest step keeps the target, with the divergence that it has.
    """
    options = run.options
    if options.max_kl is None:
        return options

    def divergence(step: float) -> float:
        result = trial(replace(options, max_kl=None, step=step, measure=True))
        assert result.loss is not None
        return float(result.loss["kl"]["value"])

    finest = divergence(0.0)
    if finest > options.max_kl:
        raise ExportError(
            f"a divergence of {options.max_kl:g} nats per token cannot be reached: the nearest is {finest:.4g}, with "
            f"INT8 by {options.granularity} as fine as it can be; choose a larger one, or a finer --granularity"
        )
    low, high = 0.0, _COARSEST
    for _ in range(_TRIALS):
        middle = (low + high) / 2
        low, high = (middle, high) if divergence(middle) <= options.max_kl else (low, middle)
    return replace(options, max_kl=None, step=low)


def write_loss(folder: Path, loss: Evaluation) -> None:
    """Put the measured loss into the manifest of a folder."""
    path = folder / MANIFEST
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["lossy"]["loss"] = loss.as_dict()
    path.unlink()
    write_json(path, manifest)


def _texts(model: Model, options: LossyOptions) -> tuple[Windows, Windows, str]:
    """Windows to calibrate on and windows to measure on, which are never the same."""
    written = f"written by {model.package.manifest['source']['name']}"
    measured = None if options.text is None else _windows(model, options.text, options)
    name = "" if options.text is None else options.text.name
    if options.calibration is None:
        windows = generated_windows(model)
        return (*_split(windows), written) if measured is None else (windows, measured, name)
    windows = _windows(model, options.calibration, options)
    if measured is not None:
        return windows, measured, name
    if len(windows) < 2:
        half = len(windows[0]) // 2
        windows = [windows[0][:half], windows[0][half:]]
    return (*_split(windows), options.calibration.name)


def _windows(model: Model, file: Path, options: LossyOptions) -> Windows:
    return text_windows(model, file, 0, _MOST_TOKENS, options.documents)


def _split(windows: Windows) -> tuple[Windows, Windows]:
    measured = windows[_HELD_OUT - 1 :: _HELD_OUT] or windows[-1:]
    return [ids for ids in windows if not any(ids is other for other in measured)], measured


__all__ = ["LossyExport", "chosen", "export_lossily", "opened", "refuse_quantized", "trial", "write_loss"]
