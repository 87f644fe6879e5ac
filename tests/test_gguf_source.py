"""GGUF files as sources: the same weights, bit for bit, as the folder that they were converted from."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import CONFIG, load, random_tensors, write_llama, write_tokenizer
from mutate import gguf_

from edge_runtime.errors import ExportError, FormatError
from exporters.checkpoints.gguf_source import open_gguf, unpermute
from exporters.export import export

gguf = pytest.importorskip("gguf")
NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


def permute(weights: np.ndarray, heads: int) -> np.ndarray:
    """As llama.cpp's convert_hf_to_gguf.py does it."""
    shape = (heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return weights.reshape(shape).swapaxes(1, 2).reshape(weights.shape)


def gguf_name(name: str) -> str:
    stem, _, suffix = name.rpartition(".")
    if stem in NAMES:
        return f"{NAMES[stem]}.{suffix}"
    _, _, block, kind = stem.split(".", 3)
    return f"blk.{block}.{NAMES[kind]}.{suffix}"


def write_gguf(path: Path, dtype: str, **changes: Any) -> Path:
    """Write the model of `write_llama(dtype=...)` as GGUF, with a tokenizer beside it."""
    config = CONFIG | changes
    writer = gguf.GGUFWriter(path, config["model_type"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    for name, array in random_tensors(config, dtype).items():
        if name.endswith("q_proj.weight"):
            array = permute(array, config["num_attention_heads"])
        if name.endswith("k_proj.weight"):
            array = permute(array, config["num_key_value_heads"])
        if dtype == "BF16":
            data, kind = np.ascontiguousarray(array).view(np.uint8), gguf.GGMLQuantizationType.BF16
            writer.add_tensor(gguf_name(name), data, raw_dtype=kind)
        else:
            writer.add_tensor(gguf_name(name), np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    write_tokenizer(path.parent, config["vocab_size"])
    return path


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_gguf_export_equals_that_of_the_folder(tmp_path: Path, dtype: str) -> None:
    export(write_llama(tmp_path / "folder", dtype=dtype), tmp_path / "a")
    (tmp_path / "gguf").mkdir()
    export(write_gguf(tmp_path / "gguf" / "tiny.gguf", dtype), tmp_path / "b")
    assert load(tmp_path / "a")[2] == load(tmp_path / "b")[2]
    assert (tmp_path / "a" / "model.onnx").read_bytes() == (tmp_path / "b" / "model.onnx").read_bytes()
    configs = [json.loads((tmp_path / out / "genai_config.json").read_text()) for out in ("a", "b")]
    assert configs[0] == configs[1]
    assert load(tmp_path / "b")[0]["source"]["name"] == "tiny"


def test_unpermute_undoes_llama_cpp_order() -> None:
    weights = np.arange(64 * 6, dtype=np.float32).reshape(64, 6)
    for heads in (1, 2, 4, 8):
        assert np.array_equal(unpermute(permute(weights, heads), heads), weights)
        assert not np.array_equal(permute(weights, heads), weights)


def test_gguf_with_quantized_weights_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "q.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for add, value in ((writer.add_context_length, 8), (writer.add_embedding_length, 32), (writer.add_block_count, 1),
                       (writer.add_feed_forward_length, 32), (writer.add_head_count, 1),
                       (writer.add_layer_norm_rms_eps, 1e-5)):  # fmt: skip
        add(value)
    data = np.zeros((32, 34), np.uint8)  # Q8_0: 32 weights in 34 bytes
    writer.add_tensor("token_embd.weight", data, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ExportError, match=r"q\.gguf: token_embd\.weight is Q8_0, expected F32, F16, BF16"):
        export(path, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["q.gguf"]


@pytest.mark.parametrize("defect", ["other_family", "not_gguf", "no_tokenizer"])
def test_bad_gguf_is_one_line_and_leaves_nothing(tmp_path: Path, defect: str) -> None:
    path = tmp_path / "m.gguf"
    expected: tuple[type[Exception], str] = (ExportError, "general.architecture is 'mamba', expected llama or")
    if defect == "not_gguf":
        path.write_bytes(b"not a model at all, but long enough")
        expected = (FormatError, r"m\.gguf: is not GGUF")
    elif defect == "no_tokenizer":
        write_gguf(path, "BF16")
        (tmp_path / "tokenizer.json").unlink()
        expected = (ExportError, r"tokenizer\.json: not found; .*--tokenizer")
    else:
        writer = gguf.GGUFWriter(path, "mamba")
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
    with pytest.raises(expected[0], match=expected[1]) as caught:
        export(path, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.gguf"]


@pytest.fixture(scope="module")
def unedited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", "F16")


def set_value(file: gguf_.Gguf, key: str, kind: int, value: Any) -> None:
    """Give a key of the architecture another value, or a first one."""
    whole = (key if key.startswith(("general.", "split.", "tokenizer.")) else f"llama.{key}").encode()
    file.values = [entry for entry in file.values if entry[0] != whole] + [(whole, kind, value)]
    file.kv_count = len(file.values)


def edited(source: Path, target: Path, *changes: Callable[[gguf_.Gguf], object]) -> Path:
    """Write the file anew after the changes."""
    file = gguf_.parse(source.read_bytes())
    for change in changes:
        change(file)
    target.write_bytes(gguf_.build(file))
    return target


def of_info(**changes: Any) -> Callable[[gguf_.Gguf], object]:
    return lambda file: vars(file.infos[1]).update(changes)


U32, I32, F32, TEXT, ARRAY, U64 = 4, 5, 6, 8, 9, 10
DEEP = gguf_._Encoded(struct.pack("<IQ", ARRAY, 1) * 5000)
VALUES: dict[str, tuple[str, int, Any, str]] = {
    "text_for_number": ("block_count", TEXT, b"two", "llama.block_count is 'two', expected an integer from 1"),
    "float_for_integer": ("embedding_length", F32, 64.0, "llama.embedding_length is 64.0, expected an integer"),
    "negative": ("attention.head_count", I32, -4, "attention.head_count is -4, expected an integer from 1"),
    "beyond_int64": ("context_length", U64, (1 << 64) - 1, "context_length is 18446744073709551615, expected"),
    "zero_heads": ("attention.head_count", U32, 0, "attention.head_count is 0, expected an integer from 1"),
    "nan_theta": ("rope.freq_base", F32, float("nan"), "rope.freq_base is nan, expected a number above 0"),
    "infinite_eps": ("attention.layer_norm_rms_epsilon", F32, float("inf"), "epsilon is inf, expected a number"),
    "flag_for_number": ("rope.freq_base", 7, 1, "rope.freq_base is True, expected a number above 0"),
    "empty_array": ("attention.head_count", ARRAY, (U32, []), "head_count is an array of 0, expected an integer"),
    "heads_differ": ("attention.head_count_kv", ARRAY, (U32, [2, 4]), "expected the same number in every layer"),
    "array_of_texts": ("block_count", ARRAY, (TEXT, [b"a"]), "block_count is an array of 1, expected an integer"),
    "deep_array": ("block_count", ARRAY, DEEP, "llama.block_count is an array of type 9, expected numbers or texts"),
    "unknown_type": ("block_count", 99, 1, "llama.block_count has a value of type 99"),
    "alignment_text": ("general.alignment", TEXT, b"32", "general.alignment is '32', expected a power of two"),
    "alignment_three": ("general.alignment", U32, 3, "general.alignment is 3, expected a power of two"),
    "escapes": ("rope.scaling.type", TEXT, b"\x1b[31m", r"rope.scaling.type is '\x1b[31m', expected none or linear"),
    "yarn": ("rope.scaling.type", TEXT, b"yarn", "rope.scaling.type is 'yarn', expected none or linear"),
    "half_rotated": ("rope.dimension_count", U32, 8, "rope.dimension_count is 8, expected 16: this export"),
    "window": ("attention.sliding_window", U32, 32, "attention.sliding_window is 32, expected no such key: this"),
    "split_text": ("split.count", TEXT, b"2", "split.count is '2', expected 1 to 9999"),
}


@pytest.mark.parametrize("case", VALUES)
def test_gguf_value_of_another_kind_is_refused_by_name(tmp_path: Path, unedited: Path, case: str) -> None:
    key, kind, value, expected = VALUES[case]
    path = edited(unedited, tmp_path / "m.gguf", lambda file: set_value(file, key, kind, value))
    assert_refused(path, expected)


HEADERS: dict[str, tuple[Callable[[gguf_.Gguf], object], str]] = {
    "many_values": (lambda file: vars(file).update(kv_count=1 << 63), "9223372036854775808 values, expected at most"),
    "many_tensors": (lambda file: vars(file).update(tensor_count=1 << 40), "1099511627776 tensors, expected at most"),
    "one_tensor_more": (lambda file: vars(file).update(tensor_count=file.tensor_count + 1), "output.weight ends"),
    "version": (lambda file: vars(file).update(version=4), "is GGUF of version 4, expected 2 or 3"),
    "big_endian": (lambda file: vars(file).update(version=3 << 24), "is a big-endian GGUF file"),
    "magic": (lambda file: vars(file).update(magic=b"GGML"), "is not GGUF, it begins with b'GGML'"),
    "key_twice": (lambda file: [file.values.append(file.values[0]), vars(file).update(kv_count=len(file.values))],
                  "the key general.architecture is there twice"),
    "tensor_twice": (of_info(name=b"blk.0.attn_v.weight"), "is there twice"),
    "long_name": (of_info(name=b"x" * 5000), "a tensor's name has 5000 bytes, expected at most 64"),
    "odd_name": (of_info(name=b"\x1b[31m\xff"), r"tensor \x1b[31m\xff is none of"),
    "rank": (of_info(dims=[1] * 16), "has 16 dimensions, expected at most 4"),
    "huge_extents": (of_info(dims=[1 << 63, 1 << 63]), "but the file has"),
    "empty": (of_info(dims=[0, 64]), "is empty"),
    "far_offset": (of_info(offset=(1 << 64) - 32), "but the file has"),
    "odd_offset": (of_info(offset=1), "begins 1 bytes into the data, no multiple of 32"),
    "overlap": (of_info(offset=32), "begins before"),
    "unknown_type": (of_info(dtype=99), "is of type 99, expected F32, F16, BF16"),
    "integers": (of_info(dtype=26), "is I32, expected F32, F16, BF16"),
    "no_data": (lambda file: vars(file).update(data=b""), "but the file has"),
}  # fmt: skip


@pytest.mark.parametrize("case", HEADERS)
def test_gguf_header_that_is_malformed_is_refused_by_name(tmp_path: Path, unedited: Path, case: str) -> None:
    change, expected = HEADERS[case]
    assert_refused(edited(unedited, tmp_path / "m.gguf", change), expected)


@pytest.mark.parametrize("share", [0, 3, 4, 20, 100, 400, 700])
def test_gguf_that_is_cut_short_is_refused_by_name(tmp_path: Path, unedited: Path, share: int) -> None:
    (tmp_path / "m.gguf").write_bytes(unedited.read_bytes()[:share])
    assert_refused(tmp_path / "m.gguf", "is empty" if share == 0 else "fetch it again")


def assert_refused(path: Path, expected: str) -> None:
    with pytest.raises((ExportError, FormatError)) as caught:
        open_gguf(path)
    text = str(caught.value)
    assert expected in text
    assert str(path) in text
    assert text.isprintable()
    assert len(text) < 500 + len(str(path))


def test_gguf_with_equal_heads_in_an_array_is_the_same_model(tmp_path: Path, unedited: Path) -> None:
    path = edited(
        unedited, tmp_path / "m.gguf", lambda file: set_value(file, "attention.head_count", ARRAY, (U32, [4, 4]))
    )
    assert open_gguf(path)[0].config.get("num_attention_heads") == 4


@pytest.mark.parametrize(
    ("values", "factor"),
    [
        ([("rope.scaling.factor", 4.0)], 4.0),
        ([("rope.scale_linear", 2.0)], 2.0),
        ([("rope.scaling.factor", 1.0)], None),
        ([("rope.scaling.factor", 4.0), ("rope.scaling.type", b"none")], None),
    ],
)
def test_gguf_linear_factor_is_honoured_as_llama_cpp_does(
    tmp_path: Path, unedited: Path, values: list[tuple[str, Any]], factor: float | None
) -> None:
    def change(file: gguf_.Gguf) -> None:
        for key, value in values:
            set_value(file, key, TEXT if isinstance(value, bytes) else F32, value)

    config = open_gguf(edited(unedited, tmp_path / "m.gguf", change))[0].config
    assert config.get("rope_scaling") == (factor and {"rope_type": "linear", "factor": factor})


def split(source: Path, folder: Path, numbers: tuple[int, ...] = (0, 1, 2)) -> list[Path]:
    """Write the model as three files, as llama-gguf-split does: metadata in the first alone."""
    folder.mkdir(exist_ok=True)
    paths = []
    for number in numbers:
        file = gguf_.parse(source.read_bytes())
        file.infos = file.infos[number::3]
        data = b""
        for info in file.infos:
            size = 2 * int(np.prod(info.dims))
            begin, info.offset = info.offset, len(data)
            data += file.data[begin : begin + size] + bytes(-size % 32)
        file.data, file.tensor_count = data, len(file.infos)
        file.values = file.values if number == 0 else []
        for key, value in (("split.no", number), ("split.count", 3)):
            set_value(file, key, 2, value)
        paths.append(folder / f"tiny-0000{number + 1}-of-00003.gguf")
        paths[-1].write_bytes(gguf_.build(file))
    return paths


def test_gguf_in_three_files_is_the_same_model_from_any_of_them(tmp_path: Path, unedited: Path) -> None:
    whole, _ = open_gguf(unedited)
    for path in split(unedited, tmp_path):
        found, _ = open_gguf(path)
        assert found.tensors.keys() == whole.tensors.keys()
        assert all(np.array_equal(found.read(name), whole.read(name)) for name in whole.tensors)
        assert found.name == "tiny-00001-of-00003"


def test_gguf_with_a_missing_or_foreign_part_is_refused_by_name(tmp_path: Path, unedited: Path) -> None:
    first, second, third = split(unedited, tmp_path)
    second.rename(tmp_path / "aside")
    assert_refused(third, "tiny-00002-of-00003.gguf; fetch the rest")
    second.write_bytes(third.read_bytes())
    with pytest.raises(ExportError, match=r"00002-of-00003\.gguf: says that it is part 2 .* expected 1 of 3"):
        open_gguf(first)
    first.rename(tmp_path / "tiny.gguf")
    assert_refused(tmp_path / "tiny.gguf", "expected a name that ends with -NNNNN-of-00003.gguf")
