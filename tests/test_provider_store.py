"""The layer store behind the provider: order, sharing, threads, faults."""

from __future__ import annotations

import gc
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import blob_edit
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from small_models import SmallModel, open_session, random_weight

from edge_runtime import native
from edge_runtime.errors import CodecError
from edge_runtime.provider import session_stats

LAYERS, WIDTH = 12, 96


def chain(folder: Path, layers: list[int], *, token: bool = True, codec_name: str = "lz4") -> Path:
    """x -> twelve products in a row; `layers` are the layer attributes in graph order."""
    model = SmallModel(folder)
    value = "x"
    for i, layer in enumerate(layers):
        weight = random_weight((WIDTH, WIDTH), "bf16", seed=i) * 10
        name = model.weight(
            f"w{i}", weight, token=value if token else "", layer=layer, transpose=True, segment_bytes=2048,
            codec_name=codec_name,
        )  # fmt: skip
        value = model.node("MatMul", [value, name], "y" if i == len(layers) - 1 else f"h{i}")
    return model.save({"x": ["m", WIDTH]}, {"y": ["m", WIDTH]})


def inputs(seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 1, (2, WIDTH)).astype(np.float32)


@pytest.mark.parametrize("threads", ["0", "1", "5"])
def test_store_many_passes_give_the_same_output(tmp_path: Path, threads: str) -> None:
    session = open_session(chain(tmp_path, list(range(LAYERS))), decode_threads=threads)
    first = session.run(x=inputs())[0].tobytes()
    assert all(session.run(x=inputs())[0].tobytes() == first for _ in range(20))
    assert session.stats.runs == 21
    assert session.stats.blobs_decompressed >= 21 * LAYERS
    assert session.stats.layers_decompressed >= 21 * LAYERS
    assert session.stats.ring_bytes < LAYERS * WIDTH * WIDTH * 2  # a bounded pool, not the whole model


@pytest.mark.parametrize(
    "layers",
    [list(reversed(range(LAYERS))), [0] * LAYERS, [i % 3 for i in range(LAYERS)]],
    ids=["reversed", "one layer", "interleaved"],
)
@pytest.mark.parametrize("token", [True, False])
def test_store_wrong_order_is_slower_but_right(tmp_path: Path, layers: list[int], token: bool) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "odd").mkdir()
    expected = open_session(chain(tmp_path / "good", list(range(LAYERS)))).run(x=inputs())[0]
    session = open_session(chain(tmp_path / "odd", layers, token=token))
    for _ in range(5):
        assert session.run(x=inputs())[0].tobytes() == expected.tobytes()


def test_store_two_threads_and_two_sessions_take_turns(tmp_path: Path) -> None:
    path = chain(tmp_path, list(range(LAYERS)))
    sessions = [open_session(path), open_session(path), open_session(path, parallel=True)]
    expected = {seed: sessions[0].run(x=inputs(seed))[0].tobytes() for seed in range(4)}

    def work(task: int) -> bool:
        return sessions[task % 3].run(x=inputs(task % 4))[0].tobytes() == expected[task % 4]

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(60)))


@pytest.mark.parametrize("residence", ["decoded", "resident", "streamed", "on_demand"])
@pytest.mark.parametrize("codec_name", ["stored", "lz4", "packed"])
def test_store_residence_does_not_change_the_output(tmp_path: Path, residence: str, codec_name: str) -> None:
    path = chain(tmp_path, list(range(LAYERS)), codec_name=codec_name)
    expected = open_session(path).run(x=inputs())[0].tobytes()
    session = open_session(path, residence=f"0-3:{residence},5:decoded,7-9:resident")
    assert all(session.run(x=inputs())[0].tobytes() == expected for _ in range(4))


def test_store_everything_decoded_reads_once(tmp_path: Path) -> None:
    path = chain(tmp_path, list(range(LAYERS)))
    session = open_session(path, residence=f"0-{LAYERS}:decoded")
    session.run(x=inputs())
    first = session.stats
    for _ in range(5):
        session.run(x=inputs())
    assert session.stats.bytes_read == first.bytes_read > 0
    assert session.stats.bytes_decoded == first.bytes_decoded == LAYERS * WIDTH * WIDTH * 2
    assert (session.stats.ring_bytes, session.stats.pinned_bytes) == (0, LAYERS * WIDTH * WIDTH * 2)


