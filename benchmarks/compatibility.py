"""Which Pythons and which onnxruntimes work: a table of exports and runs, from the interpreters that are on PATH.

    python benchmarks/compatibility.py [--build build/compatibility] [--markdown table.md]

For every interpreter of PYTHONS a virtual environment gets our wheel with its dependencies, and onnxruntime in every
version of ONNXRUNTIMES that has a wheel for it. There the demo model is exported and run, with the provider and with
plain onnxruntime, and so is the folder that version 0.1.0 exported (tests/golden); the tokens must be the recorded
ones. Needs a package index. Exit status 1 if anything failed that could be tried.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
OLDEST, NEWEST = "1.23.2", "newest"
ONNXRUNTIMES = (OLDEST, NEWEST)
DEMO = ROOT / "examples" / "demo_model"
GOLDEN = ROOT / "tests" / "golden" / "package-0.1.0"
_TOKENS = 32
_ABSENT, _NO_WHEEL = "not on PATH", "no wheel"


@dataclass
class Row:
    """What one Python with one onnxruntime does; "yes", or what was in the way."""

    python: str
    onnxruntime: str
    numpy: str = ""
    exports: str = ""
    runs: str = ""
    runs_0_1_0: str = ""

    @property
    def failed(self) -> bool:
        """Whether something that could be tried went wrong."""
        results = (self.exports, self.runs, self.runs_0_1_0)
        return any(results) and any(result != "yes" for result in results)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the table and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "compatibility", help="environments go here")
    parser.add_argument("--markdown", type=Path, help="write the table into this file, too")
    parser.add_argument("--worker", nargs=1, type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker:
        return worker(options.worker[0])
    options.build.mkdir(parents=True, exist_ok=True)
    wheel = _wheel(options.build)
    rows = [row for version in PYTHONS for row in rows_of(version, options.build, wheel)]
    text = table(rows)
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n", encoding="utf-8")
    return int(any(row.failed for row in rows))


def rows_of(version: str, build: Path, wheel: Path) -> list[Row]:
    """Try one interpreter with every onnxruntime."""
    interpreter = _interpreter(version)
    if interpreter is None:
        return [Row(version, each, exports=_ABSENT) for each in ONNXRUNTIMES]
    print(f"Python {version}: {interpreter}", file=sys.stderr)
    environment = build / f"python-{version}"
    python = environment / "bin" / "python"
    if not python.exists():
        _run([str(interpreter), "-m", "venv", str(environment)])
    pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    _run([*pip, "--upgrade", str(wheel)])
    _run([*pip, "--force-reinstall", "--no-deps", str(wheel)])
    return [_row(version, each, environment, pip) for each in ONNXRUNTIMES]


def _row(version: str, wanted: str, environment: Path, pip: list[str]) -> Row:
    target = environment / f"onnxruntime-{wanted}"
    requirement = "onnxruntime" if wanted == NEWEST else f"onnxruntime=={wanted}"
    if not (target / "onnxruntime").is_dir():
        command = [*pip, "--no-deps", "--only-binary", ":all:", "--target", str(target), requirement]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            return Row(version, wanted, exports=_NO_WHEEL)
    work = environment / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    done = subprocess.run(
        [str(environment / "bin" / "python"), __file__, "--worker", str(work)],
        env={**os.environ, "PYTHONPATH": str(target)}, cwd=work, capture_output=True, text=True, check=False,
    )  # fmt: skip
    try:
        return Row(**json.loads(done.stdout))
    except (ValueError, TypeError):
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return Row(version, wanted, exports=last)


def worker(work: Path) -> int:
    """Export and run with this interpreter's packages; print the row as JSON."""
    import numpy
    import onnxruntime

    row = Row(platform.python_version(), onnxruntime.__version__, numpy.__version__)
    out = work / "demo"
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lpc-export"), str(DEMO), "-o", str(out)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    row.exports = "yes" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]
    record = json.loads((DEMO / "golden.json").read_text(encoding="utf-8"))[0]
    old = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))
    row.runs = _same_tokens(out, record["prompt_ids"], record["greedy_ids"][:_TOKENS])
    row.runs_0_1_0 = _same_tokens(GOLDEN / "folder", old["prompt"], old["greedy"])
    print(json.dumps(asdict(row)))
    return 0


def _same_tokens(folder: Path, prompt: list[int], expected: list[int]) -> str:
    import edge_runtime

    try:
        for provider in ("lpc", "cpu"):
            model = edge_runtime.load(folder, provider=provider)  # type: ignore[arg-type]
            generation = model.generate(prompt, max_new_tokens=len(expected), greedy=True)
            for _ in generation:
                pass
            if list(generation.report.token_ids) != expected:
                return f"other tokens with provider {provider}"
    except edge_runtime.LpcError as error:
        return str(error)
    return "yes"


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table of Markdown."""
    head = ("Python", "onnxruntime", "numpy", "exports", "runs: same tokens", "runs the folder of 0.1.0: same tokens")
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        lines.append("| " + " | ".join((*asdict(row).values(),)) + " |")
    return "\n".join(lines)


def _interpreter(version: str) -> Path | None:
    """The first interpreter of this version on PATH that starts: a shim of a version that is not chosen does not."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        found = shutil.which(f"python{version}", path=folder)
        if found is None:
            continue
        code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([found, "-c", code], capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return Path(found)
    return None


def _wheel(build: Path) -> Path:
    """Build our wheel with the packages of this interpreter, as `make setup` has them."""
    dist = build / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    _run([sys.executable, "-m", "pip", "wheel", "-qq", "--disable-pip-version-check", "--no-deps",
          "--no-build-isolation", "--wheel-dir", str(dist), str(ROOT)])  # fmt: skip
    return next(dist.glob("*.whl"))


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
