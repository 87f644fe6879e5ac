"""Our runtime on a board: a virtual environment of its own, kept under the hash of what it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_runtime.errors import RemoteError
from edge_runtime.remote.agent import Agent
from edge_runtime.remote.answers import Log
from edge_runtime.remote.connection import LostConnectionError
from edge_runtime.remote.identify import Board
from edge_runtime.remote.upload import Say, Transfer, upload
from edge_runtime.remote.wheels import digest, fetch_wheels

Packages = Literal["auto", "index", "carry", "system"]
"""Where onnxruntime and the rest come from: the board's package index; wheels fetched here; the board's own Python."""

_INSTALL_SILENCE_SECONDS = 300.0
_INSTALL_SECONDS = 3600.0


@dataclass(frozen=True)
class Runtime:
    """Folders below the base, and the wheel."""

    wheel: Path
    machine: str
    packages: Packages
    name: str

    @property
    def folder(self) -> str:
        return f"runtime/{self.name}"

    @property
    def wheels(self) -> str:
        return f"wheels/{self.name}"


def runtime_for(wheel: Path, machine: str, board: Board, packages: Packages) -> Runtime:
    """Name the runtime after all that decides what is in it."""
    return Runtime(wheel, machine, packages, digest(wheel, board.python, board.python_version, packages))


async def install(agent: Agent, runtime: Runtime, board: Board, say: Say, counted: Transfer) -> None:
    """Make the virtual environment on the board; raises RemoteError saying what failed."""
    shared = runtime.packages == "system"
    if not shared and not board.has_venv:
        raise RemoteError(f"{agent.name}: {board.python} has no venv there: sudo apt-get install python3-venv")
    if runtime.packages in ("auto", "index", "system"):
        try:
            await _install(agent, runtime, [runtime.wheel], None, shared, say, counted)
            return
        except LostConnectionError:
            raise
        except RemoteError as error:
            if runtime.packages != "auto":
                raise
            say(f"{str(error).removeprefix(f'{agent.name}: ')[:200]}")
            say("its index does not serve: fetching the wheels here and carrying them over")
    fetched = await fetch_wheels(runtime.wheel, runtime.machine, board.python_version)
    files = [runtime.wheel, *sorted(fetched.glob("*.whl"))]
    await _install(agent, runtime, files, runtime.wheels, shared, say, counted)


async def _install(
    agent: Agent, runtime: Runtime, files: list[Path], carried: str | None, shared: bool, say: Say, counted: Transfer
) -> None:
    await upload(agent, files, runtime.wheels, say, counted)
    say("making the virtual environment" + (", packages from the board's index" if not (carried or shared) else ""))
    wheel = f"{runtime.wheels}/{runtime.wheel.name}"
    async for answer in agent.answers(
        "install",
        silence_s=_INSTALL_SILENCE_SECONDS,
        total_s=_INSTALL_SECONDS,
        folder=runtime.folder,
        wheel=wheel,
        carried=carried,
        shared=shared,
    ):
        line = answer.read(Log).log if "log" in answer else ""
        if line.startswith(("Collecting", "Installing", "Successfully")):
            say(line[:100])
