"""Passwords and passphrases: asked for when they are needed, used, and nowhere afterwards."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from edge_runtime.errors import RemoteError
from edge_runtime.remote.connection import Policy, connected
from edge_runtime.remote.hosts import Target

SECRET = "correct-horse-battery"


class Server(asyncssh.SSHServer):
    """Takes one password, by the plain method or by questions and answers; with a key of its own only that."""

    keyboard = False
    key: asyncssh.SSHKey | None = None

    def password_auth_supported(self) -> bool:
        return not self.keyboard and self.key is None

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("pilot", SECRET)

    def kbdint_auth_supported(self) -> bool:
        return self.keyboard

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        return ("", "", "", [("Password:", False)])

    def validate_kbdint_response(self, username: str, responses: Any) -> bool:
        return (username, *responses) == ("pilot", SECRET)

    def public_key_auth_supported(self) -> bool:
        return self.key is not None

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self.key is not None and key.public_data == self.key.public_data


def talk(
    folder: Path, answers: list[str] | None, *, keyboard: bool = False, identity: str | None = None, **policy: Any
) -> tuple[str, list[str]]:
    """Connect to a server, answering what is asked in turn; returns what a command there said, and the questions."""
    asked: list[str] = []
    kind = type("Kind", (Server,), {"keyboard": keyboard})
    if identity is not None:
        kind.key = asyncssh.read_public_key(f"{identity}.pub")  # type: ignore[attr-defined]

    def ask(question: str) -> str:
        asked.append(question)
        assert answers is not None
        return answers[len(asked) - 1]

    async def session() -> str:
        host_key = asyncssh.generate_private_key("ssh-ed25519")
        async with asyncssh.listen(
            "127.0.0.1", 0, server_factory=kind, server_host_keys=[host_key],
            process_factory=lambda process: (process.stdout.write(f"ran {process.command}"), process.exit(0)),
        ) as server:  # fmt: skip
            target = Target("127.0.0.1", "pilot", server.get_port(), name="desk")
            known = folder / "known_hosts"
            known.write_bytes(f"[127.0.0.1]:{server.get_port()} ".encode() + host_key.export_public_key("openssh"))
            settings = Policy(
                known_hosts=known, identity=identity, ask=None if answers is None else ask, timeout_s=10, **policy
            )
            async with connected(target, settings) as connection:
                done = await connection.run("uname")
                return str(done.stdout)

    return asyncio.run(session()), asked


@pytest.mark.parametrize("keyboard", [False, True])
def test_password_is_asked_for_and_leaves_no_trace(
    tmp_path: Path, keyboard: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said, asked = talk(tmp_path, [SECRET], keyboard=keyboard, password=True)
    assert said == "ran uname"
    assert len(asked) == 1
    assert "Password" in asked[0]
    assert SECRET not in caplog.text
    assert not [path for path in tmp_path.iterdir() if SECRET.encode() in path.read_bytes()]


def test_password_wrong_three_times_is_refused_without_showing_it(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="login refused for pilot: no key and no password was accepted") as caught:
        talk(tmp_path, ["wrong-one", "wrong-two", "wrong-three", SECRET], password=True)
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(("answers", "password"), [(None, True), ([SECRET], False)])
def test_password_without_terminal_or_permission_is_not_asked_for(
    tmp_path: Path, answers: list[str] | None, password: bool
) -> None:
    with pytest.raises(RemoteError, match="login refused for pilot"):
        talk(tmp_path, answers, password=password)


def test_passphrase_is_asked_for_and_a_wrong_one_said(tmp_path: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(tmp_path / "key", passphrase=SECRET, rounds=50)
    key.write_public_key(tmp_path / "key.pub")
    said, asked = talk(tmp_path, [SECRET], identity=str(tmp_path / "key"))
    assert said == "ran uname"
    assert asked == [f"Passphrase of {tmp_path / 'key'}"]
    with pytest.raises(RemoteError, match="the passphrase is wrong") as caught:
        talk(tmp_path, ["open-sesame"], identity=str(tmp_path / "key"))
    assert "open-sesame" not in str(caught.value)
