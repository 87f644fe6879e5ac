"""Finds out what a model is, and plans its export."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from edge_runtime.errors import ExportError
from exporters.architectures.registry import build
from exporters.checkpoints.checkpoint import Checkpoint
from exporters.checkpoints.dtypes import KEEP
from exporters.checkpoints.tokenizer_files import TOKENIZER, TokenizerFiles, read_tokenizer
from exporters.planning import genai_config
from exporters.planning.plan import Plan


def open_plan(model: str | Path, dtype: str = KEEP, tokenizer: Path | None = None) -> Plan:
    """Return the plan for `model`; the caller closes its tensors. `tokenizer` is a folder with tokenizer.json.

    Raises ConfigError, ExportError or FormatError. A Hub name is fetched first if there is no such path.
    """
    path = Path(model)
    if not path.exists():
        from exporters.checkpoints import hub

        if hub.is_name(str(model)):
            path = hub.fetch(str(model))
    if path.suffix == ".gguf":
        from exporters.checkpoints.gguf_source import open_gguf

        checkpoint, carried = open_gguf(path)
        return _of_checkpoint(checkpoint, tokenizer or path.parent, carried if tokenizer is None else None)
    found = onnx_file(path)
    if found is not None:
        from exporters.planning.onnx_source import plan_onnx

        return plan_onnx(found, dtype, tokenizer or found.parent)
    return _of_checkpoint(Checkpoint(path), tokenizer or path)


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


def _of_checkpoint(checkpoint: Checkpoint, tokenizer: Path, carried: Callable[[], bytes | None] | None = None) -> Plan:
    """`tokenizer` is a folder; `carried` makes the tokenizer.json of a model that has its own, where none is there."""
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(checkpoint.close)
        architecture = build(checkpoint)
        checkpoint.check(architecture.graph.shapes(), architecture.ignored)
        found = read_tokenizer(tokenizer, architecture.decoder.vocab_size)
        made = carried() if carried is not None and TOKENIZER not in found else None
        if made is not None:
            found = TokenizerFiles({TOKENIZER: made})
        _check_tokenizer(tokenizer, found)
        on_failure.pop_all()
        return Plan(
            name=checkpoint.name,
            model_type=architecture.model_type,
            context_length=architecture.decoder.context_length,
            tensors=checkpoint,
            graph=architecture.graph,
            genai_config=genai_config.make(architecture, checkpoint.config),
            files=found.files,
            warnings=(*checkpoint.warnings, *architecture.warnings, *found.warnings),
        )


def _check_tokenizer(folder: Path, found: TokenizerFiles) -> None:
    if TOKENIZER not in found:
        raise ExportError(
            f"{folder / TOKENIZER}: not found; lpc-run needs it: fetch it, or make it with transformers: "
            "AutoTokenizer.from_pretrained(MODEL, use_fast=True).save_pretrained(MODEL), or name its folder with "
            "--tokenizer"
        )


__all__ = ["onnx_file", "open_plan"]
