"""The result of a benchmark: one versioned JSON schema, checked when read, with every raw sample in it."""

from __future__ import annotations

import json
import reprlib
from pathlib import Path
from typing import Any

from edge_runtime.bench.disturbance import FIELDS
from edge_runtime.bench.layers import PARTS
from edge_runtime.bench.statistics import Summary, summarise
from edge_runtime.errors import ConfigError, FormatError
from edge_runtime.io.files import parse_json, read_small_text, write_whole
from edge_runtime.io.printable import printable

SCHEMA = "lpc-bench-result"
SCHEMA_VERSION = 1
MOST_RESULT_BYTES = 256 << 20
_LONGEST_SHOWN = 80  # characters of a wrong value

_TOP = {
    "created": str,
    "command": list,
    "model": dict,
    "environment": dict,
    "board": dict,
    "build": dict,
    "settings": dict,
    "excluded": list,
    "check": dict,
    "tests": list,
    "telemetry": dict,
    "warnings": list,
}
_TEST: dict[str, Any] = {
    "name": str,
    "kind": str,
    "tokens": int,
    "depth": int,
    "threads": int,
    "provider": str,
    "load": dict,
    "mode": str,
    "repetitions": list,
}
# What is shown of the rest, where it is there: a type, a number, a list of one of these, or an object of them.
_NUMBER = (int, float)
_ANY = "*"
_OPTIONAL: dict[str, Any] = {
    "model": {"name": str, "folder": str, "bits_per_weight": _NUMBER, "blob_bytes": _NUMBER},
    "board": {"id": str, "name": str},
    "environment": {"cpu": str},
    "build": {"isa": str, "commit": str, "version": str},
    "excluded": [str],
    "warnings": [str],
    "layers": [{"name": str, **{f"{part}_s": _NUMBER for part in PARTS}}],
    "plan": {"budget_bytes": _NUMBER},
    "telemetry": {
        "samples": [{"t_s": _NUMBER, "rss_bytes": _NUMBER, "power_w": _NUMBER, "temperatures_c": {_ANY: _NUMBER}}],
        "missing": {_ANY: str},
        "power": {"basis": str, "unavailable": str},
    },
}
_OPTIONAL_OF_TEST: dict[str, Any] = {
    "load_seconds": _NUMBER,
    "peak_rss_bytes": _NUMBER,
    "bytes_read_per_token": _NUMBER,
    "failed": str,
    "energy": {"joules_per_token": _NUMBER, "unavailable": str},
    "repetitions": [
        {
            "pass_seconds": [_NUMBER],
            "counters": dict.fromkeys(("wait_ns", "compute_ns", "read_ns", "decode_ns"), _NUMBER),
        }
    ],
}
_LARGEST_NUMBER = 1e30
_MOST_LEVELS = 64
_NAMES = {str: "a string", list: "a list", dict: "an object", int: "an integer"}
_KINDS = ("pp", "tg")
_MODES = ("warm", "cold")


