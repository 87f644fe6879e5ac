"""What ends a command early, and what is said then."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import NoReturn

import click

from edge_runtime.cli.fence import EXIT_INTERRUPTED

_TERMINATED = 143


class _Terminated(KeyboardInterrupt):
    """SIGTERM."""


@contextlib.contextmanager
def failing(interrupted: str) -> Iterator[None]:
    """Say what Ctrl-C kept, or `interrupted`; SIGTERM ends what is inside like Ctrl-C, cleaning up."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except KeyboardInterrupt as error:
        text = f"interrupted: {error}" if str(error) else interrupted
        _fail(text, _TERMINATED if isinstance(error, _Terminated) else EXIT_INTERRUPTED)
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(signum: int, frame: object) -> NoReturn:
    raise _Terminated


def _fail(message: str, status: int) -> NoReturn:
    click.echo(f"lpc-export: {message}", err=True)
    raise SystemExit(status)
