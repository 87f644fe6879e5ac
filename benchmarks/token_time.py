"""Where the time of a generated token goes: products with weights, onnxruntime's other nodes, sampling, text, Python.

    python benchmarks/make_checkpoint.py tinyllama-1.1b build/tinyllama
    lpc-export build/tinyllama -o build/tl-hi3 --codec packed --board this
    python benchmarks/token_time.py build/tl-hi3 --threads 1,2
    python benchmarks/token_time.py build/tl-hi3 --threads 2 --prompt 1500 --operators

Each number of threads has a process of its own, round after round in turn, so that a slow minute of the machine meets
all. Every token is timed by itself, as the token loop of edge_runtime.load does it (sampled with the defaults, text
decoded), and each part's median is printed, in milliseconds and as a share of the median token:

  products     in the execution provider's products, as it counts them (lpc_session_stats.compute_ns)
  waiting      of products for weights that are not in memory yet
  onnxruntime  the rest of the Run call: attention, norms, element-wise operators, calling the provider
  sampling, text, loop   Python around it

Not in the times: loading, the prompt, the first --warm tokens. --operators also lists onnxruntime's operators, from a
profile of its own, which costs some microseconds an operator.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from time import perf_counter
from typing import Any

PARTS = ("products", "waiting", "onnxruntime", "sampling", "text", "loop")


def timed_tokens(model: Any, prompt: list[int], warm: int, tokens: int) -> list[dict[str, float]]:
    """Seconds of each part, token by token."""
    from edge_runtime.sampling import Sampler, SamplingParams

    decoder = model.decoder(len(prompt) + warm + tokens)
    sampler, stream = Sampler(SamplingParams(seed=1)), model.tokenizer.stream(prompt)
    token = sampler.choose(decoder.prefill(prompt))
    samples = []
    for _ in range(warm + tokens):
        before, begin = model.stats(), perf_counter()
        logits = decoder.step(token)
        stepped = perf_counter()
        token = sampler.choose(logits)
        chosen = perf_counter()
        stream.add(token)
        end, after = perf_counter(), model.stats()
        products, waiting = ((getattr(after, n) - getattr(before, n)) / 1e9 for n in ("compute_ns", "wait_ns"))
        parts = [products, waiting, stepped - begin - products - waiting, chosen - stepped, end - chosen]
        samples.append(dict(zip(PARTS, [*parts, 0.0], strict=True)) | {"token": end - begin})
    return samples[warm:]


def loop_seconds(model: Any, prompt: list[int], tokens: int) -> tuple[float, float]:
    """Seconds a token of the whole loop (Generation), and of what it calls in it: the difference is the loop's own."""
    generation = model.generate(prompt, max_new_tokens=tokens, seed=1)
    begin = perf_counter()
    for _ in generation:
        pass
    report = generation.report
    outside = perf_counter() - begin - report.prompt_seconds - report.generation_seconds
    return report.generation_seconds / max(1, report.steps), max(0.0, outside) / len(report.token_ids)


def operators(folder: Path, threads: int, tokens: int) -> list[tuple[str, float, float]]:
    """Name, calls a token and microseconds a token of onnxruntime's operators, from its profile."""
    import onnxruntime

    from edge_runtime import provider
    from edge_runtime.package import Package
    from edge_runtime.sequence import Graph, SequenceDecoder

    package = Package.open(folder)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_profiling = True
    choices = {"residence": f"0-{len(package.layers)}:transcoded", provider.OPTION_PRODUCT_THREADS: str(threads)}
    with tempfile.TemporaryDirectory() as place:
        options.profile_file_prefix = str(Path(place) / "profile")
        if not provider.brings_custom_ops(onnxruntime):
            provider.register_custom_ops(options)
        options.add_provider_for_devices(provider.devices(), choices)
        session = onnxruntime.InferenceSession(str(package.model_file), options)
        decoder = SequenceDecoder(Graph.of(session, package, uses_provider=True), tokens + 1, 1)
        for token in range(tokens):
            decoder.step(token)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    spent: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["args"]["op_name"]
            spent["(products)" if name.startswith(provider.get_ep_name()) else name].append(event["dur"])
    return [(name, len(each) / tokens, statistics.median(each) * len(each) / tokens) for name, each in spent.items()]


def work(options: argparse.Namespace) -> None:
    """The child: answers each line on stdin with one of results on stdout."""
    import edge_runtime

    threads = int(options.threads)
    model = edge_runtime.load(options.model, threads=threads, read_mode="buffered")
    prompt = [1 + 7 * i % 30000 for i in range(options.prompt)]
    for _ in sys.stdin:
        samples = timed_tokens(model, prompt, options.warm, options.tokens)
        whole, outside = loop_seconds(model, prompt, options.tokens)
        print(json.dumps({"samples": samples, "loop": outside, "generation": whole}), flush=True)


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row a number of threads."""
    counts = [int(count) for count in options.threads.split(",")]
    command = [sys.executable, __file__, str(options.model), "--worker"]
    for name in ("prompt", "warm", "tokens"):
        command += [f"--{name}", str(getattr(options, name))]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children = {count: subprocess.Popen([*command, "--threads", str(count)], **pipes) for count in counts}
    answers: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for _ in range(options.rounds):
        for count, child in children.items():
            child.stdin.write("\n")
            child.stdin.flush()
            line = child.stdout.readline()
            if not line:
                sys.exit(f"error: the process with {count} threads ended with status {child.wait()}")
            answers[count].append(json.loads(line))
    for child in children.values():
        child.stdin.close()
        child.wait()
    return [row(count, answers[count]) for count in counts]


def row(threads: int, answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over all tokens of all rounds, in milliseconds, and what is not products as a share of the token."""
    samples = [sample | {"loop": answer["loop"]} for answer in answers for sample in answer["samples"]]
    medians = {part: statistics.median(sample[part] for sample in samples) for part in PARTS}
    token = statistics.median(sample["token"] + sample["loop"] for sample in samples)
    others = [1 - sample["products"] / (sample["token"] + sample["loop"]) for sample in samples]
    shares = statistics.quantiles(others, n=10)
    return {
        "threads": threads,
        "tokens": len(samples),
        "token_ms": round(token * 1e3, 3),
        **{f"{part}_ms": round(seconds * 1e3, 3) for part, seconds in medians.items()},
        "not_products_median": round(statistics.median(others), 4),
        "not_products_p90": round(shares[8], 4),
    }


def show(rows: list[dict[str, Any]]) -> None:
    """A table, right-aligned."""
    cells = [list(rows[0]), *([str(value) for value in each.values()] for each in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--tokens", type=int, default=40, help="timed, a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm", type=int, default=4, help="tokens before those timed")
    parser.add_argument("--prompt", type=int, default=8, help="tokens of the prompt")
    parser.add_argument("--operators", action="store_true", help="also list onnxruntime's operators")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options)
        return
    rows = measure(options)
    found = [
        {"threads": int(count), "operator": name, "calls": round(calls), "us_a_token": round(spent, 1)}
        for count in (options.threads.split(",") if options.operators else [])
        for name, calls, spent in sorted(operators(options.model, int(count), 20), key=lambda each: -each[2])
    ]
    if options.json:
        print(json.dumps({"parts": rows, "operators": found}, indent=1))
        return
    show(rows)
    if found:
        print()
        show(found)


if __name__ == "__main__":
    main()
