"""What an export makes of a configuration: logits of one text, or a refusal."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import families
import numpy as np
from checkpoints import write_safetensors, write_tokenizer
from numpy.typing import NDArray

from edge_runtime.errors import LpcError
from edge_runtime.session import load
from exporters.export import ExportOptions, export
from exporters.package.codec_choice import CodecChoice

_STEPS = 4  # tokens that are appended one by one
_CHUNK = 16  # tokens in one pass
SHORTEST, USUAL_VOCABULARY = 8, 61  # of the text, where transformers tells nothing


@dataclass(frozen=True)
class Made:
    """Either `logits` [tokens, vocabulary], with `stepped`, those of the last tokens one by one; or `refused`."""

    logits: NDArray[np.float32] | None = None
    stepped: NDArray[np.float32] | None = None
    refused: str = ""


def text(length: int, vocabulary: int) -> list[int]:
    """Return the tokens of the text."""
    return [(i * 37 + 11) % vocabulary for i in range(length)]


def steps(config: dict[str, Any]) -> bool:
    """Whether tokens that are appended one by one have the logits of one pass: not with waves that change meanwhile."""
    return "short_factor" not in json.dumps(config)


def write_model(folder: Path, config: dict[str, Any], shapes: dict[str, list[int]], vocabulary: int) -> None:
    """Write a checkpoint whose weights follow from names and shapes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder / "model.safetensors", families.weights(shapes))
    write_tokenizer(folder, vocabulary)


def make(folder: Path, out: Path, ids: list[int], *, step: bool) -> Made:
    """Export `folder` to `out`, compute the logits of `ids` in several passes, and remove `out`."""
    try:
        export(folder, out, ExportOptions(codec=CodecChoice("stored"), verify=False, threads=1))
        model = load(out, threads=1, prefill_chunk=_CHUNK)
        logits = model.logits(ids)
        return Made(logits, _stepped(model, ids) if step and len(ids) > _STEPS else None)
    except LpcError as error:
        return Made(refused=str(error).replace(str(folder), "MODEL").replace(str(out), "OUT"))
    finally:
        shutil.rmtree(out, ignore_errors=True)


def _stepped(model: Any, ids: list[int]) -> NDArray[np.float32]:
    decoder = model.decoder(len(ids))
    decoder.prefill(ids[:-_STEPS])
    return np.array([np.array(decoder.step(token)) for token in ids[-_STEPS:]])
