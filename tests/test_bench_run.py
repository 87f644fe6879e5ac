"""`lpc-bench run` on a real model: the result, its formats, cold runs, failures, interruption."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from real_models import ROOT, ExportModel, RunPython

from edge_runtime.bench import page_cache
from edge_runtime.bench.layers import PARTS, by_layer
from edge_runtime.bench.result_file import from_json, load_result, to_json
from edge_runtime.bench.results import LayerTime, Result
from edge_runtime.bench.workers import Configuration, Worker
from edge_runtime.cli.bench_options import MeasureOptions, measure_options
from edge_runtime.errors import LpcError
from edge_runtime.session import load

LPC_BENCH = "from edge_runtime.cli.bench import main; main()"
SMALL = ("-p", "24", "-n", "6", "-r", "2", "--interval", "0.1")
WAIT_SECONDS = 60


@pytest.fixture(scope="module")
def folder(export_model: ExportModel) -> Path:
    return export_model("demo_model", "lz4")


@pytest.fixture(scope="module")
def warm_file(folder: Path, run_python: RunPython, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a run over two thread counts and both providers."""
    out = tmp_path_factory.mktemp("bench") / "warm.json"
    done = run_python(
        LPC_BENCH, "run", str(folder), *SMALL, "--threads", "1,2", "--provider", "lpc,cpu", "-d", "0,5", "-o", str(out)
    )
    assert done.returncode == 0, done.stderr
    assert "| demo_model | " in done.stdout
    return out


@pytest.fixture(scope="module")
def warm(warm_file: Path) -> Result:
    return load_result(warm_file)


def test_run_measures_every_combination(warm: Result) -> None:
    tests = [(test.name, test.provider, test.threads) for test in warm.tests]
    names = ["pp24", "pp24 @ d5", "tg6", "tg6 @ d5"]
    assert tests == [(name, provider, threads) for provider in ("lpc", "cpu") for threads in (1, 2) for name in names]


def test_run_file_read_and_written_again_is_the_same_text(warm_file: Path, warm: Result) -> None:
    """Nothing that the writer knows is lost, renamed or reordered when it is read."""
    assert json.dumps(to_json(warm), indent=1) + "\n" == warm_file.read_text(encoding="utf-8")


def test_run_keeps_every_raw_sample(warm: Result) -> None:
    for test in warm.tests:
        assert len(test.repetitions) == 2
        for repetition in test.repetitions:
            assert len(repetition.pass_seconds) == (1 if test.kind == "pp" else 6)
            assert repetition.seconds == pytest.approx(sum(repetition.pass_seconds))
            assert repetition.tokens_per_s == pytest.approx(test.tokens / repetition.seconds)
            assert repetition.started_s is not None
            assert repetition.ended_s is not None
            assert 0 <= repetition.started_s < repetition.ended_s
            assert repetition.ended_s - repetition.started_s >= repetition.seconds * 0.999


def test_run_tells_what_others_took_of_each_repetition(warm: Result) -> None:
    for test in warm.tests:
        for repetition in test.repetitions:
            times = repetition.times
            assert 0 < (times.cpu_seconds or 0) < 3 * repetition.seconds + 0.01
            assert times.wait_seconds is not None
            assert times.wait_seconds >= 0
            assert times.machine_seconds is not None
            assert times.machine_seconds >= 0
            assert repetition.round == 0


def test_run_interleaves_the_configurations(warm: Result) -> None:
    starts = sorted(
        (repetition.started_s, number, test.provider, test.threads)
        for test in warm.tests
        for number, repetition in enumerate(test.repetitions)
    )
    assert [number for _, number, _, _ in starts] == [0] * 16 + [1] * 16
    assert {(provider, threads) for _, _, provider, threads in starts[:16]} == {
        ("lpc", 1), ("lpc", 2), ("cpu", 1), ("cpu", 2)
    }  # fmt: skip


def test_run_counts_what_the_provider_did(warm: Result, folder: Path) -> None:
    layers = len(json.loads((folder / "lpc.json").read_text(encoding="utf-8"))["layers"])
    for test in warm.tests:
        counters = test.repetitions[0].counters
        if test.provider == "cpu":
            assert counters == {}
            assert test.bytes_read_per_token is None
            continue
        assert counters["runs"] == (1 if test.kind == "pp" else 6)
        assert counters["nodes_unclaimed"] == 0
        assert counters["nodes_claimed"] > layers
        assert test.bytes_read_per_token is not None
        assert test.bytes_read_per_token >= 0


