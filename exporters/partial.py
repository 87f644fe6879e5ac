"""How much of a model to compress for a board: as much as its decoder can keep up with its bus.

Speed-adaptive decoding of Wang et al., "When Compression Meets Model Compression": the fraction of segments that are
encoded at all follows from the rates of bus and decoder (lpc_partial_fraction in lpc.h).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_runtime import codec as blobs
from edge_runtime.plan import Figures
from exporters.checkpoints.dtypes import KEEP
from exporters.package.codec_choice import CodecChoice
from exporters.planning.sources import open_plan

_SAMPLE_BYTES = 8 << 20


def fraction_for(model: str | Path, codec: CodecChoice, figures: Figures, tokenizer: Path | None = None) -> float:
    """Return the fraction of a codec, not of "auto", for a board's figures; how well the model compresses is measured
    on its largest weight. Raises what opening the model does."""
    plan = open_plan(model, KEEP, tokenizer)
    try:
        name = max(plan.graph.weights, key=lambda each: plan.tensors.tensors[each].nbytes)
        array = plan.tensors.read(name)
        rows = max(1, _SAMPLE_BYTES // max(array[0].nbytes, 1))
        sample = np.ascontiguousarray(array[:rows])
        (encoded,) = codec.candidates
        ratio = min(1.0, blobs.encode(sample, encoded).nbytes / sample.nbytes)
    finally:
        plan.tensors.close()
    return blobs.partial_fraction(
        figures.bus.bytes_per_s,
        _with_product(codec.codec, figures),
        ratio,
        _with_product("stored", figures),
    )


def _with_product(codec: str, figures: Figures) -> float:
    """Decoded bytes per second of decoding and then multiplying on the same threads, as the plan counts them."""
    return 1 / (1 / figures.decode_rate(codec).bytes_per_s + 1 / figures.dram.bytes_per_s)
