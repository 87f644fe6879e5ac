"""Generate greedily with llama.cpp, weights mapped from the file: a worker of the peers' benchmarks.

    python benchmarks/peers/llama_cpp_tokens.py model.gguf --prompt-ids 3,4,5 --tokens 4

Prints one JSON object: token_ids, token_seconds (of each token after the first), first_seconds (load and prompt).
"""

from __future__ import annotations

import argparse
import json
import time

import llama_cpp
import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--prompt-ids", required=True)
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    begin = time.perf_counter()
    model = llama_cpp.Llama(
        model_path=options.model,
        n_ctx=options.context,
        n_batch=64,
        n_threads=options.threads,
        n_threads_batch=options.threads,
        use_mmap=True,
        verbose=False,
    )
    ids = [int(text) for text in options.prompt_ids.split(",")]
    chosen: list[int] = []
    seconds: list[float] = []
    for _ in range(options.tokens):
        model.eval(ids)
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(model.ctx, -1), shape=(model.n_vocab(),))
        ids = [int(logits.argmax())]
        chosen += ids
        seconds.append(time.perf_counter() - begin)
        begin = time.perf_counter()
    print(json.dumps({"token_ids": chosen, "first_seconds": seconds[0], "token_seconds": seconds[1:]}))


if __name__ == "__main__":
    main()
