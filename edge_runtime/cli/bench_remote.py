"""`lpc-bench remote`: deploy, run, measure and fetch on boards reached over SSH."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_runtime.cli.bench_options import MeasureOptions, is_drawn, measure_options
from edge_runtime.cli.fence import EXIT_ERROR
from edge_runtime.cli.options import check_place, debug_option, gathered
from edge_runtime.io.screen import show

if TYPE_CHECKING:
    from edge_runtime.bench.results import Result
    from edge_runtime.remote.connection import Policy
    from edge_runtime.remote.hosts import Target
    from edge_runtime.remote.runtime import Packages
    from edge_runtime.remote.table import Outcome
    from edge_runtime.remote.visit import Request

_EPILOG = """\b
Examples:
  lpc-bench remote ubuntu@orin.local llama-lpc -o orin.json --report orin.html
  lpc-bench remote pi@10.0.0.7 llama-lpc --accept-new --keep -r 3 --cold
  lpc-bench remote --hosts boards.ini llama-lpc -o results/
  lpc-bench remote --serial /dev/ttyACM0 --user ubuntu llama-lpc --accept-new
  lpc-bench remote --resume ubuntu@orin.local llama-lpc -o orin.json
  lpc-bench remote --clean ubuntu@orin.local

\b
Keys, agent, names and jump hosts come from your SSH configuration. Nothing
stays on the board unless --keep is given; then a second run sends only what
changed. If the connection is lost the run goes on there: --resume fetches it.
"""


@dataclass(frozen=True)
class RemoteOptions:
    """The values of the options that are about boards; None where it is found out."""

    hosts: Path | None
    group: str | None
    serial: str | None
    baud: int | None
    user: str | None
    port: int | None
    identity: str | None
    jump: str | None
    ask_password: bool
    accept_new: bool
    known_hosts: Path | None
    ssh_config: Path
    wheel: Path | None
    packages: Packages
    python: str | None
    board_folder: str | None
    profile: str | None
    keep: bool
    resume: bool
    clean: bool
    timeout: float
    reconnect: float


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    folder = click.Path(path_type=Path)
    function = gathered(RemoteOptions, "options")(function)
    for option in reversed((
        click.option("--hosts", type=folder, metavar="FILE", help="Boards: an Ansible inventory, or one per line."),
        click.option("--group", metavar="NAME", help="Measure only this group of --hosts."),
        click.option("--serial", metavar="DEV", help="Find the board's address through its serial console."),
        click.option("--baud", type=int, help="Baud rate of --serial.  [default: detected]"),
        click.option("--user", metavar="NAME", help="User name, where USER@ does not give it."),
        click.option("--port", type=click.IntRange(1, 65535), help="SSH port.  [default: as configured, or 22]"),
        click.option("-i", "--identity", metavar="FILE", help="Private key file."),
        click.option("--jump", metavar="[USER@]HOST[:PORT],...", help="Reach the board through these hosts."),
        click.option("--ask-password", is_flag=True, help="Ask for a password where no key is accepted."),
        click.option("--accept-new", is_flag=True, help="Accept and keep an unknown host key; never a changed one."),
        click.option("--known-hosts", type=folder, metavar="FILE", help="Host keys.  [default: ~/.ssh/known_hosts]"),
        click.option("--ssh-config", type=folder, metavar="FILE", default="~/.ssh/config", show_default=True),
        click.option("--wheel", type=folder, help="Wheel to install, or a folder of wheels.  [default: dist/]"),
        click.option(
            "--packages", type=click.Choice(["auto", "index", "carry", "system"]), default="auto", show_default=True,
            help="onnxruntime and the rest from: the board's package index, wheels fetched here, the board's own "
            "Python; auto: index, else carry.",
        ),
        click.option("--python", metavar="PATH", help="Python on the board.  [default: its newest python3]"),
        click.option("--board-folder", metavar="PATH", help="Folder on the board.  [default: ~/.cache/lpc-bench]"),
        click.option("--profile", metavar="NAME", help="Board profile to use where detection is wrong."),
        click.option("--keep", is_flag=True, help="Leave model and runtime on the board for the next run."),
        click.option("--resume", is_flag=True, help="Attach to the run that is on the board, and fetch its result."),
        click.option("--clean", is_flag=True, help="Only end a run there and remove all that was installed."),
        click.option(
            "--timeout", type=click.FloatRange(1), default=15.0, show_default=True, help="Connection limit, in seconds."
        ),
        click.option(
            "--reconnect", type=click.FloatRange(0), default=120.0, show_default=True,
            help="Try to reconnect for this long after a lost connection, in seconds.",
        ),
    )):  # fmt: skip
        function = option(function)
    return function


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("words", nargs=-1, metavar="[[USER@]HOST[:PORT]]... MODEL")
@_options
@measure_options
@click.option("--format", "output", type=click.Choice(["md", "csv", "json", "jsonl"]), default="md", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Write the result to this file; for several boards, to this folder.",
)
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Also write a page with plots.")
@click.option("-q", "--quiet", is_flag=True, help="Print no progress.")
@debug_option
def command(
    words: tuple[str, ...], output: str, as_json: bool, out: Path | None, report: Path | None, quiet: bool,
    debug: bool, measure: MeasureOptions, options: RemoteOptions,
) -> int:  # fmt: skip
    """Measure MODEL, a folder written by lpc-export, on boards reached over SSH."""
    from edge_runtime.remote.many import run_all
    from edge_runtime.remote.table import sheet, to_text

    check_place("--out", out)
    check_place("--report", report)
    _check_options(options)
    say = (lambda line: None) if quiet else (lambda line: click.echo(line, err=True))
    request = _request(Path() if options.clean else _model(words), measure, options)
    policy = _policy(options)
    targets = _targets(words if options.clean else words[:-1], options)
    results = _Results(out, report, [str(target) for target in targets])
    outcomes = run_all(targets, policy, request, say, results.keep)
    results.write_report()
    for error in [*filter(None, (outcome.error for outcome in outcomes)), *results.errors]:
        click.echo(f"lpc-bench: {error}", err=True)
    if any(outcome.result for outcome in outcomes) or (as_json and not request.clean):
        if as_json or not is_drawn():
            click.echo(to_text(outcomes, "json" if as_json else output))
        else:
            show(sheet(outcomes))
    failed = any(outcome.error or _failed(outcome) for outcome in outcomes)
    return EXIT_ERROR if failed or results.errors else 0


def _model(words: tuple[str, ...]) -> Path:
    from edge_runtime.package import Package

    if not words:
        raise click.UsageError("name the board and the model: lpc-bench remote USER@HOST MODEL")
    model = Path(words[-1])
    if "@" in words[-1] and not model.exists():
        raise click.UsageError(f"the last word is the model's folder, and {words[-1]} looks like a board")
    Package.open(model)
    return model


def _check_options(options: RemoteOptions) -> None:
    if options.group and not options.hosts:
        raise click.UsageError("--group needs --hosts")
    if options.clean and options.resume:
        raise click.UsageError("--clean and --resume exclude each other")
    folder = options.board_folder
    if folder is not None and (not folder or _shown(folder) != folder or ":" in folder):
        raise click.UsageError(f"--board-folder {folder!r}: expected a path without ':' and control characters")
    if folder is not None and folder.startswith("~") and not folder.startswith("~/") and folder != "~":
        raise click.UsageError(f"--board-folder {folder!r}: ~ is the home on the board; homes of others need a path")
    if options.python is not None and (not options.python or _shown(options.python) != options.python):
        raise click.UsageError(f"--python {options.python!r}: expected a path without control characters")


def _shown(text: str) -> str:
    from edge_runtime.io.printable import printable

    return printable(text)


def _policy(options: RemoteOptions) -> Policy:
    from edge_runtime.remote.connection import Policy

    return Policy(
        identity=options.identity,
        port=options.port,
        jump=options.jump,
        accept_new=options.accept_new,
        known_hosts=options.known_hosts,
        config=(options.ssh_config.expanduser(),),
        timeout_s=options.timeout,
        ask=_ask if sys.stdin.isatty() else None,
        password=options.ask_password,
    )


def _ask(what: str) -> str:
    answer: str = click.prompt(what, hide_input=True, default="", show_default=False, err=True)
    return answer


def _targets(words: tuple[str, ...], options: RemoteOptions) -> list[Target]:
    from edge_runtime.remote.hosts import distinct, parse_target, read_hosts
    from edge_runtime.remote.serial_host import find_target

    found = [parse_target(word) for word in words]
    if options.hosts is not None:
        found += read_hosts(options.hosts, options.group, _warn)
    if options.serial is not None:
        found.append(find_target(options.serial, options.baud, options.user, _ask if sys.stdin.isatty() else None))
    if not found:
        raise click.UsageError("no board is named: USER@HOST, --hosts FILE or --serial DEV")
    if options.user:
        found = [target if target.user else replace(target, user=options.user) for target in found]
    return distinct([replace(target, port=target.port or options.port) for target in found], _warn)


def _warn(line: str) -> None:
    click.echo(f"lpc-bench: {line}", err=True)


def _request(model: Path, measure: MeasureOptions, options: RemoteOptions) -> Request:
    from edge_runtime.machine.board import load_profile
    from edge_runtime.remote.visit import Request

    return Request(
        model=model,
        arguments=tuple(measure.arguments()),
        load=measure.load_arguments(),
        wheel=options.wheel,
        packages=options.packages,
        python=options.python,
        folder=options.board_folder,
        keep=options.keep,
        resume=options.resume,
        clean=options.clean,
        profile=load_profile(options.profile) if options.profile else None,
        reconnect_s=options.reconnect,
    )


class _Results:
    """Keeps each board's result as soon as it is there: one in a file, several in a folder; then the page of all."""

    def __init__(self, out: Path | None, report: Path | None, names: list[str]) -> None:
        self.errors: list[str] = []
        self._out = out
        self._in_folder = out is not None and (len(names) > 1 or out.is_dir())
        self._report = report
        self._kept: list[tuple[str, Result]] = []
        self._files = _files_of(names)

    def keep(self, outcome: Outcome) -> None:
        """Write a board's result; what goes wrong is said at the end, the other boards go on."""
        from edge_runtime.bench.result_file import save_result
        from edge_runtime.errors import LpcError

        if outcome.result is None:
            return
        self._kept.append((outcome.name, outcome.result))
        if self._out is None:
            return
        try:
            if self._in_folder:
                self._out.mkdir(exist_ok=True)
            save_result(self._out / self._files[outcome.name] if self._in_folder else self._out, outcome.result)
        except (LpcError, OSError) as error:
            self.errors.append(f"{outcome.name}: the result cannot be written to {self._out} ({error})")

    def write_report(self) -> None:
        """Write the page of all results."""
        from edge_runtime.bench.page import page
        from edge_runtime.io.files import write_whole

        if self._report is None or not self._kept:
            return
        try:
            write_whole(self._report, page(sorted(self._kept, key=itemgetter(0))))
        except OSError as error:
            self.errors.append(f"{self._report}: the page cannot be written ({error})")


def _files_of(names: list[str]) -> dict[str, str]:
    """A file name for each board, which depends on the boards alone, not on which of them ends first."""
    import re

    files: dict[str, str] = {}
    for name in sorted(names):
        stem, number = re.sub(r"[^\w.@%-]", "_", name).lstrip("."), 1
        while (file := f"{stem}.json" if number == 1 else f"{stem}-{number}.json") in files.values():
            number += 1
        files[name] = file
    return files


def _failed(outcome: Outcome) -> bool:
    return outcome.result is not None and outcome.result.failed
