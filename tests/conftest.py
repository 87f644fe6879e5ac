"""Fixtures shared by the tests: real checkpoints exported once a session, and commands in a process of their own."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from real_models import LPC_RUN, ROOT, ExportModel, RunPython, checkpoint_folder

if TYPE_CHECKING:
    from ssh_board import FirstRun

pytest_plugins = ["remote_board"]

# A shell without job control starts what it puts in the background with SIGINT ignored, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time: a change is judged by what it changes.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def export_model(tmp_path_factory: pytest.TempPathFactory) -> ExportModel:
    """A function (model, codec) -> exported folder; each is exported once a session. Do not change what it returns."""
    from exporters.export import ExportOptions, export
    from exporters.package.codec_choice import CodecChoice

    made: dict[tuple[str, str], Path] = {}

    def exported(model: str, codec: str) -> Path:
        if (model, codec) not in made:
            out = tmp_path_factory.mktemp("exported") / f"{model}-{codec}"
            export(checkpoint_folder(model), out, ExportOptions(codec=CodecChoice.parse(codec)))
            made[model, codec] = out
        return made[model, codec]

    return exported


@pytest.fixture(scope="session")
def run_python() -> RunPython:
    """A function that runs code in a new interpreter with the same packages; `arguments` become sys.argv[1:]."""

    def run(
        code: str, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout,
            check=False,
        )

    return run


MadeOnce = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """A function (name, make) -> folder that `make` has filled: the first test process that asks, for all of them."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared

    def made(name: str, make: Callable[[Path], None]) -> Path:
        place, finished = shared / name, shared / f"{name}.finished"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not finished.exists():
                place.mkdir()
                make(place)
                finished.touch()
        return place

    return made


@pytest.fixture(scope="session")
def wheel_folder(made_once: MadeOnce) -> Path:
    """A folder with our wheel for this machine, as `make wheel` makes it."""

    def make(dist: Path) -> None:
        script = ROOT / "native/wheel/make_wheel.sh"
        done = subprocess.run([str(script), os.uname().machine, str(dist)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    return made_once("dist", make)


@pytest.fixture(scope="session")
def first_run(made_once: MadeOnce, wheel_folder: Path, export_model: ExportModel) -> FirstRun:
    """A board's first measurement, of the demo model; what it left there spares other boards the installation."""
    from ssh_board import FirstRun

    model = export_model("demo_model", "lz4")
    return FirstRun(made_once("first", lambda place: FirstRun.make(place, wheel_folder, model)))


@pytest.fixture(scope="session")
def lpc_run(run_python: RunPython) -> RunPython:
    """A function that runs the command `lpc-run` with the given arguments."""

    def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return run_python(LPC_RUN, *arguments, **options)

    return run
