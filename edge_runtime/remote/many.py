"""Several boards side by side: one failing does not stop the others; Ctrl-C ends all of them cleanly."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

from edge_runtime.errors import LpcError
from edge_runtime.remote.connection import Policy
from edge_runtime.remote.hosts import Target
from edge_runtime.remote.table import Outcome
from edge_runtime.remote.upload import Say
from edge_runtime.remote.visit import Request, Visit


def run_all(targets: list[Target], policy: Policy, request: Request | None, say: Say) -> list[Outcome]:
    """Visit every board and return what came of each, in order; without a request everything of ours is removed there.

    Raises KeyboardInterrupt after Ctrl-C, once the boards are left clean.
    """
    return asyncio.run(_interruptible(_visit_all(targets, policy, request, say)))


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


async def _visit_all(targets: list[Target], policy: Policy, request: Request | None, say: Say) -> list[Outcome]:
    several = len(targets) > 1
    return await asyncio.gather(*(_visit(target, policy, request, say, several) for target in targets))


async def _visit(target: Target, policy: Policy, request: Request | None, say: Say, several: bool) -> Outcome:
    name = str(target)
    visit = Visit(target, policy, request, (lambda line: say(f"{name}: {line}")) if several else say)
    try:
        if request is None:
            await visit.clean()
            return Outcome(name)
        return Outcome(name, await visit.run())
    except LpcError as error:
        return Outcome(name, error=" ".join(str(error).split()))
