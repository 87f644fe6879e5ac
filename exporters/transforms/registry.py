"""The passes that are known, a line each."""

from __future__ import annotations

from exporters.transforms.options import LossyOptions
from exporters.transforms.passes import Pass
from exporters.transforms.prune_pass import Prune
from exporters.transforms.quantize_pass import Quantize
from exporters.transforms.scale_pass import Scale

# In the order in which they decide: scaling wants to know how weights will be rounded.
PASSES: list[type[Pass]] = [
    Prune,
    Quantize,
    Scale,
]


def asked(options: LossyOptions) -> list[Pass]:
    """Return the passes that the options ask for, in order; each keeps what it finds in one export."""
    return [each for each in (known.of(options) for known in PASSES) if each is not None]


def changes(options: LossyOptions) -> bool:
    """Whether anything is to be done at all."""
    return any(each.changes for each in asked(options))


def calibrates(options: LossyOptions) -> bool:
    """Whether it has to be known what goes into the products."""
    return options.compensate or any(each.calibrates for each in asked(options))
