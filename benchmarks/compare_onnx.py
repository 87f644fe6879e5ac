"""An ONNX language model before and after lpc-export: the same logits, bit for bit, and the same tokens.

    lpc-export built/model.onnx -o built-lpc
    python benchmarks/compare_onnx.py built built-lpc --prompt 1 403 407 261

Runs the original in plain onnxruntime, and the export through the fallback op: the logits must have the same bits where
onnxruntime does not prepack constant weights ("session.disable_prepacking"); where it does, its packed kernels sum in
another order, and the largest difference is printed. Greedy tokens through the provider must be the same. Prints one
JSON object; exit status 1 where something differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edge_runtime import provider

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64}


class Decoder:
    """A decoder with a KV cache in an onnxruntime session, fed one sequence."""

    def __init__(self, session: Any, folder: Path) -> None:
        self._session, self._length = session, 0
        self._names = [value.name for value in session.get_outputs()]
        self._cache: dict[str, NDArray[Any]] = {}
        self._tokens = [value.name for value in session.get_inputs() if not value.name.startswith("past")]
        config = json.loads((folder / "genai_config.json").read_text())["model"]["decoder"]
        for value in session.get_inputs():
            if value.name.startswith("past"):
                shape = (1, config["num_key_value_heads"], 0, config["head_size"])
                self._cache[value.name] = np.zeros(shape, _TYPES[value.type])

    def step(self, ids: list[int]) -> NDArray[Any]:
        """Feed tokens; return the logits after the last of them."""
        start, self._length = self._length, self._length + len(ids)
        feeds = {
            "input_ids": np.array([ids], np.int64),
            "attention_mask": np.ones((1, self._length), np.int64),
            "position_ids": np.arange(start, self._length, dtype=np.int64)[None],
        }
        outputs = self._session.run(None, {name: feeds[name] for name in self._tokens} | self._cache)
        values = dict(zip(self._names, outputs, strict=True))
        self._cache = {name: values[name.replace("past_key_values", "present")] for name in self._cache}
        logits: NDArray[Any] = values["logits"][0, -1]
        return logits


def open_session(folder: Path, way: str, prepack: bool = True) -> tuple[Any, str]:
    """Open a folder's model "plain", through the "fallback" op or the "provider"; return the session and its id."""
    model = folder / "model.onnx"
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_prepacking", "0" if prepack else "1")
    session_id = f"compare-{way}"
    if way != "plain":
        options.register_custom_ops_library(provider.get_library_path())
    if way == "provider":
        options.add_provider_for_devices(provider.devices(), {"session_id": session_id})
        return ort.InferenceSession(str(model), options, enable_fallback=0), session_id
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"]), session_id


def generate(session: Any, folder: Path, prompt: list[int], count: int) -> tuple[list[int], NDArray[Any]]:
    """Return greedy tokens, and the logits that each was chosen from."""
    decoder = Decoder(session, folder)
    rows = [decoder.step(prompt)]
    for _ in range(count - 1):
        rows.append(decoder.step([int(rows[-1].argmax())]))
    return [int(row.argmax()) for row in rows], np.stack(rows)


def compare(model: Path, exported: Path, prompt: list[int], count: int) -> dict[str, Any]:
    """Run all ways and return what was found."""
    tokens, expected = generate(open_session(model, "plain")[0], model, prompt, count)
    _, logits = generate(open_session(exported, "fallback")[0], exported, prompt, count)
    plain = open_session(model, "plain", prepack=False)[0]
    fallback = open_session(exported, "fallback", prepack=False)[0]
    _, before = generate(plain, model, prompt, count)
    _, after = generate(fallback, exported, prompt, count)
    session, session_id = open_session(exported, "provider")
    got, _ = generate(session, exported, prompt, count)
    stats = provider.session_stats(session_id)
    difference = np.abs(logits.astype(np.float64) - expected.astype(np.float64)).max()
    return {
        "onnxruntime": ort.__version__,
        "tokens": count,
        "fallback_bitwise_equal": bool(np.array_equal(before.view(np.uint8), after.view(np.uint8))),
        "fallback_largest_difference_from_prepacked": float(difference),
        "provider_tokens_equal": got == tokens,
        "nodes_claimed": stats.nodes_claimed,
        "nodes_unclaimed": stats.nodes_unclaimed,
    }


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model", type=Path, help="folder with model.onnx and genai_config.json")
    parser.add_argument("exported", type=Path, help="what lpc-export made of it")
    parser.add_argument("--prompt", type=int, nargs="+", default=[1, 403, 407, 261])
    parser.add_argument("--tokens", type=int, default=64)
    args = parser.parse_args()
    result = compare(args.model, args.exported, args.prompt, args.tokens)
    print(json.dumps(result, indent=1))
    return 0 if all(value for value in result.values() if isinstance(value, bool)) else 1


if __name__ == "__main__":
    sys.exit(main())
