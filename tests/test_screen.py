"""What a person sees on a terminal: tables that fit, colours that can be turned off, names that are only names."""

from __future__ import annotations

import io
import re
import sys
import time
from pathlib import Path

import pytest
from rich.cells import cell_len
from terminals import SETTINGS, run_on_terminal, seen, terminal, unstyled

from edge_runtime.cli.bench_options import is_drawn
from edge_runtime.cli.bench_run import command as bench_run
from edge_runtime.io import screen
from edge_runtime.io.drawing import drawn
from edge_runtime.io.sheet import Column, Note, Sheet, Table

HOSTILE = "[red]x[/red] [link=http://a]b[/link] :smile: \x1b[31m\x1b]8;;http://a\x07\u202e\ud800 \\[bold]"
SHOWN = "[red]x[/red] [link=http://a]b[/link] :smile: \\x1b[31m\\x1b]8;;http://a\\x07\\u202e\\ud800 \\[bold]"
GOLDEN = Path(__file__).parent / "golden" / "package-0.1.0" / "folder"
BOARD, EXPORT = (f"from {module} import main; main()" for module in ("edge_runtime.cli.board", "exporters.cli"))


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def speeds(*names: str) -> Table:
    columns = [
        Column("model"), Column("size", right=True), Column("provider"), Column("threads", right=True), Column("mode"),
        Column("test"), Column("tokens/s"), Column("peak memory", right=True), Column("J/token"),
    ]  # fmt: skip
    rows = [
        [name, "1.45 GB", "lpc", "2", "warm", f"tg{index}", f"{20 + index}.19 ± 0.12", "1.57 GB", "unavailable"]
        for index, name in enumerate(names)
    ]
    return Table(columns, rows, tones=["good"])


def shown(sheet: Sheet, columns: int = 80, encoding: str = "utf-8") -> str:
    with terminal(columns, encoding) as pty:
        screen.show(sheet, pty.stream)
        return pty.written()


@pytest.mark.parametrize("columns", [1, 7, 40, 80, 200])
def test_table_on_a_terminal_fits_and_loses_nothing(columns: int) -> None:
    names = ["TinyLlama-1.1B-Chat-v1.0", "a/very/long/path/without/any/blank/that/goes/on/and/on", "漢字" * 30]
    sheet = Sheet([speeds(*names), Note("a note of a few words that is wider than forty columns", "warning"), ""])
    text = unstyled(shown(sheet, columns))
    assert max(map(cell_len, text.split("\n"))) <= max(columns, 2)  # a wide character needs two
    together = "".join(text.split())
    if columns == 1:
        return  # a cell beside its head has no room at all
    for part in ("21.19", "unavailable", "1.57", "forty"):
        assert part in together


def test_table_too_wide_says_once_what_rows_have_in_common() -> None:
    lines = shown(Sheet([speeds("one", "two")])).split("\n")
    text = unstyled("\n".join(lines))
    assert text.count("1.45 GB") == text.count("unavailable") == 1
    assert re.search(r"one +tg0 +20\.19 ± 0\.12", text)
    assert text.count("tokens/s") == 1


def test_table_far_too_wide_is_shown_row_by_row() -> None:
    text = unstyled(shown(Sheet([speeds("one", "two")]), 20))
    assert text.count("tokens/s") == 2


def test_figures_are_never_cut() -> None:
    table = Table([Column("name"), Column("bytes", right=True)], [("x" * 60, "123,456,789,012")])
    assert "123,456,789,012" in unstyled(shown(Sheet([table]), 40))


def test_table_of_thousands_of_rows_is_shown_within_seconds() -> None:
    table = Table([Column("tensor"), Column("bits", right=True)], [(f"layer.{i}\x1b", "10.5") for i in range(20_000)])
    started = time.process_time()
    lines = [line.plain for part in drawn(table, 80) for line in part.wrap(None, 80, no_wrap=True)]
    assert lines[:2] == ["tensor           bits", "layer.0\\x1b      10.5"]
    assert len(lines) == 20_001
    assert time.process_time() - started < 4


