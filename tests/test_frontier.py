"""The frontier: candidates really exported and measured, the best for a speed, and what is said when none is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from real_models import ROOT

from edge_runtime.codec import partial_fraction
from edge_runtime.errors import ExportError
from edge_runtime.plan import Figures, Rate
from exporters import frontier
from exporters.commands.export import command
from exporters.commands.lossy_options import seconds_of
from exporters.commands.tools import tools
from exporters.export import ExportOptions
from exporters.frontier import Board, Candidate, Point
from exporters.package.codec_choice import CodecChoice
from exporters.partial import fraction_for
from exporters.transforms.options import LossyOptions
from exporters.transforms.prune import Pruning

DEMO = ROOT / "examples" / "demo_model"


def point(name: str, bits: float, seconds: float | None, kl: float) -> Point:
    return Point(name, bits, int(bits * 1e6), seconds, kl, kl, 1 - kl)


def test_frontier_measures_every_candidate_and_leaves_nothing_behind(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text((DEMO / "held_out.txt").read_text(encoding="utf-8")[:6000], encoding="utf-8")
    base = LossyOptions(calibration=text, compensate=False)
    int8 = replace(base, quantize=True)
    chosen = [
        Candidate("stored", CodecChoice("stored")),
        Candidate("ans", CodecChoice("ans")),
        Candidate("int8 ans", CodecChoice("ans"), int8),
        Candidate("half bitmap", CodecChoice("bitmap"), replace(base, pruning=Pruning(0.5))),
        Candidate("out of reach", CodecChoice("ans"), replace(int8, target_bits=0.01)),
    ]
    slow = Figures.assumed("slow", 1, bus=Rate(1e6))
    said: list[str] = []
    found = frontier.frontier(DEMO, tmp_path, base, Board(slow, 300 << 20), ExportOptions(), chosen, say=said.append)
    points = {entry.name: entry for _, entry in found}
    assert list(points) == ["stored", "ans", "int8 ans", "half bitmap"]
    assert "cannot be reached" in said[-1]
    assert points["ans"].bits_per_weight < points["stored"].bits_per_weight == pytest.approx(16, abs=0.1)
    assert points["ans"].kl == 0 < points["int8 ans"].kl < points["half bitmap"].kl
    assert not points["stored"].best
    assert points["ans"].best
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.txt"]
    plot = frontier.picture([entry for _, entry in found], "demo")
    assert plot.count("<circle") == 4
    assert json.loads(json.dumps(frontier.as_dict([entry for _, entry in found])))["points"][1]["name"] == "ans"


def test_fastest_enough_takes_the_least_loss_and_names_the_nearest() -> None:
    found = [
        (Candidate("a", CodecChoice("ans")), point("a", 10.7, 3.0, 0.0)),
        (Candidate("b", CodecChoice("ans")), point("b", 8.0, 2.0, 0.001)),
        (Candidate("c", CodecChoice("ans")), point("c", 5.0, 1.0, 0.1)),
        (Candidate("d", CodecChoice("ans")), point("d", 1.0, None, 5.0)),
    ]
    assert frontier.fastest_enough(found, 3.5)[1].name == "a"
    assert frontier.fastest_enough(found, 2.0)[1].name == "b"
    with pytest.raises(ExportError, match=r"0\.5 s/token cannot be reached on this board: the nearest is 1 s/token, c"):
        frontier.fastest_enough(found, 0.5)
    with pytest.raises(ExportError, match="fits the board's memory"):
        frontier.fastest_enough(found[3:], 9.0)


def test_undominated_points_are_marked() -> None:
    points = [point("a", 8, 2, 0.1), point("b", 8, 2, 0.2), point("c", 4, 1, 0.5), point("d", 8, 2, 0.1)]
    assert frontier._undominated(points) == {"a", "c", "d"}


@pytest.mark.parametrize(("text", "seconds"), [("2 s/token", 2.0), ("0.5 tokens/s", 2.0)])
def test_target_is_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["2", "fast", "0 s/token", "-1 s/token", "2 tokens", "nan s/token"])
def test_target_of_another_form_is_a_usage_error(text: str) -> None:
    result = CliRunner().invoke(command, [str(DEMO), "--plan-for", "raspberry-pi-5", "--target", text])
    assert result.exit_code == 2
    assert "--target is" in result.output


def test_plan_for_without_target_is_a_usage_error() -> None:
    result = CliRunner().invoke(command, [str(DEMO), "--plan-for", "raspberry-pi-5"])
    assert result.exit_code == 2
    assert "go together" in result.output


def test_frontier_of_an_unknown_board_is_an_error() -> None:
    result = CliRunner().invoke(tools, ["frontier", str(DEMO), "--plan-for", "no-such-board"])
    assert result.exit_code == 1
    assert "no-such-board" in str(result.exception)


def test_partial_auto_follows_bus_and_decoder() -> None:
    slow_bus = Figures("board", 1, Rate(8e9), Rate(1e8), {"ans": Rate(1e9)})
    slow_decoder = Figures("board", 1, Rate(8e9), Rate(2e9), {"ans": Rate(1e9)})
    assert fraction_for(DEMO, CodecChoice("ans"), slow_bus) == 1
    fraction = fraction_for(DEMO, CodecChoice("ans"), slow_decoder)
    # Decoding or copying (assumed: half of what memory reads), and then the product, which reads memory.
    decode, copy = 1 / (1 / 1e9 + 1 / 8e9), 1 / (1 / 4e9 + 1 / 8e9)
    low, high = sorted(partial_fraction(2e9, decode, ratio, copy) for ratio in (0.6, 0.72))
    assert 0 < low < fraction < high < 1


def test_partial_auto_needs_a_board_and_a_codec() -> None:
    for arguments in (["--partial", "auto"], ["--partial", "auto", "--board", "raspberry-pi-5"], ["--board", "x"]):
        result = CliRunner().invoke(command, [str(DEMO), *arguments])
        assert result.exit_code == 2
        assert "go together" in result.output
    assert CliRunner().invoke(command, [str(DEMO), "--partial", "1.5"]).exit_code == 2


def test_partial_auto_for_a_board_says_what_it_chose(tmp_path: Path) -> None:
    arguments = ["--codec", "ans", "--partial", "auto", "--board", "raspberry-pi-5", "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(command, [str(DEMO), *arguments])
    assert result.exit_code == 0, result.output
    assert "of each weight is compressed: raspberry-pi-5 reads" in result.output
