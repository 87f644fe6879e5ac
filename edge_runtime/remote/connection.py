"""An SSH connection whose every failure is one line that says what to do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import RemoteError
from edge_runtime.remote.host_keys import KnownHosts
from edge_runtime.remote.hosts import Target, parse_target

if TYPE_CHECKING:
    import asyncssh

KEEPALIVE_SECONDS = 4.0
_KEEPALIVE_MISSES = 3
_PASSWORD_TRIES = 3

Ask = Callable[[str], str]


class LostConnectionError(RemoteError):
    """The connection ended; connecting again may help."""


@dataclass(frozen=True)
class Policy:
    """How boards are reached.

    `ask` prompts for a secret and returns it (None: nobody is there to ask), `password` allows one for logging in;
    secrets live only in the connection's memory. `config` are SSH configuration files; `timeout_s` limits connecting
    and logging in.
    """

    identity: str | None = None
    port: int | None = None
    jump: str | None = None
    accept_new: bool = False
    known_hosts: Path | None = None
    config: tuple[Path, ...] = ()
    timeout_s: float = 15.0
    ask: Ask | None = None
    password: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@contextlib.asynccontextmanager
async def connected(target: Target, policy: Policy) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """Connect, through jump hosts if there are any; raises RemoteError."""
    async with contextlib.AsyncExitStack() as stack:
        yield await _open(stack, target, policy, target.jump or policy.jump)


async def _open(
    stack: contextlib.AsyncExitStack, target: Target, policy: Policy, jumps: str | None, above: tuple[Target, ...] = ()
) -> asyncssh.SSHClientConnection:
    """Connect through `jumps`, else through those of the SSH configuration; the first of them may have jumps itself.

    Not left to asyncssh, which decides about the host keys of configured jump hosts by files of its own.
    """
    if target in above:
        raise RemoteError(
            f"{target}: is reached through itself by the SSH configuration ({' > '.join(map(str, above))})"
        )
    hops = [parse_target(hop) for hop in (jumps or _configured_jumps(target, policy)).split(",") if hop]
    tunnel: Any = None
    for number, hop in enumerate(hops):
        if number == 0:
            tunnel = await _open(stack, hop, policy, None, (*above, target))
        else:
            tunnel = await stack.enter_async_context(_connect(hop, policy, tunnel, is_jump=True))
    return await stack.enter_async_context(_connect(target, policy, tunnel, is_jump=bool(above)))


def _configured_jumps(target: Target, policy: Policy) -> str:
    """ProxyJump of the SSH configuration for a host."""
    asyncssh = _asyncssh()
    try:
        options = asyncssh.SSHClientConnectionOptions(
            host=target.host, client_keys=None, agent_path=None, known_hosts=None, config=_files(policy)
        )
    except (OSError, ValueError, asyncssh.Error) as error:
        raise RemoteError(f"{target}: the SSH configuration cannot be used ({error})") from None
    jumps = str(options.tunnel or "")
    return "" if jumps.lower() == "none" else jumps


def _files(policy: Policy) -> list[str] | None:
    """The SSH configuration files that are there."""
    return [str(path) for path in policy.config if path.is_file()] or None


@contextlib.asynccontextmanager
async def _connect(
    target: Target, policy: Policy, tunnel: Any, is_jump: bool = False
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    asyncssh = _asyncssh()
    known = KnownHosts(policy.known_hosts, policy.accept_new)
    client = _client(asyncssh, target, policy, known)
    try:
        connection = await asyncio.wait_for(
            asyncssh.connect(
                target.host,
                **_options(asyncssh, target, policy, is_jump),
                tunnel=tunnel,
                client_factory=client,
                known_hosts=known.files,
                keepalive_interval=KEEPALIVE_SECONDS,
                keepalive_count_max=_KEEPALIVE_MISSES,
                connect_timeout=policy.timeout_s,
            ),
            policy.timeout_s * (4 if policy.ask else 1),
        )
    except (OSError, asyncio.TimeoutError, asyncssh.Error, ValueError) as error:
        raise _explained(asyncssh, error, target, policy, known) from None
    try:
        known.keep()
        yield connection
    finally:
        connection.close()
        with contextlib.suppress(asyncio.TimeoutError, OSError, asyncssh.Error):
            await asyncio.wait_for(connection.wait_closed(), 3)
        if not connection.is_closed():
            connection.abort()


def _asyncssh() -> Any:
    try:
        import asyncssh
    except ImportError as error:
        raise RemoteError(
            f'asyncssh is missing ({error}); install it: pip install "lpc-edge-runtime[remote]"'
        ) from error
    return asyncssh


def _options(asyncssh: Any, target: Target, policy: Policy, is_jump: bool) -> dict[str, object]:
    """What was asked for; what was not is left to the user's SSH configuration."""
    port = target.port or (None if is_jump else policy.port)
    identity = target.identity or policy.identity
    options: dict[str, object] = {"config": _files(policy)}
    if target.user:
        options["username"] = target.user
    if port:
        options["port"] = port
    if identity:
        file = Path(identity).expanduser()
        if not file.is_file():
            raise RemoteError(f"{target}: the key {file} does not exist; name one with --identity, or leave it out")
        options["client_keys"] = [_private_key(asyncssh, file, policy)]
    return options


