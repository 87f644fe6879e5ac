"""The codec of docs/contributing.md: its code compiles against the tree, and its registry lines fit the registry."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from real_models import ROOT

PAGE = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
REGISTRY = (ROOT / "native" / "codecs" / "registry.cc").read_text(encoding="utf-8")


def files() -> dict[str, str]:
    """The sources of the page by their paths."""
    return dict(re.findall(r"^`(native/codecs/xor/[\w.]+)`:\n\n```cpp\n(.*?)```$", PAGE, re.MULTILINE | re.DOTALL))


def test_contributing_codec_compiles(tmp_path: Path) -> None:
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler is installed: native/system_packages.sh")
    sources = files()
    assert len(sources) == 2
    for name, text in sources.items():
        path = tmp_path / Path(name).relative_to("native")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    source = tmp_path / "codecs" / "xor" / "xor_codec.cc"
    native = ROOT / "native"
    flags = ["-std=c++20", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{tmp_path}", f"-I{native}"]
    done = subprocess.run(
        [compiler, *flags, f"-I{native / 'include'}", str(source)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_contributing_registry_lines_fit_the_registry() -> None:
    removed = re.findall(r"^-(.*)$", PAGE.split("```diff\n")[1].split("```")[0], re.MULTILINE)
    assert removed
    assert all(f"\n{line}\n" in REGISTRY for line in removed)
