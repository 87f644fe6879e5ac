"""`lpc-bench remote` among other people: noisy and strange logins, other operators, homes and folders of theirs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from remote_board import failed
from ssh_board import (
    BOARD,
    QUICK,
    SSHD,
    Done,
    FirstRun,
    Relay,
    SshBoard,
    invoke,
)

from edge_runtime.bench.result_file import load_result
from edge_runtime.cli.bench_remote import _Results
from edge_runtime.io.typed_json import write
from edge_runtime.remote.board.lock import Lock, uptime
from edge_runtime.remote.board.place import MARK
from edge_runtime.remote.table import Outcome

pytestmark = pytest.mark.skipif(SSHD is None, reason="no sshd: apt-get install openssh-server")


def planted(root: Path, place: Path) -> Path:
    """What an earlier visit with --keep has left; returns the model's file."""
    file = place / "models/demo/model.lpc"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    (root / MARK).write_text(json.dumps({"made": [str(root)]}), encoding="ascii")
    return file


def cleaned(board: SshBoard, *options: str) -> Done:
    """Plant something, and have it removed."""
    file = planted(board.base, board.place)
    done = invoke(board, "--clean", BOARD, *options)
    assert done.returncode == 0, done.stderr
    assert not file.exists()
    return done


@pytest.mark.parametrize(
    "noise",
    [
        'echo "Welcome to lab rack 4"; printf "no end of line"',
        "printf '\\033[2J\\033]0;title\\007\\377\\000\\r'; echo trouble >&2",
        "set -x; trap 'echo \"$BASH_COMMAND\"' DEBUG",
        "seq 1 20000; echo '{\"end\": true}'",
        "stty -a; exec 3>&1; unalias -a; cd /; umask 777",
    ],
)
def test_remote_noise_of_login_files_is_only_noise(board: SshBoard, noise: str) -> None:
    (board.home / ".bashrc").write_text(f"{noise}\n", encoding="utf-8")
    assert "nothing of ours is left" in cleaned(board).stderr


