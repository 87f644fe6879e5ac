"""Dataclasses as JSON: what is required, what may be missing, what is kept, and errors that name the place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest

from edge_runtime.errors import FormatError, RemoteError
from edge_runtime.io.typed_json import FLAT, KEPT, REST, Above, Expected, Json, Least, read, write
from edge_runtime.remote.answers import Answer, Begun, Holder, KnownJob, LeftBehind, Log


@dataclass(frozen=True)
class Inner:
    name: str
    size: Annotated[int, Least(1)] = 1


@dataclass(frozen=True)
class Times:
    began: float | None = None
    ended: Annotated[float | None, KEPT] = None


@dataclass(frozen=True)
class Outer:
    kind: Literal["a", "b"]
    rate: Annotated[float, Expected("a rate above 0"), Above(0)]
    inner: tuple[Inner, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    anything: Mapping[str, Json] = field(default_factory=dict)
    times: Annotated[Times, FLAT] = field(default_factory=Times)
    other: Annotated[Mapping[str, Json], REST] = field(default_factory=dict)


LEAST = {"kind": "a", "rate": 2}


def test_read_least_takes_defaults_and_write_leaves_them_out() -> None:
    found = read(Outer, LEAST, "file")
    assert found == Outer("a", 2)
    assert write(found) == {"kind": "a", "rate": 2, "ended": None}


def test_read_everything_is_written_again_the_same() -> None:
    value = {
        "kind": "b", "rate": 0.5, "inner": [{"name": "x", "size": 7}, {"name": "y"}], "counts": {"n": 3},
        "anything": {"null": None, "deep": [{"er": 1}]}, "began": 1.5, "ended": None, "unknown": [None, "kept"],
    }  # fmt: skip
    found = read(Outer, value, "file")
    assert found.inner == (Inner("x", 7), Inner("y"))
    assert found.times == Times(1.5)
    assert found.other == {"unknown": [None, "kept"]}
    assert write(found) == value


def test_read_null_is_not_known_where_a_field_has_a_default() -> None:
    value = {**LEAST, "inner": None, "counts": {"n": None, "m": 1}, "began": None}
    assert read(Outer, value, "file") == Outer("a", 2, counts={"m": 1})


def test_read_whole_floats_are_integers_as_json_has_it() -> None:
    size = read(Inner, {"name": "x", "size": 2.0}, "file").size
    assert (size, type(size)) == (2, int)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], r"file: is \[\]; expected an object"),
        ({}, "file: kind is None; expected a string"),
        ({"kind": "a"}, "file: rate is None; expected a rate above 0"),
        ({**LEAST, "kind": 5}, "file: kind is 5; expected a string"),
        ({**LEAST, "kind": "c"}, "file: kind is 'c'; expected one of a, b"),
        ({**LEAST, "rate": 0}, "file: rate is 0; expected a rate above 0"),
        ({**LEAST, "rate": float("nan")}, "file: rate is nan; expected a rate above 0"),
        ({**LEAST, "rate": True}, "file: rate is True; expected a rate above 0"),
        ({**LEAST, "inner": {}}, "file: inner is {}; expected a list"),
        ({**LEAST, "inner": [{"name": "x"}, 3]}, r"file: inner\[1\] is 3; expected an object"),
        ({**LEAST, "inner": [{"name": "x", "size": 0}]}, r"file: inner\[0\].size is 0; expected 1 or more"),
        ({**LEAST, "inner": [{"name": "x", "size": 1.5}]}, r"file: inner\[0\].size is 1.5; expected an integer"),
        ({**LEAST, "inner": [{"name": "x", "size": 10**400}]}, r"inner\[0\].size is 1000.*; expected an integer"),
        ({**LEAST, "counts": {"a\x1b": "7"}}, r"file: counts.a\\x1b is '7'; expected an integer"),
        ({**LEAST, "ended": "now"}, "file: ended is 'now'; expected a number"),
        ({**LEAST, "anything": "x" * 500}, "file: anything is 'xxx.*; expected an object"),
    ],
)
def test_read_wrong_value_is_named_in_a_short_line(value: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        read(Outer, value, "file")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200
    assert caught.value.file == "file"


def test_answer_of_a_board_is_a_type() -> None:
    values: dict[str, Json] = {
        "base": "/b", "complete": ["models/m"], "models": {"models/m": 5}, "inherited": [],
        "jobs": [{"job": "jobs/1", "alive": True, "made": ["models/m"]}],
    }  # fmt: skip
    begun = Answer("pi", values).read(Begun)
    assert begun.jobs == (KnownJob(job="jobs/1", alive=True, made=("models/m",)),)
    assert begun.models == {"models/m": 5}


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Begun, {"base": 5}, "base is 5; expected a string"),
        (Begun, {"base": "/b", "complete": "all"}, "complete is 'all'; expected a list"),
        (Log, {"log": "x", "offset": "0"}, "offset is '0'; expected an integer"),
        (Log, {"log": None}, "log is None; expected a string"),
        (LeftBehind, {"left": [["\x1b[2J"]]}, "left[0] is ["),
        (Holder, {"who": "me", "client": {"pid": 10**40}}, "client.pid is 1000"),
        (Holder, {"age_s": float("inf")}, "age_s is inf; expected a number"),
    ],
)
def test_answer_that_makes_no_sense_is_refused_in_a_line(kind: Any, values: dict[str, Json], message: str) -> None:
    with pytest.raises(RemoteError) as caught:
        Answer("pi", values).read(kind)
    line = str(caught.value)
    assert line.startswith("pi: the board's answer makes no sense (")
    assert message in line
    assert line.isprintable()
    assert len(line) < 300
