"""The room on the disk: an export does not start where it cannot end."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np

from edge_runtime.errors import ExportError
from edge_runtime.io.units import format_allowed, format_needed
from exporters.checkpoints import dtypes
from exporters.package.blob_writer import ALIGNMENT
from exporters.package.codec_choice import CodecChoice
from exporters.package.codec_names import STORED
from exporters.package.encoder import LEAST_ZEROS
from exporters.planning.plan import Plan

# What no codec goes below, as a part of the stored bytes: the entropy limit of dense 16-bit weights is near 0.65.
_DENSE_RATIO = 0.6
_ANY_RATIO = 0.1  # of pruned or quantized weights, and of bytes
_SPARE_BYTES = 32 << 20
_SAMPLE = 1 << 16  # elements of a weight that tell whether the model is pruned
_FLOAT32 = ("F32", "float32")


def check(folder: Path, plan: Plan, codec: CodecChoice, dtype: str, kept_bytes: int) -> None:
    """ExportError if the disk of `folder` has less room than the export takes at least, beside `kept_bytes`."""
    needed = least_bytes(plan, codec, dtype) - kept_bytes + _SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ExportError(
            f"{folder.parent}: {format_allowed(free)} free, expected at least {format_needed(needed)} for this model; "
            "make room or choose another place with -o"
        )


def least_bytes(plan: Plan, codec: CodecChoice, dtype: str) -> int:
    """Return a size in bytes that the data file will have in any case."""
    stored = codec == CodecChoice(STORED)
    ratio = 1.0 if stored else _DENSE_RATIO
    if plan.transform is not None or (not stored and _pruned(plan)):
        ratio = _ANY_RATIO
    total = float(sum(array.nbytes for array in plan.graph.constants.values()))
    for name, weight in plan.graph.weights.items():
        info = plan.tensors.tensors[name]
        if weight.fixed:
            total += info.nbytes * min(ratio, _ANY_RATIO)
        elif dtype != dtypes.KEEP:
            total += math.prod(info.shape) * dtypes.NUMPY[dtype].itemsize * ratio
        else:  # float32 values may all fit 16 bits
            total += info.nbytes * ratio / (2 if info.dtype in _FLOAT32 else 1)
    return int(total) + ALIGNMENT * len(plan.graph.weights)


def _pruned(plan: Plan) -> bool:
    """Whether one of three weights begins with many zeros."""
    names = list(plan.graph.weights)
    for name in {names[len(names) * quarter // 4] for quarter in (1, 2, 3)}:
        sample = plan.tensors.read(name).reshape(-1)[:_SAMPLE]
        zeros = np.count_nonzero(sample == 0)
        plan.tensors.release(name)
        if zeros >= LEAST_ZEROS * sample.size:
            return True
    return False
