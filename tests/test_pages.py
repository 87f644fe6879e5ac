"""Reference pages compared with the source: the APIs, environment variables, exit codes, shell completion."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import blocks, first_column
from real_models import ROOT, RunPython
from test_library_exports import ENTRY_POINTS, declared_functions

import edge_runtime
import edge_runtime.bench
from edge_runtime import codec

API = ROOT / "docs/api.md"
COMMANDS = ROOT / "docs/commands.md"
PROGRAMS = ("lpc-run", "lpc-export", "lpc-bench", "lpc-board", "lpc-eval")
CODE = ("edge_runtime", "exporters", "boards", "benchmarks", "native", "tests", "examples")
SHELLS = {"bash": "complete -o nosort", "zsh": "compdef", "fish": "complete --no-files"}


def source(folders: tuple[str, ...], *suffixes: str) -> str:
    """All files of the folders with these suffixes, one behind the other."""
    files = (path for folder in folders for path in sorted((ROOT / folder).rglob("*")) if path.suffix in suffixes)
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def test_api_page_lists_the_python_names() -> None:
    assert sorted(first_column(API, "Python")) == sorted(edge_runtime.__all__)


def test_api_page_lists_the_names_of_bench() -> None:
    assert sorted(first_column(API, "`edge_runtime.bench`")) == sorted(edge_runtime.bench.__all__)


def test_api_page_lists_the_codec_functions() -> None:
    public = [
        name for name, value in inspect.getmembers(codec, inspect.isfunction)
        if value.__module__ == codec.__name__ and not name.startswith("_")
    ]  # fmt: skip
    assert sorted(first_column(API, "`edge_runtime.codec`")) == sorted(public)


def test_api_page_lists_the_c_functions_and_entry_points() -> None:
    assert sorted(first_column(API, "C")) == sorted(declared_functions())
    assert set(first_column(API, "ONNX Runtime")) == ENTRY_POINTS
    listed = (ROOT / "native/exports.map").read_text(encoding="utf-8")
    assert set(re.findall(r"^    (\w+\*?);", listed, re.MULTILINE)) == {"lpc_*"} | ENTRY_POINTS


def test_api_page_code_runs(run_python: RunPython) -> None:
    (block,) = blocks(API, "python")
    done = run_python(block.text)
    assert re.fullmatch(r"1[01]\.\d\d bits per weight\n", done.stdout), done.stderr


def test_commands_page_lists_our_variables() -> None:
    header = (ROOT / "native/include/lpc/lpc.h").read_text(encoding="utf-8")
    pinned = set(re.findall(r"\bLPC_[A-Z0-9_]+", header)) - {"LPC_FORCE_IMPL"}
    quoted = re.findall(r"""["{](LPC_[A-Z0-9_]+)["=]""", source(CODE, ".py", ".cc", ".h", ".c"))
    assigned = re.findall(r"(?<![\w.-])(LPC_[A-Z0-9_]+)=", source((".ci", "native", "tests"), ".sh"))
    assigned += re.findall(r"(?<![\w-])(LPC_[A-Z0-9_]+)=", (ROOT / "Makefile").read_text(encoding="utf-8"))
    prefixes = {name.rpartition("_")[0] for name in pinned}
    used = {name for name in [*quoted, *assigned] if name not in pinned | prefixes}
    listed = {name for name in first_column(COMMANDS, "Environment variables") if name.startswith("LPC_")}
    assert listed == used


def test_commands_page_lists_every_variable_that_programs_read() -> None:
    text = source(("edge_runtime", "exporters", "boards"), ".py")
    read = set(re.findall(r'environ(?:\.get\(|\.setdefault\(|\[)"(\w+)"', text))
    read |= set(re.findall(r'getenv\("(\w+)"', source(("native/base", "native/simd", "native/store"), ".cc")))
    assert read >= {"LPC_LIBRARY", "LPC_FORCE_IMPL"}
    read.remove("COMP_WORDS")  # set by the shell while it completes a line
    assert read <= set(first_column(COMMANDS, "Environment variables"))


def test_commands_page_lists_the_exit_codes() -> None:
    defined = re.findall(
        r"^(?:EXIT_\w+|_TERMINATED) = (\d+)$", source(("edge_runtime", "exporters"), ".py"), re.MULTILINE
    )
    assert sorted(first_column(COMMANDS, "Exit codes")) == sorted({"0", *defined})


@pytest.mark.parametrize("program", PROGRAMS)
def test_commands_page_completes_every_program_in_every_shell(program: str) -> None:
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    for shell in SHELLS:
        (block,) = blocks(COMMANDS, shell)
        assert f"{variable}={shell}_source {program}" in block.text


def complete(program: str, **variables: str) -> str:
    """What an installed program prints for a shell that completes."""
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    instruction = variables.pop("instruction")
    done = subprocess.run(
        [str(Path(sys.executable).with_name(program))], env={**os.environ, variable: instruction, **variables},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_prints_a_script_of_the_shell(shell: str) -> None:
    assert SHELLS[shell] in complete("lpc-run", instruction=f"{shell}_source")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("lpc-export inspect --", "--json"),
        ("lpc-export verify f --ag", "--against"),
        ("lpc-export model --", "--objective"),
    ],
)
def test_completion_of_exports_knows_the_command_of_the_line(typed: str, expected: str) -> None:
    words = str(len(typed.split()) - 1)
    found = complete("lpc-export", instruction="bash_complete", COMP_WORDS=typed, COMP_CWORD=words)
    assert expected in [line.partition(",")[2] for line in found.splitlines()]
    assert ("--objective" in found) == ("model" in typed)
