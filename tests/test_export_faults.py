"""Exports killed, and disks full, at exact moments: nothing is lost. `make faults` tries far more of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from checkpoints import write_llama
from faults.harness import DEMO, LOSSLESS, LOSSY, Driver, Site, Way, compiled


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    folder = tmp_path_factory.mktemp("faults")
    shim = compiled(folder)
    if shim is None:
        pytest.skip("needs a C compiler")
    driver = Driver(shim, folder)
    yield driver
    driver.close()


def renames(site: Site) -> list[int]:
    return [index + 1 for index, name in enumerate(site.calls) if name == "rename"]


def test_export_killed_anywhere_goes_on_and_loses_nothing(driver: Driver, tmp_path: Path) -> None:
    site = Site(driver, write_llama(tmp_path / "model"), tmp_path / "site", Way(LOSSLESS, False))
    _, placed, _ = renames(site)  # the working folder's own name; OUT's; the name under which the rest is deleted
    assert site.kill(2) == "anew"
    assert site.kill(len(site.calls) // 2) == "resumed"
    assert site.kill(placed) == "resumed"
    assert site.kill(placed + 1) == "in its place"
    assert site.kill(len(site.calls)) == "in its place"


@pytest.mark.parametrize("without_exchange", [False, True], ids=["exchange", "two_renames"])
def test_forced_export_killed_at_its_renames_leaves_one_whole_folder(
    driver: Driver, tmp_path: Path, without_exchange: bool
) -> None:
    way = Way(LOSSLESS, True, without_exchange)
    site = Site(driver, write_llama(tmp_path / "model"), tmp_path / "site", way)
    _, *placed, _ = renames(site)
    assert site.kill(placed[0]) == "resumed"
    found = [site.kill(at + 1) for at in placed]
    assert found == (["between two renames", "in its place"] if without_exchange else ["in its place"])


def test_lossy_export_killed_or_on_a_full_disk_goes_on(driver: Driver, tmp_path: Path) -> None:
    site = Site(driver, DEMO, tmp_path / "site", Way(LOSSY, False))
    assert site.kill(len(site.calls) // 4) == "anew"  # its reference goes on
    assert site.kill(len(site.calls) * 7 // 8) == "resumed"
    assert site.fill(len(site.calls) * 3 // 4) == "resumed"


def test_export_on_a_disk_that_becomes_full_goes_on_when_there_is_room(driver: Driver, tmp_path: Path) -> None:
    site = Site(driver, write_llama(tmp_path / "model"), tmp_path / "site", Way(LOSSLESS, True))
    calls = len(site.calls)
    assert site.fill(1) == "anew"
    assert site.fill(calls // 3) == "resumed"
    assert site.fill(calls // 2, calls // 4) == "resumed"
    assert site.fill(renames(site)[1] - 2) == "resumed"
