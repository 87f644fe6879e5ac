"""Frozen dataclasses as JSON: each value is checked against its field's type when read, and written under its name.

A field without a default must be there. One that has a default is that where the key is missing or null, and is not
written while it is that, unless it is KEPT. Other keys are kept in the field marked REST, or ignored without one.
"""

from __future__ import annotations

import dataclasses
import functools
import reprlib
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    Protocol,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from edge_runtime.errors import FormatError
from edge_runtime.io.printable import printable

if TYPE_CHECKING:
    Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
else:
    Json = object  # what the types of fields are read as

KEPT = "kept"
"""Written even while it is its default."""
FLAT = "flat"
"""A dataclass whose fields stand among those of the one around it."""
REST = "rest"
"""A mapping that holds the keys which no field has, so that what newer versions write is not lost."""

LARGEST_NUMBER = 1e30
_LONGEST_SHOWN = 80  # characters of a wrong value


@dataclass(frozen=True)
class Expected:
    """What a message says was expected, instead of the type."""

    text: str


@dataclass(frozen=True)
class Least:
    """The smallest number that is right."""

    value: int


@dataclass(frozen=True)
class Above:
    """A number that all right ones are larger than."""

    value: int


class Record(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


@dataclass(frozen=True)
class Entry:
    """One field of a dataclass: its type, what it is marked with, and whether it may be missing."""

    name: str
    kind: Any
    marks: tuple[Any, ...]
    optional: bool
    default: Any


_Record = TypeVar("_Record", bound=Record)
_Reader = Callable[[Any], Any]
_NAMES = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}


class WrongValue(Exception):  # noqa: N818 (becomes a FormatError once the file is known)
    """A value that is not of its type; `field` grows on its way up."""

    def __init__(self, got: object, expected: str) -> None:
        super().__init__(expected)
        self.got = got
        self.expected = expected
        self.field = ""

    def at(self, step: str) -> WrongValue:
        """Say in which field or item it is."""
        self.field = step + self.field
        return self

    def error(self, file: str) -> FormatError:
        """Return the error that names file and field."""
        field = printable(self.field.removeprefix("."))
        message = f"{file}: {f'{field} ' if field else ''}is {shown(self.got)}; expected {self.expected}"
        return FormatError(message, file=file, field=field)


def shown(value: object) -> str:
    """Return a wrong value, as far as it fits a line."""
    text = printable(reprlib.repr(value))
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + ".."


def read(kind: type[_Record], value: Json, file: str) -> _Record:
    """Return the dataclass that a JSON value holds; FormatError naming `file` and field if it does not."""
    try:
        found: _Record = _of_class(kind)(value)
    except WrongValue as wrong:
        raise wrong.error(file) from None
    return found


def write(record: Record) -> dict[str, Json]:
    """Return a dataclass as a JSON object, in the order of its fields."""
    found: dict[str, Json] = {}
    for entry in entries(type(record)):
        value = getattr(record, entry.name)
        if FLAT in entry.marks:
            found |= write(value)
        elif REST in entry.marks:
            found |= {name: rest for name, rest in value.items() if name not in found}
        elif not entry.optional or KEPT in entry.marks or value != entry.default:
            found[entry.name] = _written(value)
    return found


