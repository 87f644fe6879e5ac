"""Sessions without options: the provider decides where weights live, as a plan would, within what is free."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import numpy as np
import plan_models
import pytest
from numpy.typing import NDArray
from pages import blocks
from real_models import ROOT, ExportModel, RunPython, golden
from small_models import Session, SmallModel, open_session, random_weight

import edge_runtime
from edge_runtime import native
from edge_runtime.bench.control_group import ControlGroup, GroupUnavailableError
from edge_runtime.facts import memory_figures
from edge_runtime.package import Package
from edge_runtime.plan import Plan, parse_provider_option, plan_for
from edge_runtime.plan.model import ModelShape

MIB = 1 << 20
LAYERS, WIDTH = 9, 512
THREADS = 2
FIGURES = memory_figures()
STAGING_BYTES = (THREADS + FIGURES.read_ahead_threads) * FIGURES.read_buffer_bytes
BESIDE_BYTES = FIGURES.process_bytes + FIGURES.text_bytes + STAGING_BYTES


def chain(folder: Path, codec_name: str = "lz4", dtype: str = "bf16", width: int = WIDTH) -> Path:
    """x -> products in a row, one a layer; the layers' sizes differ."""
    model = SmallModel(folder)
    value = "x"
    for i in range(LAYERS):
        weight = random_weight((width, width), dtype, seed=i) * 10
        name = model.weight(
            f"w{i}", weight, token=value, layer=i + 1, transpose=True, segment_bytes=65536, codec_name=codec_name
        )
        value = model.node("MatMul", [value, name], "y" if i == LAYERS - 1 else f"h{i}")
    return model.save({"x": ["m", width]}, {"y": ["m", width]})


def inputs(width: int = WIDTH) -> NDArray[np.float32]:
    return np.random.default_rng(3).normal(0, 1, (2, width)).astype(np.float32)


def automatic(path: Path | str, **options: str) -> Session:
    return open_session(Path(path), residence="auto", decode_threads=str(THREADS), **options)


def chosen(session: Session) -> str:
    return native.session_residence(session.session_id)


def session_of(folder: Path, budget: int) -> Session:
    return automatic(folder / "model.onnx", memory_budget_bytes=str(budget))


@pytest.fixture(scope="module")
def lz4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chain(tmp_path_factory.mktemp("lz4"))


@pytest.mark.parametrize(
    ("codec_name", "dtype", "state"),
    [
        ("lz4", "bf16", "transcoded"),
        ("stored", "bf16", "transcoded"),
        ("packed:e2+3", "bf16", "transcoded"),
        ("lz4", "fp16", "decoded"),
        ("stored", "fp32", "decoded"),
    ],
)
def test_session_without_options_keeps_everything_in_its_quickest_form(
    tmp_path: Path, codec_name: str, dtype: str, state: str
) -> None:
    path = chain(tmp_path, codec_name, dtype, 128)
    streamed = open_session(path)
    session = automatic(path)
    x = inputs(128)
    expected = streamed.run(x=x)[0]
    assert chosen(session) == ""  # decided at the first run
    for _ in range(3):
        assert session.run(x=x)[0].tobytes() == expected.tobytes()
    assert chosen(session) == f"1-{LAYERS}:{state}"
    assert session.stats.bytes_read < 1.3 * (tmp_path / "model.lpc").stat().st_size
    assert session.stats.ring_bytes == 0


@pytest.mark.parametrize("codec", ["lz4", "ans", "stored"])
def test_choice_within_a_budget_is_the_plans_or_follows_the_order_of_use(export_model: ExportModel, codec: str) -> None:
    folder = export_model("demo_model", codec)
    shape = ModelShape.of(Package.open(folder))
    whole = sum(kept_bytes(shape).values())
    seen = set()
    for share in (0.0, 0.2, 0.45, 0.7, 0.95, 1.0, 1.5):
        room = ring_bytes(shape) + int(whole * share) if share < 1 else int(whole * share)
        found = parse_provider_option(run_once(folder, BESIDE_BYTES + room))
        plan = planned(folder, shape, room)
        assert found == in_order_of_use(shape, room)
        streamed = streamed_bytes(shape, found)
        if streamed == 0:
            assert found == {index: state for index, state in enumerate(plan.states) if index > 0}
        # The one rule by which the two may differ: the plan knows the machine's speeds and may spread what it streams,
        # or keep it as it is stored; without them it is the order of use. The plan never streams more.
        assert streamed_bytes(shape, dict(enumerate(plan.states))) <= streamed
        seen.add(streamed > 0)
    assert seen == {True, False}


