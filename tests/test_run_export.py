"""`lpc-run --export`: the exporter is found by its entry point, and named where it, or what it needs, is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_models import LPC_RUN, ROOT, RunPython

from edge_runtime.cli import exporter
from edge_runtime.errors import ConfigError

DEMO = ROOT / "examples/demo_model"
IN_FOLDER = "import os, sys; os.chdir(sys.argv.pop(1)); " + LPC_RUN
GREEDY = ("-p", "Once upon a time", "-n", "4", "--greedy", "--export")


def test_run_export_of_a_checkpoint_exports_and_runs_it(run_python: RunPython, tmp_path: Path) -> None:
    first = run_python(IN_FOLDER, str(tmp_path), str(DEMO), *GREEDY)
    assert first.returncode == 0, first.stderr
    assert "verified" in first.stderr
    assert (tmp_path / "demo_model-lpc/lpc.json").is_file()
    again = run_python(IN_FOLDER, str(tmp_path), "demo_model-lpc", *GREEDY)
    assert again.stdout == first.stdout
    assert "verified" not in again.stderr
    refused = run_python(IN_FOLDER, str(tmp_path), str(DEMO), *GREEDY)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "demo_model-lpc is there already: run that, or remove it" in refused.stderr


def test_run_export_of_nothing_is_the_exporters_error(run_python: RunPython, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run_python(IN_FOLDER, str(tmp_path), "empty", *GREEDY)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_run_export_without_the_extra_names_it(run_python: RunPython, tmp_path: Path) -> None:
    done = run_python(f"import sys; sys.modules['onnx'] = None; {IN_FOLDER}", str(tmp_path), str(DEMO), *GREEDY)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert "pip install 'lpc-edge-runtime[export]'" in done.stderr


def test_exported_without_an_exporter_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [])
    with pytest.raises(ConfigError, match=r"no exporter is installed: pip install 'lpc-edge-runtime\[export\]'"):
        exporter.exported(str(DEMO))


def test_run_never_imports_the_exporter_by_itself(run_python: RunPython, tmp_path: Path) -> None:
    code = "import sys; from edge_runtime.cli import run, exporter; print([m for m in sys.modules if 'exporters' in m])"
    assert run_python(code).stdout.strip() == "[]"
