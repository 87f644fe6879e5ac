"""The memory budget of a process with several models: shares taken, refused, given back."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_models import ExportModel

import edge_runtime
from edge_runtime.budget import Ledger, Share, ledger
from edge_runtime.errors import BudgetError, ConfigError
from edge_runtime.facts import memory_figures
from edge_runtime.plan import Placement
from edge_runtime.session import Model

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _nothing_loaded() -> Iterator[None]:
    """Models of other tests do not count."""
    ledger.forget()
    yield
    gc.collect()
    assert ledger.taken == 0


@pytest.fixture
def folder(export_model: ExportModel) -> Path:
    return export_model("demo_model", "lz4")


def share(weights: int, text: int, stated: int | None = None, key: str = "a") -> Share:
    return Share(Placement("0-9:resident", 0, weight_bytes=weights, text_bytes=text), stated, key)


def test_ledger_counts_weights_in_the_same_memory_once() -> None:
    shares = Ledger()
    first, second = share(100, 10), share(100, 20)
    shares.take(first, "a")
    shares.take(second, "a")
    shares.take(share(7, 1, key="b"), "b")
    assert shares.taken == 100 + 10 + 20 + 8
    shares.give_back(first)
    assert shares.taken == 100 + 20 + 8  # the second still has the weights
    shares.give_back(first)
    assert shares.taken == 100 + 20 + 8


def test_ledger_what_is_still_to_come_leaves_out_weights_that_are_there() -> None:
    shares = Ledger()
    first, second = share(100, 10), share(100, 20)
    shares.take(first, "a")
    shares.take(second, "a")
    assert (shares.promised, shares.to_come(second)) == (130, 120)
    first.begun = True
    assert (shares.promised, shares.to_come(second)) == (20, 20)


def test_ledger_smallest_budget_stated_holds_for_all() -> None:
    shares = Ledger()
    room = 50 * MIB
    shares.take(share(20 * MIB, 0, memory_figures().process_bytes + room), "first")
    shares.take(share(25 * MIB, 0, None, "b"), "second")
    with pytest.raises(BudgetError, match=r"third: needs 155 MB, but the memory budget is 153 MB; 47.2 MB of the need"):
        shares.take(share(6 * MIB, 0, 10 * room, "c"), "third")
    shares.take(share(5 * MIB, 0, None, "c"), "third")


def test_load_second_model_without_a_budget_keeps_that_of_the_first(export_model: ExportModel, folder: Path) -> None:
    first = edge_runtime.load(folder, memory_budget=500 * MIB)
    second = edge_runtime.load(export_model("demo_model", "stored"))
    assert second.placement is not None
    assert second.placement.plan is not None
    assert second.placement.plan.budget_bytes == 500 * MIB
    assert ids(first) == ids(second)
    assert memory_figures().process_bytes + ledger.taken <= 500 * MIB


def test_load_second_model_that_does_not_fit_is_refused_with_both_numbers(
    export_model: ExportModel, folder: Path
) -> None:
    first = edge_runtime.load(folder, memory_budget=115 * MIB)
    taken = ledger.taken
    for budget in (None, 900 * MIB):
        with pytest.raises(BudgetError, match=r"needs at least \d+ MB .* the budget is 120 MB.* loaded before"):
            edge_runtime.load(export_model("demo_model", "stored"), memory_budget=budget)
    assert ledger.taken == taken
    del first
    assert ids(edge_runtime.load(export_model("demo_model", "stored"), memory_budget=115 * MIB))


def test_load_smaller_budget_than_what_is_loaded_takes_is_refused(export_model: ExportModel, folder: Path) -> None:
    first = edge_runtime.load(folder)
    with pytest.raises(BudgetError, match=r"the budget is 113 MB.* MB of the need are the model loaded before: "):
        edge_runtime.load(export_model("demo_model", "stored"), memory_budget=108 * MIB)
    assert ids(first)


def test_load_same_file_again_shares_the_weights(folder: Path) -> None:
    first = edge_runtime.load(folder, memory_budget=300 * MIB)
    alone = ledger.taken
    second = edge_runtime.load(folder, context_length=64)
    assert first.placement is not None
    assert second.placement is not None
    assert ledger.taken - alone == second.placement.text_bytes < first.placement.text_bytes
    assert ids(first) == ids(second)
    stats = second.stats()
    assert stats is not None
    assert stats.transcoded_bytes == 0
    del first
    gc.collect()
    assert ledger.taken >= second.placement.weight_bytes > 0
    assert ids(second)


def test_load_fallback_counts_as_well(folder: Path) -> None:
    model = edge_runtime.load(folder, provider="cpu", memory_budget=300 * MIB)
    assert ledger.taken > (folder / "model.lpc").stat().st_size
    with pytest.raises(BudgetError, match=r"needs \d+ MB, but the memory budget is 104 MB; [\d.]+ MB of the need"):
        edge_runtime.load(folder, provider="cpu", memory_budget=100 * MIB)
    assert ids(model)


def test_load_that_fails_gives_its_share_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_runtime.session.open_session", _fails)
    with pytest.raises(edge_runtime.FormatError, match="on purpose"):
        edge_runtime.load(folder, memory_budget=300 * MIB)
    assert (ledger.taken, ledger.budget(None)) == (0, None)


def test_load_model_in_a_cycle_is_collected_before_another_is_refused(folder: Path) -> None:
    cycle: list[Any] = [edge_runtime.load(folder, memory_budget=120 * MIB)]
    cycle.append(cycle)
    del cycle
    gc.disable()
    try:
        assert ids(edge_runtime.load(folder, memory_budget=121 * MIB, transcode="off"))
    finally:
        gc.enable()


def test_load_from_many_threads_never_promises_more_than_the_budget(export_model: ExportModel, folder: Path) -> None:
    models: list[Model] = []
    refused: list[BudgetError] = []
    folders = folder, export_model("demo_model", "stored")

    def load(number: int) -> None:
        try:
            chosen, transcode = folders[number % 2], ("off", "hi3", "e3+3")[number % 3]
            models.append(edge_runtime.load(chosen, memory_budget=150 * MIB, transcode=transcode))
        except BudgetError as error:
            refused.append(error)

    threads = [threading.Thread(target=load, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(models) + len(refused) == 8
    assert models
    assert refused
    assert memory_figures().process_bytes + ledger.taken <= 150 * MIB


@pytest.mark.parametrize("budget", [0, -1, 1 << 63, float("nan"), 1e400, True])
def test_load_budget_that_is_no_number_of_bytes_is_an_error(folder: Path, budget: Any) -> None:
    with pytest.raises(ConfigError, match=r"memory_budget is .*; expected a number of bytes"):
        edge_runtime.load(folder, memory_budget=budget)


def test_load_budget_of_one_byte_says_the_smallest_that_works(folder: Path) -> None:
    with pytest.raises(BudgetError, match=r"needs at least \d+ MB .* the budget is 1 B"):
        edge_runtime.load(folder, memory_budget=1)


def _fails(*_: object) -> None:
    raise edge_runtime.FormatError("on purpose")


def ids(model: Model) -> list[int]:
    generation = model.generate("Once upon a time", max_new_tokens=5, greedy=True)
    for _ in generation:
        pass
    return list(generation.report.token_ids)
