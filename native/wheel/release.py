"""What goes beside the wheels of a release: the sdist, SHA256SUMS and the notes, in a folder (dist/).

    python native/wheel/release.py dist      as `make release` does, after the wheels of both architectures

The version is pyproject.toml's; the wheels, native/CMakeLists.txt and CHANGELOG.md must have the same one.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURES = ("x86_64", "aarch64")


class ReleaseError(Exception):
    """Why there is no release."""


def version(root: Path) -> str:
    """Return the version, which pyproject.toml and native/CMakeLists.txt must both have."""
    project = re.search(r'^version = "(.+)"', (root / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    library = re.search(r"project\(lpc VERSION (\S+)", (root / "native/CMakeLists.txt").read_text(encoding="utf-8"))
    if project is None or library is None or project[1] != library[1]:
        found = [match[1] if match else "none" for match in (project, library)]
        raise ReleaseError(f"the version is {found[0]} in pyproject.toml and {found[1]} in native/CMakeLists.txt")
    return project[1]


def notes(changelog: str, number: str) -> str:
    """Return what CHANGELOG.md says of one version, without its heading."""
    section = re.search(rf"^## \[{re.escape(number)}\].*?\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if section is None or not section[1].strip():
        raise ReleaseError(f"CHANGELOG.md says nothing under ## [{number}]: write there what changed")
    return section[1].strip() + "\n"


def wheels(folder: Path, number: str) -> list[Path]:
    """Return the wheels of this version, one an architecture."""
    found = [
        sorted(folder.glob(f"lpc_edge_runtime-{number}-py3-none-manylinux_*_{machine}.whl"))
        for machine in ARCHITECTURES
    ]
    if [len(each) for each in found] != [1] * len(ARCHITECTURES):
        names = ", ".join(path.name for each in found for path in each) or "none"
        raise ReleaseError(f"{folder} holds the wheels of {number}: {names}; expected one for each of {ARCHITECTURES}")
    return [path for each in found for path in each]


def checksums(files: list[Path]) -> str:
    """Return lines that `sha256sum --check` reads."""
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)


def make_sdist(root: Path, folder: Path) -> Path:
    """Write the sdist into `folder` and return its path."""
    code = "import sys, scikit_build_core.build as backend; print(backend.build_sdist(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(folder.resolve())]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=True)
    return folder / done.stdout.splitlines()[-1]


def release(root: Path, folder: Path) -> list[Path]:
    """Write everything and return the files of the release; ReleaseError, before anything is written."""
    number = version(root)
    text = notes((root / "CHANGELOG.md").read_text(encoding="utf-8"), number)
    built = wheels(folder, number)
    files = [*built, make_sdist(root, folder)]
    sums, told = folder / "SHA256SUMS", folder / "RELEASE_NOTES.md"
    sums.write_text(checksums(files), encoding="utf-8")
    told.write_text(f"# LPC edge runtime {number}\n\n{text}", encoding="utf-8")
    return [*files, sums, told]


def main() -> int:
    """Make the release in the folder that the command line names."""
    try:
        for path in release(ROOT, Path(sys.argv[1])):
            print(path)
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
