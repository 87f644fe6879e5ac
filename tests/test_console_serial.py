"""The serial console over a real pty pair: rates, login, commands, addresses, and what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from real_models import RunPython
from serial_board import LOGIN, PASSWORD, SHELL, UBOOT, USER, SerialBoard, resampled

from edge_runtime.cli.console import command
from edge_runtime.errors import RemoteError
from edge_runtime.remote.serial import console as serial_console
from edge_runtime.remote.serial.console import SerialConsole
from edge_runtime.remote.serial.network import usb_network
from edge_runtime.remote.serial.ports import guess, list_ports
from edge_runtime.remote.serial.text import readable

pytest.importorskip("serial", reason="pyserial is not installed")

CONSOLE = "from edge_runtime.cli.console import command; command()"


@pytest.fixture(scope="module")
def board() -> Iterator[SerialBoard]:
    with SerialBoard(SHELL) as running:
        yield running


@pytest.fixture(scope="module")
def console(board: SerialBoard) -> Iterator[SerialConsole]:
    """A console that has got to the shell, for tests that leave it as it was."""
    with console_on(board) as opened:
        opened.login()
        yield opened


@pytest.fixture
def quick_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for silence or for a slow login waits less."""
    monkeypatch.setattr(serial_console, "_PROBE_SECONDS", 0.2)
    monkeypatch.setattr(serial_console, "_REFUSAL_SECONDS", 0.2)


def console_on(board: SerialBoard, baud: int | None = 115200, timeout_s: float = 20.0) -> SerialConsole:
    return SerialConsole(board.device, baud, timeout_s=timeout_s)


def test_login_runs_commands_and_logs_out() -> None:
    with SerialBoard(LOGIN) as board:
        for _ in range(2):
            with console_on(board) as console:
                console.login(USER, lambda: PASSWORD)
                assert console.run("echo one; echo two >&2; exit 3") == serial_console.Output("one\ntwo\n", 3)


def test_login_wrong_password_is_refused() -> None:
    with SerialBoard(LOGIN) as board, console_on(board) as console:
        with pytest.raises(RemoteError, match=f"the login as {USER} was refused: check name and password"):
            console.login(USER, lambda: "wrong")
        console.login(USER, lambda: PASSWORD)
        assert console.run("true").status == 0


def test_login_without_a_name_or_anybody_to_ask_says_so() -> None:
    with SerialBoard(LOGIN) as board, console_on(board) as console:
        with pytest.raises(RemoteError, match="the board asks for a login: give --user"):
            console.login()
        with pytest.raises(RemoteError, match=f"asks for the password of {USER}, and there is nobody to ask"):
            console.login(USER)


def test_login_at_a_shell_already_asks_nothing_and_does_not_log_out() -> None:
    def never() -> str:
        raise AssertionError("asked for a password")

    with SerialBoard(SHELL) as board:
        for _ in range(2):
            with console_on(board) as console:
                console.login(USER, never)
                assert console.run("pwd").text == "/\n"


def test_login_in_the_boot_loader_says_so() -> None:
    with (
        SerialBoard(UBOOT) as board,
        console_on(board) as console,
        pytest.raises(RemoteError, match="the board is in its boot loader"),
    ):
        console.login(USER, lambda: PASSWORD)


@pytest.mark.usefixtures("quick_probes")
def test_login_where_a_program_runs_ends_in_time() -> None:
    with (
        SerialBoard("stty -icanon -isig; echo booting; cat") as board,
        console_on(board, timeout_s=1) as console,
        pytest.raises(RemoteError, match="no shell answers"),
    ):
        console.login()


@pytest.mark.parametrize(
    ("command", "text", "status"),
    [
        ("printf 'no end of line'", "no end of line", 0),
        ("printf ''", "", 0),
        ("false", "", 1),
        ("echo \"it's\" '$HOME' `echo sub`", "it's $HOME sub\n", 0),
        ("printf '\\033[31mred\\033[0m\\n'", "red\n", 0),
        ("seq 1 2000 | tail -n 2", "1999\n2000\n", 0),
        ("sh -c 'kill -9 $$'", None, 137),
        ("no-such-command-here", None, 127),
    ],
)
def test_run_gives_output_and_status(console: SerialConsole, command: str, text: str | None, status: int) -> None:
    output = console.run(command)
    assert output.status == status
    assert text is None or output.text == text


