"""Records on a board that others may have written: what the client hears of them are texts and numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.remote.answers import Answer, Busy, Client
from edge_runtime.remote.board import jobs, place
from edge_runtime.remote.board.common import boot_id, this_process
from edge_runtime.remote.board.lock import _described
from edge_runtime.remote.tenure import client, who

ODD = [None, True, 7, 10**400, float("inf"), float("nan"), "x" * 5000, "\x1b[2J", [1], {"a": [None]}]


@pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("field", ["client", "token", "since", "boot", "who", "user", "pid", "start"])
def test_lock_record_of_others_is_an_owner_whatever_is_in_it(field: str, value: Any) -> None:
    me: dict[str, object] = {"who": "ada@desk", "user": "ada", "host": "desk", **this_process()}
    record: dict[str, object] = {"client": me, "token": "t", "since": 1.0, "boot": boot_id()}
    (record if field in record else me)[field] = value
    line = json.dumps({"error": "taken", "kind": "busy", "holder": {**_described(record), "holds": "run"}})
    assert len(line) < 4096
    holder = Answer("pi", json.loads(line)).read(Busy).holder
    assert who(holder).isprintable()
    assert holder.holds == "run"


def test_client_that_took_the_board_is_known_again() -> None:
    me = client()
    record: dict[str, object] = {"client": {**this_process(), "who": me.who, "user": me.user, "host": me.host}}
    answer = json.loads(json.dumps({"holder": _described(record)}))
    assert Answer("pi", answer).read(Busy).holder.client == me
    assert isinstance(me, Client)


@pytest.mark.parametrize("made", [None, 7, "models/m", {"paths": 5}, {"paths": {"a": 1}}, {"paths": [7, None]}, [1]])
def test_job_and_mark_of_others_name_paths_as_texts_or_none(tmp_path: Path, made: Any) -> None:
    job = tmp_path / "jobs/1"
    job.mkdir(parents=True)
    (job / "log").touch()
    (job / "made").write_text(json.dumps(made), encoding="ascii")
    (job / "started").write_text(json.dumps(made), encoding="ascii")
    (listed,) = jobs.listed(tmp_path)
    assert (listed["job"], listed["alive"]) == ("jobs/1", False)
    assert all(isinstance(name, str) for name in listed["made"])
    assert not jobs.stop(job)
    (tmp_path / "mark").write_text(json.dumps({"made": made}), encoding="ascii")
    assert place._noted(tmp_path, tmp_path / "mark") <= {str(tmp_path)}
