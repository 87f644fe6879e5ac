"""The command `lpc-run` as its users meet it: output, exit codes, interruption."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from real_models import ExportModel, RunPython, golden

from edge_runtime.cli.run import summary
from edge_runtime.generate import GenerationReport
from edge_runtime.io.units import format_bytes
from edge_runtime.machine.memory import peak_rss_bytes

RECORD = golden("demo_model")[0]
PROMPT = RECORD["prompt"]
CONTINUATION = RECORD["text"][len(PROMPT) :]
COUNT = str(len(RECORD["greedy_ids"]))
RESULT_TYPES: dict[str, Any] = {
    "token_ids": list,
    "text": str,
    "finish_reason": str,
    "prompt_tokens": int,
    "prompt_tokens_per_s": float,
    "generation_tokens": int,
    "generation_tokens_per_s": float,
    "seed": (int, type(None)),
    "peak_rss_bytes": int,
    "provider": str,
    "nodes_claimed": int,
    "nodes_unclaimed": int,
    "bytes_read": int,
    "layers_decompressed": int,
    "read_mode": (str, type(None)),
    "transcoded_from_bytes": int,
    "transcoded_bytes": int,
    "transcode_seconds": float,
    "token_seconds": list,
    "token_time": dict,
    "planned_seconds_per_token": type(None),
}
PROVIDER_COUNTS = ("nodes_claimed", "nodes_unclaimed", "bytes_read", "layers_decompressed")


@pytest.fixture(scope="module")
def folder(export_model: ExportModel) -> str:
    return str(export_model("demo_model", "lz4"))


def test_text_goes_to_stdout_and_summary_to_stderr(folder: str, lpc_run: RunPython) -> None:
    done = lpc_run(folder, "-p", PROMPT, "-n", COUNT, "--greedy")
    assert (done.returncode, done.stdout) == (0, CONTINUATION + "\n")
    number = r"[\d.]+"
    assert re.fullmatch(
        rf"prompt: {len(RECORD['prompt_ids'])} tokens, {number} tokens/s \| "
        rf"generation: {COUNT} tokens, {number} tokens/s \| peak memory: {number} MB \| "
        rf"read: {number} [kM]B \| layers decompressed: \d+ \| "
        rf"transcoded: {number} MB to {number} MB in {number} m?s\n",
        done.stderr,
    )


def test_json_is_one_object_and_nothing_else(folder: str, lpc_run: RunPython) -> None:
    done = lpc_run(folder, "-p", PROMPT, "-n", COUNT, "--greedy", "--json")
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    result = json.loads(done.stdout)
    assert list(result) == list(RESULT_TYPES)
    for name, kind in RESULT_TYPES.items():
        assert isinstance(result[name], kind), name
    assert result["token_ids"] == RECORD["greedy_ids"]
    assert result["text"] == CONTINUATION
    assert (result["provider"], result["nodes_unclaimed"], result["finish_reason"]) == ("lpc", 0, "length")
    assert result["prompt_tokens"] == len(RECORD["prompt_ids"])
    assert 10e6 < result["peak_rss_bytes"] < 1e9


def test_json_cpu_provider_leaves_unknown_counts_null(folder: str, lpc_run: RunPython) -> None:
    done = lpc_run(folder, "-p", PROMPT, "-n", COUNT, "--greedy", "--json", "--provider", "cpu")
    result = json.loads(done.stdout)
    assert (result["token_ids"], result["provider"]) == (RECORD["greedy_ids"], "cpu")
    assert [result[name] for name in PROVIDER_COUNTS] == [None] * 4


def test_seed_repeats_the_text_and_is_reported(folder: str, lpc_run: RunPython) -> None:
    arguments = (folder, "-p", PROMPT, "-n", "20", "--temperature", "1.2", "--top-k", "0", "--top-p", "0.98", "--json")
    first = json.loads(lpc_run(*arguments).stdout)
    second = json.loads(lpc_run(*arguments, "--seed", str(first["seed"])).stdout)
    assert second["token_ids"] == first["token_ids"]


def test_one_token_has_no_generation_rate(folder: str, lpc_run: RunPython) -> None:
    result = json.loads(lpc_run(folder, "-p", PROMPT, "-n", "1", "--greedy", "--json").stdout)
    assert (result["token_ids"], result["generation_tokens_per_s"]) == (RECORD["greedy_ids"][:1], None)


def test_help_shows_examples_and_loads_nothing_heavy(run_python: RunPython) -> None:
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(sorted({'numpy', 'onnxruntime', 'tokenizers', 'onnx'} & set(sys.modules))))\n"
        "from edge_runtime.cli.run import main; main()"
    )
    done = run_python(code, "--help")
    assert done.returncode == 0
    assert 'lpc-run llama-lpc -p "Once upon a time"' in done.stdout
    assert done.stdout.endswith("[]\n")


def test_version_is_shown(lpc_run: RunPython) -> None:
    done = lpc_run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("lpc-run ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing argument 'MODEL'"),
        (("model",), "Missing option '-p'"),
        (("model", "-p", "x", "--colour"), "No such option"),
        (("model", "-p", "x", "-n", "0"), "Invalid value for '-n'"),
        (("model", "-p", "x", "--temperature", "-1"), "Invalid value for '--temperature'"),
        (("model", "-p", "x", "--temperature", "nan"), "temperature is nan"),
        (("model", "-p", "x", "--top-p", "0"), "Invalid value for '--top-p'"),
        (("model", "-p", "x", "--top-p", "1.5"), "Invalid value for '--top-p'"),
        (("model", "-p", "x", "--top-k", "-3"), "Invalid value for '--top-k'"),
        (("model", "-p", "x", "--seed", "-3"), "Invalid value for '--seed'"),
        (("model", "-p", "x", "--threads", "-1"), "Invalid value for '--threads'"),
        (("model", "-p", "x", "--provider", "cuda"), "Invalid value for '--provider'"),
        (("model", "-p", "x", "--greedy", "--temperature", "0.5"), "leave out --temperature"),
        (("model", "-p", "x", "--greedy", "--top-k", "5", "--top-p", "0.5"), "leave out --top-k and --top-p"),
    ],
)
def test_wrong_usage_exits_2_with_a_hint(lpc_run: RunPython, arguments: tuple[str, ...], message: str) -> None:
    done = lpc_run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Try 'lpc-run -h' for help" in done.stderr or "Try 'lpc-run --help' for help" in done.stderr


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (1536, "1.54 kB"),
        (99_950, "100 kB"),
        (999_600, "1.00 MB"),
        (2_150_000_000, "2.15 GB"),
        (3e15, "3000 TB"),
    ],
)
def test_format_bytes_has_three_digits(count: float, text: str) -> None:
    assert format_bytes(count) == text


def test_summary_without_rates_and_counts_says_so() -> None:
    report = GenerationReport(1, (), "", 0.0, 0.0, 0, "interrupted", 9)
    assert re.fullmatch(
        r"prompt: 1 token, - \| generation: 0 tokens, - \| peak memory: [\d.]+ [MG]B \| seed: 9", summary(report, None)
    )
    assert peak_rss_bytes()
