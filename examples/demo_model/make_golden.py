"""Write golden.json: what transformers computes for this model, to compare other runtimes with.

Float32 arithmetic on the BF16 weights, on a CPU. For each prompt: its token ids, the greedy continuation
(generated tokens only, end-of-story token left out), the decoded text and the logits at the last prompt token.

    python make_golden.py
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

HERE = Path(__file__).resolve().parent
PROMPTS = (
    "Once upon a time",
    "The little dog",
    "One day, Tom and his friend Mia",
    '"Hello there," said the old owl. ',
)
DIGITS = 7


@torch.no_grad()
def golden(model: LlamaForCausalLM, tokenizer: Tokenizer, prompt: str, new_tokens: int) -> dict[str, Any]:
    """Return one record: greedy tokens and the logits that follow the prompt."""
    prompt_ids: list[int] = tokenizer.encode(prompt).ids
    ids = list(prompt_ids)
    last_logits: list[float] = []
    for _ in range(new_tokens):
        row = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
        last_logits = last_logits or [float(f"{value:.{DIGITS}g}") for value in row.tolist()]
        token = int(row.argmax())
        if token == model.config.eos_token_id:
            break
        ids.append(token)
    return {
        "prompt": prompt,
        "prompt_ids": prompt_ids,
        "greedy_ids": ids[len(prompt_ids) :],
        "text": tokenizer.decode(ids),
        "last_logits_first8": last_logits[:8],
        "last_logits": last_logits,
    }


def compact(records: list[dict[str, Any]]) -> str:
    """Format the records as JSON with one line for each field."""
    blocks = []
    for record in records:
        fields = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in record.items()]
        blocks.append(" {\n" + ",\n".join(fields) + "\n }")
    return "[\n" + ",\n".join(blocks) + "\n]\n"


def main() -> None:
    """Compute all records and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=HERE, help="model folder")
    parser.add_argument("--out", type=Path, help="default: golden.json in the model folder")
    parser.add_argument("--new-tokens", type=int, default=48)
    args = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    model = LlamaForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    records = [golden(model, tokenizer, prompt, args.new_tokens) for prompt in PROMPTS]
    out = args.out or args.model / "golden.json"
    fresh = out.with_name(out.name + ".new")
    fresh.write_text(compact(records), encoding="utf-8")
    fresh.replace(out)


if __name__ == "__main__":
    main()
