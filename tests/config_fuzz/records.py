"""Recorded configurations: what config.json says, names and shapes of tensors, and a few of transformers' logits.

Every line of `golden_configs.jsonl` is one. "tensors" are shapes by name, where "layers.[2].x" stands for layers.0.x
and layers.1.x. "logits" are those of `places`, "range" is that of all logits; or "refused" is the key that is named.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILE = Path(__file__).parents[1] / "golden_configs.jsonl"
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
_COUNT = re.compile(r"\[(\d+)\]")
_DIGITS = 6
Shapes = dict[str, list[int]]


def load() -> list[dict[str, Any]]:
    """Return all records."""
    return [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


def write(records: list[dict[str, Any]]) -> None:
    """Write all records anew."""
    lines = [json.dumps(record, separators=(",", ":")) for record in records]
    FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def places(tokens: int, vocabulary: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows and columns of the logits that are recorded."""
    rows, columns = np.linspace(tokens // 4, tokens - 1, 4).astype(int), np.linspace(1, vocabulary - 1, 5).astype(int)
    return np.repeat(rows, columns.size), np.tile(columns, rows.size)


def of_logits(logits: NDArray[np.float32]) -> dict[str, Any]:
    """Return what is recorded of logits [tokens, vocabulary]."""
    some = [float(f"{value:.{_DIGITS}g}") for value in logits[places(*logits.shape)].tolist()]
    return {
        "tokens": len(logits),
        "vocabulary": logits.shape[1],
        "range": float(f"{np.ptp(logits):.{_DIGITS}g}"),
        "logits": some,
    }


def folded(shapes: Shapes) -> Shapes:
    """Write the tensors that differ in their numbers alone as one, where none of them is missing."""
    groups: dict[tuple[str, tuple[int, ...]], list[tuple[int, ...]]] = defaultdict(list)
    for name, shape in shapes.items():
        groups[_NUMBER.sub("[]", name), tuple(shape)].append(tuple(int(n) for n in _NUMBER.findall(name)))
    short: Shapes = {}
    for (pattern, shape), numbers in groups.items():
        counts = [max(column) + 1 for column in zip(*numbers, strict=True)]
        whole = len(numbers) == int(np.prod(counts))
        for marks in [[f"[{count}]" for count in counts]] if whole else numbers:
            short[pattern.replace("[]", "{}").format(*marks)] = list(shape)
    return short


def unfolded(short: Shapes) -> Shapes:
    """Undo `folded`."""
    shapes: Shapes = {}
    for pattern, shape in short.items():
        for numbers in itertools.product(*[range(int(count)) for count in _COUNT.findall(pattern)]):
            shapes[_COUNT.sub("{}", pattern).format(*numbers)] = shape
    return dict(sorted(shapes.items()))
