"""The layer store behind the provider: order, sharing, threads, faults."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_models import SmallModel, open_session, random_weight

LAYERS, WIDTH = 12, 96


def chain(folder: Path, layers: list[int], *, token: bool = True) -> Path:
    """x -> twelve products in a row; `layers` are the layer attributes in graph order."""
    model = SmallModel(folder)
    value = "x"
    for i, layer in enumerate(layers):
        weight = random_weight((WIDTH, WIDTH), "bf16", seed=i) * 10
        name = model.weight(
            f"w{i}", weight, token=value if token else "", layer=layer, transpose=True, segment_bytes=2048
        )
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
    assert session.stats.pool_bytes < LAYERS * WIDTH * WIDTH * 2  # a bounded pool, not the whole model


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


@pytest.mark.parametrize("value", ["-1", "many", "1000"])
def test_provider_bad_decode_threads_is_an_error(tmp_path: Path, value: str) -> None:
    path = chain(tmp_path, [0, 1])
    with pytest.raises(Exception, match="decode_threads"):
        open_session(path, decode_threads=value)
