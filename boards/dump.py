"""A profile as TOML text, for `lpc-board measure --save`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from boards.profile import Figure, Profile
from boards.schema import FIELDS, VERSION


def to_toml(profile: Profile) -> str:
    """Return the file that `boards.load` reads back as an equal profile."""
    head = [f"schema = {VERSION}", f"id = {_value(profile.id)}", f"name = {_value(profile.name)}"]
    if profile.soc:
        head.append(f"soc = {_value(profile.soc)}")
    if profile.notes:
        head += ["notes = [", *(f"  {_value(note)}," for note in profile.notes), "]"]
    parts = ["\n".join(head)]
    if profile.match:
        parts.append("\n".join(["[match]", *(f"{key} = {_value(list(v))}" for key, v in profile.match.items())]))
    parts += [_section(name, fields) for name, fields in _sections(profile.figures).items()]
    parts += ["\n".join(["[[software]]", *_software_lines(entry)]) for entry in profile.software]
    return "\n\n".join(parts) + "\n"


def _sections(figures: Mapping[str, tuple[Figure, ...]]) -> dict[str, dict[str, tuple[Figure, ...]]]:
    """Figures by section, in the schema's order."""
    sections: dict[str, dict[str, tuple[Figure, ...]]] = {}
    for name in FIELDS:
        if name in figures:
            section, _, key = name.rpartition(".")
            sections.setdefault(section, {})[key] = figures[name]
    return sections


def _section(name: str, fields: Mapping[str, tuple[Figure, ...]]) -> str:
    lines = [f"[{name}]"]
    for key, figures in fields.items():
        if FIELDS[f"{name}.{key}"].many:
            lines += [f"{key} = [", *(f"  {_figure(figure)}," for figure in figures), "]"]
        else:
            lines.append(f"{key} = {_figure(figures[0])}")
    return "\n".join(lines)


def _software_lines(entry: Mapping[str, Figure]) -> list[str]:
    return [f"{key} = {_figure(figure)}" for key, figure in entry.items()]


def _figure(figure: Figure) -> str:
    values = {
        "value": figure.value,
        "unit": figure.unit,
        **figure.details,
        "kind": figure.kind,
        "source": figure.source,
        "note": figure.note,
    }
    return "{ " + ", ".join(f"{key} = {_value(value)}" for key, value in values.items() if value is not None) + " }"


def _value(value: Any) -> str:
    """TOML of a value. A JSON string is a TOML string; so are numbers and booleans as JSON writes them."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
