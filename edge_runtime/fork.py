"""Children of fork: a model of the parent has no threads there; it says so instead of waiting for them for ever."""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Any

from edge_runtime.errors import LpcError

_sessions: weakref.WeakSet[Any] = weakref.WeakSet()
_number = 0
_children_end_early = False


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


def let_children_end() -> None:
    """Let children of fork end: onnxruntime, once imported, may wait at their end for a thread that is not there."""
    global _children_end_early
    _children_end_early = True


def _in_child() -> None:
    global _number
    _number += 1
    for session in list(_sessions):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))
    _sessions.clear()
    if _children_end_early:
        _end_early()


def _end_early() -> None:
    """Let this child end before the libraries of its parent are torn down."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "on_exit"):  # as in glibc; both run after Python's end, the last one named first
        libc.on_exit(libc._exit, None)
        libc.on_exit(libc.fcloseall, None)


os.register_at_fork(after_in_child=_in_child)
