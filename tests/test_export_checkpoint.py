"""Reading checkpoints: every malformation is one error that names file, place, what was got and what was expected."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import CONFIG, random_tensors, write_llama, write_safetensors

from edge_runtime.errors import ConfigError, ExportError, FormatError, LpcError
from exporters.checkpoints.checkpoint import Checkpoint
from exporters.checkpoints.safetensors_file import SafetensorsFile
from exporters.export import export

Header = dict[str, Any]


def raw_file(path: Path, header: Header | list[Any] | bytes, data: bytes = b"", length: int | None = None) -> Path:
    """Write a safetensors file from its parts; `length` overrides the header's stated length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def entry(begin: int = 0, end: int = 4, shape: Any = (2,), dtype: Any = "BF16") -> Header:
    return {"dtype": dtype, "shape": list(shape) if isinstance(shape, tuple) else shape, "data_offsets": [begin, end]}


MALFORMED: dict[str, tuple[Header | list[Any] | bytes, bytes, str]] = {
    "not_json": (b'{"a": ', b"", "is not JSON"),
    "not_utf8": (b'{"\xff": 1}', b"", "is not JSON"),
    "list_header": ([], b"", "expected an object"),
    "deep_nesting": (b"[" * 100_000, b"", "is not JSON"),
    "duplicate_name": (b'{"a": 1, "a": 2}', b"", "names a more than once"),
    "entry_not_an_object": ({"a": 7}, b"", "expected an object with dtype"),
    "unknown_dtype": ({"a": entry(dtype="F99")}, bytes(4), "dtype is 'F99'"),
    "missing_dtype": ({"a": {"shape": [2], "data_offsets": [0, 4]}}, bytes(4), "dtype is None"),
    "negative_extent": ({"a": entry(shape=[-2])}, bytes(4), "shape is [-2]"),
    "fractional_extent": ({"a": entry(shape=[2.0])}, bytes(4), "shape is [2.0]"),
    "boolean_extent": ({"a": entry(shape=[True, 2])}, bytes(4), "shape is [True, 2]"),
    "huge_shape": ({"a": entry(shape=[2**40, 2**40])}, bytes(4), "more elements than any file"),
    "offsets_reversed": ({"a": entry(4, 0)}, bytes(4), "begin <= end"),
    "offsets_three": ({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 2, 4]}}, bytes(4), "begin <= end"),
    "size_disagrees_with_shape": ({"a": entry(0, 6)}, bytes(6), "hold 6 bytes, but BF16 [2] needs 4"),
    "overlap": ({"a": entry(0, 4), "b": entry(2, 6)}, bytes(6), "overlaps a"),
    "gap": ({"a": entry(0, 4), "b": entry(6, 10)}, bytes(10), "leaves a gap after a"),
    "gap_at_start": ({"a": entry(2, 6)}, bytes(6), "leaves a gap after the header"),
    "truncated_data": ({"a": entry(0, 4)}, bytes(3), "the file is truncated"),
    "trailing_data": ({"a": entry(0, 4)}, bytes(5), "1 bytes follow the last tensor"),
}


@pytest.mark.parametrize("defect", MALFORMED)
def test_safetensors_malformed_is_format_error(tmp_path: Path, defect: str) -> None:
    header, data, expected = MALFORMED[defect]
    path = raw_file(tmp_path / "a.safetensors", header, data)
    with pytest.raises(FormatError) as caught:
        SafetensorsFile(path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.file == str(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "has 0 bytes"),
        (b"\x01\x00\x00", "has 3 bytes"),
        ((10**9).to_bytes(8, "little") + bytes(64), "not safetensors"),
        ((2**64 - 1).to_bytes(8, "little"), "not safetensors"),
        ((100).to_bytes(8, "little") + bytes(50), "is 100, but 50 bytes follow"),
    ],
)
def test_safetensors_header_length_lies_is_format_error(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=expected):
        SafetensorsFile(path)


