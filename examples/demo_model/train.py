"""Train the demo model: a byte-level BPE tokenizer and a Llama of about one million parameters, on a CPU.

Reads the text that ``make_text.py`` wrote and saves a Hugging Face model folder (BF16 weights).
Training is seeded; another processor, thread count or library version gives slightly different weights.

    python train.py --out build/first
    python train.py --start-from build/first --out . --rows 8 --steps 2400 --rate 2e-3 --seed 2025

README.md lists the runs that made the model in this folder.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

HERE = Path(__file__).resolve().parent
UNK, BOS, EOS = "<unk>", "<s>", "</s>"
BOS_ID, EOS_ID = 1, 2
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 128,
    "intermediate_size": 344,
    "num_hidden_layers": 5,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 16,
    "vocab_size": 1024,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "bos_token_id": BOS_ID,
    "eos_token_id": EOS_ID,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "attention_bias": False,
    "mlp_bias": False,
    "initializer_range": 0.02,
    "use_cache": True,
}
GENERATION_CONFIG = {"bos_token_id": BOS_ID, "eos_token_id": EOS_ID}
TOKENIZER_CONFIG = {
    "bos_token": BOS,
    "eos_token": EOS,
    "unk_token": UNK,
    "tokenizer_class": "PreTrainedTokenizerFast",
    "add_bos_token": True,
    "model_max_length": CONFIG["max_position_embeddings"],
    "clean_up_tokenization_spaces": False,
}


def read_stories(path: Path) -> list[str]:
    """Return the stories of a text file; an empty line ends each."""
    return [story for story in path.read_text(encoding="utf-8").split("\n\n") if story.strip()]


def train_tokenizer(stories: list[str]) -> Tokenizer:
    """Train a byte-level BPE tokenizer that puts ``<s>`` before a text."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=CONFIG["vocab_size"],
        special_tokens=[UNK, BOS, EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(stories, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, BOS_ID)]
    )
    if tokenizer.get_vocab_size() != CONFIG["vocab_size"]:
        raise ValueError(f"the text gives only {tokenizer.get_vocab_size()} tokens")
    return tokenizer


def encode(tokenizer: Tokenizer, stories: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all stories as one token stream (``<s>`` story ``</s>``) and where each story starts."""
    stream: list[int] = []
    starts: list[int] = []
    for encoding in tokenizer.encode_batch(stories):
        starts.append(len(stream))
        stream += [*encoding.ids, EOS_ID]
    return torch.tensor(stream), torch.tensor(starts)


def batch_at(stream: torch.Tensor, starts: torch.Tensor, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut rows of ``length`` inputs and their next tokens from the stream, one row per start."""
    rows = stream[starts[:, None] + torch.arange(length + 1)]
    return rows[:, :-1], rows[:, 1:]


def loss_of(model: LlamaForCausalLM, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean next-token cross-entropy in nats."""
    logits = model(input_ids=inputs, use_cache=False).logits
    return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


@torch.no_grad()
def held_out_loss(model: LlamaForCausalLM, tokenizer: Tokenizer, stories: list[str]) -> float:
    """Mean loss per token over every held-out story, each read on its own."""
    total = count = 0.0
    for encoding in tokenizer.encode_batch(stories):
        ids = torch.tensor([[*encoding.ids, EOS_ID]])
        tokens = ids.shape[1] - 1
        total += loss_of(model, ids[:, :-1], ids[:, 1:]).item() * tokens
        count += tokens
    return total / count


def make_optimizer(model: LlamaForCausalLM, rate: float) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only."""
    matrices = [weight for weight in model.parameters() if weight.dim() > 1]
    vectors = [weight for weight in model.parameters() if weight.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)


def rate_at(step: int, steps: int, peak: float) -> float:
    """Learning rate: linear warm-up over 4 %, then a cosine down to 2 % of the peak."""
    warm_up = max(1, steps // 25)
    if step < warm_up:
        return peak * (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))


def train(model: LlamaForCausalLM, stream: torch.Tensor, starts: torch.Tensor, args: argparse.Namespace) -> None:
    """Train in place; rows begin at story starts, and the last tenth of the steps uses full-length rows."""
    optimizer = make_optimizer(model, args.rate)
    full = CONFIG["max_position_embeddings"]
    starts = starts[starts < len(stream) - full - 1]
    picker = torch.Generator().manual_seed(args.seed)
    began = time.monotonic()
    for step in range(args.steps):
        is_long = step >= args.steps * 9 // 10
        length = full if is_long else args.row
        rows = args.rows * args.row // length
        chosen = starts[torch.randint(len(starts), (rows,), generator=picker)]
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, args.steps, args.rate)
        loss = loss_of(model, *batch_at(stream, chosen, length))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 100 == 0 or step == args.steps - 1:
            print(f"step {step:5d}  loss {loss.item():.4f}  {time.monotonic() - began:6.0f} s", flush=True)


def create(stories: list[str]) -> tuple[Tokenizer, LlamaForCausalLM]:
    """Train a tokenizer on the stories and make a model with random weights."""
    return train_tokenizer(stories), LlamaForCausalLM(LlamaConfig(**CONFIG)).float()


def load(folder: Path) -> tuple[Tokenizer, LlamaForCausalLM]:
    """Load the tokenizer and the model of an earlier run."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return tokenizer, LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).train()


def save(model: LlamaForCausalLM, tokenizer: Tokenizer, out: Path) -> None:
    """Write the model folder; each file is complete before it replaces an older one."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".new-") as folder:
        fresh = Path(folder)
        model.save_pretrained(fresh)
        tokenizer.save(str(fresh / "tokenizer.json"))
        for name, content in (
            ("config.json", CONFIG),
            ("generation_config.json", GENERATION_CONFIG),
            ("tokenizer_config.json", TOKENIZER_CONFIG),
        ):
            (fresh / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        for path in sorted(fresh.iterdir()):
            path.chmod(0o644)
            path.replace(out / path.name)


def main() -> None:
    """Train tokenizer and model, cast the weights to BF16, save, and report the held-out loss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, default=HERE / "build" / "train.txt")
    parser.add_argument("--held-out", type=Path, default=HERE / "held_out.txt")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--start-from", type=Path, help="model folder of an earlier run to go on from")
    parser.add_argument("--steps", type=int, default=3500)
    parser.add_argument("--rows", type=int, default=6, help="rows of a batch")
    parser.add_argument("--row", type=int, default=256, help="tokens of a row")
    parser.add_argument("--rate", type=float, default=4e-3, help="peak learning rate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=2024)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # only slows a CPU down

    stories = read_stories(args.text)
    tokenizer, model = load(args.start_from) if args.start_from else create(stories)
    stream, starts = encode(tokenizer, stories)
    print(f"{len(stories)} stories, {len(stream)} tokens, {model.num_parameters()} parameters", flush=True)
    train(model, stream, starts, args)
    model.eval()
    print(f"held-out loss, FP32 weights: {held_out_loss(model, tokenizer, read_stories(args.held_out)):.4f}")
    model = model.to(torch.bfloat16)
    save(model, tokenizer, args.out)
    print(f"held-out loss, BF16 weights: {held_out_loss(model.float(), tokenizer, read_stories(args.held_out)):.4f}")


if __name__ == "__main__":
    main()
