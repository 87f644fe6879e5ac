"""The emulated board: an arm64 Debian in a PID and mount namespace of its own, its sshd on loopback, run through qemu.

`tests/board/make_root.sh` makes the root; `make test-board` names it in LPC_BOARD_ROOT.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from ssh_board import free_port, make_key
from telemetry_lines import LINES

USER = "pilot"
_START_SECONDS = 60.0
_REPLAYED = ("agx-orin32-jp5", "agx-orin32-r36-sudo")


class EmulatedBoard:
    """A context manager; `options()` are what `lpc-bench remote` needs besides `pilot@127.0.0.1`."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self.folder = folder
        self.home = root / "home" / USER
        self.port = free_port()
        self.identity = folder / "user_key"
        self.known_hosts = folder / "known_hosts"
        make_key(self.identity)
        for old in (root / "board").glob("*") if (root / "board").is_dir() else ():
            old.unlink()
        (root / "board").mkdir(exist_ok=True)
        make_key(root / "board/host_key")
        shutil.copy(f"{self.identity}.pub", root / "board/authorized_keys")
        key = (root / "board/host_key.pub").read_text(encoding="ascii")
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {key}", encoding="ascii")
        (root / "usr/share/tegrastats.lines").write_text(
            "".join(f"{LINES[name]}\n" for name in _REPLAYED), encoding="ascii"
        )
        (root / "board/sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey /board/host_key\nPidFile none\nStrictModes no\n"
            "AuthorizedKeysFile /board/authorized_keys\nUsePAM no\nPasswordAuthentication no\n",
            encoding="ascii",
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def base(self) -> Path:
        """Where our things go on the board."""
        return self.home / ".cache" / "lpc-bench"

    def __enter__(self) -> EmulatedBoard:
        script = (
            f"mount -t proc proc {self.root}/proc && mount --rbind /dev {self.root}/dev && "
            f"cp /etc/resolv.conf {self.root}/etc/resolv.conf && "
            f"exec chroot {self.root} /usr/sbin/sshd -D -e -f /board/sshd_config"
        )
        log = (self.folder / "sshd.log").open("ab")
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        log.close()
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            time.sleep(0.1)
        raise RuntimeError((self.folder / "sshd.log").read_text(encoding="utf-8"))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def options(self) -> list[str]:
        """Options of `lpc-bench remote` that lead to this board."""
        return [
            "--port", str(self.port), "--identity", str(self.identity), "--known-hosts", str(self.known_hosts),
            "--ssh-config", "/dev/null",
        ]  # fmt: skip
