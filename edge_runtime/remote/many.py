"""Several boards side by side: one failing does not stop the others; Ctrl-C ends all of them cleanly."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from edge_runtime.errors import LpcError
from edge_runtime.io.printable import printable
from edge_runtime.remote.connection import Policy
from edge_runtime.remote.hosts import Target
from edge_runtime.remote.table import Outcome
from edge_runtime.remote.upload import Say
from edge_runtime.remote.visit import Request, Visit

Ended = Callable[[Outcome], None]
_LOG = logging.getLogger(__name__)


def run_all(targets: list[Target], policy: Policy, request: Request, say: Say, ended: Ended) -> list[Outcome]:
    """Visit every board and return what came of each, in order; `ended` gets each as soon as it is there.

    Raises KeyboardInterrupt after Ctrl-C, once the boards are left clean.
    """
    return asyncio.run(_interruptible(_visit_all(targets, policy, request, say, ended)))


async def _interruptible(work: Coroutine[Any, Any, list[Outcome]]) -> list[Outcome]:
    """Let SIGINT and SIGTERM cancel the work, whatever it waits for."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _visit_all(targets: list[Target], policy: Policy, request: Request, say: Say, ended: Ended) -> list[Outcome]:
    def lines_of(target: Target) -> Say:
        head = f"{target}: " if len(targets) > 1 else ""
        return lambda line: say(head + printable(line))

    async def visit(target: Target) -> Outcome:
        outcome = await _visit(target, policy, request, lines_of(target))
        ended(outcome)
        return outcome

    return await asyncio.gather(*map(visit, targets))


async def _visit(target: Target, policy: Policy, request: Request, say: Say) -> Outcome:
    name = str(target)
    visit = Visit(target, policy, request, say)
    try:
        if request.clean:
            await visit.clean()
            return Outcome(name)
        result = await visit.run()
        return Outcome(name, result, visit.remains)
    except LpcError as error:
        return Outcome(name, error=_line([str(error), visit.remains]))
    except Exception as error:  # whatever it is, it is this board's alone: the others go on, and the command fails
        _LOG.debug("%s: unforeseen", name, exc_info=True)
        what = f"{name}: unexpected {type(error).__name__}: {error} (please report it, with the output of --debug)"
        return Outcome(name, error=_line([what, visit.remains]))


def _line(texts: list[str]) -> str:
    return printable(" ".join("; ".join(filter(None, texts)).split()))
