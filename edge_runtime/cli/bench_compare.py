"""`lpc-bench compare`: which of two results is faster, and whether that is more than noise."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from edge_runtime.bench.comparison import MINIMUM, compare, differences, sheet
from edge_runtime.bench.result_file import load_result
from edge_runtime.bench.samples import CONFIDENCE
from edge_runtime.bench.summing import BUSY_LIMIT, busy_share
from edge_runtime.cli.fence import EXIT_ERROR
from edge_runtime.cli.options import debug_option
from edge_runtime.io.screen import show

_EPILOG = """\b
Examples:
  lpc-bench compare before.json after.json
  lpc-bench compare before.json after.json --fail-slower
  lpc-bench compare before.json after.json --json

\b
The ratio is B's speed over A's, from geometric means. Repetitions that had to
wait for other programs do not count; where hardly any did not, the verdict is
"unknown".
Measure with `lpc-bench run --precision 3%` to find differences of 10 %.
"""


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option(
    "--confidence",
    type=click.FloatRange(0.5, 0.9999),
    default=CONFIDENCE,
    show_default=True,
    help="Confidence of all verdicts together.",
)
@click.option(
    "--minimum",
    type=click.FloatRange(0, 1, max_open=True),
    default=MINIMUM,
    show_default=True,
    help="Smallest relative difference that counts.",
)
@click.option("--fail-slower", is_flag=True, help="Exit with 1 if B is slower in any test.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@debug_option
def command(a: Path, b: Path, confidence: float, minimum: float, fail_slower: bool, as_json: bool, debug: bool) -> int:
    """Compare the results A and B of `lpc-bench run -o`: B's speed over A's."""
    from edge_runtime.errors import ConfigError

    first, second = load_result(a), load_result(b)
    found = compare(first, second, confidence=confidence, minimum=minimum)
    if not found:
        raise ConfigError(f"{a} and {b} have no test in common: measure both with the same options of `lpc-bench run`")
    notes = differences(first, second)
    for name, result in (("A", first), ("B", second)):
        if busy_share(result) > BUSY_LIMIT:
            notes.append(f"{name} was measured while other programs used the CPUs: only large differences can be told")
    if as_json:
        click.echo(json.dumps({"tests": [asdict(item) for item in found], "differences": notes}))
    else:
        show(sheet(found, notes))
    return EXIT_ERROR if fail_slower and any(item.verdict == "slower" for item in found) else 0