def test_choice_of_the_library_is_that_of_load_where_everything_fits(export_model: ExportModel) -> None:
    for codec in ("lz4", "packed:e3+3"):
        folder = export_model("demo_model", codec)
        with edge_runtime.load(folder) as model:
            assert model.placement is not None
            mine = set(parse_provider_option(run_once(folder, 0)).values())
            assert mine == set(parse_provider_option(model.placement.residence).values())


def kept_bytes(shape: ModelShape) -> dict[int, int]:
    return {x.index: -(-x.transcoded // 4096) * 4096 for x in shape.layers if not x.on_demand and x.transcoded}


def ring_bytes(shape: ModelShape) -> int:
    return 3 * (max(max(t.stored, t.decoded) for layer in shape.layers for t in layer.tensors) + (16 << 10))


def in_order_of_use(shape: ModelShape, room: int) -> dict[int, str]:
    """The rule in Python: all of it, or the first layers that fit beside the ring."""
    kept = kept_bytes(shape)
    left = room if sum(kept.values()) <= room else room - ring_bytes(shape)
    states = {}
    for index, size in kept.items():
        left -= size
        states[index] = "transcoded" if left >= 0 else "streamed"
    return states


def streamed_bytes(shape: ModelShape, states: dict[int, str]) -> int:
    return sum(layer.stored for layer in shape.layers if states.get(layer.index) == "streamed")


def planned(folder: Path, shape: ModelShape, room: int) -> Plan:
    """The plan for the same room for weights and ring; it counts a text's memory, the library leaves a sum for it."""
    text = shape.text_bytes(shape.context_length, "fp32", 512)
    budget = BESIDE_BYTES - FIGURES.text_bytes + text + room
    return plan_for(Package.open(folder), plan_models.figures(), budget, prefill_chunk=512)


def run_once(folder: Path, budget: int) -> str:
    """Choose for a budget; an exported model is run for one token."""
    session = session_of(folder, budget)
    session.run(**feeds_of([1]), **empty_caches(session.ort))
    return chosen(session)


def feeds_of(ids: list[int]) -> dict[str, NDArray[Any]]:
    """Inputs of an exported model for a text without a past."""
    count = np.arange(len(ids))[None]
    return {"input_ids": np.array([ids]), "attention_mask": np.ones_like(count), "position_ids": count}


def empty_caches(session: Any) -> dict[str, NDArray[Any]]:
    caches = [value for value in session.get_inputs() if value.name.startswith("past_key_values.")]
    return {value.name: np.zeros((1, value.shape[1], 0, value.shape[3]), np.float32) for value in caches}


def test_two_sessions_on_one_file_share_one_choice_and_its_memory(lz4: Path) -> None:
    first, second = automatic(lz4), automatic(lz4, memory_budget_bytes=str(BESIDE_BYTES + 3 * MIB))
    expected = first.run(x=inputs())[0].tobytes()
    read = first.stats.bytes_read
    for session in (second, first, second):
        assert session.run(x=inputs())[0].tobytes() == expected
    assert chosen(first) == chosen(second) == f"1-{LAYERS}:transcoded"
    assert (first.stats.bytes_read, second.stats.bytes_read) == (read, 0)


def test_second_session_has_what_the_first_one_left_of_the_budget(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = LAYERS * WIDTH * WIDTH * 2
    budget = str(FIGURES.process_bytes + 2 * (BESIDE_BYTES - FIGURES.process_bytes) + whole + whole // 3)
    first = automatic(chain(tmp_path / "a"), memory_budget_bytes=budget)
    second = automatic(chain(tmp_path / "b"), memory_budget_bytes=budget)
    outputs = {session.run(x=inputs())[0].tobytes() for session in (first, second, first, second)}
    assert len(outputs) == 1
    assert "streamed" not in chosen(first)
    assert "transcoded" in chosen(second)
    assert "streamed" in chosen(second)
    del first
    gc.collect()
    third = automatic(tmp_path / "a" / "model.onnx", memory_budget_bytes=budget)
    third.run(x=inputs())
    assert "streamed" not in chosen(third)  # what the first one had is free again
    del second, third
    gc.collect()
    fourth = automatic(tmp_path / "b" / "model.onnx", memory_budget_bytes=budget)
    fourth.run(x=inputs())
    assert "streamed" not in chosen(fourth)


def test_budget_that_is_too_small_says_what_is_needed_and_that_is_enough(lz4: Path) -> None:
    with pytest.raises(
        Exception, match=r"memory_budget_bytes: got 1000, expected at least \d+ for these weights"
    ) as error:
        automatic(lz4, memory_budget_bytes="1000").run(x=inputs())
    needed = str(error.value).partition("at least ")[2].split()[0]
    session = automatic(lz4, memory_budget_bytes=needed)
    assert session.run(x=inputs())[0].tobytes() == open_session(lz4).run(x=inputs())[0].tobytes()
    assert chosen(session) == f"1-{LAYERS}:streamed"


SMALL_MACHINE = """
import resource, sys
sys.path.insert(0, "tests")
from test_provider_auto import automatic, chosen, inputs

session, more = automatic(sys.argv[1]), int(sys.argv[2])
if more:
    mapped = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + more, resource.getrlimit(resource.RLIMIT_AS)[1]))
session.run(x=inputs())
print(chosen(session))
"""


BESIDE_EACH_OTHER = """
import resource, sys, threading, time
sys.path.insert(0, "tests")
from test_provider_auto import MIB, automatic, chosen, inputs

first = automatic(sys.argv[1], bus_limit_bytes_per_s="1500000")
second, third = automatic(sys.argv[2]), automatic(sys.argv[3])
mapped = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
more = int(sys.argv[4]) + 256 * MIB + 150 * MIB
resource.setrlimit(resource.RLIMIT_AS, (mapped + more, resource.getrlimit(resource.RLIMIT_AS)[1]))
running = threading.Thread(target=first.run, kwargs={"x": inputs()})
running.start()
while not chosen(first):
    time.sleep(0.001)
second.run(x=inputs())
assert first.stats.runs == 0, "the first session was too quick"
running.join()
third.run(x=inputs())
print(chosen(first), chosen(second), chosen(third))
"""


def test_memory_that_a_session_is_still_filling_is_not_free_for_another(tmp_path: Path, run_python: RunPython) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
    paths = [str(chain(tmp_path / name)) for name in "abc"]
    done = run_python(BESIDE_EACH_OTHER, *paths, str(BESIDE_BYTES), env={"MALLOC_ARENA_MAX": "1"})
    kept, streamed = f"1-{LAYERS}:transcoded", f"1-{LAYERS}:streamed"
    assert (done.returncode, done.stdout) == (0, f"{kept} {streamed} {kept}\n"), done.stderr


def test_limit_of_the_address_space_counts(lz4: Path, run_python: RunPython) -> None:
    done = run_python(SMALL_MACHINE, str(lz4), str(500 * MIB))
    assert (done.returncode, done.stdout) == (0, f"1-{LAYERS}:streamed\n"), done.stderr


def test_limit_of_a_control_group_counts(lz4: Path) -> None:
    command = [sys.executable, "-c", SMALL_MACHINE, str(lz4), "0"]
    try:
        with ControlGroup(memory_bytes=300_000_000) as group:
            done = group.run(command, cwd=ROOT)
            kills = group.out_of_memory_kills
    except GroupUnavailableError as error:
        pytest.skip(str(error))
    assert (done.returncode, done.stdout, kills) == (0, f"1-{LAYERS}:streamed\n", 0), done.stderr


def test_readme_lines_for_onnxruntime_give_the_recorded_tokens(export_model: ExportModel, tmp_path: Path) -> None:
    (block,) = [block for block in blocks(ROOT / "README.md", "python") if "InferenceSession" in block.text]
    (tmp_path / "out").mkdir()
    (tmp_path / "out/demo").symlink_to(export_model("demo_model", "lz4"))
    assert "{}" in block.text  # no options
    names: dict[str, Any] = {}
    exec(block.text.replace('"out/', f'"{tmp_path}/out/'), names)
    session = names["session"]
    record = golden("demo_model")[0]
    ids, caches = list(record["prompt_ids"]), empty_caches(session)
    for expected in record["greedy_ids"][:8]:
        logits = session.run(["logits"], {**feeds_of(ids), **caches})[0]
        assert int(logits[0, -1].argmax()) == expected
        ids.append(expected)


def test_child_of_fork_decides_for_itself(lz4: Path, run_python: RunPython) -> None:
    code = f"""
import os, sys
sys.path.insert(0, "tests")
from test_provider_auto import automatic, chosen, inputs
from pathlib import Path
path = Path({str(lz4)!r})
first = automatic(path)
first.run(x=inputs())
pid = os.fork()
if pid == 0:
    session = automatic(path)
    session.run(x=inputs())
    print(chosen(session), flush=True)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
print(chosen(first))
"""
    done = run_python(code)
    assert (done.returncode, done.stdout) == (0, f"1-{LAYERS}:transcoded\n" * 2), done.stderr
