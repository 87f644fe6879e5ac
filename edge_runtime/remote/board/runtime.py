"""A virtual environment with our wheel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from edge_runtime.remote.board.common import COMPLETE, inside, remove, say


def install(base: Path, folder: str, wheel: str, carried: str | None, shared: bool) -> None:
    """Make a virtual environment with our wheel. `carried`: a folder of wheels, and no index is asked.

    `shared`: packages of this Python may be used too (a vendor's onnxruntime); only what is missing is installed.
    """
    place = inside(base, folder)
    remove(place)
    options = ["--system-site-packages", "--without-pip"] if shared else []
    run([sys.executable, "-m", "venv", *options, str(place)], "making the virtual environment")
    python = str(place / "bin/python")
    if shared and sys.prefix != sys.base_prefix:  # a virtual environment itself: its packages are not the system's
        link_packages(place)
    pip = [
        python, "-m", "pip", "--disable-pip-version-check", "--no-input", "--no-cache-dir", "install",
        "--no-warn-script-location",
    ]  # fmt: skip
    source = (
        ["--no-index", "--find-links", str(inside(base, carried))] if carried else ["--retries", "1", "--timeout", "10"]
    )
    file = str(inside(base, wheel))
    if shared:
        run([*pip, "--no-deps", "--force-reinstall", file], "installing the wheel")
    run([*pip, *source, "--only-binary", ":all:", file], "installing the wheel and what it needs")
    (place / COMPLETE).touch()
    say(done=True)


def link_packages(place: Path) -> None:
    """Let the new environment find the packages of the one that this Python runs in."""
    here = [path for path in sys.path if path.startswith(sys.prefix) and path.endswith("-packages")]
    for packages in place.glob("lib/python*/site-packages"):
        (packages / "shared.pth").write_text("\n".join(here) + "\n", encoding="utf-8")


def run(command: list[str], what: str) -> None:
    """Run a command to its end, passing on what it says; ValueError with its last words if it fails."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTHONPATH", None)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
        encoding="utf-8", errors="replace",
    )  # fmt: skip
    lines: list[str] = []
    try:
        for line in process.stdout or ():
            lines = [*lines[-30:], line.strip()]
            say(log=line.strip()[:1000])
    except BaseException:  # the client is gone, or has another operation in the place of this one
        process.terminate()
        raise
    if process.wait():
        errors = [line for line in lines if "error" in line.lower()] or lines
        raise ValueError(f"{what} failed (exit code {process.returncode}): {' '.join(errors)[-600:]}")
