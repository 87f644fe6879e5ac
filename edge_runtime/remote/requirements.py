"""What must hold before anything is uploaded: architecture, Python, disk, memory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from edge_runtime.errors import BoardError, BudgetError, RemoteError
from edge_runtime.facts import memory_figures
from edge_runtime.io.printable import printable
from edge_runtime.io.typed_json import Json
from edge_runtime.io.units import format_bytes, parse_size
from edge_runtime.machine.board import figures_of
from edge_runtime.package import Package
from edge_runtime.plan import Figures, plan_for
from edge_runtime.remote.identify import OLDEST_PYTHON, Board

ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
"""What `uname -m` says -> the name in our wheels."""

RUNTIME_BYTES = 600_000_000
"""Room for a virtual environment with onnxruntime, and for the wheels that it is made from (measured: 440 MB)."""

SHARED_RUNTIME_BYTES = 30_000_000
"""The same where the packages of the board's Python are used."""

_SPARE_BYTES = 10_000_000


def check_machine(board: Board, name: str) -> str:
    """Return the board's architecture; raises RemoteError if nothing of ours runs there, or Python is missing."""
    machine = ARCHITECTURES.get(board.machine)
    if machine is None:
        raise RemoteError(
            f"{name}: the board is {printable(board.machine) or 'of an unknown kind'}; "
            f"expected one of {', '.join(sorted(set(ARCHITECTURES.values())))}"
            + ("; a 64-bit system must be installed on it" if board.machine.startswith("arm") else "")
        )
    if not board.python:
        seen = ", ".join(board.pythons_seen) or "none at all"
        raise RemoteError(
            f"{name}: no Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer there (seen: {seen}): "
            "sudo apt-get install python3 python3-venv, or name one with --python"
        )
    libc = re.fullmatch(r"glibc (\d{1,4})\.(\d{1,4}).*", board.libc)
    if libc is None:
        seen = printable(board.libc) or "unknown"
        raise RemoteError(f"{name}: its C library is {seen}; the wheels need glibc 2.35 or newer")
    if (int(libc[1]), int(libc[2])) < (2, 35):
        raise RemoteError(
            f"{name}: it has {printable(board.libc)}; the wheels need 2.35 or newer "
            "(JetPack 6, Ubuntu 22.04, Debian 12)"
        )
    return machine


def check_root(board: Board, name: str) -> None:
    """Raise RemoteError if no folder of ours can be made where the board says."""
    if not board.root.startswith("/"):
        raise RemoteError(
            f"{name}: the board names no folder for our files (HOME is {printable(board.home)!r} there): give the "
            "account a home without line breaks, or name a folder with --board-folder"
        )
    if ":" in board.root or printable(board.root) != board.root:
        raise RemoteError(
            f"{name}: Python makes no virtual environment in {printable(board.root)!r}: name a folder without ':' and "
            "control characters with --board-folder"
        )


def check_room(board: Board, name: str, needed: int) -> None:
    """Raise RemoteError if the board has no space for `needed` bytes."""
    if not board.writable:
        raise RemoteError(f"{name}: the folder for {board.root} is not writable; name another one with --board-folder")
    if board.free_bytes is not None and board.free_bytes < needed + _SPARE_BYTES:
        raise RemoteError(
            f"{name}: too little disk: {format_bytes(needed)} are needed in {board.root}, "
            f"{format_bytes(board.free_bytes)} are free; make room, or name another place with --board-folder. "
            "Nothing was uploaded"
        )


def check_memory(board: Board, name: str, model: Path, load: Mapping[str, Json]) -> None:
    """Raise BudgetError if not even the smallest plan of the model fits the board's memory."""
    if board.memory_available is None:
        return
    budget = _bytes(load.get("memory_budget"))
    if budget is not None and budget > board.memory_available:
        raise BudgetError(
            f"{name}: --memory-budget is {format_bytes(budget)}, but the board has "
            f"{format_bytes(board.memory_available)} of memory free; ask for less, or stop other programs there. "
            "Nothing was uploaded"
        )
    package = Package.open(model)
    room = budget or max(1, board.memory_available - memory_figures().reserve_bytes)
    if budget is None and int(package.manifest["data"]["bytes"]) + memory_figures().process_bytes <= room:
        return
    context = load.get("context_length")
    plan = plan_for(package, _figures(board), room, context_length=context if type(context) is int else None)
    if plan.verdict == "impossible":
        raise BudgetError(f"{name}: too little memory: {plan.headline()}. Nothing was uploaded")


def _bytes(budget: Json) -> int | None:
    """A memory budget as `edge_runtime.load` takes it; None for what it will refuse."""
    return parse_size(budget) if isinstance(budget, str) else budget if type(budget) is int else None


def _figures(board: Board) -> Figures:
    try:
        if board.profile is not None:
            return figures_of(board.profile)
    except BoardError:
        pass
    return Figures.assumed(board.machine, board.identity.cores or 1)
