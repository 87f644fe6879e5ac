"""One configuration, given to transformers and to an export: how the two compare (needs torch)."""

from __future__ import annotations

import json
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path

import families
import numpy as np
import torch

from config_fuzz import live, product
from config_fuzz.draw import Config

EQUAL, NOISY = "equal", "equal but for rounding that transformers has too"
REFUSED, BOTH_REFUSED = "refused by name", "refused by both"
UNREAD, THEIRS_REFUSED = "no model in transformers", "refused by transformers alone"
NOT_FINITE = "not finite in transformers"
WRONG, CRASH = "WRONG", "CRASH"
FAULTS = (WRONG, CRASH)
_NOISE = 20  # times the error of transformers' own float32


@dataclass(frozen=True)
class Trial:
    """An outcome, one of the above, and what tells more."""

    config: Config
    outcome: str
    detail: str
    reference: live.Reference


def try_one(config: Config) -> Trial:
    """Compare what transformers and an export make of `config`."""
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / "model"
        reference = live.make(model, config)
        if not reference.shapes:
            return Trial(config, UNREAD, reference.refused, reference)
        if reference.logits is None:
            product.write_model(model, config, reference.shapes, product.USUAL_VOCABULARY)
        ids = reference.ids or product.text(product.SHORTEST, product.USUAL_VOCABULARY)
        try:
            made = product.make(model, Path(scratch) / "out", ids, step=product.steps(config))
        except Exception:  # whatever is no LpcError is a fault, which is what this looks for
            return Trial(config, CRASH, traceback.format_exc()[-900:], reference)
        return Trial(config, *_compared(model, reference, made), reference)


def _compared(model: Path, reference: live.Reference, made: product.Made) -> tuple[str, str]:
    if made.logits is None:
        return REFUSED if reference.logits is not None else BOTH_REFUSED, made.refused
    if reference.logits is None:
        return THEIRS_REFUSED, reference.refused
    if not np.isfinite(reference.logits).all():
        return NOT_FINITE, ""
    errors = [families.error_of(made.logits, reference.logits)]
    if made.stepped is not None:
        errors.append(families.error_of(made.stepped, reference.logits[-len(made.stepped) :]))
    if max(errors) < families.TOLERANCE:
        return EQUAL, f"{max(errors):.1e}"
    exact = live.logits(model, reference.ids, torch.float64)
    noise = families.error_of(reference.logits, exact)
    text = f"errors {errors}, of transformers' own float32 {noise:.1e}"
    return NOISY if max(errors) < _NOISE * noise else WRONG, text


def line(trial: Trial) -> str:
    """Return a trial as one line of JSON."""
    return json.dumps({"outcome": trial.outcome, "detail": trial.detail, "config": trial.config})
