"""Files to a board: in chunks with a hash each, only those that differ, from where the last try ended."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.bench.records import Uploaded
from edge_runtime.errors import RemoteError
from edge_runtime.io.units import format_bytes
from edge_runtime.remote.agent import SILENCE_SECONDS, Agent
from edge_runtime.remote.answers import Hashes, Stored, nonsense
from edge_runtime.remote.connection import LostConnectionError
from edge_runtime.remote.shell import Command, lost

CHUNK = 1 << 18
_REPORT_SECONDS = 1.0
_SLOWEST_HASHING = 1e6
"""Bytes per second that the slowest board hashes from the slowest card."""

Say = Callable[[str], None]


@dataclass
class Transfer:
    """What had to be on the board, by folder, and how much of it had to go over the wire, in bytes; seconds for all."""

    folders: dict[str, int] = field(default_factory=dict)
    sent_bytes: int = 0
    seconds: float = 0.0

    def uploaded(self) -> Uploaded:
        """For the result."""
        total = sum(self.folders.values())
        return Uploaded(total_bytes=total, sent_bytes=self.sent_bytes, seconds=round(self.seconds, 3))


@dataclass(frozen=True)
class _Chunk:
    file: Path
    offset: int
    size: int
    digest: str


def files_of(folder: Path) -> list[Path]:
    """Return the files directly in a folder, in order of name; raises RemoteError for one that cannot be read."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    for path in files:
        try:
            path.open("rb").close()
        except OSError as error:
            raise RemoteError(f"{path}: cannot be read ({error.strerror})") from error
    return files


async def upload(agent: Agent, files: list[Path], folder: str, say: Say, counted: Transfer) -> None:
    """Make `folder` on the board hold exactly these files; adds to `counted` what was sent, even when it fails.

    Raises BoardFullError, LostConnectionError (a second call goes on where this one ended), RemoteError.
    """
    started = time.monotonic()
    sizes = {path.name: path.stat().st_size for path in files}
    counted.folders[folder] = sum(sizes.values())
    try:
        missing = await _missing(agent, files, folder, say)
        await _send(agent, missing, sizes, folder, say, counted)
    finally:
        counted.seconds += time.monotonic() - started


async def _missing(agent: Agent, files: list[Path], folder: str, say: Say) -> list[_Chunk]:
    """The chunks that the board does not have. Both sides hash at the same time."""
    here = asyncio.create_task(asyncio.to_thread(lambda: {path.name: list(_chunks(path)) for path in files}))
    there: dict[str, list[str]] = {path.name: [] for path in files}
    try:
        say(f"comparing {len(files)} files, {format_bytes(sum(path.stat().st_size for path in files))}")
        names = [path.name for path in files]
        limit = SILENCE_SECONDS + sum(path.stat().st_size for path in files) / _SLOWEST_HASHING
        async for answer in agent.answers("hash", total_s=limit, folder=folder, names=names, chunk=CHUNK):
            if "file" in answer:
                hashes = answer.read(Hashes)
                there.get(hashes.file, []).extend(hashes.chunks)
    finally:
        chunks = await here
    return [
        chunk
        for name, found in chunks.items()
        for index, chunk in enumerate(found)
        if index >= len(there[name]) or there[name][index] != chunk.digest
    ]


def _chunks(path: Path) -> Iterator[_Chunk]:
    with path.open("rb") as stream:
        offset = 0
        while piece := stream.read(CHUNK):
            yield _Chunk(path, offset, len(piece), hashlib.sha256(piece).hexdigest())
            offset += len(piece)


async def _send(
    agent: Agent, chunks: list[_Chunk], sizes: dict[str, int], folder: str, say: Say, counted: Transfer
) -> None:
    total = sum(chunk.size for chunk in chunks)
    say(f"sending {format_bytes(total)} of {format_bytes(sum(sizes.values()))}: the rest is there already")
    async with agent.process("receive", folder=folder, sizes=sizes) as process:
        ready = asyncio.Event()
        writer = asyncio.create_task(_write(agent, process, chunks, counted, ready))
        progress = _Progress(total, say)
        left = iter(chunks)
        done = False
        try:
            async for answer in agent.read(process, SILENCE_SECONDS):
                if "ready" in answer:
                    ready.set()
                if "stored" in answer:
                    chunk = next(left, None)
                    if chunk is None or answer.read(Stored).stored != chunk.size:
                        raise nonsense(agent.name, answer.values, "expected the size of the chunk that was sent")
                    progress.add(chunk.size)
                done = done or "done" in answer
            if not done:
                raise LostConnectionError(f"{agent.name}: the connection ended while sending")
            await writer
        except LostConnectionError as error:
            raise LostConnectionError(
                f"{error}, {format_bytes(progress.stored)} of {format_bytes(total)} were sent"
            ) from None
        finally:
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, LostConnectionError):
                await writer


async def _write(agent: Agent, process: Command, chunks: list[_Chunk], counted: Transfer, ready: asyncio.Event) -> None:
    """Send every chunk, as fast as the connection takes them."""
    stdin = process.stdin
    await ready.wait()
    for chunk in chunks:
        data = await asyncio.to_thread(_read, chunk)
        head = {"file": chunk.file.name, "offset": chunk.offset, "size": chunk.size, "sha256": chunk.digest}
        with lost(agent.name):
            stdin.write(json.dumps(head).encode() + b"\n" + data)
            await stdin.drain()
        counted.sent_bytes += len(data)
    with lost(agent.name):
        stdin.write(b'{"end": true}\n')
        stdin.write_eof()
        await stdin.drain()


def _read(chunk: _Chunk) -> bytes:
    with chunk.file.open("rb") as stream:
        stream.seek(chunk.offset)
        return stream.read(chunk.size)


class _Progress:
    """Lines with share, rate and time left, about one a second."""

    def __init__(self, total: int, say: Say) -> None:
        self.stored = 0
        self._total = total
        self._say = say
        self._started = self._said = time.monotonic()

    def add(self, count: int) -> None:
        self.stored += count
        now = time.monotonic()
        if now - self._said < _REPORT_SECONDS and self.stored < self._total:
            return
        self._said = now
        rate = self.stored / max(1e-6, now - self._started)
        left = (self._total - self.stored) / rate
        self._say(
            f"sent {format_bytes(self.stored)} of {format_bytes(self._total)} ({self.stored / self._total:.0%}), "
            f"{format_bytes(rate)}/s, {left:.0f} s left"
        )