def test_store_everything_resident_reads_once_and_decodes_again(tmp_path: Path) -> None:
    path = chain(tmp_path, list(range(LAYERS)))
    session = open_session(path, residence=f"0-{LAYERS}:resident")
    for _ in range(5):
        session.run(x=inputs())
    assert session.stats.bytes_read < (tmp_path / "model.lpc").stat().st_size
    assert session.stats.bytes_decoded >= 5 * LAYERS * WIDTH * WIDTH * 2


def test_store_equal_sessions_share_their_memory(tmp_path: Path) -> None:
    path = chain(tmp_path, list(range(LAYERS)))
    residence = f"0-{LAYERS}:decoded"
    first, second = open_session(path, residence=residence), open_session(path, residence=residence)
    expected = first.run(x=inputs())[0].tobytes()
    assert second.run(x=inputs())[0].tobytes() == expected
    assert second.stats.bytes_read == 0


def test_store_weight_of_many_parts_equals_numpy(tmp_path: Path) -> None:
    rows, columns = 9000, 1100  # 19.8 MB: two parts
    weight = random_weight((rows, columns), "bf16")
    for transpose in (True, False):
        folder = tmp_path / str(transpose)
        folder.mkdir()
        model = SmallModel(folder)
        model.node("MatMul", ["x", model.weight("w", weight, token="x", transpose=transpose)], "y")
        k, n = (columns, rows) if transpose else (rows, columns)
        session = open_session(model.save({"x": ["m", k]}, {"y": ["m", n]}))
        x = np.random.default_rng(3).normal(0, 1, (3, k)).astype(np.float32)
        wide = weight.astype(np.float32)
        for _ in range(2):
            np.testing.assert_allclose(session.run(x=x)[0], x @ (wide.T if transpose else wide), rtol=0, atol=2e-4)


@pytest.mark.parametrize("read_mode", ["auto", "direct", "buffered"])
def test_store_read_mode_does_not_change_the_output(tmp_path: Path, read_mode: str) -> None:
    path = chain(tmp_path, list(range(LAYERS)))
    expected = open_session(path).run(x=inputs())[0].tobytes()
    try:
        session = open_session(path, read_mode=read_mode)
    except Exception as error:
        if read_mode == "direct" and "refuses direct reads" in str(error):
            pytest.skip("this file system refuses direct reads")
        raise
    assert session.run(x=inputs())[0].tobytes() == expected


def test_store_bus_limit_slows_reads_to_it(tmp_path: Path) -> None:
    path = chain(tmp_path, list(range(LAYERS)))
    limit = 200_000
    session = open_session(path, bus_limit_bytes_per_s=str(limit))
    began = time.monotonic()
    session.run(x=inputs())
    read = session.stats.bytes_read
    assert time.monotonic() - began >= 0.95 * (read - 20_000) / limit  # what is in flight is counted before it arrives


def test_store_trace_names_every_kind_of_work(tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    session = open_session(chain(tmp_path, list(range(LAYERS))), trace_file=str(trace))
    session.run(x=inputs())
    del session
    gc.collect()
    events = json.loads(trace.read_text())["traceEvents"]
    assert {event["name"] for event in events} == {"read", "decode", "wait", "compute"}
    assert {event["args"]["layer"] for event in events} == set(range(LAYERS))


def test_store_one_session_closed_leaves_the_other(tmp_path: Path) -> None:
    path = chain(tmp_path, list(range(LAYERS)))
    first, second = open_session(path), open_session(path)
    expected = first.run(x=inputs())[0].tobytes()
    assert second.run(x=inputs())[0].tobytes() == expected
    del second
    assert first.run(x=inputs())[0].tobytes() == expected


def test_store_opening_a_session_reads_only_headers(tmp_path: Path) -> None:
    session = open_session(chain(tmp_path, list(range(LAYERS))))
    assert session.stats.bytes_read == 0


@pytest.mark.parametrize("use_provider", [True, False])
def test_store_flipped_bit_names_tensor_and_segment(tmp_path: Path, use_provider: bool) -> None:
    path = chain(tmp_path, list(range(LAYERS)))
    data = bytearray((tmp_path / "model.lpc").read_bytes())
    data[-2000] ^= 4  # in the last blob's last segments
    (tmp_path / "model.lpc").write_bytes(data)
    session = open_session(path, use_provider=use_provider)
    for _ in range(2):  # and again: an error must not wedge the store
        with pytest.raises(Exception, match=rf"tensor w{LAYERS - 1}.*segment.\d+.*checksum"):
            session.run(x=inputs())


def test_store_file_replaced_while_open_keeps_serving_the_old_one(tmp_path: Path) -> None:
    path = chain(tmp_path, list(range(LAYERS)))
    session = open_session(path)
    expected = session.run(x=inputs())[0].tobytes()
    (tmp_path / "other").write_bytes(b"not weights" * 1000)
    (tmp_path / "other").replace(tmp_path / "model.lpc")
    assert all(session.run(x=inputs())[0].tobytes() == expected for _ in range(4))
    with pytest.raises(Exception, match=r"magic|blob|truncated"):
        open_session(path)


def test_store_bytes_that_change_while_running_are_an_error(tmp_path: Path) -> None:
    path = chain(tmp_path, list(range(LAYERS)))
    session = open_session(path)
    session.run(x=inputs())
    with (tmp_path / "model.lpc").open("r+b") as file:
        file.seek(-2000, 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 4]))

    def run_thrice() -> None:  # what was prefetched before may still serve a pass
        for _ in range(3):
            session.run(x=inputs())

    with pytest.raises(Exception, match=rf"tensor w{LAYERS - 1}, blob at offset \d+, segment.\d+.*checksum"):
        run_thrice()


