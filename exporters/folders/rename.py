"""Renaming without losing anything: two folders exchanged in one step, and a name taken only if it is free."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_AT_FDCWD = -100
_NOREPLACE, _EXCHANGE = 1, 2
_LACKING = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)  # an old kernel, or a filesystem that does not know it


def exchange(first: Path, second: Path) -> bool:
    """Exchange two folders of one filesystem in one step; False where the system cannot. OSError for all else."""
    return _renamed(first, second, _EXCHANGE)


def rename_new(source: Path, target: Path) -> None:
    """Rename to a name that nothing has; OSError if something has it."""
    if _renamed(source, target, _NOREPLACE):
        return
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)


def _renamed(source: Path, target: Path, flags: int) -> bool:
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return False
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    if function(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags) == 0:
        return True
    number = ctypes.get_errno()
    if number in _LACKING:
        return False
    raise OSError(number, os.strerror(number), str(source), None, str(target))
