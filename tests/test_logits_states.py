"""Logits do not depend on how weights are stored, or on where they live: the same bits for every codec and state."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from real_models import ExportModel

from edge_runtime import provider
from edge_runtime.facts import codecs
from edge_runtime.package import Package
from edge_runtime.sequence import Graph, SequenceDecoder
from edge_runtime.session import open_session

# Every codec, and where products are computed from a layout as it is stored, that.
CODECS = [
    name
    for codec in codecs().values()
    for name in ([f"{codec.name}:{x.name}" for x in codec.layouts.values() if x.is_multiplied] or [codec.name])
]
STATES = ("decoded", "resident", "transcoded", "streamed")
PROMPT = [1, 403, 407, 261, 378, 31, 44]
_numbers = itertools.count()


def logits(folder: Path, state: str, product_threads: int) -> bytes:
    """Of a prompt, and of four tokens after it one by one."""
    package = Package.open(folder)
    choices = {
        provider.OPTION_SESSION_ID: f"states-{next(_numbers)}",
        provider.OPTION_PRODUCT_THREADS: str(product_threads),
        "residence": f"0-{len(package.layers)}:{state}",
    }
    graph = Graph.of(open_session(package, choices, 2, False), package, uses_provider=True)
    decoder = SequenceDecoder(graph, 32, 512)
    rows = [np.array(decoder.prefill(PROMPT))]
    rows += [np.array(decoder.step(token)) for token in (5, 300, 17, 2)]
    return np.concatenate(rows).tobytes()


@cache
def expected(export_model: ExportModel) -> bytes:
    return logits(export_model("demo_model", "stored"), "decoded", 0)


@pytest.mark.parametrize("codec", CODECS)
def test_logits_of_every_codec_and_state_have_the_same_bits(codec: str, export_model: ExportModel) -> None:
    folder = export_model("demo_model", codec)
    for state, product_threads in itertools.product(STATES, (0, 1, 2)):
        assert logits(folder, state, product_threads) == expected(export_model), (state, product_threads)