def test_store_error_is_over_when_the_file_is_good_again(tmp_path: Path) -> None:
    path = chain(tmp_path, list(range(LAYERS)))
    weights = tmp_path / "model.lpc"
    good = weights.read_bytes()
    session = open_session(path)
    expected = session.run(x=inputs())[0].tobytes()
    with weights.open("r+b") as file:
        file.truncate(len(good) // 2)

    def run_thrice() -> None:  # what was prefetched before the damage may still serve a pass
        for _ in range(3):
            session.run(x=inputs())

    with pytest.raises(Exception, match=r"the file ends at \d+"):
        run_thrice()
    with weights.open("r+b") as file:
        file.write(good)
    assert session.run(x=inputs())[0].tobytes() == expected


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"XPCB" + data[4:], "magic"),
        (lambda data: data[:4] + b"\x63\x00" + data[6:], "version"),
        (lambda data: data[:3000], "truncated"),
        (lambda data: data[:20] + b"\x01" + data[21:], "checksum|shape"),
    ],
    ids=["wrong magic", "newer version", "truncated", "header bit flip"],
)
def test_store_damaged_file_is_refused_at_opening(tmp_path: Path, damage: object, message: str) -> None:
    path = chain(tmp_path, list(range(LAYERS)))
    weights = tmp_path / "model.lpc"
    weights.write_bytes(damage(weights.read_bytes()))  # type: ignore[operator]
    with pytest.raises(Exception, match=message):
        open_session(path)


def test_store_blob_longer_than_the_graph_says_is_refused_at_opening(tmp_path: Path) -> None:
    path = chain(tmp_path, [0, 1])
    model = onnx.load(path, load_external_data=False)
    place = next(tensor for tensor in model.graph.initializer if tensor.external_data).external_data
    length = next(entry for entry in place if entry.key == "length")
    begins = int(length.value)
    length.value = str(begins + 64)
    onnx.save(model, path)
    with pytest.raises(Exception, match=f"blob_bytes .* got {begins}, expected {begins + 64}, what the graph says"):
        open_session(path)


@pytest.mark.parametrize("rows", [(1 << 63) - 1, (1 << 64) - 1, 1 << 58])
@pytest.mark.parametrize("residence", ["0:decoded", "0:transcoded", "0:resident", ""])
def test_store_segment_of_more_rows_than_there_are_is_one_of_all_rows(
    tmp_path: Path, residence: str, rows: int
) -> None:
    model = SmallModel(tmp_path)
    weight = random_weight((64, 64), "bf16", seed=3)
    model.node("MatMul", ["x", model.weight("w", weight, token="x", layer=0, transpose=True, codec_name="ans")], "y")
    path = model.save({"x": ["m", 64]}, {"y": ["m", 64]})
    options = {"transcode_layout": "auto", **({"residence": residence} if residence else {})}
    x = np.random.default_rng(1).normal(0, 1, (1, 64)).astype(np.float32)
    expected = open_session(path, **options).run(x=x)[0]
    weights = tmp_path / "model.lpc"
    weights.write_bytes(blob_edit.with_field(weights.read_bytes(), "rows_per_segment", rows))
    assert open_session(path, **options).run(x=x)[0].tobytes() == expected.tobytes()