def load_result(path: str | Path) -> dict[str, Any]:
    """Read and check a result file; its texts are safe to show.

    Raises ConfigError if it is not there, FormatError, naming file and field, if it is no result or of another version.
    """
    file = Path(path)
    try:
        text = read_small_text(file, MOST_RESULT_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read as a result of lpc-bench ({error})") from error
    return parse_result(text, str(file))


def parse_result(text: str | bytes, file: str) -> dict[str, Any]:
    """Return the result that a JSON text holds, checked, its texts safe to show; FormatError naming file and field."""
    try:
        result: dict[str, Any] = _printable(parse_json(text), _MOST_LEVELS)
    except ValueError as error:
        raise FormatError(f"{file}: not JSON ({error}); expected what `lpc-bench run -o` wrote", file=file) from None
    validate(result, file)
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


def save_result(path: str | Path, result: dict[str, Any]) -> None:
    """Write a result so that a reader sees the old file or the whole new one; raises OSError."""
    write_whole(path, json.dumps(result, indent=1) + "\n")


def validate(result: Any, file: str = "result") -> None:
    """Raise FormatError, naming the field, if `result` does not follow the schema."""
    if not isinstance(result, dict) or result.get("schema") != SCHEMA:
        got = _shown(result.get("schema")) if isinstance(result, dict) else f"a JSON {type(result).__name__}"
        raise FormatError(f"{file}: schema is {got}; expected {SCHEMA!r}, a file of `lpc-bench run -o`", file=file)
    if result.get("schema_version") != SCHEMA_VERSION:
        raise FormatError(
            f"{file}: schema_version is {_shown(result.get('schema_version'))}; this lpc-bench reads {SCHEMA_VERSION}: "
            "measure again, or use the version that wrote it",
            file=file,
            field="schema_version",
        )
    _check_fields(result, _TOP, "", file)
    _check_optional(result, _OPTIONAL, "", file)
    for index, test in enumerate(result["tests"]):
        _check_test(test, f"tests[{index}]", file)


def _check_test(test: Any, field: str, file: str) -> None:
    if not isinstance(test, dict):
        raise _wrong(file, field, test, "an object")
    _check_fields(test, _TEST, f"{field}.", file)
    if test["tokens"] < 1:
        raise _wrong(file, f"{field}.tokens", test["tokens"], "1 or more")
    if test["kind"] not in _KINDS:
        raise _wrong(file, f"{field}.kind", test["kind"], f"one of {', '.join(_KINDS)}")
    if test["mode"] not in _MODES:
        raise _wrong(file, f"{field}.mode", test["mode"], f"one of {', '.join(_MODES)}")
    for number, repetition in enumerate(test["repetitions"]):
        place = f"{field}.repetitions[{number}]"
        if not isinstance(repetition, dict):
            raise _wrong(file, place, repetition, "an object")
        for name in ("seconds", "tokens_per_s"):
            value = repetition.get(name)
            if value is None or not _is_number(value) or value <= 0:
                raise _wrong(file, f"{place}.{name}", value, "a number above 0")
        for name in FIELDS:
            value = repetition.get(name, 0.0)
            if value is not None and not _is_number(value):
                raise _wrong(file, f"{place}.{name}", value, "a number, or null where it is unknown")
        if not isinstance(repetition.get("round", 0), int):
            raise _wrong(file, f"{place}.round", repetition["round"], "the number of a round")
    _check_optional(test, _OPTIONAL_OF_TEST, f"{field}.", file)
    if not test["repetitions"] and not isinstance(test.get("failed"), str):
        raise _wrong(file, f"{field}.repetitions", [], 'at least one, or a "failed" with the reason')


def _check_fields(values: dict[str, Any], kinds: dict[str, Any], prefix: str, file: str) -> None:
    for name, kind in kinds.items():
        value = values.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise _wrong(file, prefix + name, value, _NAMES[kind])


def _check_optional(values: dict[str, Any], kinds: dict[str, Any], prefix: str, file: str) -> None:
    for name, kind in kinds.items():
        if values.get(name) is not None:
            _check_kind(values[name], kind, prefix + name, file)


def _check_kind(value: Any, kind: Any, field: str, file: str) -> None:
    if isinstance(kind, dict):
        if not isinstance(value, dict):
            raise _wrong(file, field, value, "an object")
        _check_optional(value, dict.fromkeys(value, kind[_ANY]) if _ANY in kind else kind, f"{field}.", file)
    elif isinstance(kind, list):
        if not isinstance(value, list):
            raise _wrong(file, field, value, "a list")
        for index, item in enumerate(value):
            _check_kind(item, kind[0], f"{field}[{index}]", file)
    elif kind is _NUMBER:
        if not _is_number(value):
            raise _wrong(file, field, value, "a number")
    elif not isinstance(value, kind):
        raise _wrong(file, field, value, _NAMES[kind])


def _is_number(value: Any) -> bool:
    return type(value) in _NUMBER and -_LARGEST_NUMBER < value < _LARGEST_NUMBER


def _wrong(file: str, field: str, got: Any, expected: str) -> FormatError:
    return FormatError(f"{file}: {field} is {_shown(got)}; expected {expected}", file=file, field=field)


def _shown(value: Any) -> str:
    """A wrong value, as far as it fits a line."""
    text = printable(reprlib.repr(value))
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + ".."


def speeds(test: dict[str, Any]) -> list[float]:
    """Tokens per second of each repetition."""
    return [float(repetition["tokens_per_s"]) for repetition in test["repetitions"]]


def summary(test: dict[str, Any]) -> Summary | None:
    """Tokens per second over the repetitions; None if the test failed."""
    values = speeds(test)
    return summarise(values) if values else None


def identity(test: dict[str, Any]) -> tuple[Any, ...]:
    """What makes two tests the same one in two results."""
    load = json.dumps(test["load"], sort_keys=True)
    return (test["kind"], test["tokens"], test["depth"], test["threads"], test["provider"], test["mode"], load)


def label(test: dict[str, Any]) -> str:
    """Name of a test with its configuration, for people."""
    threads = f"{test['threads']} threads" if test["threads"] else "automatic threads"
    load = "".join(f", {name}={value}" for name, value in test["load"].items())
    return f"{test['name']}, {test['provider']}, {threads.replace('1 threads', '1 thread')}, {test['mode']}{load}"
