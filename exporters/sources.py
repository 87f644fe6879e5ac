"""Finds out what a model is, and plans its export."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.errors import ExportError
from exporters import genai_config
from exporters.architectures import build
from exporters.checkpoint import CONFIG, Checkpoint
from exporters.dtypes import KEEP
from exporters.plan import Plan

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
TOKENIZER_FILES = (
    TOKENIZER,
    TOKENIZER_CONFIG,
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
)


def open_plan(model: str | Path, dtype: str = KEEP, tokenizer: Path | None = None) -> Plan:
    """Return the plan for `model`; the caller closes its tensors. `tokenizer` is a folder with tokenizer.json.

    Raises ConfigError, ExportError or FormatError. A Hub name is fetched first if there is no such path.
    """
    path = Path(model)
    if not path.exists():
        from exporters import hub

        if hub.is_name(str(model)):
            path = hub.fetch(str(model))
    if path.suffix == ".gguf":
        from exporters.gguf_source import open_gguf

        return _of_checkpoint(open_gguf(path), tokenizer or path.parent)
    found = onnx_file(path)
    if found is not None:
        from exporters.onnx_source import plan_onnx

        return plan_onnx(found, dtype, tokenizer_files(tokenizer or found.parent))
    return _of_checkpoint(Checkpoint(path), tokenizer or path)


def tokenizer_files(folder: Path) -> list[Path]:
    """Return what `folder` holds of a tokenizer."""
    return [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]


def onnx_file(path: Path) -> Path | None:
    """Return the ONNX file that `path` is, or that a folder without safetensors holds."""
    if path.suffix == ".onnx":
        return path
    if not path.is_dir() or any(path.glob("*.safetensors")):
        return None
    found = sorted(path.glob("*.onnx"))
    if len(found) > 1:
        preferred = path / "model.onnx"
        if preferred not in found:
            raise ExportError(f"{path}: {len(found)} ONNX files; name the one to export: {found[0]}")
        return preferred
    return found[0] if found else None


def _of_checkpoint(checkpoint: Checkpoint, tokenizer: Path) -> Plan:
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(checkpoint.close)
        architecture = build(checkpoint)
        checkpoint.check(architecture.graph.shapes(), architecture.ignored)
        files = tokenizer_files(tokenizer)
        _check_tokenizer(tokenizer, files)
        on_failure.pop_all()
        return Plan(
            name=checkpoint.name,
            model_type=architecture.model_type,
            context_length=architecture.decoder.context_length,
            tensors=checkpoint,
            graph=architecture.graph,
            genai_config=genai_config.make(architecture, checkpoint.config),
            copied=files,
            warnings=(*checkpoint.warnings, *architecture.warnings),
        )


def _check_tokenizer(folder: Path, files: Sequence[Path]) -> None:
    if not any(file.name == TOKENIZER for file in files):
        raise ExportError(
            f"{folder / TOKENIZER}: not found; lpc-run needs it: fetch it, or make it with transformers: "
            "AutoTokenizer.from_pretrained(MODEL, use_fast=True).save_pretrained(MODEL), or name its folder with "
            "--tokenizer"
        )


__all__ = ["CONFIG", "TOKENIZER", "TOKENIZER_CONFIG", "onnx_file", "open_plan", "tokenizer_files"]
