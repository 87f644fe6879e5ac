"""Progress on a real terminal: one line, gone or ended cleanly, with a cursor that stays; plain lines elsewhere."""

from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len
from terminals import SETTINGS, Pty, run_on_terminal, seen, terminal, unstyled

from edge_runtime.io.printable import printable
from edge_runtime.io.terminal import ROUNDS, Progress, StatusLine

LABEL = "encoding [red]x[/red] \x1b]0;title\x07 漢字"
INTERRUPTED = """
import sys, time, click
from edge_runtime.cli.fence import run_command
from edge_runtime.io.terminal import Progress

@click.command()
def command():
    with Progress("working", 10**9) as progress:
        while True:
            time.sleep(0.02)
            progress.advance(10**6)

run_command(command, "lpc-test", ends_at_once=sys.argv.pop() == "at-once")
"""


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def worked(pty: Pty, label: str = LABEL, fails: bool = False) -> list[str]:
    """What was written while ten steps were shown, one for each, and at the end."""
    clock, pieces = Clock(), []
    progress = Progress(label, 1000_000_000, pty.stream, clock)
    for step in range(1, 11):
        clock.now = 2.0 * step
        progress.advance(100_000_000)
        pieces.append(pty.written())
    progress.__exit__(RuntimeError if fails else None, None, None)
    return [*pieces, pty.written()]


@pytest.mark.parametrize(
    ("label", "columns", "has_bar"),
    [("encoding", 80, True), ("encoding", 62, True), ("encoding", 61, False), ("encoding", 40, False),
     (LABEL, 120, True), (LABEL, 80, False), (LABEL, 40, False), ("漢" * 90, 80, False), ("e", 12, False)],
)  # fmt: skip
def test_progress_on_a_terminal_keeps_to_one_line_that_fits(label: str, columns: int, has_bar: bool) -> None:
    with terminal(columns) as pty:
        pieces = worked(pty, label)
    for end in range(1, len(pieces)):
        (line,) = seen("".join(pieces[:end]))
        assert cell_len(line) <= columns
    assert seen("".join(pieces)) == [f"{printable(label)}: 1,000 MB in 0:20, 50 MB/s", ""]
    assert ("━" in pieces[0]) == has_bar
    assert columns < 60 or "100 of 1,000 MB, 50 MB/s, 0:18 left" in pieces[0]
    assert "\x1b[?25" not in "".join(pieces)
    assert "\x1b]" not in "".join(pieces)


def test_progress_that_fails_leaves_its_line_and_starts_another() -> None:
    with terminal(80) as pty:
        lines = seen("".join(worked(pty, "encoding", fails=True)))
    assert re.fullmatch(r"encoding: ━* ?1,000 of 1,000 MB, 50 MB/s, 0:00 left", lines[0])
    assert lines[1:] == [""]


def test_progress_without_colours_is_redrawn_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with terminal(80) as pty:
        text = "".join(worked(pty))
    assert unstyled(text) == text
    assert "\x1b[2K" in text


def test_progress_on_a_dumb_terminal_is_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with terminal(80) as pty:
        lines = "".join(worked(pty, "encoding")).splitlines()
    assert lines[0] == "encoding: 100 of 1,000 MB, 50 MB/s, 0:18 left"
    assert lines[-1] == "encoding: 1,000 MB in 0:20, 50 MB/s"
    assert 4 <= len(lines) <= 6


def test_progress_on_an_ascii_terminal_is_ascii() -> None:
    with terminal(80, "ascii") as pty:
        text = "".join(worked(pty, "encoding"))
    assert text.isascii()
    assert "--" in text


def test_progress_within_a_second_draws_nothing() -> None:
    with terminal(80) as pty, Progress("encoding", 10, pty.stream, Clock()) as progress:
        progress.advance(10)
        assert pty.written() == ""


def test_progress_without_lines_is_for_terminals_alone() -> None:
    clock, stream = Clock(), io.StringIO()
    with Progress("measuring", 10, stream, clock, unit=ROUNDS, lines=False) as progress:
        clock.now = 60.0
        progress.advance(5)
    assert stream.getvalue() == ""
    with terminal(80) as pty:
        with Progress("measuring", 10, pty.stream, clock, unit=ROUNDS, lines=False) as progress:
            clock.now = 120.0
            progress.advance(5)
        assert seen(pty.written()) == ["measuring: 5 rounds in 1:00, 0 rounds/s", ""]


@pytest.mark.parametrize("total", [0, -5, 1])
def test_progress_beyond_its_total_is_shown(total: int) -> None:
    clock = Clock()
    with terminal(80) as pty:
        with Progress("encoding", total, pty.stream, clock) as progress:
            clock.now = 3.0
            progress.advance(7_000_000)
        assert "7 MB in 0:03" in seen(pty.written())[0]


@pytest.mark.parametrize("how", ["at-once", "in-order"])
def test_ctrl_c_during_progress_leaves_a_clean_line_and_cursor(how: str) -> None:
    status, text = run_on_terminal(["-c", INTERRUPTED, how], interrupt_after="MB/s")
    assert status == 130
    *lines, empty = seen(text.replace("^C", ""))
    bar, last = filter(None, lines)
    assert re.match(r"working: .* of 1,000 MB", bar)
    assert (last, empty) == ("lpc-test: interrupted", "")
    assert "\x1b[?25" not in text


def test_status_line_beside_text_in_a_pipe_fits_the_terminal() -> None:
    with terminal(20) as pty:
        line = StatusLine(io.StringIO(), pty.stream)
        line.show("token 12: 5 s, layer 3/22, 400 MB/s, 12 s left")
        assert seen(pty.written()) == ["token 12: 5 s, laye"]
        line.clear()
        assert seen(pty.written()) == [""]


def test_status_line_on_a_dumb_terminal_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with terminal(80) as pty:
        assert not StatusLine(pty.stream, pty.stream).shows
