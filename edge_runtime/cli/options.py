"""Options that the commands share, and how their values are read."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_DISTRIBUTION = "lpc-edge-runtime"

version_option = click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _parameter, value: _print_version(context) if value else None,
    help="Show the version and exit.",
)
debug_option = click.option("--debug", is_flag=True, help="On an error show the traceback, and onnxruntime's own log.")


def parsed(parser: str) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Return a click callback that reads an option with a function of io.units, such as parse_size."""

    def callback(context: click.Context, parameter: click.Parameter, text: str | None) -> Any:
        from edge_runtime.errors import ConfigError
        from edge_runtime.io import units

        try:
            return None if text is None else getattr(units, parser)(text)
        except ConfigError as error:
            raise click.BadParameter(str(error), context, parameter) from error

    return callback


def gathered(kind: type[Any], name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options that the dataclass `kind` has fields for as one argument called `name`.

    It stands below the options.
    """
    fields = [field.name for field in dataclasses.fields(kind)]

    def decorator(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def command(*arguments: Any, **values: Any) -> Any:
            chosen = kind(**{field: values.pop(field) for field in fields})
            return function(*arguments, **values, **{name: chosen})

        return command

    return decorator


def thread_counts(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """Return numbers of threads separated by commas, each once; a click callback."""
    try:
        found = tuple(dict.fromkeys(int(part) for part in value.split(",")))
    except ValueError:
        found = (0,)
    if not all(0 < threads < 256 for threads in found):
        raise click.BadParameter(f"{value!r} is not a list of numbers from 1 to 255, such as 1,2")
    return found


def check_place(option: str, path: Path | None) -> None:
    """Raise UsageError if no file can be written where `option` wants one, a folder there excepted."""
    from edge_runtime.io.files import check_writable

    if path is None or path.is_dir():
        return
    try:
        check_writable(path)
    except OSError as error:
        raise click.UsageError(f"{option} {path}: {error.strerror}") from None


def _print_version(context: click.Context) -> None:
    import importlib.metadata

    try:
        version = importlib.metadata.version(_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        version = "(not installed: run from a source tree)"
    click.echo(f"{context.info_name} {version}")
    context.exit(0)