def test_run_describes_machine_model_and_build(warm: Result, folder: Path) -> None:
    manifest = json.loads((folder / "lpc.json").read_text(encoding="utf-8"))
    assert warm.model.blob_bytes == manifest["totals"]["blob_bytes"]
    assert warm.model.codec_bytes == {"lz4": sum(tensor["bytes"] for tensor in manifest["tensors"])}
    assert warm.environment.cpus == os.cpu_count()
    assert (warm.environment.memory_total_bytes or 0) > 1e8
    assert warm.build.isa in (warm.build.isa_available or ())
    assert len(warm.build.library_sha256 or "") == 64
    assert warm.board.id or warm.board.unavailable
    assert "opening the model (load_seconds has it)" in warm.excluded
    assert warm.settings.order == "interleaved"


def test_run_memory_is_of_each_configuration(warm: Result) -> None:
    for test in warm.tests:
        assert 20e6 < (test.peak_rss_bytes or 0) < 1e9
    assert any(sample.rss_bytes for sample in warm.telemetry.samples)


def test_run_energy_is_a_figure_or_a_reason_never_zero(warm: Result) -> None:
    for test in warm.tests:
        assert test.energy is not None
        assert test.energy.joules_per_token != 0
        assert (test.energy.joules_per_token is None) == bool(test.energy.unavailable)


def test_run_check_tokens_are_those_of_the_model(warm: Result, folder: Path) -> None:
    decoder = load(folder).decoder(64)
    logits = decoder.prefill(warm.check.prompt_ids or ())
    ids = []
    for _ in range(16):
        ids.append(int(logits.argmax()))
        logits = decoder.step(ids[-1])
    assert warm.check.token_ids == tuple(ids)
    assert not [warning for warning in warm.warnings if "other tokens" in warning]


def test_run_json_on_stdout_is_the_whole_result(folder: Path, run_python: RunPython) -> None:
    done = run_python(LPC_BENCH, "run", str(folder), "-p", "8", "-n", "0", "-r", "1", "--json", "-q", "--sequential")
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    from_json(result)
    assert [test["name"] for test in result["tests"]] == ["pp8"]
    assert (result["settings"]["order"], result["settings"]["warm_up"]) == ("sequential", True)


def test_run_defaults_are_llama_benchs_as_far_as_the_context_goes(folder: Path, run_python: RunPython) -> None:
    options = ("-d", "500", "-r", "1", "--no-warmup", "--json", "-q")
    done = run_python(LPC_BENCH, "run", str(folder), *options)
    assert [test["name"] for test in json.loads(done.stdout)["tests"]] == ["pp12 @ d500", "tg12 @ d500"]


def test_run_cold_has_a_new_process_and_an_empty_cache_each_time(folder: Path, run_python: RunPython) -> None:
    done = run_python(LPC_BENCH, "run", str(folder), *SMALL, "--cold", "--json", "-q")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    for test in result["tests"]:
        assert test["mode"] == "cold"
        for repetition in test["repetitions"]:
            assert repetition["load_seconds"] > 0
            assert repetition["counters"]["layers_decompressed"] >= 5
            if repetition["cached_before"] > 0.01:
                assert any("not cold" in warning for warning in result["warnings"])
    assert "one warm-up of each test" not in result["excluded"]


def test_run_precision_repeats_in_rounds_of_new_processes(folder: Path, run_python: RunPython, tmp_path: Path) -> None:
    options = ("-p", "0", "-n", "4", "-r", "2", "--precision", "50%", "--at-most", "4", "-o", str(tmp_path / "a.json"))
    done = run_python(LPC_BENCH, "run", str(folder), *options)
    assert done.returncode == 0, done.stderr
    result = load_result(tmp_path / "a.json")
    rounds = [repetition.round for repetition in result.tests[0].repetitions]
    assert max(rounds) >= 1
    assert rounds == [number for number in range(max(rounds) + 1) for _ in range(2)]
    assert done.stderr.count("warm-up") == max(rounds) + 1
    assert result.settings.precision == 0.5


def test_run_precision_out_of_reach_stops_in_time_and_says_so(folder: Path, run_python: RunPython) -> None:
    options = ("-p", "8", "-n", "0", "-r", "2", "--precision", "0.1%", "--at-most", "1", "--json")
    done = run_python(LPC_BENCH, "run", str(folder), *options)
    assert done.returncode == 0, done.stderr
    warnings = json.loads(done.stdout)["warnings"]
    assert any("the precision of 0.1% was not reached in 1 s: it is " in warning for warning in warnings)