def _written(value: Any) -> Json:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return write(value)
    if isinstance(value, Mapping):
        return {name: _written(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_written(item) for item in value]
    plain: Json = value
    return plain


@functools.cache
def entries(kind: type[Record]) -> tuple[Entry, ...]:
    """Return the fields of a dataclass, those marked REST at the end."""
    hints = get_type_hints(kind, include_extras=True)
    found = [_entry(field, hints[field.name]) for field in dataclasses.fields(kind)]
    return tuple(sorted(found, key=lambda entry: REST in entry.marks))


def _entry(field: dataclasses.Field[Any], hint: Any) -> Entry:
    kind, marks = parts(hint)
    default: Any = None
    if field.default is not dataclasses.MISSING:
        default = field.default
    elif field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
    return Entry(field.name, kind, marks, optional, default)


def parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return a type, and what it is annotated with."""
    if get_origin(hint) is Annotated:
        kind, *marks = get_args(hint)
        return kind, tuple(marks)
    return hint, ()


def keys(kind: type[Record]) -> Iterator[str]:
    """Yield the keys that a dataclass's fields have."""
    for entry in entries(kind):
        if FLAT in entry.marks:
            yield from keys(entry.kind)
        elif REST not in entry.marks:
            yield entry.name


@functools.cache
def _of_class(kind: type[Record]) -> _Reader:
    known = frozenset(keys(kind))
    flat = [(entry.name, _of_class(entry.kind)) for entry in entries(kind) if FLAT in entry.marks]
    rest = [entry.name for entry in entries(kind) if REST in entry.marks]
    plain = [(entry, _marked(entry.kind, entry.marks)) for entry in entries(kind) if not {FLAT, REST} & {*entry.marks}]

    def of_object(value: Any) -> Any:
        if not isinstance(value, dict):
            raise WrongValue(value, "an object")
        found = {name: reader(value) for name, reader in flat}
        for entry, reader in plain:
            item = value.get(entry.name)
            if item is None and entry.optional:
                continue
            try:
                found[entry.name] = reader(item)
            except WrongValue as wrong:
                raise wrong.at(f".{entry.name}") from None
        found |= {name: {key: item for key, item in value.items() if key not in known} for name in rest}
        return kind(**found)

    return of_object


def _marked(kind: Any, marks: tuple[Any, ...]) -> _Reader:
    """A reader of a type that obeys its marks."""
    reader = _reader(kind)
    said = next((mark.text for mark in marks if isinstance(mark, Expected)), None)
    least = next((mark.value for mark in marks if isinstance(mark, Least)), None)
    above = next((mark.value for mark in marks if isinstance(mark, Above)), None)
    if said is None and least is None and above is None:
        return reader

    def of_marked(value: Any) -> Any:
        try:
            found = reader(value)
        except WrongValue as wrong:
            raise WrongValue(wrong.got, said or wrong.expected) from None
        if least is not None and found < least:
            raise WrongValue(value, said or f"{least} or more")
        if above is not None and found <= above:
            raise WrongValue(value, said or f"a number above {above}")
        return found

    return of_marked


def _reader(hint: Any) -> _Reader:
    kind, marks = parts(hint)
    origin, arguments = get_origin(kind), get_args(kind)
    if marks:
        return _marked(kind, marks)
    if origin in (Union, types.UnionType):
        return _or_none(_reader(next(part for part in arguments if part is not types.NoneType)))
    if origin is Literal:
        return functools.partial(_of_choice, arguments)
    if origin is tuple:
        return functools.partial(_of_list, _reader(arguments[0]))
    if origin is not None:
        return functools.partial(_of_mapping, None if arguments[1] is object else _reader(arguments[1]))
    if dataclasses.is_dataclass(kind):
        return _of_class(kind)  # type: ignore[arg-type]
    return (lambda value: value) if kind is object else functools.partial(_of_plain, kind)


def _or_none(reader: _Reader) -> _Reader:
    return lambda value: None if value is None else reader(value)


def _of_plain(kind: type, value: Any) -> Any:
    """A string, true or false, or a number that can be computed with; 2.0 is an integer in JSON, and 2 a number."""
    found = type(value)
    right = found is kind
    if kind in (int, float):
        right = found in (int, float) and -LARGEST_NUMBER < value < LARGEST_NUMBER
        right = right and (kind is float or int(value) == value)
    if not right:
        raise WrongValue(value, _NAMES[kind])
    return int(value) if kind is int else value


def _of_choice(choices: tuple[str, ...], value: Any) -> Any:
    if _of_plain(str, value) not in choices:
        raise WrongValue(value, f"one of {', '.join(choices)}")
    return value


def _of_list(reader: _Reader, value: Any) -> Any:
    if not isinstance(value, list):
        raise WrongValue(value, "a list")
    found = []
    for item in value:
        try:
            found.append(reader(item))
        except WrongValue as wrong:
            raise wrong.at(f"[{len(found)}]") from None
    return tuple(found)


def _of_mapping(reader: _Reader | None, value: Any) -> Any:
    """An object whose values are of one type, those left out that are null; without a reader as it is."""
    if not isinstance(value, dict):
        raise WrongValue(value, "an object")
    if reader is None:
        return value
    found: dict[str, Any] = {}
    for name, item in value.items():
        try:
            found |= {} if item is None else {name: reader(item)}
        except WrongValue as wrong:
            raise wrong.at(f".{name}") from None
    return found
