"""The fence around every command: exit codes, errors as one line, streams that are safe to use."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from typing import Any, NoReturn

import click

from edge_runtime.cli.interrupt import EXIT_INTERRUPTED as EXIT_INTERRUPTED
from edge_runtime.cli.interrupt import EndsAtOnce
from edge_runtime.errors import LpcError, PackageWarning
from edge_runtime.io import streams
from edge_runtime.io.printable import printable
from edge_runtime.io.screen import say

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_TERMINATED = 143

_DISTRIBUTION = "lpc-edge-runtime"
_EXTRAS = {"onnx": "export"}  # a module that boards do without -> the extra that brings it
_LONGEST_LINE = 1200  # characters: names and paths of others may be of any length


def run_command(command: click.Command, name: str, *, ends_at_once: bool = False) -> NoReturn:
    """Run `command` as the program `name` and exit.

    Exit codes: 0, 1 for an error (one line on stderr; a traceback only with --debug), 2 for wrong usage, 130 for
    Ctrl-C, 143 for SIGTERM inside `failing`; another one if `command` returns it. `ends_at_once`: Ctrl-C does not wait
    for what the command does.
    """
    streams.install()
    debug = "--debug" in sys.argv[1:]
    show_package_warnings(name)
    try:
        with EndsAtOnce(name) if ends_at_once else contextlib.nullcontext():
            result = command.main(prog_name=name, standalone_mode=False)
            sys.stdout.flush()
        if ends_at_once and result == EXIT_INTERRUPTED:
            sys.stderr.flush()
            os._exit(result)  # the end of Python and of its libraries takes a tenth of a second, and longer on a board
    except click.ClickException as error:
        _shown(error).show()
        _leave(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as error:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient second one must not interrupt this
        cause = error.__cause__ or error  # click makes an Abort of an interrupt
        click.echo(": ".join(filter(None, (name, "interrupted", str(cause)))), err=True)
        _leave(EXIT_TERMINATED if isinstance(cause, _Terminated) else EXIT_INTERRUPTED)
    except BrokenPipeError:
        _leave(EXIT_ERROR)
    except Exception as error:  # the last fence: no traceback for the user, the whole of it with --debug
        if debug:
            traceback.print_exc()
        say(name, error_line(error))
        _leave(EXIT_ERROR)
    sys.exit(result if isinstance(result, int) else 0)


@contextlib.contextmanager
def failing(interrupted: str) -> Iterator[None]:
    """Say with Ctrl-C what the interrupt itself tells, or `interrupted`; SIGTERM ends what is inside like Ctrl-C."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except KeyboardInterrupt as error:
        error.args = error.args or (interrupted,)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


class _Terminated(KeyboardInterrupt):
    """SIGTERM."""


def _terminate(signum: int, frame: object) -> NoReturn:
    raise _Terminated


def show_package_warnings(name: str) -> None:
    """Let this process show a PackageWarning as one line of the program `name` on stderr."""
    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, PackageWarning):
            say(f"{name}: warning", printable(str(message)), "warning")
        else:
            others(message, category, *place, **more)

    warnings.showwarning = show


def error_line(error: Exception) -> str:
    """Return what went wrong in one line, safe to show; what nobody foresaw says that it is so."""
    line = printable(" ".join(_text(error).split()))
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} .."


def _text(error: Exception) -> str:
    if isinstance(error, LpcError):
        return str(error)
    if isinstance(error, OSError):
        return _system_error(error)
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, ModuleNotFoundError) and error.name in _EXTRAS:
        return f"this needs {error.name}, which is not installed: pip install '{_DISTRIBUTION}[{_EXTRAS[error.name]}]'"
    return f"{type(error).__name__}: {error} (unexpected; run with --debug for the traceback)"


def _system_error(error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.filename is None:
        gone = error.errno == errno.ENOENT and _is_folder_gone()
        return "the current folder does not exist any more" if gone else reason
    name = error.filename
    return f"{name if isinstance(name, int) else os.fsdecode(name)}: {reason}"


def _is_folder_gone() -> bool:
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def _shown(error: click.ClickException) -> click.ClickException:
    """The same error with a message that is safe to show."""
    message = error.format_message()
    shown = printable(message, keep="\n\t")
    if shown == message:
        return error
    return click.UsageError(shown, error.ctx) if isinstance(error, click.UsageError) else click.ClickException(shown)


def _leave(status: int) -> NoReturn:
    streams.discard_stdout()
    sys.exit(status)
