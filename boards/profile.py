"""Profiles: TOML files, checked against the schema, one a board. Every figure says unit, kind and source."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boards.schema import FIELDS, KINDS, MATCH_KEYS, PROPERTIES, SIZES, VERSION, Field

PROFILES = Path(__file__).parent / "profiles"


class ProfileError(Exception):
    """A profile that is missing or does not follow the schema; the message names file, field, got and expected."""


@dataclass(frozen=True)
class Figure:
    """One thing that is known. `unit` is None for text; `kind` is vendor, measured or derived.

    `details` are further properties, such as threads, method, block_bytes.
    """

    value: Any
    unit: str | None
    kind: str
    source: str
    note: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """A memory size in bytes."""
        return int(self.value * SIZES[self.unit or ""])

    @property
    def bytes_per_s(self) -> float:
        """A rate in GB/s, in bytes/s."""
        return float(self.value) * 1e9


@dataclass(frozen=True)
class Profile:
    """A board. `figures` maps a field such as "memory.capacity" to its figures; what is not known is not there."""

    id: str
    name: str
    soc: str | None
    notes: tuple[str, ...]
    match: Mapping[str, tuple[str, ...]]
    figures: Mapping[str, tuple[Figure, ...]]
    software: tuple[Mapping[str, Figure], ...]
    file: Path | None = None

    def all(self, name: str) -> tuple[Figure, ...]:
        """Every figure of a field; empty if unknown."""
        if name not in FIELDS:
            raise KeyError(name)
        return self.figures.get(name, ())

    def get(self, name: str) -> Figure | None:
        """The only, or first, figure of a field; None if unknown."""
        return next(iter(self.all(name)), None)

    def capacities(self) -> list[int]:
        """The memory sizes on sale, in bytes."""
        capacity = self.get("memory.capacity")
        if capacity is None:
            return []
        values = capacity.value if isinstance(capacity.value, list) else [capacity.value]
        # Makers' gigabytes of DRAM are powers of two.
        return [int(value * (1 << 30)) for value in values]


def names() -> list[str]:
    """Ids of the profiles that come with the package."""
    return sorted(file.stem for file in PROFILES.glob("*.toml"))


def load(name_or_path: str | Path) -> Profile:
    """Return the profile of that id, or in that file (a path, or anything that ends in .toml).

    Raises ProfileError if there is none, or if it does not follow the schema.
    """
    text = str(name_or_path)
    if "/" in text or text.endswith(".toml"):
        return read(Path(name_or_path))
    if text not in names():
        import difflib

        near = difflib.get_close_matches(text, names(), 1, 0.4)
        hint = f": did you mean {near[0]}?" if near else ";"
        raise ProfileError(
            f"no board {text!r}{hint} `lpc-board list` shows all; a file of your own is given by its path"
        )
    return read(PROFILES / f"{text}.toml")


def read(file: Path) -> Profile:
    """Return the profile in `file`; raises ProfileError."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{file}: cannot be read ({error})") from error
    toml = _toml()
    try:
        return parse(toml.loads(text), file)
    except toml.TOMLDecodeError as error:
        raise ProfileError(f"{file}: is not TOML: {error}") from error


def parse(values: Mapping[str, Any], file: Path | None = None) -> Profile:
    """Return the profile that these values, as TOML gives them, describe; raises ProfileError."""
    return _Parser(values, file).profile()


def _toml() -> Any:
    """tomllib, or its older self on Python 3.10."""
    try:
        return importlib.import_module("tomllib")
    except ModuleNotFoundError:
        return importlib.import_module("tomli")