def test_run_of_much_output_is_complete(console: SerialConsole) -> None:
    assert console.run("seq 1 20000").text == "".join(f"{n}\n" for n in range(1, 20001))


def test_run_that_does_not_end_is_interrupted_and_the_shell_goes_on(console: SerialConsole) -> None:
    with pytest.raises(RemoteError, match=r"waited 0.5 s for the end of `sleep 600`"):
        console.run("sleep 600", timeout_s=0.5)
    assert console.run("echo still here").text == "still here\n"


def test_run_with_kernel_messages_before_it_still_ends(board: SerialBoard, console: SerialConsole) -> None:
    board.say(b"[ 12.345678] usb 1-1: new device\r\n")
    assert console.run("echo x").text == "x\n"


def test_run_of_a_command_too_long_is_refused(console: SerialConsole) -> None:
    with pytest.raises(RemoteError, match="4000 characters is too long"):
        console.run("x" * 4000)


@pytest.mark.parametrize("baud", [1500000, 9600])
def test_baud_auto_finds_the_rate(baud: int) -> None:
    with SerialBoard(LOGIN, baud) as board, console_on(board, None) as console:
        assert console.baud == baud
        console.login(USER, lambda: PASSWORD)
        assert console.run("echo found").text == "found\n"


@pytest.mark.usefixtures("quick_probes")
@pytest.mark.parametrize(("board_baud", "client_baud"), [(1500000, 115200), (9600, 115200), (115200, 1500000)])
def test_baud_wrong_rate_is_recognised_and_said(board_baud: int, client_baud: int) -> None:
    with (
        SerialBoard("while sleep 0.03; do echo orin-nano login:; done", board_baud) as board,
        pytest.raises(RemoteError, match=rf"not readable at {client_baud} baud .* rate is wrong; try --baud auto"),
    ):
        console_on(board, client_baud)


@pytest.mark.usefixtures("quick_probes")
def test_baud_auto_without_any_readable_rate_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial_console, "BAUD_RATES", (115200, 57600))
    with (
        SerialBoard("while sleep 0.03; do echo orin-nano login:; done", 1500000) as board,
        pytest.raises(RemoteError, match="readable at none of the baud rates tried"),
    ):
        console_on(board, None)


@pytest.mark.usefixtures("quick_probes")
def test_silent_line_ends_in_time_and_says_what_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial_console, "BAUD_RATES", (115200, 1500000))
    with SerialBoard("stty -echo; sleep 600") as board:
        with pytest.raises(RemoteError, match="no answer at any of 2 baud rates: check that the board is on"):
            console_on(board, None)
        with pytest.raises(RemoteError, match="no answer at 9600 baud"):
            console_on(board, 9600)


def test_board_that_goes_silent_in_a_command_ends_in_time() -> None:
    with SerialBoard(SHELL) as board, console_on(board) as console:
        console.login()
        board.unplug()
        with pytest.raises(RemoteError, match=r"waited 0.3 s for the end of `echo x`"):
            console.run("echo x", timeout_s=0.3)


def test_port_that_does_not_exist_says_so(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="nothing-here: cannot be opened"):
        SerialConsole(str(tmp_path / "nothing-here"))


def test_port_that_is_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(RemoteError, match="file: cannot be opened"):
        SerialConsole(str(tmp_path / "file"))


def test_readable_text_and_noise_are_told_apart() -> None:
    text = b"\r\nUbuntu 22.04.4 LTS orin ttyTCU0\r\n\r\norin login: "
    assert readable(text)
    assert readable("Grüße vom Gerät\r\n".encode())
    assert readable("ユーザー名\uff1a".encode())
    assert readable(b"^U\r\n\x15\r\n")
    assert not readable(b"")
    rates = (9600, 57600, 115200, 921600, 1500000)
    for said in (text, "\r\nユーザー名\uff1a".encode()):
        assert not [(a, b) for a in rates for b in rates if a != b and readable(resampled(said, a, b))]


def console_run(*arguments: str, answer: str | None = None) -> Result:
    """Run `lpc-board console` in this process."""
    return CliRunner().invoke(command, arguments, input=answer, standalone_mode=False)


def test_command_run_passes_output_and_status_on() -> None:
    with SerialBoard(SHELL) as board:
        arguments = ("run", "--device", board.device, "--baud", "115200")
        done = console_run(*arguments, "--", "sh", "-c", "echo 'a  b'; exit 5")
        assert (done.stdout, done.stderr, done.return_value) == ("a  b\n", "", 5)
        done = console_run(*arguments, "--json", "uname -s")
        assert json.loads(done.stdout) == {"text": "Linux\n", "status": 0}


