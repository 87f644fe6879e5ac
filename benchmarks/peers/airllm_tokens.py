"""Generate greedily with AirLLM, layer after layer from disk: a worker of the peers' benchmarks.

    python benchmarks/peers/airllm_tokens.py build/tinyllama --shards build/airllm-shards --prompt-ids 3,4,5 --tokens 4

--shards is where AirLLM keeps its copy of the checkpoint, a file a layer; it is written when it is not there yet, which
is not part of the times: run the worker once with --tokens 1 before. Prints one JSON object: token_ids, token_seconds
(of each token after the first), first_seconds (load and prompt).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--shards", required=True)
    parser.add_argument("--prompt-ids", required=True)
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    import torch

    torch.set_num_threads(options.threads)
    begin = time.perf_counter()
    chosen: list[int] = []
    seconds: list[float] = []
    with contextlib.redirect_stdout(sys.stderr):  # it tells what it does
        from airllm import AutoModel

        model = AutoModel.from_pretrained(options.model, device="cpu", layer_shards_saving_path=options.shards)
        ids = torch.tensor([[int(text) for text in options.prompt_ids.split(",")]])
        cache = None
        with torch.inference_mode():
            for _ in range(options.tokens):
                out = model(input_ids=ids, past_key_values=cache, use_cache=True)
                cache = out.past_key_values
                ids = out.logits[:, -1:].argmax(-1)
                chosen.append(int(ids))
                seconds.append(time.perf_counter() - begin)
                begin = time.perf_counter()
    print(json.dumps({"token_ids": chosen, "first_seconds": seconds[0], "token_seconds": seconds[1:]}))


if __name__ == "__main__":
    main()
