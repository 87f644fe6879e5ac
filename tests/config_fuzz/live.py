"""What transformers makes of a configuration (needs torch)."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from config_fuzz import product
from config_fuzz.draw import LENGTH

torch.set_num_threads(1)
transformers.logging.set_verbosity(50)
transformers.utils.logging.disable_progress_bar()
warnings.filterwarnings("ignore")


@dataclass(frozen=True)
class Reference:
    """Either `logits` [tokens, vocabulary] of `ids`, with the checkpoint's `shapes`; or `refused`."""

    ids: list[int]
    shapes: dict[str, list[int]]
    logits: NDArray[np.float32] | None = None
    refused: str = ""


def make(folder: Path, config: dict[str, Any]) -> Reference:
    """Let transformers make a model of `config`, fill it with our weights, write it to `folder` and run it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    shapes: dict[str, list[int]] = {}
    try:
        read = transformers.AutoConfig.from_pretrained(folder)
        transformers.AutoModelForCausalLM.from_config(read, dtype=torch.float32).save_pretrained(folder)
        shapes = _shapes(folder / "model.safetensors")
        for file in folder.iterdir():
            file.unlink()
        product.write_model(folder, config, shapes, read.vocab_size)
        ids = product.text(LENGTH, read.vocab_size)
        return Reference(ids, shapes, logits(folder, ids))
    except Exception as error:  # whatever transformers raises for a configuration that it does not take
        return Reference([], shapes, refused=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def logits(folder: Path, ids: list[int], dtype: torch.dtype = torch.float32) -> NDArray[np.float32]:
    """Return the logits of `ids` in one pass."""
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager", output_loading_info=True
    )
    if info["missing_keys"] or info["unexpected_keys"] or info["mismatched_keys"]:
        raise ValueError(f"transformers does not load what it saved: {info}")
    with torch.no_grad():
        row: NDArray[np.float32] = model.eval()(torch.tensor([ids]), use_cache=False).logits[0].double().numpy()
    return row


def _shapes(file: Path) -> dict[str, list[int]]:
    with file.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    header.pop("__metadata__", None)
    return {name: entry["shape"] for name, entry in sorted(header.items())}
