"""A board's SSH address from its serial console, for when DNS does not know it."""

from __future__ import annotations

from edge_runtime.remote.connection import Ask
from edge_runtime.remote.hosts import Target
from edge_runtime.remote.serial.console import SerialConsole
from edge_runtime.remote.serial.network import addresses


def find_target(device: str, baud: int | None, user: str | None, ask: Ask | None) -> Target:
    """Log in on `device` and return the board's first address; raises RemoteError."""
    with SerialConsole(device, baud) as console:
        console.login(user, None if ask is None else lambda: ask(f"Password of {user} on {device}"))
        found = addresses(console)[0]
    return Target(found.address, user, name=found.address)