def _private_key(asyncssh: Any, file: Path, policy: Policy) -> Any:
    """Read a key, asking for its passphrase if it has one."""
    try:
        return asyncssh.read_private_key(file)
    except asyncssh.KeyEncryptionError as error:
        raise RemoteError(f"{file}: {error}") from None
    except asyncssh.KeyImportError as error:
        if "passphrase" not in str(error).lower():
            raise RemoteError(f"{file}: is not a private key that can be used ({error})") from None
    if policy.ask is None:
        raise RemoteError(
            f"{file}: has a passphrase, and there is no terminal to ask for it; use ssh-agent: ssh-add {file}"
        )
    try:
        return asyncssh.read_private_key(file, policy.ask(f"Passphrase of {file}"))
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
        raise RemoteError(f"{file}: the passphrase is wrong") from None


def _client(asyncssh: Any, target: Target, policy: Policy, known: KnownHosts) -> Any:
    class Client(asyncssh.SSHClient):  # type: ignore[misc]
        """Decides about host keys, and asks for a password when the server wants one."""

        def __init__(self) -> None:
            self._asked = 0

        def validate_host_public_key(self, host: str, addr: str, port: int, key: Any) -> bool:
            return known.decide(host, addr, port, key)

        async def password_auth_requested(self) -> str | None:
            if policy.ask is None or not policy.password or self._asked >= _PASSWORD_TRIES:
                return None
            self._asked += 1
            async with policy.lock:  # boards side by side ask one after the other
                return await asyncio.to_thread(policy.ask, f"Password of {target.user or 'you'} on {target}")

        async def kbdint_auth_requested(self) -> str | None:
            return "" if policy.ask and policy.password and self._asked < _PASSWORD_TRIES else None

        async def kbdint_challenge_received(self, name: str, text: str, lang: str, prompts: Any) -> Any:
            if policy.ask is None:
                return None
            self._asked += bool(prompts)
            async with policy.lock:
                return [await asyncio.to_thread(policy.ask, f"{target}: {prompt.strip()}") for prompt, _ in prompts]

    return Client


def _explained(asyncssh: Any, error: BaseException, target: Target, policy: Policy, known: KnownHosts) -> RemoteError:
    where = f"{target}" + (f" ({target.host})" if target.host != str(target) else "")
    if known.refusal:
        return RemoteError(f"{where}: {known.refusal}")
    if isinstance(error, socket.gaierror):
        return RemoteError(
            f"{where}: no such host ({error.strerror}): check the name, use the address, or find it over the serial "
            "cable with --serial"
        )
    if isinstance(error, asyncio.TimeoutError):
        return RemoteError(
            f"{where}: no answer within {policy.timeout_s:g} s: is the board on, in this network, its address right?"
        )
    if isinstance(error, asyncssh.PermissionDenied):
        methods = "no key and no password" if policy.password else "no key"
        return RemoteError(
            f"{where}: login refused for {target.user or 'your user name'}: {methods} was accepted; give the "
            "user's key (--identity), add it to the board (ssh-copy-id), or allow a password with --ask-password"
        )
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return RemoteError(f"{where}: {error.reason}")
    if isinstance(error, ConnectionRefusedError):
        return RemoteError(
            f"{where}: refused the connection: no SSH server on that port (sudo systemctl enable --now ssh)"
        )
    if isinstance(error, ValueError):
        return RemoteError(f"{where}: the SSH configuration cannot be used ({error})")
    if isinstance(error, asyncssh.Error):
        return LostConnectionError(f"{where}: {error.reason or type(error).__name__}")
    detail = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return LostConnectionError(f"{where}: cannot be reached ({detail}): check that board and network are up")
