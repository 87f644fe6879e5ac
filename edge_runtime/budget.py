"""The memory of this process, shared by the models that it has loaded: the smallest budget stated holds for all.

A model takes its share when it is loaded, before its weights are read, and gives it back when nothing uses it any more.
"""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Iterable
from dataclasses import dataclass

from edge_runtime.errors import BudgetError
from edge_runtime.facts import memory_figures
from edge_runtime.io.units import format_allowed, format_bytes, format_needed
from edge_runtime.plan import Placement


@dataclass(eq=False)
class Share:
    """What one model takes beside the process itself; `stated` is the budget (bytes) that it came with, if any.

    `weights` is equal for models on the same weights in the same form. `begun`: its weights are being read.
    """

    placement: Placement
    stated: int | None
    weights: object
    begun: bool = False

    @property
    def memory(self) -> object:
        """What is equal for models whose weights are in the same memory."""
        return self.weights, self.placement.residence, self.placement.ring_bytes


class Ledger:
    """The shares of one process. Hold `lock` from looking at them to taking one; any thread may do either."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._shares: list[Share] = []

    def forget(self) -> None:
        """Forget all shares: a child of fork begins with no models, those of its parent are not its own."""
        self.lock = threading.RLock()
        self._shares = []

    def budget(self, stated: int | None) -> int | None:
        """Return the smallest of `stated` and the budgets of the models that are loaded; None if there is none."""
        every = [stated, *(share.stated for share in self._shares)]
        return min((budget for budget in every if budget is not None), default=None)

    @property
    def taken(self) -> int:
        """Bytes of all models together; the process itself is not counted."""
        return _bytes(self._shares)

    @property
    def promised(self) -> int:
        """Bytes of the models that have not begun to read their weights."""
        return self.taken - _bytes(share for share in self._shares if share.begun)

    def to_come(self, share: Share) -> int:
        """Bytes that a model will take when it begins: without its weights where another one has them in memory."""
        begun = [other for other in self._shares if other.begun and other is not share]
        return _bytes([*begun, share]) - _bytes(begun)

    def twin(self, weights: object) -> Share | None:
        """Return the share of a loaded model on these weights, or None."""
        return next((share for share in self._shares if share.weights == weights), None)

    def take(self, share: Share, path: object) -> None:
        """Give a model its share; BudgetError with what is needed and what is allowed if that is less."""
        needed, budget = memory_figures().process_bytes + _bytes([*self._shares, share]), self.budget(share.stated)
        if budget is not None and needed > budget:
            raise BudgetError(
                f"{path}: needs {format_needed(needed)}, but the memory budget is {format_allowed(budget)}"
                f"{self.others_line()}"
            )
        self._shares.append(share)

    def hold(self, share: Share, user: object) -> None:
        """Give the share back as soon as `user` is collected."""
        weakref.finalize(user, self.give_back, share).atexit = False

    def give_back(self, share: Share) -> None:
        """Take the share out; nothing if it is not there."""
        with self.lock:
            self._shares = [other for other in self._shares if other is not share]

    def collect(self) -> bool:
        """Let models go that only wait to be collected; True if there were any."""
        before = len(self._shares)
        if before:
            gc.collect()
        return len(self._shares) < before

    def others_line(self) -> str:
        """Return who else holds a part of the budget, as the end of an error; "" if nobody does."""
        count = len(self._shares)
        if not count:
            return ""
        models, them = ("the model", "it") if count == 1 else (f"the {count} models", "them")
        stated = any(share.stated is not None for share in self._shares)
        return (
            f"; {format_bytes(self.taken)} of the need are {models} loaded before"
            + (" (the smallest budget stated holds for all)" if stated else "")
            + f": let go of {them} first, or load all with a larger budget"
        )


def _bytes(shares: Iterable[Share]) -> int:
    """Bytes of these models; weights in the same memory count once."""
    listed = list(shares)
    weights = {share.memory: share.placement.weight_bytes for share in listed}
    return sum(weights.values()) + sum(share.placement.text_bytes for share in listed)


ledger = Ledger()
"""That of this process."""

os.register_at_fork(after_in_child=ledger.forget)