def test_page_cache_drop_empties_it_where_a_disk_is_below(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(os.urandom(1 << 20))
    file.read_bytes()
    assert page_cache.cached_fraction([file]) == 1.0
    page_cache.drop([file])
    left = page_cache.cached_fraction([file])
    if left == 1.0:
        pytest.skip("the temporary folder is in memory (tmpfs): its pages cannot be dropped")
    assert left == 0.0
    with file.open("rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        stream.seek(1 << 19)
        stream.raw.read(1)  # type: ignore[attr-defined]
    assert 0 < (page_cache.cached_fraction([file]) or 0) < 1


def test_page_cache_of_an_empty_file_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert page_cache.cached_fraction([tmp_path / "empty"]) is None


def test_worker_that_is_killed_says_how_it_ended(folder: Path) -> None:
    with Worker(folder, Configuration("lpc", 1)) as worker:
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(LpcError, match=r"the measuring process was killed by SIGKILL \(out of memory\?"):
            worker.check()


def test_worker_of_a_damaged_model_gives_its_message(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    (copy / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(LpcError, match=r"tokenizer\.json"):
        Worker(copy, Configuration("lpc", 1))


def test_run_of_damaged_weights_fails_with_the_reason(folder: Path, tmp_path: Path, run_python: RunPython) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    data = bytearray((copy / "model.lpc").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4096] = bytes(4096)
    (copy / "model.lpc").write_bytes(data)
    done = run_python(LPC_BENCH, "run", str(copy), *SMALL, "-q")
    assert (done.returncode, done.stdout) == (1, "")
    assert "model.lpc" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_unknown_load_argument_is_named(folder: Path, run_python: RunPython) -> None:
    done = run_python(LPC_BENCH, "run", str(folder), *SMALL, "-q", "--load", "speed=11")
    assert done.returncode == 1
    assert "--load speed: unknown; expected one of " in done.stderr


def test_run_load_argument_is_part_of_the_test(folder: Path, run_python: RunPython) -> None:
    done = run_python(LPC_BENCH, "run", str(folder), *SMALL, "-q", "--json", "--load", "prefill_chunk=8")
    test = json.loads(done.stdout)["tests"][0]
    assert test["load"] == {"prefill_chunk": 8}
    assert test["repetitions"][0]["counters"]["runs"] == 3


def test_run_layers_times_every_layer(folder: Path, run_python: RunPython) -> None:
    options = ("-p", "8", "-n", "0", "-r", "1", "--json", "-q", "--layers", "--threads", "1")
    done = run_python(LPC_BENCH, "run", str(folder), *options)
    assert done.returncode == 0, done.stderr
    layers = json.loads(done.stdout)["layers"]
    names = [layer["name"] for layer in json.loads((folder / "lpc.json").read_text(encoding="utf-8"))["layers"]]
    computed = [layer for layer in layers if layer["compute_s"] > 0]
    assert [layer["name"] for layer in computed] == [name for name in names if name != "embed_tokens"]
    assert all(min(layer[f"{part}_s"] for part in PARTS) >= 0 for layer in layers)


def test_layers_leave_out_the_first_pass(tmp_path: Path) -> None:
    events = [
        {"name": name, "ts": when, "dur": duration, "args": {"layer": layer}}
        for name, when, duration, layer in (
            ("read", 0, 9e6, 1), ("compute", 10, 5e6, 1), ("compute", 20, 5e6, 2), ("other", 25, 1e6, 1),
            ("compute", 30, 2e6, 1), ("wait", 35, 4e6, 2), ("compute", 40, 1e6, 2), ("read", 45, 8e6, 2),
            ("compute", 50, 4e6, 1), ("compute", 60, 1e6, 2),
        )
    ]  # fmt: skip
    (tmp_path / "trace.json").write_text(json.dumps({"traceEvents": events}), encoding="utf-8")
    assert by_layer(tmp_path / "trace.json", {1: "layers.0"}) == [
        LayerTime(name="layers.0", read_s=0.0, decode_s=0.0, compute_s=3.0, wait_s=0.0),
        LayerTime(name="layer 2", read_s=4.0, decode_s=0.0, compute_s=1.0, wait_s=2.0),
    ]


def test_layers_of_one_pass_are_none(tmp_path: Path) -> None:
    events = [{"name": "compute", "ts": 1, "dur": 1, "args": {"layer": layer}} for layer in (1, 2, 3)]
    (tmp_path / "trace.json").write_text(json.dumps({"traceEvents": events}), encoding="utf-8")
    assert by_layer(tmp_path / "trace.json", {}) == []


def test_run_memory_budget_is_kept_as_plan_and_setting(folder: Path, run_python: RunPython) -> None:
    options = ("-p", "8", "-n", "4", "-r", "1", "--json", "-q", "--memory-budget", "1GiB", "--threads", "1")
    result = json.loads(run_python(LPC_BENCH, "run", str(folder), *options).stdout)
    assert result["plan"]["budget_bytes"] == 1 << 30
    assert result["tests"][0]["load"] == {"memory_budget": 1 << 30}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-p", "many"), "'many' is not a list of whole numbers"),
        (("-n", "-4"), "-4 is below 0"),
        (("--provider", "cuda"), "'cuda' is not one of lpc, cpu"),
        (("-r", "0"), "Invalid value for '-r'"),
        (("-p", "0", "-n", "0"), "nothing to measure"),
        (("--precision", "fine"), "'fine' is not a share, such as 3% or 0.03"),
        (("--precision", "3"), "3 is not between 0.1% and 50%"),
        (("--load", "x"), "--load x: expected NAME=VALUE"),
        (("--memory-budget", "much"), "size is 'much'"),
        (("--bus-limit", "0GB/s"), "expected at least one byte"),
        (("-o", "no/such/folder/r.json"), "does not exist"),
    ],
)
def test_run_wrong_usage_exits_2(folder: Path, run_python: RunPython, arguments: tuple[str, ...], message: str) -> None:
    done = run_python(LPC_BENCH, "run", str(folder), *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_run_of_more_than_the_context_or_no_model_exits_1(folder: Path, run_python: RunPython) -> None:
    done = run_python(LPC_BENCH, "run", str(folder), "-p", "513")
    assert done.returncode == 1
    assert "pp513: 513 tokens are more than the context" in done.stderr
    done = run_python(LPC_BENCH, "run", str(folder / "nothing"))
    assert done.returncode == 1
    assert "nothing: does not exist" in done.stderr


def test_run_ctrl_c_keeps_what_was_measured(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    code = f"import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n{LPC_BENCH}"
    command = [sys.executable, "-c", code, "run", str(folder), "-p", "8", "-n", "0", "-r", "100000", "-o", str(out)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if " 2 of 100000" in line:
            break
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    process.communicate(timeout=WAIT_SECONDS)
    assert time.monotonic() - started < WAIT_SECONDS
    assert process.returncode == 130
    result = load_result(out)
    assert 2 <= len(result.tests[0].repetitions) < 100_000
    assert "interrupted: not all repetitions were made" in result.warnings


def test_help_of_the_group_and_of_run_load_nothing_heavy(run_python: RunPython) -> None:
    code = (
        "import sys, atexit\n"
        "heavy = {'numpy', 'onnxruntime', 'tokenizers', 'serial', 'asyncssh'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules))))\n" + LPC_BENCH
    )
    for arguments in (
        ("--help",),
        ("run", "--help"),
        ("compare", "--help"),
        ("report", "--help"),
        ("remote", "--help"),
    ):
        done = run_python(code, *arguments)
        assert done.returncode == 0
        assert "Examples:" in done.stdout
        assert done.stdout.endswith("[]\n")


def test_arguments_for_a_board_give_the_same_options_there() -> None:
    given: list[MeasureOptions] = []

    @click.command()
    @measure_options
    def command(measure: MeasureOptions) -> None:
        given.append(measure)

    words = ["-p", "8,16", "-d", "0,4", "--precision", "2.5%", "--at-most", "60", "--memory-budget", "1.5GiB", "--cold"]
    words += ["--bus-limit", "1.5GB/s", "--load", "prefill_chunk=64", "-t", "1,2", "--interval", "0.2", "-r", "7"]
    for arguments in (words, []):
        command.main(arguments, standalone_mode=False)
        command.main(given[-1].arguments(), standalone_mode=False)
        assert given[-1] == given[-2]


def test_unknown_subcommand_exits_2(run_python: RunPython) -> None:
    done = run_python(LPC_BENCH, "walk")
    assert done.returncode == 2
    assert "No such command 'walk'" in done.stderr