def test_safetensors_integer_weight_is_format_error(tmp_path: Path) -> None:
    path = raw_file(tmp_path / "a.safetensors", {"a": entry(0, 16, dtype="I64")}, bytes(16))
    with pytest.raises(FormatError, match="a dtype is I64, expected one of BF16, F16, F32"):
        SafetensorsFile(path).read("a")


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
@pytest.mark.parametrize("pad", [0, 1, 3])
def test_safetensors_views_equal_what_was_written(tmp_path: Path, dtype: str, pad: int) -> None:
    tensors = random_tensors(CONFIG, dtype)
    write_safetensors(tmp_path / "a.safetensors", tensors, pad_header=pad)
    file = SafetensorsFile(tmp_path / "a.safetensors")
    for name, array in tensors.items():
        got = file.read(name)
        assert got.dtype == array.dtype
        assert not got.flags.writeable
        np.testing.assert_array_equal(got.view(np.uint8), array.view(np.uint8))
        file.release(name)
        np.testing.assert_array_equal(got.view(np.uint8), array.view(np.uint8))
    file.close()


def test_safetensors_written_by_the_library_can_be_read(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.numpy")
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    library.save_file({"a": array, "empty": np.empty((0, 4), np.float32)}, tmp_path / "a.safetensors", {"format": "pt"})
    file = SafetensorsFile(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(file.read("a"), array)
    assert file.read("empty").shape == (0, 4)


def test_export_of_unaligned_data_is_the_same(tmp_path: Path) -> None:
    write_llama(tmp_path / "model")
    export(tmp_path / "model", tmp_path / "aligned")
    write_safetensors(tmp_path / "model" / "model.safetensors", random_tensors(CONFIG), pad_header=1)
    export(tmp_path / "model", tmp_path / "odd")
    assert (tmp_path / "aligned/model.lpc").read_bytes() == (tmp_path / "odd/model.lpc").read_bytes()


# ---- folders ----

Damage = Callable[[Path], Any]


def edit_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def rewrite(folder: Path, change: Callable[[dict[str, np.ndarray]], Any]) -> None:
    tensors = random_tensors(CONFIG)
    change(tensors)
    write_safetensors(folder / "model.safetensors", tensors)


INDEX = "model.safetensors.index.json"
SHARD = "model-00002-of-00003.safetensors"
FIRST = "model.layers.0.mlp.up_proj.weight"
BAD_FOLDERS: dict[str, tuple[int, Damage, type[LpcError], str]] = {
    "no_config": (1, lambda f: (f / "config.json").unlink(), ConfigError, r"config.json: not found"),
    "config_not_json": (1, lambda f: (f / "config.json").write_text("{"), ConfigError, r"config.json: is not JSON"),
    "config_is_a_list": (1, lambda f: (f / "config.json").write_text("[]"), ConfigError, r"is a JSON list"),
    "config_not_utf8": (1, lambda f: (f / "config.json").write_bytes(b"\xff\xfe{}"), ConfigError, r"is not JSON"),
    "no_weights": (1, lambda f: (f / "model.safetensors").unlink(), ExportError, r"no weights; expected model.safe"),
    "pytorch_weights": (
        1,
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
        ExportError,
        r"PyTorch .bin weights.*safe_serialization=True",
    ),
    "shards_without_index": (3, lambda f: (f / INDEX).unlink(), ExportError, r"3 safetensors files, but no model.safe"),
    "missing_shard": (3, lambda f: (f / SHARD).unlink(), ExportError, rf"1 file not there: {SHARD}; fetch the rest"),
    "index_not_json": (3, lambda f: (f / INDEX).write_text("no"), ConfigError, r"index.json: is not JSON"),
    "index_without_map": (3, lambda f: (f / INDEX).write_text("{}"), ExportError, r"weight_map is missing"),
    "index_leaves_folder": (
        3,
        lambda f: edit_json(f / INDEX, lambda c: c["weight_map"].update({FIRST: "../other.safetensors"})),
        ExportError,
        r"expected the name of a file in the same folder",
    ),
    "index_of_half_a_character": (
        3,
        lambda f: edit_json(f / INDEX, lambda c: c["weight_map"].update({FIRST: "\ud800"})),
        ExportError,
        r"is in '\\ud800', expected the name of a file in the same folder",
    ),
    "index_of_a_zero_byte": (
        3,
        lambda f: edit_json(f / INDEX, lambda c: c["weight_map"].update({FIRST: "a\0"})),
        ExportError,
        r"is in 'a\\x00', expected the name of a file in the same folder",
    ),
    "index_names_wrong_shard": (
        3,
        lambda f: edit_json(f / INDEX, lambda c: c["weight_map"].update({FIRST: SHARD})),
        ExportError,
        rf"puts {FIRST} into {SHARD}, which does not hold it",
    ),
    "index_forgets_tensor": (
        3,
        lambda f: edit_json(f / INDEX, lambda c: c["weight_map"].pop(FIRST)),
        ExportError,
        rf"does not list {FIRST}",
    ),
    "duplicate_tensor": (
        3,
        lambda f: (f / SHARD).write_bytes((f / "model-00001-of-00003.safetensors").read_bytes()),
        ExportError,
        r"is also in model-00001-of-00003.safetensors",
    ),
    "missing_tensor": (
        1,
        lambda f: rewrite(f, lambda t: t.pop(FIRST)),
        ExportError,
        rf"1 tensor missing: {FIRST}; the checkpoint is incomplete",
    ),
    "missing_tensors": (
        1,
        lambda f: rewrite(f, lambda t: [t.pop(name) for name in list(t) if "layers.1." in name]),
        ExportError,
        r"9 tensors missing: .* and 5 more",
    ),
    "unexpected_tensor": (
        1,
        lambda f: rewrite(f, lambda t: t.update({"model.layers.0.self_attn.q_norm.weight": t["model.norm.weight"]})),
        ExportError,
        r"1 unexpected tensor: model.layers.0.self_attn.q_norm.weight",
    ),
    "wrong_shape": (
        1,
        lambda f: rewrite(f, lambda t: t.update({FIRST: t[FIRST].T.copy()})),
        ExportError,
        rf"{FIRST} has shape \[64, 112\], expected \[112, 64\] from config.json",
    ),
    "integer_weight": (
        1,
        lambda f: rewrite(f, lambda t: t.update({FIRST: np.zeros((112, 64), np.int64)})),
        FormatError,
        rf"{FIRST} dtype is I64, expected one of BF16",
    ),
    "truncated": (
        1,
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-7]),
        FormatError,
        r"the file is truncated",
    ),
    "generation_config_not_json": (
        1,
        lambda f: (f / "generation_config.json").write_text("{"),
        ConfigError,
        r"generation_config.json: is not JSON",
    ),
    "no_tokenizer": (1, lambda f: (f / "tokenizer.json").unlink(), ExportError, r"tokenizer.json: not found; lpc-run"),
}


@pytest.mark.parametrize("defect", BAD_FOLDERS)
def test_export_of_bad_folder_is_one_line_and_leaves_nothing(tmp_path: Path, defect: str) -> None:
    shards, damage, error, expected = BAD_FOLDERS[defect]
    model = write_llama(tmp_path / "model", shards=shards)
    damage(model)
    with pytest.raises(error, match=expected) as caught:
        export(model, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_export_of_a_file_is_error(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("")
    with pytest.raises(ExportError, match="is not a folder; expected a Hugging Face model folder"):
        export(tmp_path / "model", tmp_path / "out")


def test_export_of_nothing_is_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="model: not found"):
        export(tmp_path / "model", tmp_path / "out")


def test_checkpoint_with_one_oddly_named_file_is_read(tmp_path: Path) -> None:
    model = write_llama(tmp_path / "model")
    (model / "model.safetensors").rename(model / "weights.safetensors")
    assert FIRST in Checkpoint(model).tensors


def test_export_ignores_stored_rotary_frequencies(tmp_path: Path) -> None:
    model = write_llama(tmp_path / "model")
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    rewrite(model, lambda t: t.update({name: np.zeros(8, np.float32)}))
    assert export(model, tmp_path / "out").tensors == 16
