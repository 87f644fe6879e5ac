"""A board for one case, in a process of its own: an SSH server, or a shell behind a pty, whose output is edited."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mutate.answers_ import EDITS, Editor

_PIECE = 1 << 16


@contextlib.contextmanager
def board(folder: Path, key: Path | None) -> Iterator[str]:
    """Run the board of a case's folder; yields its port, or for a serial one (no `key`) the name of its device."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _serve(folder, key, lambda place: os.write(writer, place.encode()))
    os.close(writer)
    try:
        place = os.read(reader, 1000).decode()
        assert place, "the board does not start"
        yield place
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _serve(folder: Path, key: Path | None, ready: Callable[[str], object]) -> None:
    """The child's side; it never returns."""
    try:
        os.setsid()
        edits = json.loads((folder / EDITS).read_bytes())
        if key is None:
            _serve_line(edits, ready)
        else:
            asyncio.run(_serve_ssh(folder, key, edits, ready))
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)


def _serve_line(edits: list[dict[str, Any]], ready: Callable[[str], object]) -> None:
    from serial_board import SHELL, SerialBoard

    editor = Editor(edits)

    class Edited(SerialBoard):
        def say(self, text: bytes) -> None:
            super().say(editor.feed(text) if edits else text)

    with Edited(SHELL) as serial:
        ready(serial.device)
        time.sleep(3600)


async def _serve_ssh(folder: Path, key: Path, edits: list[dict[str, Any]], ready: Callable[[str], object]) -> None:
    import asyncssh

    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it wonders about a command that was killed
    numbers = iter(range(1 << 30))

    class Open(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return False

    async def handle(process: Any) -> None:
        number = next(numbers)
        await _command(folder, process, Editor([entry for entry in edits if entry["command"] == number]))

    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=Open, server_host_keys=[str(key)], process_factory=handle, encoding=None
    )
    ready(str(server.get_port()))
    await asyncio.sleep(3600)


async def _command(folder: Path, process: Any, editor: Editor) -> None:
    """Run a command as sshd does, in the case's home, and pass on what it writes, edited."""
    home = folder / "home"
    environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "HOME": str(home), "TMPDIR": str(folder / "tmp")}
    child = await asyncio.create_subprocess_exec(
        "sh", "-c", process.command or "exit 0", cwd=home, env=environment, stdin=-1, stdout=-1, stderr=-1
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    pumps = [
        asyncio.ensure_future(_pump(child.stderr, process.stderr.write)),
        asyncio.ensure_future(_pump(child.stdout, lambda data: process.stdout.write(editor.feed(data)))),
    ]
    feeding = asyncio.ensure_future(_feed(process.stdin, child.stdin))
    try:
        process.stderr.write(editor.errors)
        await asyncio.gather(*pumps)
        process.stdout.write(editor.finish())
        await process.stdout.drain()
        if editor.closes:
            process.channel.get_connection().abort()
        status = await child.wait()
        process.exit(editor.status if editor.status is not None else status if status >= 0 else 255)
    except (OSError, asyncio.CancelledError):
        with contextlib.suppress(ProcessLookupError):
            child.kill()
    finally:
        feeding.cancel()


async def _pump(source: asyncio.StreamReader, sink: Callable[[bytes], object]) -> None:
    while data := await source.read(_PIECE):
        sink(data)


async def _feed(source: Any, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(_PIECE):
            sink.write(data)
            await sink.drain()
        sink.close()
