"""Generate greedily with transformers and Accelerate's disk offload: a worker of the peers' benchmarks.

    OMP_WAIT_POLICY=passive python benchmarks/peers/accelerate_tokens.py build/tinyllama --prompt-ids 3,4,5 \\
      --tokens 4 --cpu-memory 200MB --offload build/offload

BF16 as in the checkpoint; what does not fit --cpu-memory is offloaded to disk by Accelerate's own device map. Prints
one JSON object: token_ids, token_seconds (of each token after the first), first_seconds (load and prompt).
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--prompt-ids", required=True)
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--cpu-memory", required=True, help="for weights, such as 200MB")
    parser.add_argument("--offload", required=True, help="folder for what Accelerate writes")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(options.threads)
    begin = time.perf_counter()
    model = AutoModelForCausalLM.from_pretrained(
        options.model,
        dtype=torch.bfloat16,
        device_map="auto",
        max_memory={"cpu": options.cpu_memory},
        offload_folder=options.offload,
    )
    ids = torch.tensor([[int(text) for text in options.prompt_ids.split(",")]])
    cache = None
    chosen: list[int] = []
    seconds: list[float] = []
    with torch.inference_mode():
        for _ in range(options.tokens):
            out = model(input_ids=ids, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            ids = out.logits[:, -1:].argmax(-1)
            chosen.append(int(ids))
            seconds.append(time.perf_counter() - begin)
            begin = time.perf_counter()
    placed = dict(Counter(str(device) for device in model.hf_device_map.values()))
    print(
        json.dumps({"token_ids": chosen, "first_seconds": seconds[0], "token_seconds": seconds[1:], "modules": placed})
    )


if __name__ == "__main__":
    main()
