"""Results as JSON: the one place that reads and writes the schema `lpc-bench-result`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge_runtime.bench.results import Result
from edge_runtime.errors import ConfigError, FormatError
from edge_runtime.io.files import parse_json, read_small_text, write_whole
from edge_runtime.io.printable import printable
from edge_runtime.io.typed_json import Json, WrongValue, read, shown, write

SCHEMA = "lpc-bench-result"
SCHEMA_VERSION = 1
MOST_RESULT_BYTES = 256 << 20
_HEAD = ("schema", "schema_version")
_MOST_LEVELS = 64


def load_result(path: str | Path) -> Result:
    """Read and check a result file; its texts are safe to show.

    Raises ConfigError if it is not there, FormatError, naming file and field, if it is no result or of another version.
    """
    file = Path(path)
    try:
        text = read_small_text(file, MOST_RESULT_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read as a result of lpc-bench ({error})") from error
    return parse_result(text, str(file))


def save_result(path: str | Path, result: Result) -> None:
    """Write a result so that a reader sees the old file or the whole new one; raises OSError."""
    write_whole(path, json.dumps(to_json(result), indent=1) + "\n")


def parse_result(text: str | bytes, file: str) -> Result:
    """Return the result that a JSON text holds, checked, its texts safe to show; FormatError naming file and field."""
    try:
        value: Json = _printable(parse_json(text), _MOST_LEVELS)
    except ValueError as error:
        raise FormatError(f"{file}: not JSON ({error}); expected what `lpc-bench run -o` wrote", file=file) from None
    return from_json(value, file)


def to_json(result: Result) -> dict[str, Json]:
    """Return a result as a JSON object."""
    return {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **write(result)}


def from_json(value: Json, file: str = "result") -> Result:
    """Return the result that a JSON value holds; FormatError, naming the field, if it does not follow the schema."""
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        got = shown(value.get("schema")) if isinstance(value, dict) else f"a JSON {type(value).__name__}"
        raise FormatError(f"{file}: schema is {got}; expected {SCHEMA!r}, a file of `lpc-bench run -o`", file=file)
    if value.get("schema_version") != SCHEMA_VERSION:
        raise FormatError(
            f"{file}: schema_version is {shown(value.get('schema_version'))}; this lpc-bench reads {SCHEMA_VERSION}: "
            "measure again, or use the version that wrote it",
            file=file,
            field="schema_version",
        )
    result = read(Result, {name: item for name, item in value.items() if name not in _HEAD}, file)
    for index, test in enumerate(result.tests):
        if not test.repetitions and test.failed is None:
            wrong = WrongValue([], 'at least one, or a "failed" with the reason')
            raise wrong.at(f"tests[{index}].repetitions").error(file)
    return result


def _printable(value: Any, levels: int) -> Any:
    """A JSON value with printable texts; ValueError for one nested deeper than any result is."""
    if isinstance(value, str):
        return printable(value, "\n\t")
    if levels == 0 and isinstance(value, (dict, list)):
        raise ValueError("nested too deeply")
    if isinstance(value, list):
        return [_printable(item, levels - 1) for item in value]
    if isinstance(value, dict):
        return {printable(key): _printable(item, levels - 1) for key, item in value.items()}
    return value
