"""The command `lpc-export`: output, exit status, errors, progress, interruption."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import pytest
from checkpoints import write_llama
from click.testing import CliRunner
from terminals import seen

from edge_runtime.io.terminal import Progress
from exporters import __version__
from exporters.commands.export import command
from exporters.package.codec_names import usual_choices
from exporters.write import DTYPES

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-c", "from exporters.cli import main; main()"]
# An encoder that says when it begins and is slow: time to interrupt.
SLOW = """
import sys, time
from exporters.package import encoder
encode = encoder.Encoder.encode
def slow(*args):
    print("begun", flush=True)
    time.sleep(0.5)
    return encode(*args)
encoder.Encoder.encode = slow
from exporters.cli import main
main()
"""


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def run(*args: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, args)], capture_output=True, text=True, env=environment(), cwd=cwd, check=False
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "model")


def test_help_is_fast_and_has_examples() -> None:
    times = []
    for _ in range(5):
        start = time.monotonic()
        result = run("--help")
        times.append(time.monotonic() - start)
        assert result.returncode == 0
        assert "Examples:" in result.stdout
        assert "--no-verify" in result.stdout
    assert min(times) < 0.3, f"--help took {min(times):.2f} s"


def test_version_is_printed() -> None:
    result = run("--version")
    assert result.returncode == 0
    assert __version__ in result.stdout


def test_export_prints_a_summary_on_stdout_only(model: Path, tmp_path: Path) -> None:
    result = run(model, "-o", tmp_path / "out")
    assert result.returncode == 0
    assert result.stderr == ""
    rows = dict(re.split(r"  +", line, maxsplit=1) for line in result.stdout.splitlines())
    assert set(rows) >= {
        "source",
        "compressed",
        "bits per weight",
        "codecs",
        "time",
        "peak memory",
        "verified",
        "lossless",
    }
    assert rows["verified"] == "yes, bit for bit"
    assert "MB/s" in rows["time"]


def test_export_without_out_goes_to_the_current_folder(model: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    assert run(model, cwd=tmp_path / "here").returncode == 0
    assert (tmp_path / "here" / "model-lpc" / "lpc.json").is_file()


def test_export_json_has_the_figures(model: Path, tmp_path: Path) -> None:
    result = run(model, "-o", tmp_path / "out", "--json", "--codec", "lz4", "--threads", "1")
    assert result.returncode == 0
    figures: dict[str, Any] = json.loads(result.stdout)
    manifest = json.loads((tmp_path / "out" / "lpc.json").read_text())
    assert figures["out"] == str(tmp_path / "out")
    assert {key: figures[key] for key in manifest["totals"]} == manifest["totals"]
    assert figures["codecs"] == {"lz4": 16}
    assert figures["verified"] is True
    assert figures["lossless"] is True
    assert figures["seconds"] > 0
    assert figures["mb_per_s"] > 0
    assert 10e6 < figures["peak_rss_bytes"] < 600e6


def test_export_no_verify_says_so(model: Path, tmp_path: Path) -> None:
    result = run(model, "-o", tmp_path / "out", "--json", "--no-verify")
    assert json.loads(result.stdout)["verified"] is False


def test_export_that_rounds_warns_on_stderr(tmp_path: Path) -> None:
    write_llama(tmp_path / "model", dtype="F32")
    result = run(tmp_path / "model", "-o", tmp_path / "out", "--dtype", "bf16", "--json")
    assert result.returncode == 0
    # A slow machine shows progress before it.
    assert re.search(
        r"lpc-export: warning: not lossless: [\d,]+ of [\d,]+ weights were rounded to bf16\n$", result.stderr
    )
    assert json.loads(result.stdout)["lossless"] is False


@pytest.mark.parametrize(
    "args",
    [[], ["a", "b"], ["m", "--codec", "zip"], ["m", "--dtype", "int3"], ["m", "--threads", "-1"], ["m", "--wat"]],
    ids=["no_model", "two_models", "codec", "dtype", "threads", "option"],
)
def test_wrong_usage_exits_with_2_and_a_hint(args: list[str]) -> None:
    result = run(*args)
    assert result.returncode == 2
    assert "lpc-export --help" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("case", ["no_config", "not_there", "existing_out", "out_below_a_file", "truncated"])
def test_known_failure_is_one_line_and_exits_with_1(model: Path, tmp_path: Path, case: str) -> None:
    out = tmp_path / "out"
    if case == "no_config":
        (model / "config.json").unlink()
    elif case == "not_there":
        model = tmp_path / "nothing"
    elif case == "existing_out":
        out.mkdir()
    elif case == "out_below_a_file":
        out = model / "config.json" / "out"
    else:
        (model / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes()[:1000])
    result = run(model, "-o", out)
    assert result.returncode == 1
    assert result.stdout == ""
    assert re.fullmatch(r"lpc-export: .+\n", result.stderr)
    assert "Traceback" not in result.stderr


def test_debug_shows_a_traceback(tmp_path: Path) -> None:
    result = run(tmp_path / "nothing", "--debug")
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_export_called_from_python_leaves_its_callers_signal_handlers(model: Path, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    done = CliRunner().invoke(command, [str(model), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("finished", [0, 4])
def test_interrupted_export_keeps_what_is_finished(
    model: Path, tmp_path: Path, number: signal.Signals, status: int, finished: int
) -> None:
    command = [sys.executable, "-c", SLOW, str(model), "-o", str(tmp_path / "out")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        for _ in range(finished + 1):
            assert process.stdout.readline() == "begun\n"
        assert (tmp_path / "out.partial").is_dir()
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == status
    kept = f"what is finished is kept in {tmp_path}/out.partial: the same command goes on from there"
    assert errors.splitlines()[-1] == f"lpc-export: interrupted: {kept if finished else 'nothing was written'}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", *(["out.partial"] if finished else [])]
    if finished:
        again = json.loads(run(model, "-o", tmp_path / "out", "--json").stdout)
        assert again["resumed"] >= finished - 2


def test_killed_export_leaves_nothing_that_looks_finished(model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW, str(model), "-o", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        process.communicate(timeout=30)
    assert not (tmp_path / "out").exists()
    assert run(model, "-o", tmp_path / "out").returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out"]


# ---- progress ----


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def progress_output(stream: io.StringIO, steps: int, seconds: float) -> str:
    clock = Clock()
    with Progress("encoding", 1000_000_000, stream, clock) as progress:
        for step in range(1, steps + 1):
            clock.now = step * seconds / steps
            progress.advance(1000_000_000 // steps)
    return stream.getvalue()


def test_progress_within_a_second_is_silent() -> None:
    assert progress_output(io.StringIO(), 10, 0.9) == ""


def test_progress_in_a_file_is_plain_lines() -> None:
    lines = progress_output(io.StringIO(), 100, 10.0).splitlines()
    assert lines == [
        "encoding: 100 of 1,000 MB, 100 MB/s, 0:09 left",
        "encoding: 600 of 1,000 MB, 100 MB/s, 0:04 left",
        "encoding: 1,000 MB in 0:10, 100 MB/s",
    ]


def test_progress_on_a_terminal_stays_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    text = progress_output(Terminal(), 100, 7200.0)
    assert seen(text) == ["encoding: 1,000 MB in 2:00:00, 0 MB/s", ""]
    assert "500 of 1,000 MB, 0 MB/s, 1:00:00 left" in text


def test_progress_of_a_failure_ends_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream, clock = Terminal(), Clock()
    progress = Progress("encoding", 100, stream, clock)
    clock.now = 2.0
    progress.advance(50)
    progress.__exit__(RuntimeError, RuntimeError(), None)
    assert re.fullmatch(r"encoding: .*left", seen(stream.getvalue())[0])
    assert seen(stream.getvalue())[1:] == [""]


def test_options_offer_what_the_exporter_knows() -> None:
    options = {option.name: option for option in command.params}
    assert options["codec"].make_metavar(click.Context(command)) == f"[{'|'.join(usual_choices())}]"
    assert tuple(options["dtype"].type.choices) == DTYPES
