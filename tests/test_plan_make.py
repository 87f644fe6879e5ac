"""Plans for whole models: verdicts, memory, predictions, and what the execution provider is told."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from plan_models import MIB, Sizes, figures, write_package
from real_models import ExportModel

from edge_runtime.errors import BudgetError, ConfigError
from edge_runtime.package import Package
from edge_runtime.plan import Figures, Plan, Rate, parse_provider_option, plan_for, table
from edge_runtime.plan.model import PRODUCT_SECONDS
from edge_runtime.plan.pipeline import Step, token_seconds


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """A model with the shape of TinyLlama-1.1B."""
    return write_package(tmp_path_factory.mktemp("plan") / "tiny")


def plan(package: Package, mib: int, figures_: Figures | None = None, context: int = 2048, chunk: int = 64) -> Plan:
    return plan_for(package, figures_ or figures(), mib * MIB, context_length=context, prefill_chunk=chunk)


def test_plan_large_budget_fits_decoded(package: Package) -> None:
    made = plan(package, 4096)
    assert made.verdict == "fits"
    assert set(made.states[1:]) == {"decoded"}
    assert made.states[0] == "on_demand"
    assert made.ring_bytes == 0
    assert made.bytes_per_token == 256 << 10  # the embedding's segment


def test_plan_medium_budget_fits_compressed(package: Package) -> None:
    made = plan(package, 2000, figures(bus=Rate(0.01e9)))  # too slow to hide behind compute
    assert made.verdict == "fits"
    assert "resident" in made.states
    assert made.ring_bytes >= 3 * (16 << 20)


def test_plan_bf16_in_another_codec_is_transcoded_where_it_stays(tmp_path: Path) -> None:
    sizes = Sizes(dtype="bf16", codec="ans", ratio=0.66)
    package = write_package(tmp_path / "bf16", sizes)
    made = plan(package, 4096)
    assert set(made.states[1:]) == {"transcoded"}
    weights = sum(layer.decoded_bytes for layer in made.layers[1:])
    assert weights * 12.5 / 16 <= made.memory.transcoded < weights * 12.6 / 16
    assert (made.memory.decoded, made.memory.resident, made.ring_bytes) == (0, 0, 0)
    assert ":transcoded" in made.provider_option()
    off = plan_for(package, figures(), 4096 * MIB, context_length=2048, prefill_chunk=64, transcode=False)
    assert set(off.states[1:]) == {"decoded"}
    assert made.seconds_per_token < off.seconds_per_token
    streams = plan(package, 1350)
    assert {"transcoded", "streamed"} <= set(streams.states)
    assert streams.peak_bytes <= streams.budget_bytes


@pytest.mark.parametrize(("codec", "direct"), [("packed", False), ("bitmap", True)])
def test_plan_what_is_computed_from_as_stored_is_not_transcoded(tmp_path: Path, codec: str, direct: bool) -> None:
    made = plan(write_package(tmp_path / codec, Sizes(dtype="bf16", codec=codec, direct=direct)), 4096)
    assert set(made.states[1:]) == {"resident"}


def test_plan_weights_stored_as_they_are_may_take_as_much_transcoded(tmp_path: Path) -> None:
    made = plan(write_package(tmp_path / "stored", Sizes(dtype="bf16", codec="stored", ratio=1.0)), 4096)
    assert set(made.states[1:]) == {"transcoded"}
    assert made.memory.transcoded >= sum(layer.decoded_bytes for layer in made.layers[1:])


def test_plan_small_budget_streams(package: Package) -> None:
    made = plan(package, 700)
    assert made.verdict == "streams"
    streamed = [layer for layer in made.layers if layer.state == "streamed"]
    assert made.bytes_per_token == sum(layer.bytes for layer in streamed) + (256 << 10)
    assert made.bus_seconds == pytest.approx(made.bytes_per_token / 1e9)
    assert made.peak_bytes <= made.budget_bytes
    assert made.seconds_per_token >= made.bound_seconds
    assert "streams at" in made.headline()


def test_plan_memory_counts_every_part(package: Package) -> None:
    made = plan(package, 700, context=1000)
    kept = {state: [x for x in made.layers if x.state == state] for state in ("decoded", "resident")}
    memory = made.memory
    assert memory.kv_cache == 2 * 22 * 256 * 1000 * 4
    assert memory.decoded == sum(layer.decoded_bytes for layer in kept["decoded"])
    assert memory.resident == pytest.approx(sum(layer.bytes for layer in kept["resident"]), abs=4096 * 25)
    assert memory.activations >= 4 * 64 * (32000 + 32 * 1000)
    assert min(memory.ring, memory.staging, memory.process, memory.on_demand) > 0
    assert made.peak_bytes == sum(memory.as_dict().values())


@pytest.mark.parametrize("dtype", [("fp32", 4), ("fp16", 2), ("int8", 1)])
def test_plan_kv_dtype_sets_the_cache(package: Package, dtype: tuple[str, int]) -> None:
    made = plan_for(package, figures(), 4 << 30, context_length=512, kv_dtype=dtype[0])
    assert made.memory.kv_cache == 2 * 22 * 256 * 512 * dtype[1]


def test_plan_impossible_names_the_smallest_budget_that_works(package: Package) -> None:
    made = plan(package, 250)
    assert made.verdict == "impossible"
    with pytest.raises(BudgetError, match="needs at least"):
        made.require()
    again = plan_for(package, figures(), made.needed_bytes, context_length=2048, prefill_chunk=64)
    assert again.verdict == "streams"
    assert again.peak_bytes == made.needed_bytes
    assert plan_for(package, figures(), made.needed_bytes - 1, context_length=2048, prefill_chunk=64).verdict == (
        "impossible"
    )


def test_plan_largest_context_is_exact(package: Package) -> None:
    made = plan(package, 270)
    assert made.verdict == "impossible"
    assert 0 < made.largest_context < 2048
    assert plan(package, 270, context=made.largest_context).verdict == "streams"
    assert plan(package, 270, context=made.largest_context + 1).verdict == "impossible"


def test_plan_hopeless_budget_has_no_context(package: Package) -> None:
    made = plan(package, 50)
    assert made.largest_context == 0
    assert "no context is short enough" in made.headline()


def test_plan_prediction_never_falls_as_the_budget_grows(package: Package) -> None:
    for bus in (0.2e9, 2e9):
        made = [plan(package, mib, figures(bus=Rate(bus))) for mib in range(400, 2600, 300)]
        assert made[0].verdict == "streams"
        assert made[-1].verdict == "fits"
        for slower, faster in itertools.pairwise(made):
            assert faster.bound_seconds <= slower.bound_seconds * 1.005  # what a placement may give away
            assert faster.seconds_per_token <= slower.seconds_per_token * 1.03


def test_plan_spreads_streamed_layers_evenly(package: Package) -> None:
    made = plan(package, 1000, figures(bus=Rate(1.5e9), dram=Rate(8e9)))
    streamed = [layer.index for layer in made.layers if layer.state == "streamed"]
    gaps = [b - a for a, b in itertools.pairwise(streamed)]
    assert len(streamed) > 4
    assert max(gaps) - min(gaps) <= 1


def test_plan_provider_option_round_trips(package: Package) -> None:
    made = plan(package, 700)
    text = made.provider_option()
    assert text.startswith("0:on_demand,1")
    assert " " not in text
    assert list(parse_provider_option(text).items()) == list(enumerate(made.states))


def test_plan_tensor_states_are_those_of_their_layers(package: Package) -> None:
    made = plan(package, 700)
    entries = package.manifest["tensors"]
    assert len(made.tensor_states) == len(entries)
    assert list(made.tensor_states) == [made.states[entry["layer"]] for entry in entries]


def test_plan_tied_head_has_its_own_state_and_gives_it_to_the_shared_blob(tmp_path: Path) -> None:
    made = plan(write_package(tmp_path, Sizes(tied=True)), 4096)
    assert made.states[0] == "on_demand"
    assert made.layers[-1].bytes == made.layers[0].bytes
    assert made.tensor_states[0] == made.states[-1] == "decoded"


@pytest.mark.parametrize("sizes", [Sizes(codec="packed"), Sizes(codec="bitmap", direct=True)])
def test_plan_direct_codec_stays_compressed_without_a_ring(tmp_path: Path, sizes: Sizes) -> None:
    made = plan(write_package(tmp_path, sizes), 4096)
    assert set(made.states[1:]) == {"resident"}
    assert made.ring_bytes == 0
    stored = sum(layer.bytes for layer in made.layers[1:])
    assert made.compute_seconds == pytest.approx(stored / 20e9 + PRODUCT_SECONDS * 155)


def test_plan_prefill_chunk_is_large_only_where_memory_is(package: Package) -> None:
    small, large = (plan_for(package, figures(), mib * MIB) for mib in (500, 4096))
    assert small.prefill_chunk < large.prefill_chunk == 512
    assert small.memory.activations < large.memory.activations
    least = plan_for(package, figures(), small.needed_bytes)
    assert (least.verdict, least.prefill_chunk) == ("streams", 16)


def test_plan_smaller_bits_are_faster_at_the_same_budget(tmp_path: Path) -> None:
    slow = plan(write_package(tmp_path / "stored", Sizes(codec="stored", ratio=1.0001)), 700)
    fast = plan(write_package(tmp_path / "lz4", Sizes(ratio=0.72)), 700)
    assert slow.seconds_per_token / fast.seconds_per_token > 1 / 0.72


def test_plan_unknown_codec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="codec is 'zip'"):
        plan(write_package(tmp_path, Sizes(codec="zip")), 700)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"context_length": 0}, "context_length is 0"),
        ({"context_length": 4096}, "this model's limit"),
        ({"kv_dtype": "fp8"}, "kv_dtype is 'fp8'"),
        ({"prefill_chunk": 0}, "prefill_chunk is 0"),
    ],
)
def test_plan_argument_out_of_range_is_refused(package: Package, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_for(package, figures(), 1 << 30, **arguments)  # type: ignore[arg-type]


def test_plan_json_is_complete_and_serialisable(package: Package) -> None:
    made = plan(package, 700)
    values = json.loads(json.dumps(made.as_dict()))
    assert values["verdict"] == "streams"
    assert values["peak_bytes"] == sum(values["memory"].values())
    assert values["figures"]["bus"]["gb_per_s"] == 1.0
    assert [layer["state"] for layer in values["layers"]] == list(made.states)


def test_plan_table_names_verdict_parts_and_guesses(package: Package) -> None:
    made = plan_for(package, Figures.assumed("somewhere", 4), 700 * MIB)
    text = table(made)
    for word in ("streams at", "KV cache (2048 tokens, fp32)", "peak", "budget", "assumed", "lpc-board measure"):
        assert word in text
    assert "assumed" not in table(plan(package, 700))


def test_plan_of_a_real_export_fits(export_model: ExportModel) -> None:
    package = Package.open(export_model("demo_model", "lz4"))
    made = plan_for(package, figures(), 512 * MIB)
    assert made.verdict == "fits"
    assert len(made.states) == len(package.layers)
    assert sum(layer.decoded_bytes for layer in made.layers[1:-1]) == sum(
        layer.decoded_bytes for layer in package.layers[1:-1]
    )


def test_pipeline_with_room_reaches_the_larger_of_bus_and_compute() -> None:
    steps = [Step(0.1, 10, 0.05) for _ in range(10)]
    assert token_seconds(steps, 1000) == pytest.approx(1.0)
    assert token_seconds([replace(step, compute_seconds=0.3) for step in steps], 1000) == pytest.approx(3.0)


def test_pipeline_with_room_for_one_blob_cannot_overlap() -> None:
    steps = [Step(0.1, 10, 0.05) for _ in range(10)]
    assert token_seconds(steps, 10) == pytest.approx(1.5)


def test_pipeline_contiguous_resident_layers_leave_the_bus_idle() -> None:
    streamed, kept = Step(0.1, 10, 0.05), Step(0.0, 0, 0.15)
    apart = token_seconds([streamed, kept] * 8, 20)
    together = token_seconds([streamed] * 8 + [kept] * 8, 20)
    assert together > apart * 1.1
