"""The exported folder: what is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
import xxhash
from checkpoints import CONFIG, PlainRunner, damage, load, random_tensors, write_llama, write_safetensors

from edge_runtime import codec
from edge_runtime.errors import ExportError
from exporters.export import ExportOptions, export
from exporters.package.codec_choice import CodecChoice
from exporters.package.verify import verify
from exporters.planning import genai_config

LONG_CONTEXT = {"max_position_embeddings": 40_000}  # rotary tables of 1.3 MB each


def extents(model: onnx.ModelProto) -> dict[str, tuple[int, int]]:
    """Offset and length of each external initializer."""
    result = {}
    for tensor in model.graph.initializer:
        place = {entry.key: entry.value for entry in tensor.external_data}
        if place:
            assert place["location"] == "model.lpc"
            result[tensor.name] = int(place["offset"]), int(place["length"])
    return result


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "model")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


# ---- content ----


def test_folder_has_the_promised_files(model: Path, out: Path) -> None:
    (model / "chat_template.jinja").write_text("{{ messages }}")
    export(model, out)
    own = {"model.onnx", "model.lpc", "lpc.json", "genai_config.json"}
    tokenizer = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    assert {path.name for path in out.iterdir()} == own | tokenizer
    assert (out / "tokenizer.json").read_bytes() == (model / "tokenizer.json").read_bytes()


def test_model_passes_the_checker_and_has_the_usual_names(model: Path, out: Path) -> None:
    export(model, out)
    onnx.checker.check_model(str(out / "model.onnx"))
    _, proto, _ = load(out)
    assert {opset.domain: opset.version for opset in proto.opset_import} == {"": 23, "com.microsoft": 1, "lpc": 1}
    assert proto.ir_version == 10
    past = [f"past_key_values.{i}.{kind}" for i in range(2) for kind in ("key", "value")]
    present = [f"present.{i}.{kind}" for i in range(2) for kind in ("key", "value")]
    assert [value.name for value in proto.graph.input] == ["input_ids", "attention_mask", "position_ids", *past]
    assert [value.name for value in proto.graph.output] == ["logits", *present]


@pytest.mark.parametrize("head_dim", [8, 16, 20])
def test_position_ids_are_used(tmp_path: Path, head_dim: int) -> None:
    export(write_llama(tmp_path / "model", head_dim=head_dim), tmp_path / "out")
    _, proto, _ = load(tmp_path / "out")
    assert any("position_ids" in node.input for node in proto.graph.node)


def test_every_matrix_is_compressed_in_order_of_use(model: Path, out: Path) -> None:
    export(model, out)
    _, proto, _ = load(out)
    nodes = [node for node in proto.graph.node if node.op_type == "Decompress"]
    parts = ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down")
    blocks = [f"model.layers.{i}.{part}_proj.weight" for i in range(2) for part in parts]
    tensors = [attributes(node)["tensor"].decode() for node in nodes]
    assert tensors == ["model.embed_tokens.weight", *blocks, "lm_head.weight"]
    assert [attributes(node)["layer"] for node in nodes] == [0, *[1] * 7, *[2] * 7, 3]
    places = [extents(proto)[name] for name in tensors]
    assert places == sorted(places)
    consumers = {name: node for node in proto.graph.node for name in node.input}
    for node in nodes:
        assert node.domain == "lpc"
        if attributes(node)["transpose"]:
            consumer = consumers[node.output[0]]
            assert consumer.op_type == "MatMul"
            assert node.input[1] == consumer.input[0]
        else:
            assert consumers[node.output[0]].op_type == "Gather"
            assert len(node.input) == 1


def test_blobs_lie_at_pages_and_hold_the_source(model: Path, out: Path) -> None:
    export(model, out)
    manifest, proto, data = load(out)
    source = random_tensors(CONFIG)
    end = 0
    for tensor in manifest["tensors"]:
        begin, length = tensor["offset"], tensor["bytes"]
        assert begin % 4096 == 0
        assert begin >= end
        assert not any(data[end:begin])
        end = begin + length
        assert extents(proto)[tensor["name"]] == (begin, length)
        decoded = codec.decode(data[begin:end])
        np.testing.assert_array_equal(decoded.view(np.uint16), source[tensor["name"]].view(np.uint16))
        assert tensor["source_xxh3_128"] == xxhash.xxh3_128_hexdigest(source[tensor["name"]].tobytes())
    assert end == len(data) == manifest["data"]["bytes"]


def test_manifest_figures_add_up(model: Path, out: Path) -> None:
    result = export(model, out)
    manifest, _, _ = load(out)
    tensors = manifest["tensors"]
    assert (manifest["format"], manifest["format_version"]) == ("lpc-package", 1)
    assert manifest["source"] == {"name": "model", "model_type": "llama", "dtype": "bf16"}
    assert manifest["lossless"] is True
    assert manifest["context_length"] == 128
    assert manifest["totals"]["tensors"] == len(tensors) == result.tensors == 16
    assert manifest["totals"]["blob_bytes"] == sum(tensor["bytes"] for tensor in tensors) == result.blob_bytes
    assert manifest["totals"]["source_bytes"] == sum(tensor["decoded_bytes"] for tensor in tensors)
    assert [layer["name"] for layer in manifest["layers"]] == ["embed_tokens", "layers.0", "layers.1", "lm_head"]
    for layer in manifest["layers"]:
        mine = [tensor for tensor in tensors if tensor["layer"] == layer["index"]]
        assert layer["offset"] == mine[0]["offset"]
        assert layer["offset"] + layer["bytes"] == mine[-1]["offset"] + mine[-1]["bytes"]
        assert layer["decoded_bytes"] == sum(tensor["decoded_bytes"] for tensor in mine)


def test_tied_head_uses_the_embedding_blob_once(tmp_path: Path, out: Path) -> None:
    export(write_llama(tmp_path / "model", tie_word_embeddings=True), out)
    manifest, proto, _ = load(out)
    nodes = [attributes(node) for node in proto.graph.node if node.op_type == "Decompress"]
    tied = [node for node in nodes if node["tensor"] == b"model.embed_tokens.weight"]
    assert [(node["layer"], node["transpose"]) for node in tied] == [(0, 0), (3, 1)]
    assert sum(tensor["name"] == "model.embed_tokens.weight" for tensor in manifest["tensors"]) == 1
    extent = [{key: layer[key] for key in ("offset", "bytes", "decoded_bytes")} for layer in manifest["layers"]]
    assert extent[3] == extent[0]


@pytest.mark.parametrize("same", [True, False])
def test_tied_head_that_is_stored_too_is_tied_only_if_equal(tmp_path: Path, out: Path, same: bool) -> None:
    model = write_llama(tmp_path / "model", tie_word_embeddings=True)
    tensors = random_tensors(CONFIG | {"tie_word_embeddings": True})
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"] * np.float32(1 if same else 2)
    tensors["lm_head.weight"] = tensors["lm_head.weight"].astype(ml_dtypes.bfloat16)
    write_safetensors(model / "model.safetensors", tensors)
    result = export(model, out)
    assert result.tensors == (15 if same else 16)
    assert bool(result.warnings) is not same


def test_embedding_has_smaller_segments(tmp_path: Path, out: Path) -> None:
    model = write_llama(tmp_path / "model", vocab_size=16384)
    export(model, out)
    manifest, _, data = load(out)
    infos = {t["name"]: codec.describe(data[t["offset"] : t["offset"] + t["bytes"]]) for t in manifest["tensors"]}
    embedding, head = infos["model.embed_tokens.weight"], infos["lm_head.weight"]
    assert embedding.rows_per_segment * embedding.row_bytes == 256 << 10
    assert head.rows_per_segment * head.row_bytes == 1 << 20


def test_long_context_tables_are_external_and_verified(tmp_path: Path, out: Path) -> None:
    export(write_llama(tmp_path / "model", **LONG_CONTEXT), out)
    manifest, proto, data = load(out)
    assert [constant["name"] for constant in manifest["constants"]] == ["rotary_cos", "rotary_sin"]
    for constant in manifest["constants"]:
        assert constant["offset"] % 4096 == 0
        assert constant["offset"] > manifest["tensors"][-1]["offset"]
        assert extents(proto)[constant["name"]] == (constant["offset"], constant["bytes"])
        table = np.frombuffer(data, np.float32, constant["bytes"] // 4, constant["offset"])
        assert table.reshape(constant["shape"]).shape == (40_000, 8)
    assert (out / "model.onnx").stat().st_size < 100_000
    short = write_llama(tmp_path / "short")
    export(short, tmp_path / "short-out")
    ids = [1, 5, 9, 60]
    np.testing.assert_array_equal(PlainRunner(out).step(ids), PlainRunner(tmp_path / "short-out").step(ids))
    damage(out / "model.lpc", manifest["constants"][1]["offset"] + 100)
    with pytest.raises(ExportError, match=r"rotary_sin .* has hash"):
        verify(out)


def test_genai_config_describes_the_decoder(tmp_path: Path, out: Path) -> None:
    model = write_llama(tmp_path / "model", head_dim=20)
    generation = {"eos_token_id": [2, 7], "temperature": 0.6, "top_p": None}
    (model / "generation_config.json").write_text(json.dumps(generation))
    export(model, out)
    config = json.loads((out / genai_config.FILE).read_text())
    decoder = config["model"]["decoder"]
    assert (config["model"]["type"], config["model"]["vocab_size"], config["model"]["context_length"]) == (
        "llama",
        96,
        128,
    )
    assert config["model"]["eos_token_id"] == [2, 7]
    assert (config["model"]["bos_token_id"], config["model"]["pad_token_id"]) == (1, 2)
    assert decoder["filename"] == "model.onnx"
    assert (decoder["head_size"], decoder["hidden_size"]) == (24, 64)
    assert (decoder["num_attention_heads"], decoder["num_key_value_heads"], decoder["num_hidden_layers"]) == (4, 2, 2)
    _, proto, _ = load(out)
    names = {value.name for value in (*proto.graph.input, *proto.graph.output)}
    used = {name.replace("%d", "0") for name in (*decoder["inputs"].values(), *decoder["outputs"].values())}
    assert used < names
    assert (config["search"]["temperature"], config["search"]["top_p"]) == (0.6, 1.0)
    assert config["search"]["max_length"] == 128


def test_export_is_deterministic_and_independent_of_threads(model: Path, tmp_path: Path) -> None:
    for name, threads in (("a", 1), ("b", 3), ("c", 0)):
        export(model, tmp_path / name, ExportOptions(threads=threads))
    for file in (tmp_path / "a").iterdir():
        assert (
            file.read_bytes() == (tmp_path / "b" / file.name).read_bytes() == (tmp_path / "c" / file.name).read_bytes()
        )


# ---- codecs and dtypes ----


def test_auto_keeps_noise_stored_and_says_why(tmp_path: Path, out: Path) -> None:
    model = write_llama(tmp_path / "model")
    tensors = random_tensors(CONFIG)
    noise = np.random.default_rng(1).integers(0, 1 << 16, (96, 64), np.uint16)
    tensors["lm_head.weight"] = noise.view(ml_dtypes.bfloat16)
    write_safetensors(model / "model.safetensors", tensors)
    result = export(model, out)
    assert result.codecs == {"lz4": 15, "stored": 1}
    assert "less than 1%" in result.choices["lm_head.weight"]
    assert result.lossless


def test_stored_and_lz4_do_as_they_are_told(model: Path, tmp_path: Path) -> None:
    stored = export(model, tmp_path / "stored", ExportOptions(codec=CodecChoice("stored")))
    lz4 = export(model, tmp_path / "lz4", ExportOptions(codec=CodecChoice("lz4")))
    assert (stored.codecs, lz4.codecs) == ({"stored": 16}, {"lz4": 16})
    assert lz4.blob_bytes < stored.blob_bytes


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize("source", ["BF16", "F16", "F32"])
def test_dtype_conversion_rounds_to_nearest_and_is_reported(tmp_path: Path, out: Path, source: str, dtype: str) -> None:
    model = write_llama(tmp_path / "model", dtype=source)
    result = export(model, out, ExportOptions(dtype=dtype))
    manifest, _, data = load(out)
    tensors = random_tensors(CONFIG, source)
    changed = False
    for tensor in manifest["tensors"]:
        got = codec.decode(data[tensor["offset"] : tensor["offset"] + tensor["bytes"]])
        wide = tensors[tensor["name"]].astype(np.float32)
        assert tensor["dtype"] == dtype
        np.testing.assert_array_equal(got.astype(np.float32), wide.astype(got.dtype).astype(np.float32))
        changed |= bool((got.astype(np.float32) != wide).any())
    assert result.lossless is manifest["lossless"] is not changed
    assert bool(result.warnings) is changed
    assert changed is ((source, dtype) in {("F16", "bf16"), ("F32", "bf16"), ("F32", "fp16")})


def test_dtype_conversion_out_of_range_is_refused(tmp_path: Path, out: Path) -> None:
    model = write_llama(tmp_path / "model")
    tensors = random_tensors(CONFIG)
    tensors["lm_head.weight"][3, 5] = 70000
    write_safetensors(model / "model.safetensors", tensors)
    with pytest.raises(ExportError, match=r"lm_head.weight: 70144 is out of the range of fp16; choose --dtype keep"):
        export(model, out, ExportOptions(dtype="fp16"))
    assert not out.exists()


def test_dtype_conversion_without_rounding_stays_lossless(tmp_path: Path, out: Path) -> None:
    model = write_llama(tmp_path / "model")
    tensors = {name: array.astype(np.float32) for name, array in random_tensors(CONFIG, "BF16").items()}
    write_safetensors(model / "model.safetensors", tensors)
    result = export(model, out, ExportOptions(dtype="bf16"))
    assert result.lossless
    assert result.warnings == ()


def test_dtype_conversion_rounds_ties_to_even(tmp_path: Path, out: Path) -> None:
    model = write_llama(tmp_path / "model", dtype="F32")
    tensors = random_tensors(CONFIG, "F32")
    ties = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0xBF808000], np.uint32).view(np.float32)
    tensors["lm_head.weight"][0, :4] = ties
    write_safetensors(model / "model.safetensors", tensors)
    export(model, out, ExportOptions(dtype="bf16"))
    manifest, _, data = load(out)
    head = manifest["tensors"][-1]
    got = codec.decode(data[head["offset"] : head["offset"] + head["bytes"]]).view(np.uint16)[0, :4]
    assert got.tolist() == [0x3F80, 0x3F82, 0x3F81, 0xBF80]


def test_special_values_survive(tmp_path: Path, out: Path) -> None:
    model = write_llama(tmp_path / "model", vocab_size=1024)
    tensors = random_tensors(CONFIG | {"vocab_size": 1024})
    tensors["lm_head.weight"] = np.arange(1 << 16, dtype=np.uint16).reshape(1024, 64).view(ml_dtypes.bfloat16)
    write_safetensors(model / "model.safetensors", tensors)
    for name in ("stored", "lz4"):
        assert export(model, out.with_name(name), ExportOptions(codec=CodecChoice.parse(name))).verified
