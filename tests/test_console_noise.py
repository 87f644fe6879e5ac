"""The serial console of boards of other languages and login shells, whose kernel writes in between."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
from serial_board import LOGIN, PASSWORD, SHELL, USER, SerialBoard

from edge_runtime.errors import RemoteError
from edge_runtime.remote.serial.console import SerialConsole
from edge_runtime.remote.serial.text import Answer, Stream, last_prompt

pytest.importorskip("serial", reason="pyserial is not installed")

KERNEL = b"[    7.123456] usb 1-2: new high-speed USB device number 7 using xhci-hcd\r\n"
UNDATED = b"mmc0: card 59b4 removed\r\n"


class NoisyBoard(SerialBoard):
    """Writes a message after every `apart` bytes of everything else, in the middle of whatever is there."""

    apart = 101
    message = KERNEL
    _count = 0

    def say(self, text: bytes) -> None:
        while text:
            some = max(1, self.apart - self._count)
            super().say(text[:some])
            self._count += len(text[:some])
            text = text[some:]
            if self._count >= self.apart:
                super().say(self.message)
                self._count = 0


def log_in(board: SerialBoard, password: Callable[[], str] = lambda: PASSWORD) -> SerialConsole:
    console = SerialConsole(board.device, 115200, timeout_s=10)
    try:
        console.login(USER, password)
    except BaseException:
        console.close()
        raise
    return console


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("orin Anmeldung: ", "Passwort: "),
        ("Nom d'utilisateur : ", "Mot de passe : "),
        ("ユーザー名\uff1a", "パスワード\uff1a"),
        ("bench-board login: ", "كلمة السر: "),
    ],
)
def test_login_in_another_language_is_understood(name: str, password: str) -> None:
    with SerialBoard(LOGIN, ASKS_NAME=name, ASKS_PASSWORD=password) as board:
        with log_in(board) as console:
            assert console.run("echo in").text == "in\n"
        with pytest.raises(RemoteError, match=f"the login as {USER} was refused: check name and password"):
            log_in(board, lambda: "wrong")


@pytest.mark.parametrize("message", [KERNEL, UNDATED])
def test_login_with_messages_behind_each_prompt_types_no_command_into_it(message: bytes) -> None:
    names = f"orin login: \r\n{message.decode()}", f"Passwort: \r\n{message.decode()}"
    with SerialBoard(LOGIN, ASKS_NAME=names[0], ASKS_PASSWORD=names[1]) as board, log_in(board) as console:
        assert console.run("echo in").text == "in\n"
        assert b"echo" not in board.typed.split(PASSWORD.encode())[0]


def test_login_whose_greeting_looks_like_a_prompt_gives_no_password_away() -> None:
    def never() -> str:
        raise AssertionError("asked for a password")

    greeting = r"printf 'Documentation:\r\n[ 1.234567] eth0: up\r\n'; sleep 0.5; bash --norc --noprofile -i"
    program = LOGIN.replace("stty -echo; read -r word; stty echo; echo", 'word="$2"').replace(
        """printf '%s' "$ASKS_PASSWORD\"""", ":"
    )
    with SerialBoard(program, LOGIN_SHELL=greeting) as board, log_in(board, never) as console:
        assert console.run("echo in").text == "in\n"


def test_login_that_asks_for_more_than_a_password_says_so() -> None:
    shell = "printf 'One-time code: '; read -r code"
    with (
        SerialBoard(LOGIN, LOGIN_SHELL=shell) as board,
        pytest.raises(RemoteError, match=r"asks pilot for more than a password.*One-time code:"),
    ):
        log_in(board)


@pytest.mark.parametrize("shell", ["fish", "tcsh", "dash", "sh"])
def test_run_behind_any_login_shell_gives_output_and_status(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    words = "printf '%s|' it\\'s '$HOME' '!x' '\\t' ünï; exit 3"
    with SerialBoard(LOGIN, LOGIN_SHELL=f"TERM=dumb {shell} -i") as board, log_in(board) as console:
        output = console.run(words)
        assert (output.text, output.status) == ("it's|$HOME|!x|\\t|ünï|", 3)


@pytest.mark.parametrize("message", [KERNEL, UNDATED])
def test_run_with_messages_inside_the_answer_gives_the_answer_alone(message: bytes) -> None:
    with NoisyBoard(SHELL) as board:
        board.message = message
        with log_in(board) as console:
            assert console.run("seq 1 60").text == "".join(f"{number}\n" for number in range(1, 61))
            assert console.run("echo '[ 1.234567] this is asked for'; exit 4").status == 4


def test_run_whose_answer_keeps_being_broken_says_how_to_quiet_the_kernel() -> None:
    with NoisyBoard(SHELL) as board, log_in(board) as console:
        board.apart = 29
        with pytest.raises(RemoteError, match=r"came broken 5 times.*sudo dmesg -n 1"):
            console.run("echo " + "x" * 60)


def test_run_of_a_command_with_control_characters_types_none_of_them() -> None:
    with SerialBoard(SHELL) as board, log_in(board) as console:
        assert console.run("printf '%s' 'a\tb\x15c\nd' | wc -c").text.strip() == "7"


def test_answer_of_characters_that_are_counted_otherwise_is_taken_when_it_comes_twice() -> None:
    answer = Answer("true")
    token = answer.question.split("sn\\0047 ")[-1]
    assert token
    first, second = answer._token[:6], answer._token[6:]
    lines = first + second + " 1 2 ünï\r\n".encode() + first + second + b" 2 1 0\r\n" + first + second
    answer.feed(lines + b" end 1 2\r\n")
    assert not answer.is_whole
    answer.feed(lines + b" end 2 2\r\n")
    assert answer.is_whole
    assert answer.parts() == ("ünï", "0")


@pytest.mark.parametrize(
    ("text", "line", "kind", "rests"),
    [
        ("\r\norin login: ", "orin login:", "asks", True),
        ("\r\norin login: \r\n[    3.141592] eth0: link up\r\n", "orin login:", "asks", True),
        ("\r\norin lo[    3.141592] eth0: link up\r\ngin: ", "orin login:", "asks", True),
        ("Tips:\r\nnone\r\n", "Tips:", "asks", False),
        ("密码\uff1a", "密码\uff1a", "asks", True),
        ("root@orin:/# ", "root@orin:/#", "shell", True),
        ("=> ", "=>", "boot loader", True),
    ],
)
def test_prompts_are_told_by_their_shape(text: str, line: str, kind: str, rests: bool) -> None:
    prompt = last_prompt(text)
    assert prompt is not None
    assert (prompt.line, prompt.kind, prompt.rests) == (line, kind, rests)


def test_stream_joins_what_comes_in_pieces() -> None:
    stream = Stream()
    pieces = ["ü".encode()[:1], "ü".encode()[1:] + b"\x1b[3", b"1mred\x1b]0;title", b"\x07!\r", b"\n\x9b"]
    assert "".join(stream.feed(piece) for piece in pieces) == "üred!\n\ufffd"