def test_show_elsewhere_is_plain_lines() -> None:
    stream = io.StringIO()
    sheet = Sheet([speeds("one"), Note("careful", "bad")])
    screen.show(sheet, stream)
    assert stream.getvalue() == f"{sheet}\n"
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("columns", [30, 80, 300])
def test_hostile_names_on_a_terminal_are_only_text(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sheet = Sheet([
        HOSTILE, Note(HOSTILE, "bad"), Table([Column(HOSTILE), Column("b", right=True)], [(HOSTILE, HOSTILE)]),
        Table([Column("a"), Column("b")], [("a", "b")], notes={0: [HOSTILE]}),
    ])  # fmt: skip
    text = shown(sheet, columns)
    assert not re.search(r"\x1b(?!\[[0-9;]*m)", text)  # nothing but our colours
    assert "".join(unstyled(text).split()).count("".join(SHOWN.split())) >= 3
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in shown(sheet, columns)


@pytest.mark.parametrize(
    ("name", "value", "coloured"),
    [("NO_COLOR", "1", False), ("NO_COLOR", "", True), ("TERM", "dumb", False), ("TERM", "unknown", False),
     ("FORCE_COLOR", "1", True), ("TERM", "", True)],
)  # fmt: skip
def test_colours_follow_the_environment(name: str, value: str, coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert ("\x1b[" in shown(Sheet([speeds("one"), Note("careful", "bad")]))) == coloured


def test_forced_colours_do_not_reach_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    screen.show(Sheet([Note("careful", "bad")]), stream)
    assert stream.getvalue() == "careful\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_terminal_without_unicode_gets_characters_that_it_knows(encoding: str) -> None:
    with terminal(80, encoding) as pty:
        screen.show(Sheet([speeds("漢字", "ü"), "…"]), pty.stream)
        text = pty.stream.buffer  # what is left of it is flushed already
        text.flush()
        written = pty_bytes(pty.master)
    written.decode(encoding)
    assert b"tokens/s" in written


def pty_bytes(master: int) -> bytes:
    import os

    return os.read(master, 1 << 16)


@pytest.mark.parametrize(
    ("given", "width"), [("50", 50), ("0", 70), ("-5", 70), ("wide", 70), ("9" * 5000, 70), ("", 70)]
)
def test_width_is_of_columns_then_of_the_terminal(given: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", given)
    with terminal(70) as pty:
        assert screen.width_of(pty.stream) == width


def test_width_of_a_terminal_that_does_not_tell_is_80() -> None:
    with terminal(0) as pty:
        assert screen.width_of(pty.stream) == 80
    assert screen.width_of(io.StringIO()) == 80


def test_say_elsewhere_is_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    screen.say("lpc-run", "broken: [bold]file[/bold]")
    assert capsys.readouterr().err == "lpc-run: broken: [bold]file[/bold]\n"


def test_say_on_a_terminal_colours_the_head_and_breaks_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(40) as pty:
        monkeypatch.setattr(sys, "stderr", pty.stream)
        screen.say("lpc-run", f"{HOSTILE} " + "word " * 40)
        text = pty.written()
    assert text.count("\n") == 1
    assert text.startswith("\x1b[1;31mlpc-run:\x1b[0m [red]x")
    assert SHOWN in text


def test_say_without_rich_still_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.text", None)
    with terminal(40) as pty:
        monkeypatch.setattr(sys, "stderr", pty.stream)
        screen.say("lpc-run", "broken")
        assert pty.written() == "lpc-run: broken\n"


@pytest.mark.parametrize(
    ("arguments", "drawn"), [([], True), (["--format", "md"], False), (["--format", "csv"], False)]
)
def test_results_are_drawn_unless_a_format_was_asked_for(
    arguments: list[str], drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench_run.make_context("run", ["model", *arguments]):
        assert not is_drawn()  # captured by pytest: no terminal
        with terminal(80) as pty:
            monkeypatch.setattr(sys, "stdout", pty.stream)
            assert is_drawn() == drawn


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}, {"LANG": "C", "LC_ALL": "C"},
                                         {"PYTHONIOENCODING": "ascii"}])  # fmt: skip
def test_commands_on_a_narrow_terminal_fit(environment: dict[str, str]) -> None:
    status, text = run_on_terminal(["-c", BOARD, "list"], 40, **environment)
    assert status == 0
    assert max(map(cell_len, seen(text))) <= 40
    assert "raspberry-pi-5" in text
    assert "\x1b" not in text  # nothing here has a tone


def test_inspect_on_a_terminal_of_80_columns_fits() -> None:
    status, text = run_on_terminal(["-c", EXPORT, "inspect", str(GOLDEN)], 80)
    assert status == 0
    assert max(map(cell_len, seen(text))) <= 80
    assert "\x1b[1m" in text
    assert any(re.fullmatch(r"tensor +dtype +shape +codec +bits +bytes", line) for line in seen(text))


def test_error_on_a_terminal_is_one_line_with_a_coloured_head() -> None:
    status, text = run_on_terminal(["-c", BOARD, "show", "no-such-board"], 80)
    assert status == 1
    assert re.fullmatch(r"\x1b\[1;31mlpc-board:\x1b\[0m .*no-such-board.*\n", text)


def test_start_of_the_commands_imports_no_rich(run_python: object) -> None:
    import subprocess

    code = (
        "import sys, edge_runtime.cli.run, edge_runtime.cli.bench, edge_runtime.cli.board, exporters.cli;"
        "print([name for name in sys.modules if name.split('.')[0] in ('rich', 'pygments')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
