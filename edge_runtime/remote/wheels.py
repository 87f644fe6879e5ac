"""The wheels that a board needs: ours for its architecture, and on request everything else, fetched here."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path

from edge_runtime.errors import ConfigError, RemoteError

_PATTERN = "lpc_edge_runtime-*.whl"
_ROOT = Path(__file__).resolve().parents[2]
_CACHE = Path("~/.cache/lpc-bench/wheels").expanduser()
_FETCH_SECONDS = 600.0
_NEWEST_MANYLINUX = 35
_MAKE = {"x86_64": "make wheel", "aarch64": "make wheel-arm64"}


def find_wheel(machine: str, given: Path | None) -> Path:
    """Return our newest wheel for an architecture: the file or folder `given`, else dist/ here and in the checkout.

    Raises ConfigError, saying how to make one.
    """
    if given is not None and given.is_file():
        if not given.name.endswith(f"_{machine}.whl"):
            raise ConfigError(
                f"{given}: is not for {machine}, which the board is; expected lpc_edge_runtime-*_{machine}.whl"
            )
        return given
    places = [given] if given is not None else list(dict.fromkeys([Path("dist").resolve(), _ROOT / "dist"]))
    found = [wheel for place in places for wheel in place.glob(_PATTERN) if wheel.name.endswith(f"_{machine}.whl")]
    if not found:
        where = ", ".join(map(str, places))
        raise ConfigError(
            f"no wheel of ours for {machine} in {where}: make one in a checkout with `{_MAKE[machine]}`, "
            "or name it with --wheel"
        )
    return max(found, key=lambda wheel: wheel.stat().st_mtime)


def digest(*parts: str | Path) -> str:
    """Return a short name for what files and words say together."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part.read_bytes() if isinstance(part, Path) else f"{part}\0".encode())
    return total.hexdigest()[:16]


async def fetch_wheels(wheel: Path, machine: str, python_version: str) -> Path:
    """Return a folder with the wheels that ours needs on a board, downloaded with this machine's pip and kept.

    Raises RemoteError if one cannot be had.
    """
    version = ".".join(python_version.split(".")[:2])
    folder = _CACHE / f"{machine}-{version}-{digest(wheel)}"
    if (folder / "complete").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in range(_NEWEST_MANYLINUX, 16, -1)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--no-input",
        "--only-binary=:all:",
        "--implementation=cp", f"--python-version={version}", *platforms, f"--platform=manylinux2014_{machine}",
        "--dest", str(folder), str(wheel),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, errors = await asyncio.wait_for(process.communicate(), _FETCH_SECONDS)
    except (asyncio.TimeoutError, asyncio.CancelledError):
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        last = " ".join(errors.decode("utf-8", "replace").split())[-400:]
        raise RemoteError(f"the wheels for {machine}, Python {version}, could not be fetched here: {last}")
    (folder / wheel.name).unlink(missing_ok=True)
    (folder / "complete").touch()
    return folder
