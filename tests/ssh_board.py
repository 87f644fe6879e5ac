"""A board on loopback: a real sshd with keys and a home of its own; in front a relay that throttles, counts and cuts.

The board's files are those of this machine, except its home, its PATH and what a test puts there.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import click
import psutil
from click.testing import CliRunner

from edge_runtime.cli.bench_remote import command as remote_command
from edge_runtime.errors import LpcError
from edge_runtime.remote.board.place import board_id

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin")
USER = getpass.getuser()
BOARD = f"{USER}@127.0.0.1"
SMALL = ("-p", "16", "-n", "8", "-r", "2", "--interval", "0.1")
QUICK = ("-p", "8", "-n", "0", "-r", "1", "--interval", "0.1")
ROOT = Path(__file__).resolve().parents[1]
LPC_BENCH = "from edge_runtime.cli.bench import main; main()"
_START_SECONDS = 10.0
_PIECE = 16384


class SshBoard:
    """A context manager; `options()` are what `lpc-bench remote` needs to reach it as `name`."""

    def __init__(
        self, folder: Path, wheels: Path, *, path: str | None = None, home: Path | None = None, host: str | None = None
    ) -> None:
        """`host`: a name of its own for the machine, which only root can give."""
        self.folder = folder
        self._host = host
        self.wheels = wheels
        self.home = home or folder / "home"
        for place in (folder, self.home, folder / "tmp"):
            place.mkdir(parents=True, exist_ok=True)
        self.path = path or f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        self.known_hosts = folder / "known_hosts"
        self.identity = folder / "user_key"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        make_key(self.identity)
        shutil.copy(f"{self.identity}.pub", folder / "authorized_keys")
        self.new_host_key()

    def log_in_with(self, shell: str | Path) -> None:
        """Have commands run as `SHELL -c COMMAND`, as for a user of this login shell; first named before the start."""
        wrapper = self.folder / "login-shell"
        wrapper.write_text(f'#!/bin/sh\nexec {shell} -c "$SSH_ORIGINAL_COMMAND"\n', encoding="ascii")
        wrapper.chmod(0o755)

    @property
    def base(self) -> Path:
        """Where our things go on the board."""
        return self.home / ".cache" / "lpc-bench"

    @property
    def place(self) -> Path:
        """What is this board's there, and not of another one with the same home."""
        return self.base / f"board-{board_id()}"

    def new_host_key(self, *, known: bool = True) -> None:
        """Give the board another host key; `known` also tells the client."""
        for old in self.folder.glob("host_key*"):
            old.unlink()
        make_key(self.folder / "host_key")
        if known:
            self.trust(self.port)

    def trust(self, port: int) -> None:
        """Let the client know the board's host key at a port."""
        key = (self.folder / "host_key.pub").read_text(encoding="ascii")
        with self.known_hosts.open("a", encoding="ascii") as file:
            file.write(f"[127.0.0.1]:{port} {key}")

    def __enter__(self) -> SshBoard:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for process in self.processes():
            process.kill()

    def start(self) -> None:
        """Start sshd and wait until it listens."""
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host_key\nPidFile none\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nPermitRootLogin prohibit-password\nMaxStartups 100\n"
            f"SetEnv PATH={self.path} HOME={self.home} XDG_CACHE_HOME={self.home}/.cache TMPDIR={self.folder}/tmp "
            f"LPC_TEST_BOARD={self.folder}\n"
            + (f"ForceCommand {self.folder}/login-shell\n" if (self.folder / "login-shell").exists() else ""),
            encoding="ascii",
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd asks for it
        with (self.folder / "sshd.log").open("ab") as log:
            named = ["unshare", "--uts", "sh", "-c", f'hostname {self._host} && exec "$@"', "-"] if self._host else []
            self._process = subprocess.Popen(
                [*named, str(SSHD), "-D", "-e", "-f", str(config)],
                stdin=subprocess.DEVNULL, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        raise RuntimeError((self.folder / "sshd.log").read_text(encoding="utf-8"))

    def stop(self) -> None:
        """End sshd and every connection, as pulling the plug would; detached programs go on."""
        if self._process is not None:
            children = psutil.Process(self._process.pid).children(recursive=True)
            sessions = [child for child in children if child.name() in ("sshd", "sshd-session", "sshd-auth")]
            for process in (*sessions, self._process):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self._process.wait()
            self._process = None

    def processes(self) -> list[psutil.Process]:
        """What runs on the board: everything that inherited its environment."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("LPC_TEST_BOARD") == str(self.folder):
                    found.append(process)
        return found

    def options(self, port: int | None = None) -> list[str]:
        """Options of `lpc-bench remote` for this board, with packages of the Python that runs the tests."""
        return [
            "--port", str(port or self.port), "--identity", str(self.identity), "--known-hosts", str(self.known_hosts),
            "--ssh-config", "/dev/null", "--packages", "system", "--wheel", str(self.wheels),
        ]  # fmt: skip


class Relay:
    """A TCP relay to a port: throttled to `rate` bytes a second each way, and cut after `cut_after` bytes to the board.

    `to_board` and `from_board` count bytes. `refuse` lets nobody through any more, `cut_each_after` cuts every new
    connection after so many bytes to the board.
    """

    def __init__(self, port: int, *, rate: float | None = None, cut_after: int | None = None) -> None:
        self._target = port
        self.rate = rate
        self.cut_after = cut_after
        self.refuse = False
        self.cut_each_after: int | None = None
        self.to_board = self.from_board = 0
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Relay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()

    def cut(self) -> None:
        """End every connection at once."""
        for pair in self._pairs:
            for side in pair:
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.refuse:
                    client.close()
                    continue
                for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                    client.setsockopt(socket.SOL_SOCKET, buffer, 1 << 17)
                board = socket.create_connection(("127.0.0.1", self._target))
                self._pairs.append((client, board))
                for source, sink, up in ((client, board, True), (board, client, False)):
                    thread = threading.Thread(target=self._pass_on, args=(source, sink, up), daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        left = self.cut_each_after
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE):
                sink.sendall(data)
                left = None if left is None else left - len(data)
                if up and left is not None and left < 0:
                    break
                if self.rate is not None:
                    time.sleep(len(data) / self.rate)
                if up:
                    self.to_board += len(data)
                    if self.cut_after is not None and self.to_board >= self.cut_after:
                        self.cut_after, self.refuse = None, True
                        self.cut()
                else:
                    self.from_board += len(data)
        for side in (source, sink):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            if up:
                continue
        with contextlib.suppress(OSError):
            source.close()


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def invoke(board: SshBoard, *arguments: str, port: int | None = None, options: Sequence[str] | None = None) -> Done:
    """Run the command in this process, as `lpc-bench` does; only an error of ours or wrong usage may be raised.

    `options` replace the board's own.
    """
    given = board.options(port) if options is None else options
    result = CliRunner().invoke(remote_command, [*given, *arguments], standalone_mode=False)
    if result.exception is None:
        return Done(result.return_value, result.stdout, result.stderr)
    assert isinstance(result.exception, (LpcError, click.UsageError)), result.exc_info
    code = 1 if isinstance(result.exception, LpcError) else 2
    return Done(code, result.stdout, f"{result.stderr}{result.exception}")


def remote(
    board: SshBoard, *arguments: str, port: int | None = None, timeout: float = 90
) -> subprocess.CompletedProcess[str]:
    """Run `lpc-bench remote` against a board to its end."""
    return subprocess.run(
        command(board, *arguments, port=port), cwd=ROOT, capture_output=True, text=True, encoding="utf-8",
        timeout=timeout, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def command(board: SshBoard, *arguments: str, port: int | None = None) -> list[str]:
    """The command line of `lpc-bench remote` for a board; Ctrl-C works in it whatever the tests' own parent ignores."""
    code = f"import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n{LPC_BENCH}"
    return [sys.executable, "-c", code, "remote", *board.options(port), *arguments]


@contextlib.contextmanager
def started(board: SshBoard, *arguments: str, port: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run `lpc-bench remote` beside the test."""
    process = subprocess.Popen(
        command(board, *arguments, port=port), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        encoding="utf-8", stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@contextlib.contextmanager
def suspended(board: SshBoard) -> Iterator[None]:
    """Stop the measurement on the board, so that it cannot end meanwhile, and let it go on afterwards."""
    found = [process for process in board.processes() if "edge_runtime.bench.worker" in process.cmdline()]
    assert found
    for process in found:
        process.suspend()
    try:
        yield
    finally:
        for process in found:
            process.resume()


def wait_for_line(process: subprocess.Popen[str], text: str) -> str:
    """Read stderr up to a line that contains a text, and return all of it; fails if it ends before."""
    seen = ""
    assert process.stderr is not None
    for line in process.stderr:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"{text!r} did not come:\n{seen}")


def interrupt(process: subprocess.Popen[str]) -> None:
    """Press Ctrl-C."""
    process.send_signal(signal.SIGINT)


def make_key(file: Path) -> None:
    """Write an Ed25519 key pair without passphrase."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(file)], check=True)


def free_port() -> int:
    """A port that nobody uses at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@dataclass(frozen=True)
class FirstRun:
    """The first measurement of a board: its result and page, what was said, and the home that it left with --keep."""

    place: Path

    @classmethod
    def make(cls, place: Path, wheels: Path, model: Path) -> None:
        """Carry it out; `place` is to be a new folder."""
        out = place / "first.json"
        with SshBoard(place / "board", wheels) as board:
            page = out.with_suffix(".html")
            done = remote(board, BOARD, str(model), *SMALL, "--layers", "--keep", "-o", str(out), "--report", str(page))
        (place / "done.json").write_text(json.dumps([done.returncode, done.stdout, done.stderr]), encoding="utf-8")

    @property
    def done(self) -> Done:
        """How the command ended."""
        return Done(*json.loads((self.place / "done.json").read_text(encoding="utf-8")))

    @property
    def out(self) -> Path:
        """The result; the page lies beside it."""
        return self.place / "first.json"

    def deploy(self, home: Path) -> None:
        """Put runtime and model into the home of another board, as they lie in the first one's."""
        shutil.copytree(self.place / "board/home/.cache", home / ".cache", symlinks=True, dirs_exist_ok=True)
