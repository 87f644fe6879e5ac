"""README.md: its commands work as typed, its output is what is printed, its links and pictures lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from pages import Block, blocks, links, pages
from real_models import ROOT, RunPython

from exporters.architectures.registry import MODEL_TYPES

README = ROOT / "README.md"
SHELL = [block for block in blocks(README, "sh") if not block.mark]
PYTHON = blocks(README, "python")
NEEDS = {"network", "board"}
SVG = "{http://www.w3.org/2000/svg}"


def typed(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as in an activated environment; stderr goes with stdout."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=folder, env={**os.environ, "PATH": path}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone's folder after every shell block of the page that needs neither network nor board."""
    place = tmp_path_factory.mktemp("clone")
    (place / "examples").symlink_to(ROOT / "examples")
    for block in SHELL:
        done = typed(block.text, place)
        assert done.returncode == 0, f"{block.text}{done.stdout}"
    return place


def unnumbered(text: str) -> str:
    """The text without its numbers and their units, which differ from run to run."""
    return re.sub(r"\d[\d.,]*( ([kM]?B|m?s)\b)?", "#", text)


def test_readme_blocks_say_what_they_need() -> None:
    marked = [block.mark for block in blocks(README, "sh") if block.mark]
    assert len(SHELL) >= 4
    assert {mark.removeprefix("needs: ") for mark in marked} == NEEDS
    assert not [block for block in SHELL if re.search(r"\bpip\b|\bremote\b|^make\b", block.text, re.MULTILINE)]


def test_readme_benchmarks_name_scripts_and_their_options() -> None:
    marked = "".join(block.text for block in blocks(README, "sh") if block.mark == "needs: network").replace(
        "\\\n", " "
    )
    runs = re.findall(r"\bpython (benchmarks/\S+)([^\n)]*)", marked)
    assert len(runs) >= 4
    for script, arguments in runs:
        text = (ROOT / script).read_text(encoding="utf-8")
        assert [option for option in re.findall(r"--[\w-]+", arguments) if f'"{option}"' not in text] == [], script


def test_readme_shell_blocks_leave_what_they_say(folder: Path) -> None:
    assert (folder / "out/demo/model.lpc").stat().st_size > 0
    assert '"text"' in (folder / "out/text.json").read_text(encoding="utf-8")
    assert "<html" in (folder / "out/report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", PYTHON, ids=["edge_runtime", "onnxruntime"])
def test_readme_python_blocks_run_as_typed(block: Block, folder: Path, run_python: RunPython) -> None:
    code = f"import os\nos.chdir({str(folder)!r})\n{block.text}"
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    expected = "LpcExecutionProvider" if "InferenceSession" in block.text else "a little girl named Nora"
    assert expected in done.stdout


def test_readme_output_is_that_of_make_demo(folder: Path) -> None:
    rule = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ndemo: setup\n")[2].partition("\n\n")[0]
    printed = ""
    for line in rule.splitlines():
        command = line.strip().replace("$(BIN)/", "")
        printed += f".venv/bin/{command}\n{typed(command, folder).stdout}"
    (shown,) = [block for block in blocks(README, "text") if block.mark == "output of: make demo"]
    printed = printed.replace(str(folder), "/home/you/lpc-edge-runtime")
    printed = re.sub(r"^(encoding|verifying): .*\n", "", printed, flags=re.MULTILINE)  # progress, on a slow machine
    assert unnumbered(shown.text) == unnumbered(printed)


def test_readme_counts_the_model_types() -> None:
    assert f"{len(MODEL_TYPES)} values of `model_type` are known" in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_page_links_lead_to_files(page: Path) -> None:
    for target in links(page):
        outside = target.startswith("../../security/")  # on the hosting site, beside the files
        assert outside or (page.parent / target).exists(), target


def test_picture_of_a_weight_cuts_no_text() -> None:
    root = ET.parse(ROOT / "docs/images/weight.svg").getroot()
    width, height = (float(part) for part in root.attrib["viewBox"].split()[2:])

    def check(element: ET.Element, inherited: dict[str, str]) -> int:
        style = inherited | element.attrib
        if element.tag != f"{SVG}text":
            return sum(check(child, style) for child in element)
        long = len(element.text or "") * float(style["font-size"]) * 0.6
        left = float(style["x"]) - (long / 2 if style.get("text-anchor") == "middle" else 0)
        assert left >= 0, element.text
        assert left + long <= width, element.text
        assert 0 < float(style["y"]) < height, element.text
        return 1

    assert check(root, {}) > 20