@pytest.mark.parametrize("where", ["", " >&2"])
def test_remote_noise_without_end_is_given_up(board: SshBoard, where: str) -> None:
    (board.home / ".bashrc").write_text(f"exec yes 'on and on'{where}\n", encoding="ascii")
    failed(invoke(board, "--clean", BOARD), "writes without end", "on and on", "~/.bashrc")
    deadline = time.monotonic() + 3
    while any(found.name() == "yes" for found in board.processes()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("shell", ["fish", "tcsh", "dash", "rbash"])
def test_remote_any_login_shell_will_do(board: SshBoard, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: native/system_packages.sh tests")
    board.log_in_with(str(shutil.which(shell)))
    cleaned(board)


def test_remote_measures_behind_noise_and_a_shell_that_is_not_posix(deployed: SshBoard, folder: Path) -> None:
    shell = shutil.which("fish") or shutil.which("tcsh")
    if shell is None:
        pytest.skip("neither fish nor tcsh is installed: native/system_packages.sh tests")
    (deployed.home / ".bashrc").write_text('set -x; echo "Welcome"; printf "no end of line"\n', encoding="ascii")
    deployed.log_in_with(shell)
    done = invoke(deployed, BOARD, str(folder), *QUICK, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tests"][0]["name"] == "pp8"


@pytest.mark.parametrize(
    ("shell", "said"),
    [
        ("/bin/false", "it said nothing"),
        ("/usr/sbin/nologin", "This account"),
        ("echo Only git; true", "Only git"),
    ],
)
def test_remote_account_that_runs_no_commands_is_named_as_such(board: SshBoard, shell: str, said: str) -> None:
    if not shutil.which(shell.split()[0]):
        pytest.skip(f"{shell} is not installed")
    board.log_in_with(shell)
    failed(invoke(board, "--clean", BOARD), "runs no command of ours", said, "chsh -s /bin/sh")


def owner(board: SshBoard, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Lock:
    """Somebody else at another machine takes the board."""
    monkeypatch.setenv("TMPDIR", str(board.folder / "tmp"))
    lock = Lock(board.place, "another")
    board.home.joinpath(".cache").mkdir(exist_ok=True)
    client = {"who": "ada@desk, process 7", "user": "ada", "host": "desk", "boot": "b", "pid": 7, "start": "1"}
    assert lock.take({**client, **changes}, 100.0, False, "") == []
    return lock


def test_remote_board_that_another_operator_has_is_refused_with_owner_and_age(
    board: SshBoard, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = owner(board, monkeypatch)
    lock.hold(since=uptime() - 180)
    busy = "ada@desk, process 7 (since 3 min) is at work on this board; try again later"
    failed(invoke(board, BOARD, str(folder), *QUICK), busy, "--clean")
    assert lock.is_ours()
    done = invoke(board, "--clean", BOARD)
    assert (done.returncode, lock.is_ours()) == (0, False)
    assert "ended the work of ada@desk, process 7 (since 3 min)" in done.stderr


@pytest.mark.parametrize("change", [{"boot": "another"}, {"beat": 0.0}, {"beat": "soon"}])
def test_remote_lock_that_is_stale_holds_nobody_up(
    board: SshBoard, monkeypatch: pytest.MonkeyPatch, folder: Path, change: dict[str, Any]
) -> None:
    lock = owner(board, monkeypatch)
    lock.file.write_text(json.dumps({**json.loads(lock.file.read_text(encoding="ascii")), **change}), encoding="ascii")
    failed(invoke(board, BOARD, str(folder), "--resume"), "there is no run to attach to")


def test_remote_lock_of_the_dead_is_taken_over_with_what_they_left(
    deployed: SshBoard, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    lock = owner(deployed, monkeypatch)
    record = json.loads(lock.file.read_text(encoding="ascii"))
    left = deployed.place / "models/of-the-dead"
    left.mkdir()
    lock.file.write_text(json.dumps({**record, "made": ["models/of-the-dead"], "beat": 0.0}), encoding="ascii")
    wrong = ("-p", "8", "-n", "0", "--load", "nonsense=1")
    done = invoke(deployed, BOARD, str(folder), *wrong)
    failed(done, "took the board over from ada@desk", "--load nonsense: unknown")
    assert not left.exists()


def test_remote_lock_of_a_dead_process_of_this_machine_is_taken_over_at_once(
    board: SshBoard, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_runtime.remote.tenure import client

    dead = subprocess.Popen(["sleep", "0"])
    dead.wait()
    owner(board, monkeypatch, **{**write(client()), "pid": dead.pid})
    failed(invoke(board, BOARD, str(folder), "--resume"), "there is no run to attach to")


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/etc/passwd")])
def test_remote_lock_that_is_no_file_never_blocks(
    board: SshBoard, folder: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Any]
) -> None:
    lock = owner(board, monkeypatch)
    lock.file.unlink()
    make(lock.file)
    done = invoke(board, BOARD, str(folder), "--resume")
    failed(done)
    assert "no run to attach to" in done.stderr or "Is a directory" in done.stderr
    if lock.file.is_dir():
        lock.file.rmdir()
    assert Path("/etc/passwd").is_file()


def test_remote_two_names_of_one_machine_wait_for_each_other_and_give_two_results(
    deployed: SshBoard, folder: Path, tmp_path: Path
) -> None:
    with Relay(deployed.port) as relay:
        deployed.trust(relay.port)
        ports, out = [deployed.port, relay.port], tmp_path / "results"
        done = invoke(deployed, *(f"{BOARD}:{port}" for port in ports), str(folder), *QUICK, "-o", str(out))
    assert done.returncode == 0, done.stderr
    assert "waits: another name in this command is the same board" in done.stderr
    assert sorted(path.name for path in out.iterdir()) == sorted(f"127.0.0.1_{port}.json" for port in ports)


def test_remote_shared_home_of_two_boards_keeps_them_apart(
    board: SshBoard, wheel_folder: Path, folder: Path, tmp_path: Path
) -> None:
    if subprocess.run(["unshare", "--uts", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no machine names of their own can be given here")
    other = SshBoard(tmp_path / "other", wheel_folder, home=board.home, host="board-two")
    shutil.copy(board.folder / "authorized_keys", other.folder)
    with other:
        other.known_hosts = board.known_hosts
        other.trust(other.port)
        planted(board.base, board.place)
        theirs = board.base / "board-two-of-others-01234567"
        planted(board.base, theirs)
        done = invoke(board, "--clean", f"{BOARD}:{other.port}")
        assert done.returncode == 0, done.stderr
        assert board.place.exists()
        done = invoke(board, "--clean", BOARD, f"{BOARD}:{other.port}")
        assert done.returncode == 0, done.stderr
    assert not board.place.exists()
    assert (theirs / "models/demo/model.lpc").exists()  # whose it is nobody here knows
    shutil.rmtree(board.base)


def test_results_of_boards_with_similar_names_are_files_of_their_own(tmp_path: Path, first_run: FirstRun) -> None:
    result = load_result(first_run.out)
    assert result.remote is not None
    names = ["a:1", "a_1", "a_1-2", "u@a:1", ".a"]
    files = []
    for order in (names, names[::-1]):
        out = tmp_path / f"out-{order[0]}"
        results = _Results(out, None, names)
        for name in order:
            results.keep(Outcome(name, replace(result, remote=replace(result.remote, target=name))))
        assert not results.errors
        files.append({path.name: json.loads(path.read_text())["remote"]["target"] for path in out.iterdir()})
    assert files[0] == files[1]
    assert sorted(files[0].values()) == sorted(names)


class Mute:
    """A server that says something and then nothing: no SSH server."""

    def __init__(self, says: bytes) -> None:
        self._says = says
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.ExitStack() as kept, contextlib.suppress(OSError):
            while True:
                kept.enter_context(self._server.accept()[0]).sendall(self._says)

    def __enter__(self) -> Mute:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


def test_remote_bad_boards_among_ten_end_nothing_else(board: SshBoard, tmp_path: Path, wheel_folder: Path) -> None:
    noisy = SshBoard(tmp_path / "noisy", wheel_folder)
    shutil.copy(board.folder / "authorized_keys", noisy.folder)
    noisy.known_hosts = board.known_hosts
    (noisy.home / ".bashrc").write_text("exec yes\n", encoding="ascii")
    file = planted(board.base, board.place)
    with noisy, Mute(b"") as silent, Mute(b"HTTP/1.1 400 Bad Request\r\n\r\n") as web, contextlib.ExitStack() as stack:
        noisy.trust(noisy.port)
        relays = [stack.enter_context(Relay(board.port)) for _ in range(6)]
        for relay in relays:
            board.trust(relay.port)
        bad = [1, silent.port, web.port, noisy.port]
        ports = [*bad, *(relay.port for relay in relays)]
        done = invoke(board, "--clean", *(f"{BOARD}:{port}" for port in ports), "--timeout", "2")
    failed(done)
    for port in ports:
        ends = [line for line in done.stderr.splitlines() if line.startswith(f"lpc-bench: 127.0.0.1:{port}")]
        assert len(ends) == (port in bad), done.stderr
    assert done.stderr.count("nothing of ours is left") == 6
    assert not file.exists()


def test_remote_unforeseen_error_of_one_board_ends_nothing_else(
    board: SshBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_runtime.remote import visit

    real = visit.identify

    async def identify(connection: Any, name: str, *others: Any) -> Any:
        if name.endswith(str(relay.port)):
            raise KeyError("\x1b[2Jsomething")
        return await real(connection, name, *others)

    monkeypatch.setattr(visit, "identify", identify)
    with Relay(board.port) as relay:
        board.trust(relay.port)
        done = invoke(board, "--clean", f"{BOARD}:{relay.port}", f"{BOARD}:{board.port}")
    assert done.returncode == 1
    assert f"lpc-bench: 127.0.0.1:{relay.port}: unexpected KeyError: '\\x1b[2Jsomething' (please report" in done.stderr
    assert f"127.0.0.1:{board.port}: nothing of ours is left" in done.stderr


@pytest.mark.parametrize("given", ["theirs", "~/of mine", "my own/the irs", "~/ü $HOME'`", "ABSOLUTE"])
def test_remote_clean_in_a_folder_of_theirs_removes_ours_alone(board: SshBoard, given: str, tmp_path: Path) -> None:
    given = str(tmp_path / "at all") if given == "ABSOLUTE" else given
    place = board.home / given.removeprefix("~/")
    mine = place / "models/demo/mine.bin"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"precious")
    default = planted(board.base, board.place)
    ours = planted(place / "lpc-bench", place / "lpc-bench" / board.place.name)
    done = invoke(board, "--clean", BOARD, "--board-folder", given)
    assert done.returncode == 0, done.stderr
    assert mine.read_bytes() == b"precious"
    assert not ours.exists()
    assert not (place / "lpc-bench").exists()
    assert default.exists()
    shutil.rmtree(board.base)


def test_remote_measures_in_a_folder_of_theirs_and_leaves_it_as_it_was(
    board: SshBoard, folder: Path, first_run: FirstRun
) -> None:
    theirs = board.home / "work and play"
    theirs.mkdir()
    (theirs / "agent.py").write_text("mine", encoding="ascii")
    first_run.deploy(board.home)
    (board.base).rename(theirs / "lpc-bench")
    done = invoke(board, BOARD, str(folder), *QUICK, "--board-folder", "~/work and play", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tests"][0]["name"] == "pp8"
    assert not board.base.exists()
    for mark in (theirs / "lpc-bench").glob(f"{MARK}*"):
        mark.unlink()
    shutil.rmtree(theirs / "lpc-bench" / board.place.name / "jobs", ignore_errors=True)
    failed(invoke(board, BOARD, str(folder), *QUICK, "--board-folder", "work and play"), "lpc-bench did not make it")
    assert (theirs / "agent.py").read_text(encoding="ascii") == "mine"
    shutil.rmtree(theirs)


@pytest.mark.parametrize("given", ["", "~ada/x", "a:b", "a\nb", "\x1b[2J"])
def test_remote_folder_that_cannot_be_is_refused_before_connecting(board: SshBoard, folder: Path, given: str) -> None:
    done = invoke(board, BOARD, str(folder), "--board-folder", given)
    assert done.returncode == 2
    assert "--board-folder" in done.stderr
    assert "\x1b" not in done.stderr
