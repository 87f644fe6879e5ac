"""Host keys: known ones are taken, unknown ones refused unless that was allowed, changed ones refused always."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from edge_runtime.errors import RemoteError


class KnownHosts:
    """The keys of known_hosts for one connection; `refusal` says why a key was refused."""

    def __init__(self, file: Path | None, accept_new: bool) -> None:
        """`file` replaces ~/.ssh/known_hosts, and then nothing else is looked at."""
        self._file = file or Path("~/.ssh/known_hosts").expanduser()
        self._accept_new = accept_new
        self._new: str | None = None
        self.refusal = ""

    @property
    def files(self) -> Any:
        """For asyncssh: the list of files that are there, or an empty one, but never None, which would trust all."""
        found = [path for path in (self._file, Path("/etc/ssh/ssh_known_hosts")) if os.access(path, os.R_OK)]
        return [str(path) for path in found] or b""

    def decide(self, host: str, addr: str, port: int, key: Any) -> bool:
        """Decide about a key that is not among the known ones of this host."""
        fingerprint = f"{key.get_algorithm()} {key.get_fingerprint()}"
        name = host if port == 22 else f"[{host}]:{port}"
        if self._known(host, addr, port):
            self.refusal = (
                f"THE HOST KEY HAS CHANGED: the board shows {fingerprint}, {self._file} has another one for {name}. It "
                "was installed anew, or somebody is in between: compare with `ssh-keygen -lf "
                "/etc/ssh/ssh_host_ed25519_key.pub` on the board, and only if that is the same: "
                f"ssh-keygen -R '{name}' -f {self._file}"
            )
            return False
        if not self._accept_new:
            self.refusal = (
                f"the host key is not known: {fingerprint}. Compare it with `ssh-keygen -lf "
                "/etc/ssh/ssh_host_ed25519_key.pub` on the board, then use --accept-new, which adds it to "
                f"{self._file}"
            )
            return False
        self._new = f"{name} {key.export_public_key('openssh').decode().strip()}\n"
        return True

    def keep(self) -> None:
        """Write down a key that was accepted, now that the connection stands."""
        if self._new is None:
            return
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(self._new)
        except OSError as error:
            raise RemoteError(
                f"{self._file}: the host key cannot be kept ({error.strerror}); name another file with --known-hosts"
            ) from None
        self._new = None

    def _known(self, host: str, addr: str, port: int) -> bool:
        import asyncssh

        files = self.files
        if not files:
            return False
        known = asyncssh.read_known_hosts(files)
        if port == 22:
            return any(known.match(host, addr, None)[:3])
        return any(any(known.match(f"[{name}]:{port}", "", None)[:3]) for name in {host, addr} if name)
