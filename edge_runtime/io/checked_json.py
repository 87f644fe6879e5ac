"""JSON objects from files of others: fields are asked for with type and range, and errors name file and field."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edge_runtime.errors import FormatError
from edge_runtime.io.files import read_small_text
from edge_runtime.io.printable import printable

MOST_BYTES = 1 << 56
"""No size or offset that a file states is larger: 64 PiB."""
_LONGEST_NAME = 255  # bytes, of Linux's file systems
_SHOWN = 60  # characters of a wrong value
_KINDS: dict[type, str] = {
    int: "an integer", str: "a string", dict: "an object", list: "a list", bool: "true or false",
    float: "a number",
}  # fmt: skip

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class JsonObject:
    """A JSON object with its place, so that an error can name file and field."""

    file: Path
    field: str
    values: Mapping[str, Any]

    @classmethod
    def read(cls, file: Path) -> JsonObject:
        """Read a small regular file; FormatError if it holds anything but one JSON object."""
        try:
            values = json.loads(read_small_text(file), object_pairs_hook=_unique)
        except OSError as error:
            raise FormatError(f"{file}: {error.strerror}; copy the folder again", file=str(file)) from None
        except (ValueError, RecursionError) as error:
            what = "nested too deeply" if isinstance(error, RecursionError) else printable(str(error))
            raise FormatError(
                f"{file}: not readable as JSON ({what}); export the model again", file=str(file)
            ) from None
        if not isinstance(values, dict):
            raise FormatError(f"{file}: holds a JSON {type(values).__name__}; expected an object", file=str(file))
        return cls(file, "", values)

    def error(self, key: str, expected: str) -> FormatError:
        """Return the error that says what a field is and what was expected."""
        name = printable(self.field + key)
        got = _short(self.values[key]) if key in self.values else "nothing"
        return FormatError(f"{self.file}: {name} is {got}; expected {expected}", file=str(self.file), field=name)

    def get(self, key: str, kind: type[_Value]) -> _Value:
        """Return a field of this type; integers serve as float, true and false as nothing but bool."""
        value: Any = self.values.get(key)
        if kind is float and type(value) is int:
            value = float(value) if abs(value) <= MOST_BYTES else None
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(key, _KINDS[kind])
        return value

    def optional(self, key: str, kind: type[_Value]) -> _Value | None:
        """Return a field of this type; None where it is absent or null."""
        return None if self.values.get(key) is None else self.get(key, kind)

    def integer(self, key: str, least: int, most: int = MOST_BYTES) -> int:
        """Return an integer of this range, both ends included."""
        value = self.get(key, int)
        if not least <= value <= most:
            limit = f"{least} or more" if value < least else f"at most {most}"
            raise self.error(key, "an integer above 0" if value < least == 1 else f"an integer of {limit}")
        return value

    def positive(self, key: str, most: int = MOST_BYTES) -> int:
        """Return an integer from 1 to `most`."""
        return self.integer(key, 1, most)

    def natural(self, key: str, most: int = MOST_BYTES) -> int:
        """Return an integer from 0 to `most`."""
        return self.integer(key, 0, most)

    def object(self, key: str) -> JsonObject:
        """Return an object."""
        return JsonObject(self.file, f"{self.field}{key}.", self.get(key, dict))

    def objects(self, key: str) -> list[JsonObject]:
        """Return a list of objects."""
        entries = self.get(key, list)
        if not all(isinstance(entry, dict) for entry in entries):
            raise self.error(key, "a list of objects")
        return [JsonObject(self.file, f"{self.field}{key}[{index}].", entry) for index, entry in enumerate(entries)]

    def naturals(self, key: str) -> list[int]:
        """Return a list of integers from 0 on."""
        entries = self.get(key, list)
        if not all(type(entry) is int and 0 <= entry <= MOST_BYTES for entry in entries):
            raise self.error(key, "a list of integers of 0 or more")
        return entries

    def file_name(self, key: str) -> str:
        """Return the name of a file in the same folder."""
        value = self.get(key, str)
        if not is_file_name(value):
            raise self.error(key, "the name of a file in the same folder")
        return value


def is_file_name(text: str) -> bool:
    """Whether `text` names a file of a folder, not one elsewhere."""
    if text in ("", ".", "..") or set(text) & set("/\\\0"):
        return False
    try:
        return len(os.fsencode(text)) <= _LONGEST_NAME
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; ValueError for a key that is there twice, of which readers choose differently."""
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} is there twice")
    return values


def _short(value: Any) -> str:
    """A wrong value, as far as it fits a line; of a large one only its beginning is made."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    text = printable(repr(value[:8] if isinstance(value, list) else value))
    return text if len(text) <= _SHOWN else text[:_SHOWN] + ".."
