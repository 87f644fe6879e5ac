"""Tiny models of every family: golden records from transformers, weights made by numpy from names and shapes, and a way
to run exports in a plain onnxruntime session, with the provider or with the fallback op.

A record in `golden_families/` holds config.json, the names and shapes of the checkpoint's tensors, and what
transformers computed in float32: `tokens` by forward passes with a cache, `generated` by its generate() where that
computes a cache anew. `benchmarks/compare_families.py --write-golden` makes the records.
"""

from __future__ import annotations

import itertools
import json
import zlib
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from checkpoints import write_safetensors, write_tokenizer
from numpy.typing import NDArray

from edge_runtime import provider

GOLDEN = Path(__file__).parent / "golden_families"
TOLERANCE = 2e-5  # of the range of the logits: float32 sums of some hundred terms; the wrong GELU gives 8e-5
PROMPT = [1, 17, 42, 5, 33, 60, 8, 8, 29]
BATCH = [[3, 50, 21, 7, 44, 12, 9, 31], [11, 2, 58]]
NEW_TOKENS = 32
BATCH_NEW_TOKENS = 12
_session_numbers = itertools.count()


def names() -> list[str]:
    """Return the names of all records."""
    return sorted(path.stem for path in GOLDEN.glob("*.json"))


def load(name: str) -> dict[str, Any]:
    """Return a record."""
    record: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return record


def weights(shapes: dict[str, list[int]], seed: int = 0) -> dict[str, NDArray[Any]]:
    """Return random bfloat16 weights that depend on seed, name and shape alone; RandomState's numbers never change."""
    tensors = {}
    for name, shape in shapes.items():
        values = np.random.RandomState(zlib.crc32(name.encode()) + seed & 0xFFFFFFFF).standard_normal(shape)
        if len(shape) == 1:
            values = 0.3 * values if name.endswith("bias") else 1 + 0.2 * values
        elif not any(part in name for part in ("embed", "wte", "wpe")):
            values = values * 1.5 / np.sqrt(min(shape))
        tensors[name] = values.astype(ml_dtypes.bfloat16)
    return tensors


def write_checkpoint(folder: Path, record: dict[str, Any]) -> Path:
    """Write the record's checkpoint and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(record["config"]))
    write_safetensors(folder / "model.safetensors", weights(record["tensors"], record["seed"]))
    write_tokenizer(folder, record["config"]["vocab_size"])
    return folder


class Runner:
    """Runs an export with a KV cache that is fed back. A batch is padded on the right."""

    def __init__(self, folder: Path, use_provider: bool) -> None:
        ort = provider.import_onnxruntime()
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.register_custom_ops_library(provider.get_library_path())
        self.session_id = f"family-{next(_session_numbers)}"
        providers = None
        if use_provider:
            options.add_provider_for_devices(provider.devices(), {"session_id": self.session_id})
        else:
            providers = ["CPUExecutionProvider"]
        self.session = ort.InferenceSession(str(folder / "model.onnx"), options, providers=providers, enable_fallback=0)
        self._outputs = [value.name for value in self.session.get_outputs()]
        self._caches = {v.name: v.shape for v in self.session.get_inputs() if v.name.startswith("past_key_values.")}
        self.reset(1)

    def reset(self, rows: int) -> None:
        """Begin a new batch of texts."""
        self.lengths = np.zeros(rows, np.int64)
        self.cache = {name: np.zeros((rows, s[1], 0, s[3]), np.float32) for name, s in self._caches.items()}

    def step(self, ids: list[list[int]]) -> list[NDArray[np.float32]]:
        """Append tokens to every text; returns each text's logits [tokens, vocabulary]."""
        counts = np.array([len(row) for row in ids])
        width = int(counts.max())
        padded = np.zeros((len(ids), width), np.int64)
        for row, tokens in zip(padded, ids, strict=True):
            row[: len(tokens)] = tokens
        positions = self.lengths[:, None] + np.arange(width)
        self.lengths = self.lengths + counts
        total = max(int(self.lengths.max()), next(iter(self.cache.values())).shape[2] if self.cache else 0)
        mask = (np.arange(total) < self.lengths[:, None]).astype(np.int64)
        feed = {"input_ids": padded, "attention_mask": mask, "position_ids": positions, **self.cache}
        outputs = dict(zip(self._outputs, self.session.run(None, feed), strict=True))
        self.cache = {name: outputs[name.replace("past_key_values", "present")] for name in self.cache}
        return [row[:count] for row, count in zip(outputs["logits"], counts, strict=True)]

    def greedy(self, prompts: list[list[int]], count: int) -> list[list[int]]:
        """Return `count` greedy tokens after each prompt."""
        self.reset(len(prompts))
        tokens: list[list[int]] = [[] for _ in prompts]
        ids = prompts
        for _ in range(count):
            ids = [[int(row[-1].argmax())] for row in self.step(ids)]
            for row, (token,) in zip(tokens, ids, strict=True):
                row.append(token)
        return tokens

    def logits(self, ids: list[int]) -> NDArray[np.float32]:
        """Return the logits of one text in one pass, [tokens, vocabulary]."""
        self.reset(1)
        return self.step([ids])[0]


def error_of(got: NDArray[Any], expected: Any) -> float:
    """Return the largest difference, as a part of the range of the expected values."""
    expected = np.asarray(expected)
    return float(np.abs(got - expected).max() / (expected.max() - expected.min()))