def test_command_address_lists_the_board_addresses(tmp_path: Path) -> None:
    path = fake_commands(tmp_path, ip=f"cat <<'E'\n{IP_OUTPUT}E")
    with SerialBoard(SHELL, path=path) as board:
        done = console_run("address", "--device", board.device, "--json")
    assert [item["address"] for item in json.loads(done.stdout)] == ["10.0.2.15", "192.168.7.20", "192.168.55.1"]


@pytest.mark.usefixtures("quick_probes")
def test_command_tail_shows_what_comes_and_nothing_that_steers_a_terminal() -> None:
    with SerialBoard("while sleep 0.05; do printf 'tick \\033[2Jnow \\007\\r\\n'; done") as board:
        done = console_run("tail", "--device", board.device, "--seconds", "0.5")
    assert done.exception is None
    assert "tick now \\x07\n" in done.stdout
    assert "at 115200 baud" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--baud", "fast", "--", "ls"), "neither auto nor a rate from 50 to 4000000"),
        (("run",), "Missing argument"),
        (("address", "--timeout", "0"), "Invalid value for '--timeout'"),
    ],
)
def test_command_wrong_usage_exits_2(run_python: RunPython, arguments: tuple[str, ...], message: str) -> None:
    done = run_python(CONSOLE, *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def fake_commands(folder: Path, **scripts: str) -> str:
    """Commands that exist on the board alone; returns its search path."""
    for name, text in scripts.items():
        file = folder / name
        file.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        file.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def test_usb_network_on_a_jetson_starts_its_service(tmp_path: Path) -> None:
    path = fake_commands(tmp_path, ip="true", systemctl="true", sudo=f'printf "%s " "$@" >>{tmp_path}/done')
    with SerialBoard(SHELL, path=path) as board, console_on(board) as console:
        console.login()
        assert usb_network(console) == "192.168.55.1"
    assert (tmp_path / "done").read_text(encoding="utf-8") == "-n systemctl start nv-l4t-usb-device-mode "


def test_usb_network_that_may_not_be_set_up_says_how(tmp_path: Path) -> None:
    path = fake_commands(tmp_path, ip="true", systemctl="true", sudo="echo sudo: a password is required; exit 1")
    with SerialBoard(SHELL, path=path) as board, console_on(board) as console:
        console.login()
        with pytest.raises(RemoteError, match=r"a password is required\): a Jetson makes a USB network by itself"):
            usb_network(console)


def test_usb_network_there_already_is_returned(tmp_path: Path) -> None:
    path = fake_commands(tmp_path, ip=f"cat <<'E'\n{IP_OUTPUT}E")
    with SerialBoard(SHELL, path=path) as board, console_on(board) as console:
        console.login()
        assert usb_network(console) == "192.168.55.1"


def test_guess_names_the_board_behind_known_adapters() -> None:
    assert "Jetson" in (guess(0x0955, 0x7020) or "")
    assert "NVIDIA" in (guess(0x0955, 0x1234) or "")
    assert "CP210x" in (guess(0x10C4, 0xEA60) or "")
    assert guess(0x10C4, 0x0001) is None
    assert guess(None, None) is None
    assert all(port.device.startswith("/dev/") for port in list_ports())


IP_OUTPUT = """1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
3: l4tbr0    inet 192.168.55.1/24 brd 192.168.55.255 scope global l4tbr0\\       valid_lft forever
4: wlP1p1s0    inet 192.168.7.20/24 brd 192.168.7.255 scope global dynamic wlP1p1s0\\       valid_lft 85
5: docker0    inet 172.17.0.1/16 brd 172.17.255.255 scope global docker0\\       valid_lft forever
6: enP8p1s0    inet 10.0.2.15/24 brd 10.0.2.255 scope global dynamic enP8p1s0\\       valid_lft 86
"""


def test_password_prompt_answers_the_board_and_is_not_shown() -> None:
    with SerialBoard(LOGIN) as board:
        arguments = ("run", "--device", board.device, "--baud", "115200", "--user", USER, "--", "whoami")
        done = console_run(*arguments, answer=f"{PASSWORD}\n")
    assert done.exception is None
    assert done.return_value == 0
    assert PASSWORD not in done.output