class _Parser:
    """Checks everything before it takes anything."""

    def __init__(self, values: Mapping[str, Any], file: Path | None) -> None:
        self._values = values
        self._file = file

    def profile(self) -> Profile:
        values = dict(self._values)
        if values.pop("schema", None) != VERSION:
            raise self._error("schema", self._values.get("schema", "nothing"), str(VERSION))
        header = {key: values.pop(key, None) for key in ("id", "name", "soc", "notes", "match", "software")}
        for key in ("id", "name"):
            if not isinstance(header[key], str) or not header[key]:
                raise self._error(key, header[key], "a text")
        if header["soc"] is not None and not isinstance(header["soc"], str):
            raise self._error("soc", header["soc"], "a text")
        return Profile(
            id=header["id"],
            name=header["name"],
            soc=header["soc"],
            notes=self._texts("notes", header["notes"]),
            match=self._match(header["match"]),
            figures=dict(self._sections("", values)),
            software=tuple(self._software(header["software"])),
            file=self._file,
        )

    def _sections(self, prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Figure, ...]]]:
        for key, value in values.items():
            name = prefix + key
            if name in FIELDS:
                yield name, tuple(self._figures(name, value, FIELDS[name]))
            elif isinstance(value, dict) and any(known.startswith(name + ".") for known in FIELDS):
                yield from self._sections(name + ".", value)
            else:
                raise self._error(name, value, "a field that the schema knows (docs/boards.md)")

    def _figures(self, name: str, value: Any, of: Field) -> Iterator[Figure]:
        if not of.many:
            yield self._figure(name, value, of)
            return
        if not isinstance(value, list) or not value:
            raise self._error(name, value, "a list of figures; leave out what is unknown")
        for index, entry in enumerate(value):
            yield self._figure(f"{name}[{index}]", entry, of)

    def _figure(self, name: str, entry: Any, of: Field) -> Figure:
        if not isinstance(entry, dict) or "value" not in entry:
            raise self._error(name, entry, "{ value = ..., kind = ..., source = ... }")
        known = {"value", "kind", "source", "note", *of.required, *of.optional, *(["unit"] if of.units else [])}
        for key, value in entry.items():
            if key not in known:
                raise self._error(f"{name}.{key}", value, f"one of {', '.join(sorted(known))}")
            if key != "value" and type(value) is not PROPERTIES[key]:
                raise self._error(f"{name}.{key}", value, PROPERTIES[key].__name__)
        for key in ("kind", "source", *of.required, *(["unit"] if of.units else [])):
            if entry.get(key) in (None, ""):
                raise self._error(f"{name}.{key}", entry.get(key), "to be there: every figure says where it is from")
        if entry["kind"] not in KINDS:
            raise self._error(f"{name}.kind", entry["kind"], f"one of {', '.join(KINDS)}")
        if of.units and entry["unit"] not in of.units:
            raise self._error(f"{name}.unit", entry["unit"], " or ".join(of.units))
        self._check_value(name, entry["value"], of)
        rest = {key: entry[key] for key in (*of.required, *of.optional) if key in entry}
        return Figure(entry["value"], entry.get("unit"), entry["kind"], entry["source"], entry.get("note"), rest)

    def _check_value(self, name: str, value: Any, of: Field) -> None:
        values = value if of.list_value and isinstance(value, list) else [value]
        if not values:
            raise self._error(name, value, "at least one value; leave out what is unknown")
        for one in values:
            if of.type == "flag":
                right, expected = isinstance(one, bool), "true or false"
            elif of.type == "text":
                right, expected = isinstance(one, str) and one != "", "a text"
            else:
                number = isinstance(one, int if of.integer else (int, float)) and not isinstance(one, bool)
                right = number and 0 < one < float("inf")
                expected = "a count above 0" if of.integer else "a number above 0; leave out what is unknown"
            if not right:
                raise self._error(f"{name}.value", one, expected)

    def _software(self, entries: Any) -> Iterator[Mapping[str, Figure]]:
        if entries is None:
            return
        if not isinstance(entries, list):
            raise self._error("software", entries, "a list of tables, [[software]]")
        for index, entry in enumerate(entries):
            if not isinstance(entry, dict):
                raise self._error(f"software[{index}]", entry, "a table")
            for key in entry:
                if f"software.{key}" not in FIELDS:
                    raise self._error(f"software[{index}].{key}", entry[key], "a field that the schema knows")
            yield {
                key: self._figure(f"software[{index}].{key}", value, FIELDS[f"software.{key}"])
                for key, value in entry.items()
            }

    def _match(self, value: Any) -> dict[str, tuple[str, ...]]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self._error("match", value, "a table")
        for key in value:
            if key not in MATCH_KEYS:
                raise self._error(f"match.{key}", value[key], f"one of {', '.join(MATCH_KEYS)}")
        return {key: self._texts(f"match.{key}", texts) for key, texts in value.items()}

    def _texts(self, name: str, value: Any) -> tuple[str, ...]:
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
            raise self._error(name, value, "a list of texts")
        return tuple(value)

    def _error(self, name: str, got: Any, expected: str) -> ProfileError:
        where = f"{self._file}: " if self._file else ""
        return ProfileError(f"{where}{name}: got {got!r}, expected {expected}")
