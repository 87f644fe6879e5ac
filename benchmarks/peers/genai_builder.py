"""onnxruntime-genai's model builder, with rotary embeddings as operators of their own.

    python benchmarks/peers/genai_builder.py -i MODEL -o OUT -p fp32 -e cpu -c CACHE

The same arguments as `python -m onnxruntime_genai.models.builder`. Left alone, the builder puts the rotation into
GroupQueryAttention for every provider but DirectML, and onnxruntime's CPU kernel then runs only heads whose size is a
multiple of 16 ("head_size shall be a multiple of 16"); stories260k has heads of 8. Needs onnxruntime-genai, torch,
transformers and onnx_ir; nothing of this project.
"""

from __future__ import annotations

import runpy

from onnxruntime_genai.models import builder


def main() -> None:
    builder.LlamaModel.is_fused_rope_supported = lambda _model: False
    runpy.run_module("onnxruntime_genai.models.builder", run_name="__main__")


if __name__ == "__main__":
    main()
