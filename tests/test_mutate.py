"""The harness of `make mutate` finds planted faults; and a short run of every kind of it."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mutate import gguf_, json_, kinds
from mutate.cases import Case, Step, planned, smallest

pytest.importorskip("asyncssh")
TESTS = Path(__file__).parent
COUNTS = {"package": 60, "checkpoint": 12, "gguf": 12, "onnx": 8, "board": 2}
BASES = "lz4,ans,int8,demo,llama,F16,matmul,gather,ssh"
FAILURES = {
    "traceback": "ended by status 70: KeyError: 'bool'",
    "recursion": "ended by status 70: RecursionError",
    "unexpected": "said 'unexpected;'",
    "crash": "ended by signal 11: planted.py",
    "abort": "ended by signal 6: child.py",
    "hang": "did not end in time: planted.py",
    "memory": "took ",
    "address_space": "ended by status 70: MemoryError",
    "large_file": "ended by status 70: OSError: [Errno 27]",
    "overlong_line": "a line of 1507 characters",
    "escape": "a control character is shown",
    "two_lines": "exit code 1 and 2 lines",
    "no_line": "exit code 1 and 0 lines",
    "foreign_line": "does not begin with prog",
    "other_status": "ended by status 3",
    "answer_and_failure": "but stdout has 'a token",
}
ALLOWED = {"fine": "same", "refused": "refused", "warned_and_refused": "refused", "usage": "usage"}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    done = run("mutate.planted", tmp_path_factory.mktemp("planted"))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", FAILURES)
def test_harness_planted_fault_is_a_failure(planted: Any, name: str) -> None:
    outcome, reason = planted["judged"][name]
    assert (outcome, FAILURES[name] in reason) == ("failed", True), reason


@pytest.mark.parametrize("name", ALLOWED)
def test_harness_allowed_end_is_no_failure(planted: Any, name: str) -> None:
    assert planted["judged"][name][0] == ALLOWED[name]


def test_harness_other_tokens_without_a_word_are_a_failure(planted: Any) -> None:
    found = planted["packages"]
    assert found["edited"] == ["warned", ""]
    assert found["sealed_anew"] == ["other", ""]
    assert found["unchecked"][0] == "failed"
    assert found["unchecked"][1].startswith("other tokens without a word: ")


def test_harness_failure_is_counted_and_its_smallest_input_kept(planted: Any) -> None:
    found = planted["counted"]
    assert found["outcomes"]["failed"] == found["failures"] > 2
    assert sum(found["outcomes"].values()) == 30
    assert list(found["kept"].values()) == [["b", True]] * 2  # one for each of the two jobs


def test_case_follows_from_seed_and_number_alone() -> None:
    for make in kinds.KINDS.values():
        kind = make(())
        cases = [planned(kind, 1, number) for number in range(200)]
        assert cases == [planned(make(()), 1, number) for number in range(200)]
        assert cases != [planned(kind, 2, number) for number in range(200)]
        assert {case.sealed_anew for case in cases} == {True, False}
        assert len({case.steps[0].mutator for case in cases}) > len(kind.mutators) // 2


def test_smallest_drops_every_step_that_the_failure_does_not_need() -> None:
    steps = tuple(Step(name, 0) for name in "abcd")
    case = Case("kind", 1, 1, "base", steps, False, "run")
    names = [step.mutator for step in smallest(make_kind(), case, lambda other: needs(other, "bd")).steps]
    assert names == ["b", "d"]


def make_kind() -> Any:
    return kinds.KINDS["gguf"](())


def needs(case: Case, names: str) -> bool:
    return set(names) <= {step.mutator for step in case.steps}


def test_json_mutations_change_the_text_and_repeat() -> None:
    values = {"a": [1, 2.5, "x", None, True], "b": {"c": {}}}
    texts = [json_.mutated(values, random.Random(seed))[0] for seed in range(100)]
    assert texts == [json_.mutated(values, random.Random(seed))[0] for seed in range(100)]
    assert sum(text == json.dumps(values) for text in texts) < 10
    assert values == {"a": [1, 2.5, "x", None, True], "b": {"c": {}}}


def test_gguf_reading_of_the_harness_gives_back_what_was_written(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    from test_gguf_source import write_gguf

    data = write_gguf(tmp_path / "model.gguf", "BF16").read_bytes()
    assert gguf_.build(gguf_.parse(data)) == data


def test_mutate_short_run_ends_in_allowed_outcomes_only(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    counts = [word for name, count in COUNTS.items() for word in (f"--{name}", count)]
    done = run("mutate", "--seed", 15, "--jobs", 2, "--bases", BASES, "--keep", tmp_path / "kept", *counts)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(r"^(\w+): (\d+) of (\d+) in ", done.stdout, re.MULTILINE)
    assert found == [(name, str(count), str(count)) for name, count in COUNTS.items()]
    assert "failed" not in done.stdout
