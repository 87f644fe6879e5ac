"""JSON Schema (draft 2020-12) of what `typed_json.read` accepts as a dataclass."""

from __future__ import annotations

import dataclasses
import types
from typing import Any, Literal, Union, get_args, get_origin

from edge_runtime.io.typed_json import FLAT, LARGEST_NUMBER, REST, Above, Json, Least, Record, entries, parts

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PLAIN = {str: "string", bool: "boolean", int: "integer", float: "number"}

Schema = dict[str, Json]


def schema_of(kind: type[Record]) -> dict[str, Schema]:
    """Return the schemas of a dataclass and of all that are in it, by name."""
    found: dict[str, Schema] = {}
    _define(kind, found)
    return found


def _define(kind: type[Record], found: dict[str, Schema]) -> None:
    if kind.__name__ in found:
        return
    found[kind.__name__] = {}
    properties, required = _properties(kind, found)
    text = " ".join((kind.__doc__ or "").split())
    found[kind.__name__] = {"type": "object", "description": text, "required": required, "properties": properties}


def _properties(kind: type[Record], found: dict[str, Schema]) -> tuple[dict[str, Json], list[str]]:
    """The schemas of a dataclass's fields by key, and which of them must be there."""
    properties: dict[str, Json] = {}
    required: list[str] = []
    for entry in entries(kind):
        if FLAT in entry.marks:
            more, needed = _properties(entry.kind, found)
            properties |= more
            required += needed
        elif REST not in entry.marks:
            schema = _schema(entry.kind, entry.marks, found)
            properties[entry.name] = _or_null(schema) if entry.optional else schema
            required += [] if entry.optional else [entry.name]
    return properties, required


def _or_null(schema: Schema) -> Schema:
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]} if "$ref" in schema else schema


def _schema(hint: Any, marks: tuple[Any, ...], found: dict[str, Schema]) -> Schema:
    """The schema of a field's type, and of what it is marked with."""
    schema = _of_type(hint, found)
    for mark in marks:
        if isinstance(mark, Least):
            schema = {**schema, "minimum": mark.value}
        elif isinstance(mark, Above):
            schema = {**schema, "exclusiveMinimum": mark.value}
    return schema


def _of_type(hint: Any, found: dict[str, Schema]) -> Schema:
    kind, marks = parts(hint)
    if marks:
        return _schema(kind, marks, found)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _or_null(_of_type(next(part for part in arguments if part is not types.NoneType), found))
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _of_type(arguments[0], found)}
    if origin is not None:
        inner = {} if arguments[1] is object else _or_null(_of_type(arguments[1], found))
        return {"type": "object", "additionalProperties": inner or True}
    if dataclasses.is_dataclass(kind):
        _define(kind, found)  # type: ignore[arg-type]
        return {"$ref": f"#/$defs/{kind.__name__}"}  # type: ignore[union-attr]
    return {} if kind is object else _of_plain(kind)


def _of_plain(kind: type) -> Schema:
    schema: Schema = {"type": _PLAIN[kind]}
    numeric = kind in (int, float)
    return {**schema, "exclusiveMinimum": -LARGEST_NUMBER, "exclusiveMaximum": LARGEST_NUMBER} if numeric else schema
