"""`lpc-board console`: a board's serial console, when there is no network yet."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge_runtime.cli.options import debug_option

if TYPE_CHECKING:
    from edge_runtime.remote.serial.console import SerialConsole

_Command = TypeVar("_Command", bound=Callable[..., Any])

_EPILOG = """\b
Examples:
  lpc-board console list
  lpc-board console address --user ubuntu
  lpc-board console run --device /dev/ttyACM0 --user ubuntu -- cat /etc/nv_tegra_release
  lpc-board console tail --device /dev/ttyUSB0 --baud 1500000
  lpc-board console usb-network --user ubuntu

\b
A password is asked for when the board asks, and is neither kept nor shown.
"""
_HELP = {"help_option_names": ["-h", "--help"]}


@click.group(epilog=_EPILOG, context_settings=_HELP)
def command() -> None:
    """Reach a board through its serial console."""


def _port_options(function: _Command) -> _Command:
    for option in (
        click.option("--device", metavar="PATH", help="Serial port.  [default: the only one there is]"),
        click.option("--baud", default="auto", show_default=True, metavar="N|auto", callback=_baud),
        debug_option,
    ):
        function = option(function)
    return function


def _shell_options(function: _Command) -> _Command:
    for option in (
        click.option("--user", help="Name to log in with, if the board asks."),
        click.option("--timeout", type=click.FloatRange(min=1), default=15.0, show_default=True, help="Seconds."),
    ):
        function = option(function)
    return _port_options(function)


def _baud(_context: click.Context, _parameter: click.Parameter, value: str) -> int | None:
    if value == "auto":
        return None
    if not value.isdigit() or not 50 <= int(value) <= 4_000_000:
        raise click.BadParameter(f"{value!r} is neither auto nor a rate from 50 to 4000000")
    return int(value)


@command.command("list", context_settings=_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@debug_option
def list_command(as_json: bool, debug: bool) -> None:
    """Serial ports, and which board may be behind each."""
    from edge_runtime.remote.serial.ports import list_ports

    ports = list_ports()
    if as_json:
        click.echo(json.dumps([asdict(port) for port in ports]))
        return
    for port in ports:
        click.echo(f"{port.device}  {port.description}" + (f"  ({port.guess})" if port.guess else ""))
    if not ports:
        click.echo("no serial port found: plug in the board's USB debug cable or a USB-UART adapter", err=True)


@command.command("run", context_settings={**_HELP, "ignore_unknown_options": True})
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: text and status.")
@_shell_options
def run_command(words: tuple[str, ...], as_json: bool, timeout: float, **options: Any) -> int:
    """Run one command there; its exit status becomes this one's."""
    line = words[0] if len(words) == 1 else shlex.join(words)
    with _shell(timeout=timeout, **options) as console:
        output = console.run(line, timeout)
    click.echo(json.dumps(asdict(output)) if as_json else output.text, nl=as_json or not output.text.endswith("\n"))
    return output.status


@command.command("address", context_settings=_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@_shell_options
def address_command(as_json: bool, **options: Any) -> None:
    """The board's network addresses, the one to try first in front."""
    from edge_runtime.remote.serial.network import addresses

    with _shell(**options) as console:
        found = addresses(console)
    if as_json:
        click.echo(json.dumps([asdict(item) for item in found]))
        return
    for item in found:
        click.echo(f"{item.address}  {item.interface}  {item.kind}")


@command.command("usb-network", context_settings=_HELP)
@_shell_options
def usb_network_command(**options: Any) -> None:
    """Set up the network over the board's USB device port, or say how."""
    from edge_runtime.remote.serial.network import usb_network

    with _shell(**options) as console:
        click.echo(usb_network(console))


@command.command("tail", context_settings=_HELP)
@click.option("--seconds", type=click.FloatRange(min=0.1), help="End after this time.  [default: Ctrl-C]")
@_port_options
def tail_command(seconds: float | None, device: str | None, baud: int | None, debug: bool) -> None:
    """Show what the console writes."""
    from edge_runtime.remote.serial.console import SerialConsole

    with SerialConsole(_device(device), baud) as console:
        click.echo(f"{console.device} at {console.baud} baud; Ctrl-C ends", err=True)
        for text in console.follow(seconds):
            click.echo(text, nl=False)


def _shell(*, device: str | None, baud: int | None, user: str | None, timeout: float, debug: bool) -> SerialConsole:
    """Open the port and get to a shell."""
    from edge_runtime.remote.serial.console import SerialConsole

    console = SerialConsole(_device(device), baud, timeout_s=timeout)
    try:
        console.login(user, lambda: _ask_password(user, console.device))
    except BaseException:
        console.close()
        raise
    return console


def _ask_password(user: str | None, device: str) -> str:
    answer: str = click.prompt(
        f"Password of {user} on {device}", hide_input=True, default="", show_default=False, err=True
    )
    return answer


def _device(given: str | None) -> str:
    if given is not None:
        return given
    from edge_runtime.remote.serial.ports import list_ports

    ports = list_ports()
    if len(ports) == 1:
        return ports[0].device
    names = ", ".join(port.device for port in ports)
    raise click.UsageError(
        f"several serial ports: {names}; choose with --device"
        if ports
        else "no serial port found; name it with --device"
    )
