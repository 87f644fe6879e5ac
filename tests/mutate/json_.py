"""Mutations of JSON files: values, keys and structure."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mutate.bytes_ import content
from mutate.cases import NotApplicable

_DEEP = 100_000
VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 3, 7, 1.5, -0.0, 1e308, -1e308, 1e-320, float("nan"), float("inf"), float("-inf"),
    1 << 31, (1 << 31) - 1, 1 << 32, 1 << 53, (1 << 63) - 1, 1 << 63, 1 << 64, -(1 << 63), 10**30, 10**4000, 10**5000,
    "", "a", "..", "/etc/passwd", "../model.lpc", "model.lpc", "x" * 70_000, "\x1b[31mred\n\x07", "\ud800", "\0",
    "\u202e", "1", "true", "lz4", "<s>", [], {}, [[]], [None], [1, "2", {}], {"": {}}, {"a": [0] * 3000}, [0] * 70_000,
)  # fmt: skip


class _Raw:
    """JSON text to stand in a value's place as it is."""

    def __init__(self, text: str) -> None:
        self.text = text


RAW = (
    "[" * _DEEP + "]" * _DEEP, '{"a":' * _DEEP + "1" + "}" * _DEEP, "[" * _DEEP, "1" * 400_000, "-", "01", "1e99999",
    "1e400", '"\\ud800"', '"\\u0000"', "NaN", "'single'", "tru", "", "{,}", "/* */ 1",
)  # fmt: skip


def on_json(*names: str) -> Callable[[Path, random.Random], str]:
    """A mutator of one of these JSON files; `*` at the end of a name stands for any ending."""

    def mutator(folder: Path, rng: random.Random) -> str:
        files = sorted({file for name in names for file in folder.glob(name)})
        if not files:
            raise NotApplicable
        file = rng.choice(files)
        try:
            values = json.loads(content(file))
        except (ValueError, RecursionError):
            raise NotApplicable from None
        changed, what = mutated(values, rng)
        file.write_text(changed, encoding="utf-8", errors="surrogatepass")
        return f"{file.name}: {what}"

    return mutator


def mutated(values: Any, rng: random.Random) -> tuple[str, str]:
    """Return the JSON text of `values` with one change, and what was changed."""
    values = copy.deepcopy(values)
    places = list(_places(values, ()))
    if not places:
        return rng.choice(RAW), "all of it replaced"
    depth = rng.choice((1, 1, 2, 3, 9))  # large files have most of their values deep inside
    parent, key, path = rng.choice([place for place in places if len(place[2]) <= depth] or places)
    what = _changed(parent, key, rng)
    try:
        return _text(values, rng), f"{'.'.join(path)[:120]} {what}"
    except (RecursionError, ValueError):
        raise NotApplicable from None


def _changed(parent: Any, key: Any, rng: random.Random) -> str:
    """Change one member of an object or a list."""
    way = rng.choice(("value", "value", "value", "raw", "near", "near", "gone", "renamed", "swapped", "doubled"))
    old = parent[key]
    if way == "gone":
        del parent[key]
    elif way == "raw":
        parent[key] = _Raw(rng.choice(RAW))
    elif way == "near":
        parent[key] = _near(old, rng)
    elif way == "renamed" and isinstance(parent, dict):
        parent[rng.choice(("", "x", str(key).upper(), f"{key} ", "\x1b[2J"))] = parent.pop(key)
    elif way == "swapped":
        other = rng.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
        parent[key], parent[other] = parent[other], parent[key]
    elif way == "doubled" and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(old))
    else:
        parent[key] = rng.choice(VALUES)
    return way


def _near(old: Any, rng: random.Random) -> Any:
    """A value like the old one."""
    if isinstance(old, bool):
        return rng.choice((not old, int(old), str(old)))
    if isinstance(old, int):
        return rng.choice((old + 1, old - 1, -old, old * 2, old // 2, float(old), str(old), old << 20, [old], old + 64))
    if isinstance(old, float):
        return rng.choice((-old, old * 2, int(old), str(old), old * 1e10))
    if isinstance(old, str):
        return rng.choice((old + "x", old[1:], old.upper(), old + "\n", old * 2, [old], old[::-1]))
    if isinstance(old, list):
        return rng.choice((old * 2, old[1:], old[::-1], {"0": old}, [old]))
    return rng.choice((list(old) if old else [], [old], {"x": old}, 1))


def _places(value: Any, path: tuple[str, ...]) -> Iterator[tuple[Any, Any, tuple[str, ...]]]:
    """Every member of every object and list, with its path."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield value, key, (*path, str(key))
        yield from _places(member, (*path, str(key)))


def _text(values: Any, rng: random.Random) -> str:
    """JSON text, now and then with a key twice or something after it."""
    raw: list[str] = []

    def default(value: Any) -> str:
        raw.append(value.text)
        return f"\0raw{len(raw) - 1}\0"

    import sys

    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        text = json.dumps(values, default=default, ensure_ascii=rng.random() < 0.5)
    finally:
        sys.set_int_max_str_digits(before)
    for index, piece in enumerate(raw):
        text = text.replace(f'"\\u0000raw{index}\\u0000"', piece)
    if rng.random() < 0.03:
        text = text.replace("{", rng.choice(('{"a": 1, "a": 2, ', "{{", "{ , ")), 1)
    return text + rng.choice(("",) * 30 + ("}", "\n\n", "\0", "{}"))
