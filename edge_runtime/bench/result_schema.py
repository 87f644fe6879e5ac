"""The JSON Schema of result files, from the types: `python -m edge_runtime.bench.result_schema` prints it."""

from __future__ import annotations

import json

from edge_runtime.bench.result_file import SCHEMA, SCHEMA_VERSION
from edge_runtime.bench.results import Result, Test
from edge_runtime.io.json_schema import DIALECT, Schema, schema_of
from edge_runtime.io.typed_json import Json

_LINE = 100
_MEASURED_OR_FAILED: Json = [
    {"properties": {"repetitions": {"minItems": 1}}},
    {"properties": {"failed": {"type": "string"}}, "required": ["failed"]},
]


def result_schema() -> Schema:
    """Return the schema of what `result_file` reads."""
    found = schema_of(Result)
    top = found.pop(Result.__name__)
    found[Test.__name__]["anyOf"] = _MEASURED_OR_FAILED
    head: dict[str, Json] = {"schema": {"const": SCHEMA}, "schema_version": {"const": SCHEMA_VERSION}}
    required, properties = top["required"], top["properties"]
    assert isinstance(required, list)
    assert isinstance(properties, dict)
    return {
        "$schema": DIALECT,
        "title": f"{SCHEMA} version {SCHEMA_VERSION}",
        **top,
        "required": [*head, *required],
        "properties": {**head, **properties},
        "$defs": found,
    }


def schema_text() -> str:
    """Return it as the file docs/results.schema.json has it: a line a field."""
    return _text(result_schema(), 4, "") + "\n"


def _text(value: Json, levels: int, indent: str) -> str:
    """JSON whose upper levels have a line a key, where they are longer than a line."""
    flat = json.dumps(value)
    if not isinstance(value, dict) or levels == 0 or len(flat) < _LINE:
        return flat
    deeper = indent + "  "
    lines = [f"{deeper}{json.dumps(key)}: {_text(item, levels - 1, deeper)}" for key, item in value.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


if __name__ == "__main__":
    print(schema_text(), end="")
