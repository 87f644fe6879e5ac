"""The report page: self-contained, well-formed, and it says what is missing."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest
from bench_results import a_result, make_test
from real_models import RunPython

from edge_runtime.bench.page import page
from edge_runtime.bench.result_file import save_result

LPC_BENCH = "from edge_runtime.cli.bench import main; main()"
VOID = {"meta", "link", "br"}


class Balance(HTMLParser):
    """Checks that tags close in order, and collects what would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def checked(html: str) -> str:
    """Return the page's text after checking its form."""
    parser = Balance()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    assert parser.fetched == ["data:,"]
    assert "@import" not in html
    assert "url(" not in html
    assert "<script" not in html
    for plot in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ElementTree.fromstring(plot)
    return parser.text


def test_page_shows_every_plot_and_needs_no_other_file() -> None:
    layers = [
        {"name": f"layers.{i}", "read_s": 0.1, "decode_s": 0.02, "compute_s": 0.05, "wait_s": 0.03} for i in range(4)
    ]
    result = a_result(make_test("pp", [100.0, 105.0]), make_test("tg", [10.0, 11.0]), layers=layers)
    text = checked(page([("board", result)]))
    for part in ("tg128, lpc, 4 threads, warm", "layers.3", "memory budget", "rail VDD_IN", "hottest zone", "0.75"):
        assert part in text
    assert "unavailable" not in text


def test_page_without_power_heat_and_counters_says_why() -> None:
    telemetry = {
        "sources": [], "missing": {"thermal zones": "none here"}, "power": {"unavailable": "no sensor"},
        "interval_s": 0.5, "cpu_fraction": 0.0, "samples": [],
    }  # fmt: skip
    test = make_test("tg", [10.0], energy={"unavailable": "no sensor"})
    test["repetitions"][0]["counters"] = {}
    text = checked(page([("desk", a_result(test, telemetry=telemetry, plan=None))]))
    assert "desk: unavailable: no sensor" in text
    assert "desk: unavailable (thermal zones: none here)" in text
    assert "desk: not attributed: the provider kept no counters." in text


def test_page_escapes_what_results_contain() -> None:
    model = {"name": '"><img src=x>'}
    result = a_result(make_test("tg", [10.0]), warnings=["<script>alert(1)</script>"], model=model)
    text = checked(page([("<b>name", result)]))
    assert "<script>alert(1)</script>" in text
    assert '"><img src=x>' in text


def test_page_of_several_results_groups_the_same_tests() -> None:
    results = [(name, a_result(make_test("tg", [speed]))) for name, speed in (("a", 10.0), ("b", 20.0))]
    html = page(results)
    checked(html)
    assert html.count(">tg128, lpc, 4 threads, warm</text>") == 3  # once for both speeds, once a result's attribution


def test_page_of_a_failed_test_shows_the_reason() -> None:
    result = a_result(make_test("tg", [10.0]), make_test("pp", [], failed="was killed by SIGKILL"))
    assert "failed: was killed by SIGKILL" in checked(page([("a", result)]))


def test_command_writes_the_page(tmp_path: Path, run_python: RunPython) -> None:
    for name in ("one", "two"):
        save_result(tmp_path / f"{name}.json", a_result(make_test("tg", [10.0, 11.0])))
    arguments = [str(tmp_path / "one.json"), str(tmp_path / "two.json"), "-o", str(tmp_path / "report.html")]
    done = run_python(LPC_BENCH, "report", *arguments)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'report.html'}\n")
    assert "one, two" in checked((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_command_refuses_a_file_that_is_no_result(tmp_path: Path, run_python: RunPython) -> None:
    (tmp_path / "x.json").write_text("{}", encoding="utf-8")
    done = run_python(LPC_BENCH, "report", str(tmp_path / "x.json"), "-o", str(tmp_path / "report.html"))
    assert done.returncode == 1
    assert "x.json: schema is None" in done.stderr
    assert not (tmp_path / "report.html").exists()


def test_page_opens_in_a_browser_without_network(tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium installed")
    (tmp_path / "r.html").write_text(page([("a", a_result(make_test("tg", [10.0, 12.0])))]), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={tmp_path / 'p'}"]
    picture = tmp_path / "r.png"
    done = subprocess.run(
        [chromium, *options, f"--screenshot={picture}", f"file://{tmp_path / 'r.html'}"],
        capture_output=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert picture.stat().st_size > 10_000
