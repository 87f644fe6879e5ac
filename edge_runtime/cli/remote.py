"""`lpc-bench remote`: deploy, run, measure and fetch on boards reached over SSH."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge_runtime.bench.options import arguments_of, load_arguments, measure_options
from edge_runtime.cli.common import EXIT_ERROR, check_place, debug_option

if TYPE_CHECKING:
    from edge_runtime.remote.hosts import Target
    from edge_runtime.remote.table import Outcome

_Command = TypeVar("_Command", bound=Callable[..., Any])

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


def _options(function: _Command) -> _Command:
    folder = click.Path(path_type=Path)
    for option in reversed((
        click.option("--hosts", type=folder, metavar="FILE", help="Boards: an Ansible inventory (INI), or one a line."),
        click.option("--group", metavar="NAME", help="Only this group of --hosts."),
        click.option("--serial", metavar="DEV", help="Find the board's address through its serial console."),
        click.option("--baud", type=int, help="Rate of --serial.  [default: found out]"),
        click.option("--user", metavar="NAME", help="User name, where USER@ does not give it."),
        click.option("--port", type=click.IntRange(1, 65535), help="SSH port.  [default: as configured, or 22]"),
        click.option("-i", "--identity", metavar="FILE", help="Private key."),
        click.option("--jump", metavar="[USER@]HOST[:PORT],...", help="Reach the board through these hosts."),
        click.option("--ask-password", is_flag=True, help="Ask for a password where no key is accepted."),
        click.option("--accept-new", is_flag=True, help="Accept and keep an unknown host key; never a changed one."),
        click.option("--known-hosts", type=folder, metavar="FILE", help="Host keys.  [default: ~/.ssh/known_hosts]"),
        click.option("--ssh-config", type=folder, metavar="FILE", default="~/.ssh/config", show_default=True),
        click.option("--wheel", type=folder, help="Our wheel, or a folder of them.  [default: dist/]"),
        click.option(
            "--packages", type=click.Choice(["auto", "index", "carry", "system"]), default="auto", show_default=True,
            help="onnxruntime and the rest from: the board's package index, wheels fetched here, the board's own "
            "Python; auto: index, else carry.",
        ),
        click.option("--python", metavar="PATH", help="The board's Python.  [default: its newest python3]"),
        click.option("--board-folder", metavar="PATH", help="Where things go there.  [default: ~/.cache/lpc-bench]"),
        click.option("--profile", metavar="NAME", help="The board's profile, if detecting it is wrong."),
        click.option("--keep", is_flag=True, help="Leave model and runtime on the board for the next run."),
        click.option("--resume", is_flag=True, help="Attach to the run that is on the board, and fetch its result."),
        click.option("--clean", is_flag=True, help="Only end what runs there and remove everything of ours."),
        click.option(
            "--timeout", type=click.FloatRange(1), default=15.0, show_default=True, help="Seconds, to connect."
        ),
        click.option(
            "--reconnect", type=click.FloatRange(0), default=120.0, show_default=True,
            help="Try for so many seconds when the connection is lost.",
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
    "-o", "--out", type=click.Path(path_type=Path), help="Keep the result in this file; for several boards, a folder."
)
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Also write a page with the plots.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@debug_option
def command(words: tuple[str, ...], **options: Any) -> int:
    """Measure MODEL, a folder written by lpc-export, on boards reached over SSH."""
    from edge_runtime.remote.many import run_all
    from edge_runtime.remote.table import to_text

    model = None if options["clean"] else _model(words)
    _check_places(options)
    policy = _policy(options)
    targets = _targets(words if model is None else words[:-1], options)
    request = None if model is None else _request(model, options)
    say = (lambda line: None) if options["quiet"] else (lambda line: click.echo(line, err=True))
    outcomes = run_all(targets, policy, request, say)
    if request is not None:
        _keep(outcomes, options["out"], options["report"])
    for outcome in outcomes:
        if outcome.error:
            click.echo(f"lpc-bench: {outcome.error}", err=True)
    if any(outcome.result for outcome in outcomes) or (options["as_json"] and request is not None):
        click.echo(to_text(outcomes, "json" if options["as_json"] else options["output"]))
    return EXIT_ERROR if any(outcome.error or _failed(outcome) for outcome in outcomes) else 0


def _model(words: tuple[str, ...]) -> Path:
    from edge_runtime.package import Package

    if not words:
        raise click.UsageError("name the board and the model: lpc-bench remote USER@HOST MODEL")
    model = Path(words[-1])
    if "@" in words[-1] and not model.exists():
        raise click.UsageError(f"the last word is the model's folder, and {words[-1]} looks like a board")
    Package.open(model)
    return model


def _check_places(options: dict[str, Any]) -> None:
    for name in ("out", "report"):
        check_place(f"--{name}", options[name])
    if options["group"] and not options["hosts"]:
        raise click.UsageError("--group needs --hosts")
    if options["clean"] and options["resume"]:
        raise click.UsageError("--clean and --resume exclude each other")


def _policy(options: dict[str, Any]) -> Any:
    from edge_runtime.remote.connection import Policy

    return Policy(
        identity=options["identity"],
        port=options["port"],
        jump=options["jump"],
        accept_new=options["accept_new"],
        known_hosts=options["known_hosts"],
        config=(options["ssh_config"].expanduser(),),
        timeout_s=options["timeout"],
        ask=_ask if sys.stdin.isatty() else None,
        password=options["ask_password"],
    )


def _ask(what: str) -> str:
    answer: str = click.prompt(what, hide_input=True, default="", show_default=False, err=True)
    return answer


def _targets(words: tuple[str, ...], options: dict[str, Any]) -> list[Target]:
    from dataclasses import replace

    from edge_runtime.remote.hosts import parse_target, read_hosts
    from edge_runtime.remote.serial_host import find_target

    found = [parse_target(word) for word in words]
    if options["hosts"] is not None:
        found += read_hosts(options["hosts"], options["group"])
    if options["serial"] is not None:
        found.append(
            find_target(options["serial"], options["baud"], options["user"], _ask if sys.stdin.isatty() else None)
        )
    if not found:
        raise click.UsageError("no board is named: USER@HOST, --hosts FILE or --serial DEV")
    if options["user"]:
        found = [target if target.user else replace(target, user=options["user"]) for target in found]
    return list({str(target): target for target in found}.values())


def _request(model: Path, options: dict[str, Any]) -> Any:
    from edge_runtime.board import load_profile
    from edge_runtime.remote.visit import Request

    return Request(
        model=model,
        arguments=tuple(arguments_of(options)),
        load=load_arguments(options),
        wheel=options["wheel"],
        packages=options["packages"],
        python=options["python"],
        folder=options["board_folder"],
        keep=options["keep"],
        resume=options["resume"],
        profile=load_profile(options["profile"]) if options["profile"] else None,
        reconnect_s=options["reconnect"],
    )


def _keep(outcomes: list[Outcome], out: Path | None, report: Path | None) -> None:
    """Write the results: one into a file, several into a folder; and the page of all of them."""
    from edge_runtime.bench.page import page
    from edge_runtime.bench.results import save_result

    results = [(outcome.name, outcome.result) for outcome in outcomes if outcome.result is not None]
    if out is not None and (len(outcomes) > 1 or out.is_dir()):
        out.mkdir(exist_ok=True)
        for name, result in results:
            save_result(out / f"{name.replace('/', '_').replace(':', '_')}.json", result)
    elif out is not None:
        for _, result in results:
            save_result(out, result)
    if report is not None and results:
        report.write_text(page(results), encoding="utf-8")


def _failed(outcome: Outcome) -> bool:
    return outcome.result is not None and any(test.get("failed") for test in outcome.result["tests"])