def test_store_missing_file_is_refused_at_opening(tmp_path: Path) -> None:
    path = chain(tmp_path, [0, 1])
    (tmp_path / "model.lpc").unlink()
    with pytest.raises(Exception, match=r"model\.lpc"):
        open_session(path)


def test_store_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    path = chain(tmp_path, [0, 1])
    other = SmallModel(tmp_path / "other")
    other.folder.mkdir()
    other.node("MatMul", ["x", other.weight("w", random_weight((33, 44), "bf16"), transpose=True)], "y")
    other.weight("v", random_weight((444, 555), "bf16"))
    other.nodes.pop()
    other.save({"x": [1, 44]}, {"y": [1, 33]})
    shutil.copy(other.folder / "model.lpc", tmp_path / "model.lpc")
    with pytest.raises(Exception, match=r"another shape|truncated|blob"):
        open_session(path)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("decode_threads", "-1"),
        ("decode_threads", "many"),
        ("decode_threads", "1000"),
        ("product_threads", "many"),
        ("residence", "0"),
        ("residence", "0:cold"),
        ("residence", "5-2:decoded"),
        ("residence", "0:decoded,,"),
        ("transcode_layout", "hi5"),
        ("ring_bytes", "1MB"),
        ("read_mode", "fast"),
        ("bus_limit_bytes_per_s", "-5"),
        ("trace_file", "/nowhere/at/all"),
    ],
)
def test_provider_bad_option_is_an_error(tmp_path: Path, option: str, value: str) -> None:
    path = chain(tmp_path, [0, 1])
    with pytest.raises(Exception, match=value if option == "trace_file" else f"provider option {option}: got '"):
        open_session(path, **{option: value})


@pytest.mark.parametrize("layout", ["auto", "e2+3", "e3+3", "hi4p", "hi3"])
@pytest.mark.parametrize("codec_name", ["stored", "lz4", "ans"])
def test_store_weights_of_many_segments_transcoded_multiply_as_decoded(
    tmp_path: Path, codec_name: str, layout: str
) -> None:
    model = SmallModel(tmp_path)
    weight = random_weight((520, 640), "bf16", seed=3)
    name = model.weight("w", weight, token="x", layer=0, transpose=True, segment_bytes=1 << 16, codec_name=codec_name)
    model.node("MatMul", ["x", name], "y")
    path = model.save({"x": ["m", 640]}, {"y": ["m", 520]})
    x = np.random.default_rng(1).normal(0, 1, (1, 640)).astype(np.float32)
    expected = open_session(path, residence="0:decoded").run(x=x)[0]
    sessions = [open_session(path, residence="0:transcoded", transcode_layout=layout) for _ in range(2)]
    for session in sessions * 2:
        assert session.run(x=x)[0].tobytes() == expected.tobytes()
    stats = sessions[0].stats
    assert 0.6 < stats.transcoded_bytes / weight.nbytes < 0.85
    assert sessions[1].stats.transcoded_bytes == 0  # of the same weights in memory


def test_session_stats_of_an_older_caller_end_where_its_struct_ends(tmp_path: Path) -> None:
    session = open_session(chain(tmp_path, [0, 1]))
    session.run(x=inputs())
    every = session_stats(session.session_id).as_dict()
    while (later := session_stats(session.session_id).as_dict()) != every:  # it reads ahead for the next pass
        every = later
        time.sleep(0.05)
    names = list(every)[: list(every).index("encode_ns")]  # lpc.h had no more at first
    assert native.session_counters(session.session_id, len(names)) == [every[name] for name in names]
    assert every["runs"] == 1
    with pytest.raises(CodecError, match=r"stats.struct_bytes: got 144, expected 184"):
        native.session_counters(session.session_id, len(names) - 1)


def test_provider_ring_too_small_says_what_is_needed(tmp_path: Path) -> None:
    session = open_session(chain(tmp_path, [0, 1]), ring_bytes="1000")
    with pytest.raises(Exception, match=r"ring_bytes: got 1000, expected at least \d+"):
        session.run(x=inputs())
