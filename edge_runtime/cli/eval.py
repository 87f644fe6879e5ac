"""The command `lpc-eval`: how well an exported model predicts a text, and how much it differs from another one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from edge_runtime.cli.fence import run_command
from edge_runtime.cli.options import debug_option, parsed, version_option
from edge_runtime.io.screen import show
from edge_runtime.io.sheet import Column, Sheet, Table
from edge_runtime.io.terminal import TOKENS, Progress

if TYPE_CHECKING:
    from edge_runtime.bench.evaluation import Estimate, Evaluation
    from edge_runtime.session import Model

_EPILOG = """\b
Examples:
  lpc-eval llama-int8 --text book.txt                      perplexity
  lpc-eval llama-int8 --against llama-lpc --text book.txt  and what INT8 changes
  lpc-eval llama-int8 --against llama-lpc --json           on texts that llama-lpc writes itself

\b
Intervals are 95 %, from the means of blocks of 32 tokens.
"""


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", type=click.Path())
@click.option("--against", metavar="FOLDER", help="Exported model to compare with, usually the lossless one.")
@click.option("--text", type=click.Path(path_type=Path), help="UTF-8 text to read.  [default: the model writes some]")
@click.option("--documents", is_flag=True, help="An empty line of the text ends a document: each is read by itself.")
@click.option(
    "--tokens",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Maximum number of tokens to read; 0: all.",
)
@click.option("--window", type=click.IntRange(min=0), default=0, help="Window length, in tokens.  [default: 256]")
@click.option(
    "--memory-budget",
    metavar="SIZE",
    callback=parsed("parse_size"),
    help="Memory limit of both models together, such as 4.5GB.  [default: available memory]",
)
@click.option(
    "--threads", type=click.IntRange(min=0), default=0, show_default=True, help="Number of threads; 0: automatic."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@debug_option
@version_option
def command(
    model: str, against: str | None, text: Path | None, documents: bool, tokens: int, window: int,
    memory_budget: int | None, threads: int, as_json: bool, debug: bool,
) -> int:  # fmt: skip
    """Measure perplexity of MODEL, a folder written by lpc-export, and its divergence from another one."""
    from edge_runtime.bench.evaluation import evaluate, generated_windows, text_windows
    from edge_runtime.session import load

    def opened(path: str) -> Model:
        return load(path, threads=threads, memory_budget=memory_budget, debug=debug)

    loaded = opened(model)
    reference = opened(against) if against else None
    writer = reference or loaded
    windows = text_windows(loaded, text, window, tokens, documents) if text else generated_windows(writer, window)
    name = text.name if text else f"written by {writer.package.path.name}"
    with Progress("evaluating", sum(len(ids) for ids in windows), unit=TOKENS) as progress:
        found = evaluate(loaded, windows, name, reference, progress.advance)
    if as_json:
        click.echo(json.dumps({"model": model, "against": against, **found.as_dict()}))
    else:
        show(sheet(found))
    return 0


def main() -> NoReturn:
    """Entry point of `lpc-eval`."""
    run_command(command, "lpc-eval", ends_at_once=True)


def sheet(found: Evaluation) -> Sheet:
    """Return the figures for people."""
    rows = [
        ("text", f"{found.text}, {found.tokens:,} tokens"),
        ("perplexity", _figure(found.perplexity, ".4f")),
    ]
    if found.kl is not None and found.reference_perplexity and found.perplexity_change and found.top1_agreement:
        rows += [
            ("reference", _figure(found.reference_perplexity, ".4f")),
            ("change", _figure(found.perplexity_change, "+.3%")),
            ("KL divergence", f"{_figure(found.kl, '.6f')} nats per token"),
            ("same top token", _figure(found.top1_agreement, ".2%")),
        ]
    return Sheet([Table([Column(), Column()], rows, headed=False)])


def _figure(estimate: Estimate, form: str) -> str:
    if estimate.low != estimate.low:
        return f"{estimate.value:{form}} (too few tokens for an interval)"
    return f"{estimate.value:{form}} ({estimate.low:{form}} to {estimate.high:{form}})"
