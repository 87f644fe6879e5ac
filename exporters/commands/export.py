"""The command `lpc-export MODEL`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_runtime.cli.fence import failing
from edge_runtime.errors import ConfigError
from edge_runtime.io.screen import say, show
from exporters import __version__
from exporters.commands.codec_options import asked_codec, codec_options, completed_codec
from exporters.commands.lossy_options import base_of, board_of, lossy_of, lossy_options, seconds_of

if TYPE_CHECKING:
    from exporters.export import ExportOptions, ExportResult
    from exporters.package.codec_choice import CodecChoice

_EPILOG = """\b
Examples:
  lpc-export Llama-3.2-1B                 a folder of a Hugging Face checkpoint
  lpc-export Llama-3.2-1B -o llama-lpc --codec lz4
  lpc-export my-fp32-model --dtype bf16 --json > figures.json
  lpc-export model.onnx                   an ONNX model of another tool
  lpc-export model-bf16.gguf --tokenizer folder-with-tokenizer.json
  lpc-export Qwen/Qwen3-0.6B              from the Hugging Face Hub
  lpc-export inspect llama-lpc            what an exported folder holds
  lpc-export verify llama-lpc --against Llama-3.2-1B
  lpc-export --reseal llama-lpc           accept an edited configuration or tokenizer
  lpc-export Llama-3.2-1B --quantize int8 --codec ans --calibration book.txt
  lpc-export Llama-3.2-1B --plan-for raspberry-pi-5 --target "2 s/token"
  lpc-export frontier Llama-3.2-1B --plan-for raspberry-pi-5 --svg frontier.svg
  lpc-export Llama-3.2-1B --prune 0.5 --codec bitmap --calibration book.txt
"""


@click.command("lpc-export", epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Output folder.  [default: ./<MODEL's name>-lpc]")
@codec_options
@click.option(
    "--dtype",
    type=click.Choice(["keep", "bf16", "fp16", "fp32"]),
    default="keep",
    show_default=True,
    help="Convert the weights first; fewer bits round them.",
)
@click.option(
    "--tokenizer",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with tokenizer.json, where MODEL has none.",
)
@lossy_options
@click.option(
    "--verify/--no-verify", default=True, show_default=True, help="Decode all weights and compare them with the source."
)
@click.option("--force", is_flag=True, help="Replace an existing exported folder.")
@click.option("--restart", is_flag=True, help="Discard an unfinished export to OUT and start again.")
@click.option(
    "--threads", type=click.IntRange(min=0), default=0, help="Number of threads; 0: one per core.", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
@click.option("--debug", is_flag=True, help="Show a traceback on failure.")
@click.version_option(__version__)
def command(
    model: Path, out: Path | None, codec: CodecChoice, objective: str | None, board: str | None,
    partial: float | str | None, dtype: str, tokenizer: Path | None, verify: bool, force: bool, restart: bool,
    threads: int, as_json: bool, debug: bool, **lossy: Any,
) -> None:  # fmt: skip
    """Compress MODEL into a folder for lpc-run.

    MODEL is a Hugging Face folder (config.json, *.safetensors, tokenizer.json), an ONNX file or a folder with one, an
    unquantized GGUF file, or the name of a model on the Hugging Face Hub.

    The weights stay bit for bit what they were, unless --quantize or --prune ask for a loss, which is measured.

    OUT appears only when it is whole. What a failed, interrupted or killed export has finished is kept in OUT.partial,
    and the same command goes on from there.

    Further commands: inspect, verify, reseal, frontier (see lpc-export inspect --help).
    """
    codec = asked_codec(codec, objective, board, partial)
    seconds = _target_seconds(lossy)
    transforms = base_of(lossy) if seconds else lossy_of(lossy)
    with failing("nothing was written"):
        from exporters.export import ExportOptions

        options = ExportOptions(
            codec=completed_codec(codec, model, board, partial, tokenizer),
            dtype=dtype,
            verify=verify,
            force=force,
            threads=threads,
            tokenizer=tokenizer,
            lossy=transforms,
            restart=restart,
        )
        target = out or default_out(model)
        if seconds:
            options = _planned(model, target, options, lossy, seconds)
        _run(model, target, options, as_json)


def export_to_run(model: str) -> Path:
    """Export MODEL as this command does without options, its figures to stderr; return the folder.

    For a program that runs it then (entry point `lpc.exporters`). ConfigError if there is an exported folder already.
    """
    from exporters.export import ExportOptions, export

    target = default_out(Path(model))
    if target.exists():
        raise ConfigError(f"{model}: {target} is there already: run that, or remove it to export the model again")
    _report(export(model, target, ExportOptions()), to_stderr=True)
    return target


def default_out(model: Path) -> Path:
    """Return ./NAME-lpc: the folder's name, or the file's, unless that is the usual model.onnx."""
    path = model.resolve()
    name = path.name.partition("@")[0]
    if path.suffix in (".onnx", ".gguf"):
        name = path.parent.name if path.stem == "model" else path.stem
    return Path(f"{name}-lpc")


def _target_seconds(lossy: dict[str, Any]) -> float:
    """The seconds per token that --plan-for must reach; 0 without it."""
    if (lossy["plan_for"] is None) != (lossy["target"] is None):
        raise click.UsageError("--plan-for and --target go together.")
    return seconds_of(lossy["target"]) if lossy["target"] is not None else 0.0


def _planned(model: Path, out: Path, options: ExportOptions, lossy: dict[str, Any], seconds: float) -> ExportOptions:
    """Search the frontier for the board, show it, and return the options of the best way to the target."""
    from dataclasses import replace

    from exporters import frontier
    from exporters.folders.publish import prepare

    prepare(out.absolute(), options.force)
    assert options.lossy is not None
    board = board_of(lossy["plan_for"], lossy["memory_budget"])
    found = frontier.frontier(model, out.absolute().parent, options.lossy, board, options, say=lambda line: None)
    show(frontier.sheet([point for _, point in found]), sys.stderr)
    candidate, point = frontier.fastest_enough(found, seconds)
    click.echo(f"lpc-export: chosen for {seconds:g} s/token: {point.name}", err=True)
    return replace(options, codec=candidate.codec, lossy=candidate.lossy)


def _run(model: Path, out: Path, options: ExportOptions, as_json: bool) -> None:
    from exporters.export import export

    _report(export(model, out, options), as_json=as_json)


def _report(result: ExportResult, *, as_json: bool = False, to_stderr: bool = False) -> None:
    from exporters.commands.figures import figures, sheet

    for warning in result.warnings:
        say("lpc-export: warning", warning, "warning")
    if as_json:
        click.echo(json.dumps(figures(result)))
    else:
        show(sheet(result), sys.stderr if to_stderr else sys.stdout)
