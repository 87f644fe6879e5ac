"""What a generation promises: where it ends, what it reports, several at once, cancelled, refused."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from checkpoints import unseal
from real_models import ExportModel, golden

from edge_runtime import get_ep_name, get_library_path, register
from edge_runtime.errors import ConfigError, FormatError, RuntimeUnavailableError
from edge_runtime.provider import check_version
from edge_runtime.session import Model, load

RECORDS = golden("demo_model")
PROMPT = RECORDS[0]["prompt"]
GREEDY = RECORDS[0]["greedy_ids"]


@pytest.fixture(scope="module")
def model(export_model: ExportModel) -> Model:
    return load(export_model("demo_model", "lz4"))


def run(model: Model, prompt: Any = PROMPT, **options: Any) -> list[int]:
    generation = model.generate(prompt, **{"greedy": True, "max_new_tokens": len(GREEDY), **options})
    list(generation)
    return list(generation.report.token_ids)


def test_generate_pieces_carry_tokens_and_text(model: Model) -> None:
    generation = model.generate(PROMPT, max_new_tokens=len(GREEDY), greedy=True)
    pieces = list(generation)
    assert [piece.token_id for piece in pieces if piece.token_id is not None] == GREEDY
    assert PROMPT + "".join(piece.text for piece in pieces) == RECORDS[0]["text"]


def test_generate_report_grows_and_ends(model: Model) -> None:
    generation = model.generate(PROMPT, max_new_tokens=3, greedy=True)
    assert generation.report.prompt_tokens_per_s is None
    next(generation)
    report = generation.report
    assert (len(report.token_ids), report.finish_reason, report.generation_tokens_per_s) == (1, None, None)
    assert len(list(generation)) == 2
    report = generation.report
    assert (report.finish_reason, report.prompt_tokens, report.steps) == ("length", len(RECORDS[0]["prompt_ids"]), 2)
    assert report.prompt_tokens_per_s is not None
    assert report.prompt_tokens_per_s > 0
    assert report.generation_tokens_per_s is not None
    assert report.seed is None
    assert list(generation) == []


def with_cast_logits(folder: Path, target: Path, dtype: int) -> Path:
    """Copy an exported model whose logits are then cast to `dtype`."""
    unseal(Path(shutil.copytree(folder, target)))
    proto = onnx.load(target / "model.onnx", load_external_data=False)
    for node in proto.graph.node:
        node.output[:] = ["logits32" if name == "logits" else name for name in node.output]
    proto.graph.node.append(onnx.helper.make_node("Cast", ["logits32"], ["logits"], to=dtype))
    output = next(value for value in proto.graph.output if value.name == "logits")
    output.type.tensor_type.elem_type = dtype
    onnx.save(proto, target / "model.onnx")
    return target


def test_generate_with_float16_logits_gives_the_same_tokens(tmp_path: Path, export_model: ExportModel) -> None:
    plain = load(export_model("demo_model", "lz4"))
    halves = load(with_cast_logits(plain.package.path, tmp_path / "halves", onnx.TensorProto.FLOAT16))
    assert run(halves) == GREEDY
    logits = halves.logits(GREEDY)
    assert logits.dtype == np.float32
    assert np.array_equal(logits, plain.logits(GREEDY).astype(np.float16).astype(np.float32))


def test_load_with_logits_of_no_float_type_is_refused(tmp_path: Path, export_model: ExportModel) -> None:
    folder = with_cast_logits(export_model("demo_model", "lz4"), tmp_path / "ints", onnx.TensorProto.INT32)
    with pytest.raises(FormatError, match=r"no float logits of shape \[batch, sequence, vocab\]; expected a graph as"):
        load(folder)


def test_load_with_a_cache_that_is_copied_is_refused(tmp_path: Path, export_model: ExportModel) -> None:
    folder = tmp_path / "copied"
    unseal(Path(shutil.copytree(export_model("demo_model", "lz4"), folder)))
    config = json.loads((folder / "genai_config.json").read_text())
    config["search"]["past_present_share_buffer"] = False
    (folder / "genai_config.json").write_text(json.dumps(config))
    with pytest.raises(FormatError, match=r"past_present_share_buffer is false.*expected one that appends in place"):
        load(folder)


def test_generate_token_ids_as_prompt_equals_text(model: Model) -> None:
    assert run(model, RECORDS[0]["prompt_ids"]) == GREEDY


def test_generate_same_seed_repeats_and_others_differ(model: Model) -> None:
    options = {"greedy": False, "temperature": 1.5, "top_k": 0, "top_p": 1.0, "max_new_tokens": 40}
    assert run(model, seed=5, **options) == run(model, seed=5, **options)
    assert len({tuple(run(model, seed=seed, **options)) for seed in range(4)}) > 1
    generation = model.generate(PROMPT, **{**options, "greedy": False})
    list(generation)
    assert run(model, seed=generation.report.seed, **options) == list(generation.report.token_ids)


def test_generate_temperature_zero_is_greedy(model: Model) -> None:
    assert run(model, greedy=False, temperature=0) == GREEDY


def test_generate_end_of_text_stops_without_its_token(export_model: ExportModel, tmp_path: Path) -> None:
    folder = unseal(Path(shutil.copytree(export_model("demo_model", "lz4"), tmp_path / "model")))
    place = next(index for index in range(3, len(GREEDY)) if GREEDY[index] not in GREEDY[:index])
    config = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))
    config["model"]["eos_token_id"] = [0, GREEDY[place]]
    (folder / "genai_config.json").write_text(json.dumps(config), encoding="utf-8")
    generation = load(folder).generate(PROMPT, greedy=True)
    list(generation)
    assert generation.report.finish_reason == "stop"
    assert list(generation.report.token_ids) == GREEDY[:place]


def test_generate_full_context_ends_with_length(export_model: ExportModel) -> None:
    prompt_ids = RECORDS[0]["prompt_ids"]
    model = load(export_model("demo_model", "lz4"), context_length=len(prompt_ids) + 10)
    generation = model.generate(PROMPT, max_new_tokens=100, greedy=True)
    list(generation)
    assert (generation.report.finish_reason, list(generation.report.token_ids)) == ("length", GREEDY[:10])
    assert run(model, [*prompt_ids, *GREEDY[:9]], max_new_tokens=100) == GREEDY[9:10]
    with pytest.raises(ConfigError, match="or allow a larger context"):
        model.generate([*prompt_ids, *GREEDY[:10]])


def test_generate_two_threads_on_one_model_equal_one_alone(model: Model) -> None:
    jobs = RECORDS * 3
    with ThreadPoolExecutor(2) as pool:
        results = list(
            pool.map(lambda record: run(model, record["prompt"], max_new_tokens=len(record["greedy_ids"])), jobs)
        )
    assert results == [record["greedy_ids"] for record in jobs]


def test_generate_two_models_at_once_equal_one_alone(export_model: ExportModel) -> None:
    folder = export_model("demo_model", "lz4")
    models = [load(folder), load(folder)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, models * 4)) == [GREEDY] * 8
    assert models[0].session_id != models[1].session_id
    statistics = [model.stats() for model in models]
    assert all(stats is not None and stats.runs > 0 for stats in statistics)


def test_generate_interleaved_generations_do_not_mix(model: Model) -> None:
    generations = [model.generate(record["prompt"], max_new_tokens=20, greedy=True) for record in RECORDS]
    for _ in range(20):
        for generation in generations:
            next(generation, None)
    for generation, record in zip(generations, RECORDS, strict=True):
        assert list(generation.report.token_ids) == record["greedy_ids"][:20]


def test_cancel_between_tokens_ends_with_what_there_is(model: Model) -> None:
    generation = model.generate(PROMPT, max_new_tokens=100, greedy=True)
    for _ in range(4):
        next(generation)
    generation.cancel()
    assert list(generation) == []
    assert (generation.report.finish_reason, list(generation.report.token_ids)) == ("interrupted", GREEDY[:4])
    assert run(model) == GREEDY


def test_cancel_within_a_pass_stops_it(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    generation = model.generate(PROMPT, max_new_tokens=100, greedy=True)
    next(generation)
    session = model._graph.session
    run_pass = session.run_with_iobinding

    def cancelled_pass(*arguments: Any) -> None:
        generation.cancel()
        run_pass(*arguments)

    monkeypatch.setattr(session, "run_with_iobinding", cancelled_pass)
    assert list(generation) == []
    assert generation.report.finish_reason == "interrupted"


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        ("x " * 2000, {}, r"the prompt has \d+ tokens, but the context holds 512"),
        ([], {}, "no tokens"),
        ([1, 1024], {}, "token id 1024 is out of range: this model has ids 0 to 1023"),
        ([-1], {}, "token id -1 is out of range"),
        ("x", {"max_new_tokens": 0}, "max_new_tokens is 0"),
        ("x", {"temperature": -1}, "temperature is -1"),
        ("x", {"top_p": 2}, "top_p is 2"),
    ],
)
def test_generate_bad_request_is_refused_at_once(
    model: Model, prompt: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        model.generate(prompt, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"provider": "cuda"}, "provider is 'cuda'; expected 'lpc' or 'cpu'"),
        ({"threads": -1}, "threads is -1"),
        ({"prefill_chunk": 0}, "prefill_chunk is 0"),
        ({"context_length": 1}, "context_length is 1; expected 2 to 512"),
        ({"context_length": 513}, "context_length is 513; expected 2 to 512"),
    ],
)
def test_load_bad_argument_is_refused(export_model: ExportModel, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(export_model("demo_model", "lz4"), **options)


@pytest.mark.parametrize("threads", [1, 2])
def test_load_any_number_of_threads_gives_the_same_tokens(export_model: ExportModel, threads: int) -> None:
    assert run(load(export_model("demo_model", "lz4"), threads=threads)) == GREEDY


def test_register_from_many_threads_registers_once() -> None:
    import onnxruntime

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: register(), range(32)))
    assert [device.ep_name for device in onnxruntime.get_ep_devices()].count(get_ep_name()) == 1
    assert get_ep_name().endswith("ExecutionProvider")
    assert Path(get_library_path()).is_file()


@pytest.mark.parametrize("version", ["1.23.1", "1.23.2", "1.24.0", "1.31.1", "2.0.0", "1.24", "1.32.0.dev20260101"])
def test_check_version_new_enough_passes(version: str) -> None:
    check_version(version)


@pytest.mark.parametrize("version", ["1.23.0", "1.22.1", "0.9", "unknown"])
def test_check_version_too_old_says_what_to_install(version: str) -> None:
    with pytest.raises(RuntimeUnavailableError, match=rf"onnxruntime {version} is too old.*onnxruntime>=1\.23\.1"):
        check_version(version)
