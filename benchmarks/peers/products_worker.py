"""Greedy generation on request, for benchmarks/products.py and without_options.py: one JSON object a line in, one out.

    python benchmarks/peers/products_worker.py lpc-resident|lpc-decoded|llama|torch|genai MODEL --threads N
    python benchmarks/peers/products_worker.py lpc-run|onnxruntime|genai-lpc MODEL      without a single option

A request is {"prompt": [ids], "tokens": n}; an answer has token_ids, prompt_seconds (prompt and first token),
token_seconds (all tokens after the first), and peak_rss_bytes of this process so far.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

Step = Callable[[list[int]], int]  # appends token ids and returns the most likely next one


def ours(model: str, threads: int, residence: str) -> Callable[[int], Step]:
    from edge_runtime import provider
    from edge_runtime.package import Package
    from edge_runtime.sequence import Graph, SequenceDecoder
    from edge_runtime.session import open_session

    package = Package.open(model)
    choices = {
        provider.OPTION_SESSION_ID: "products",
        provider.OPTION_DECODE_THREADS: str(threads),
        provider.OPTION_PRODUCT_THREADS: str(threads),
        "residence": f"0-{len(package.layers)}:{residence}",
        "ring_bytes": "0",
    }
    graph = Graph.of(open_session(package, choices, threads, False), package, uses_provider=True)

    return lambda capacity: stepping(SequenceDecoder(graph, capacity, 512))


def stepping(decoder: Any) -> Step:
    return lambda ids: int((decoder.step(ids[0]) if len(ids) == 1 else decoder.prefill(ids)).argmax())


def lpc_run(model: str, _threads: int) -> Callable[[int], Step]:
    import edge_runtime

    loaded = edge_runtime.load(model)
    return lambda capacity: stepping(loaded.decoder(capacity))


def onnxruntime(model: str, _threads: int) -> Callable[[int], Step]:
    """A session as any program makes it; the token loop is that of lpc-run, so that sessions alone are compared."""
    import onnxruntime as ort

    from edge_runtime import native
    from edge_runtime.package import Package
    from edge_runtime.sequence import Graph, SequenceDecoder

    name = "LpcExecutionProvider"
    ort.register_execution_provider_library(name, str(native.library_path()))
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors
    options.add_provider_for_devices([device for device in ort.get_ep_devices() if device.ep_name == name], {})
    graph = Graph.of(ort.InferenceSession(f"{model}/model.onnx", options), Package.open(model), uses_provider=True)
    return lambda capacity: stepping(SequenceDecoder(graph, capacity, 512))


def genai_lpc(model: str, threads: int) -> Callable[[int], Step]:
    import onnxruntime_genai

    from edge_runtime import native

    onnxruntime_genai.register_execution_provider_library("LpcExecutionProvider", str(native.library_path()))
    return genai(model, threads)


def llama(model: str, threads: int) -> Callable[[int], Step]:
    import llama_cpp
    import numpy as np

    loaded = llama_cpp.Llama(
        model_path=model, n_ctx=1024, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False
    )

    def step(ids: list[int]) -> int:
        loaded.eval(ids)
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(loaded.ctx, -1), shape=(loaded.n_vocab(),))
        return int(logits.argmax())

    def begin(_capacity: int) -> Step:
        loaded.reset()
        return step

    return begin


def torch(model: str, threads: int) -> Callable[[int], Step]:
    import torch
    import transformers

    torch.set_num_threads(threads)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)

    def begin(_capacity: int) -> Step:
        state: dict[str, Any] = {"cache": None}

        @torch.inference_mode()
        def step(ids: list[int]) -> int:
            out = loaded(torch.tensor([ids]), past_key_values=state["cache"], use_cache=True, logits_to_keep=1)
            state["cache"] = out.past_key_values
            return int(out.logits[0, -1].argmax())

        return step

    return begin


def genai(model: str, threads: int) -> Callable[[int], Step]:
    import onnxruntime_genai

    config = onnxruntime_genai.Config(model)
    if threads:
        config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}))
    loaded = onnxruntime_genai.Model(config)

    def begin(capacity: int) -> Step:
        parameters = onnxruntime_genai.GeneratorParams(loaded)
        parameters.set_search_options(do_sample=False, max_length=capacity + 1)
        generator = onnxruntime_genai.Generator(loaded, parameters)

        def step(ids: list[int]) -> int:
            if generator.token_count() == 0:  # it appends by itself what it chose
                generator.append_tokens(ids)
            generator.generate_next_token()
            return int(generator.get_next_tokens()[0])

        return step

    return begin


PEERS = {
    "llama": llama,
    "torch": torch,
    "genai": genai,
    "lpc-run": lpc_run,
    "onnxruntime": onnxruntime,
    "genai-lpc": genai_lpc,
}


def answer(begin: Callable[[int], Step], prompt: list[int], tokens: int) -> dict[str, Any]:
    step = begin(len(prompt) + tokens)
    started = time.perf_counter()
    chosen = [step(prompt)]
    prompted = time.perf_counter()
    while len(chosen) < tokens:
        chosen.append(step(chosen[-1:]))
    return {
        "token_ids": chosen,
        "prompt_seconds": prompted - started,
        "token_seconds": time.perf_counter() - prompted,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["lpc-resident", "lpc-decoded", *PEERS])
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    if options.kind in PEERS:
        begin = PEERS[options.kind](options.model, options.threads)
    else:
        begin = ours(options.model, options.threads, options.kind.removeprefix("lpc-"))
    for line in sys.stdin:
        print(json.dumps(answer(begin, **json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
