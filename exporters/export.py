"""Turns a model into an exported folder: graph, compressed weights, manifest and tokenizer."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_runtime import native
from exporters import __version__, lossy
from exporters.folders.publish import prepare, working_folder
from exporters.planning.sources import open_plan
from exporters.transforms import registry
from exporters.transforms.options import LossyOptions
from exporters.write import ExportOptions, ExportResult, write


def export(model: str | Path, out: str | Path, options: ExportOptions | None = None) -> ExportResult:
    """Export `model` to the new folder `out`, which appears only when it is whole.

    `model` is a Hugging Face folder, an ONNX file or a folder with one, a GGUF file, or the name of a model on the
    Hugging Face Hub. Progress goes to stderr. Raises ConfigError, ExportError or FormatError; `out` is then as it was
    before. What a killed or failed export finished is taken over.
    """
    start = time.monotonic()
    options = options or ExportOptions()
    target = Path(os.path.abspath(out))
    prepare(target, options.force)
    asked = options.lossy if options.lossy is not None and registry.changes(options.lossy) else None
    if asked is not None:
        lossy.refuse_quantized(model)
    with (
        contextlib.closing(open_plan(model, options.dtype, options.tokenizer)) as plan,
        working_folder(target, options.force, _begun(model, options, asked), options.restart) as work,
    ):
        if asked is None:
            return write(plan, work, target, options, start)
        return lossy.export_lossily(model, plan, work, target, replace(options, lossy=asked), start)


def _begun(model: str | Path, options: ExportOptions, lossy: LossyOptions | None) -> dict[str, Any]:
    """What an export that goes on must agree with: options, and the inputs' paths, whose content is compared later."""
    library = native.library().lpc_version().decode()
    asked: dict[str, Any] = {
        "version": f"{__version__} {library}", "codec": str(options.codec), "dtype": options.dtype,
    }  # fmt: skip
    inputs = {"model": str(model)}
    if Path(model).exists():
        inputs["model"] = os.path.abspath(model)
    if lossy is not None:
        every = dataclasses.asdict(lossy)
        files = {name: every.pop(name) for name in ("calibration", "text", "reference")}
        asked |= every
        inputs |= {name: os.path.abspath(path) for name, path in files.items() if path is not None}
    return {"options": json.loads(json.dumps(asked)), "inputs": inputs}


__all__ = ["ExportOptions", "ExportResult", "export"]
