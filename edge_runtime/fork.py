"""Children of fork: a model of the parent has no threads there; it says so instead of waiting for them for ever."""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Any

from edge_runtime.errors import LpcError

_sessions: weakref.WeakSet[Any] = weakref.WeakSet()
_number = 0


def process_number() -> int:
    """Return another number in every child of fork; what was made under another one is a parent's."""
    return _number


def require_process(number: int, what: object) -> None:
    """Raise LpcError if `what` was made under another process number than this one."""
    if number != _number:
        raise LpcError(
            f"{what}: a model cannot be used after fork: this process is a child, and the threads of the model that "
            "its parent loaded are not here; load the model again in this process"
        )


def never_end_in_a_child(session: Any) -> None:
    """Keep an onnxruntime session for ever in children of fork: its end would wait for threads that are not there."""
    _sessions.add(session)


def _in_child() -> None:
    global _number
    _number += 1
    for session in list(_sessions):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))
    _sessions.clear()


os.register_at_fork(after_in_child=_in_child)
