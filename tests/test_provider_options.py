"""The provider's options: every one is on a page, and one that is not known is refused with those that are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from real_models import ROOT
from small_models import SmallModel, open_session, random_weight

from edge_runtime import native

PAGE = ROOT / "docs" / "provider_options.md"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = SmallModel(tmp_path_factory.mktemp("model"))
    made.node("MatMul", ["x", made.weight("w", random_weight((16, 8), "bf16"), token="x")], "y")
    return made.save({"x": [2, 16]}, {"y": [2, 8]})


def texts() -> list[tuple[str, str, str, str]]:
    options = native.provider_options()
    return [tuple(getattr(o, f).decode() for f in ("name", "values", "default_value", "meaning")) for o in options]  # type: ignore[misc]


def test_options_page_lists_every_option_with_values_default_and_meaning() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    expected = [
        f"| `{name}` | {values} | {f'`{default}`' if default else 'empty'} | {meaning} |"
        for name, values, default, meaning in texts()
    ]
    assert rows == expected


@pytest.mark.parametrize("unknown", ["residense", "Residence", "threads", "session_id ", "ring-bytes"])
def test_unknown_option_is_an_error_that_lists_the_known_ones(model: Path, unknown: str) -> None:
    names = ", ".join(name for name, *_ in texts())
    expected = f"provider option {unknown}: is not known; known options are {names}"
    with pytest.raises(Exception, match="provider option") as caught:
        open_session(model, **{unknown: "1"})
    assert expected in str(caught.value)


def test_defaults_given_by_name_are_taken(model: Path) -> None:
    defaults = {name: default for name, _, default, _ in texts() if name != "session_id"}
    session = open_session(model, **defaults)
    assert session.run(x=np.ones((2, 16), np.float32))[0].shape == (2, 8)
    assert native.session_residence(session.session_id) == "0:transcoded"


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("residence", "everything", "expected auto, STATE, LAYER:STATE or FIRST-LAST:STATE"),
        ("residence", "auto,3:decoded", "got 'auto', expected auto, STATE"),
        ("residence", "3-1:decoded", "got '3-1:decoded'"),
        ("memory_budget_bytes", "700MB", "got '700MB', expected a whole number"),
        ("memory_budget_bytes", "-1", "got '-1', expected a whole number"),
        ("memory_budget_bytes", "1000000", "got 1000000, expected at least"),
        ("transcode_layout", "hi5", "expected auto, e2+3, hi4p, hi3 or e3+3"),
    ],
)
def test_option_value_that_is_none_says_what_is_expected(model: Path, option: str, value: str, expected: str) -> None:
    with pytest.raises(Exception, match="provider option") as caught:
        run(model, option, value)
    assert f"provider option {option}: " in str(caught.value)
    assert expected in str(caught.value)


def run(model: Path, option: str, value: str) -> None:
    open_session(model, **{"residence": "auto", option: value}).run(x=np.ones((2, 16), np.float32))


def test_budget_beside_a_residence_is_refused_as_nothing_would_heed_it(model: Path) -> None:
    with pytest.raises(Exception, match="memory_budget_bytes: got '700000000', expected 0 with a residence"):
        open_session(model, residence="decoded", memory_budget_bytes="700000000")


def test_description_beyond_the_last_option_or_of_another_size_is_an_error() -> None:
    count = len(texts())
    assert count == len({name for name, *_ in texts()}) > 5
    info = native.OptionInfo(struct_bytes=8)
    assert native.library().lpc_describe_option(0, info) == 10  # LPC_INVALID_ARGUMENT
    info.struct_bytes = 40
    assert native.library().lpc_describe_option(count, info) == native.LPC_NOT_FOUND


def test_residence_of_a_session_that_is_not_known_is_an_error() -> None:
    with pytest.raises(native.LpcError, match="no session named 'nobody'"):
        native.session_residence("nobody")
