"""ONNX models of other tools: the same outputs, bit for bit, from compressed weights."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from checkpoints import load, plain_model
from onnx import TensorProto
from onnx_models import FLOAT, initializers, make, node, op_types, session, weight
from real_models import ExportModel, checkpoint_folder, golden

from edge_runtime import load as load_model
from edge_runtime import provider
from exporters.export import ExportOptions, ExportResult, export
from exporters.package.verify import verify_against

_numbers = itertools.count()
FLOAT16 = TensorProto.FLOAT16
X = {"x": (FLOAT, ["n", 64])}
IDS = {"ids": (TensorProto.INT64, ["n"])}
# name: nodes, shapes of the weights, inputs, columns of the output, weights claimed
PATTERNS: dict[str, tuple[list[onnx.NodeProto], dict[str, tuple[int, int]], dict[str, Any], int, int]] = {
    "matmul": ([node("MatMul", ["x", "w"], "y")], {"w": (64, 96)}, X, 96, 1),
    "transpose_matmul": (
        [node("Transpose", ["w"], "wt", perm=[1, 0]), node("MatMul", ["x", "wt"], "y")], {"w": (96, 64)}, X, 96, 1,
    ),
    "gemm": ([node("Gemm", ["x", "w"], "y")], {"w": (64, 96)}, X, 96, 1),
    "gemm_transposed": ([node("Gemm", ["x", "w"], "y", transB=1)], {"w": (96, 64)}, X, 96, 1),
    "gather": ([node("Gather", ["w", "ids"], "y")], {"w": (96, 64)}, IDS, 64, 1),
    "tied_table_first": (
        [
            node("Gather", ["w", "ids"], "e"), node("Transpose", ["w"], "wt", perm=[1, 0]),
            node("MatMul", ["e", "wt"], "y"),
        ],
        {"w": (96, 64)}, IDS, 96, 2,
    ),
    "tied_head_first": (
        [
            node("Transpose", ["w"], "wt", perm=[1, 0]), node("Gather", ["wt", "ids"], "e"),
            node("MatMul", ["e", "w"], "y"),
        ],
        {"w": (64, 96)}, IDS, 96, 2,
    ),
}  # fmt: skip


def feeds(inputs: dict[str, Any], dtype: Any = np.float32) -> dict[str, Any]:
    if "ids" in inputs:
        return {"ids": np.array([0, 5, 95, 5], np.int64)}
    return {"x": np.random.default_rng(1).normal(size=(4, 64)).astype(dtype)}


def check_same(model: Path, out: Path, values: dict[str, Any], claimed: int, unclaimed: int = 0) -> None:
    """The fallback gives the same bits; the provider claims what it should and agrees."""
    expected = session(model).run(None, values)[0]
    assert np.array_equal(session(out / "model.onnx").run(None, values)[0], expected)
    session_id = f"onnx-source-{next(_numbers)}"
    ours_session = session(out / "model.onnx", True, session_id)
    ours = ours_session.run(None, values)[0]
    assert np.allclose(ours, expected, rtol=1e-5, atol=1e-6)
    stats = provider.session_stats(session_id)
    assert (stats.nodes_claimed, stats.nodes_unclaimed) == (claimed, unclaimed)


@pytest.mark.parametrize("external", [False, True], ids=["inline", "external"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_onnx_pattern_gives_the_same_bits_and_is_claimed(tmp_path: Path, pattern: str, external: bool) -> None:
    nodes, shapes, inputs, columns, claimed = PATTERNS[pattern]
    weights = {name: weight(shape) for name, shape in shapes.items()}
    model = make(tmp_path / "in" / "m.onnx", nodes, weights, {"y": ["n", columns]}, inputs, external)
    result = export(model, tmp_path / "out")
    assert result.verified
    assert result.tensors == len(shapes)
    assert "Transpose" not in op_types(tmp_path / "out" / "model.onnx")
    check_same(model, tmp_path / "out", feeds(inputs), claimed)
    assert verify_against(tmp_path / "out", str(model)) == len(shapes)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_onnx_cast_to_float32_is_part_of_decompress(tmp_path: Path, dtype: str) -> None:
    nodes = [
        node("Transpose", ["w"], "t", perm=[1, 0]), node("Cast", ["t"], "c", to=FLOAT), node("MatMul", ["x", "c"], "y"),
    ]  # fmt: skip
    model = make(tmp_path / "in" / "m.onnx", nodes, {"w": weight((96, 64), dtype)}, {"y": ["n", 96]}, X)
    export(model, tmp_path / "out")
    assert op_types(tmp_path / "out" / "model.onnx") == ["Decompress", "MatMul"]
    assert load(tmp_path / "out")[0]["tensors"][0]["dtype"] == {"float16": "fp16", "bfloat16": "bf16"}[dtype]
    check_same(model, tmp_path / "out", feeds(X), 1)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_onnx_float16_graph_gives_the_same_bits_and_is_left_to_the_fallback(tmp_path: Path, pattern: str) -> None:
    nodes, shapes, inputs, columns, claimed = PATTERNS[pattern]
    inputs = {name: (FLOAT16 if kind == FLOAT else kind, shape) for name, (kind, shape) in inputs.items()}
    weights = {name: weight(shape, "float16") for name, shape in shapes.items()}
    model = make(tmp_path / "in" / "m.onnx", nodes, weights, {"y": ["n", columns]}, inputs, output_type=FLOAT16)
    export(model, tmp_path / "out")
    check_same(model, tmp_path / "out", feeds(inputs, np.float16), 0, claimed)


@pytest.mark.parametrize(("dtype", "stored"), [("bfloat16", "bf16"), ("float16", "fp16"), ("float32", "fp32")])
def test_float32_weights_are_stored_as_narrow_as_they_fit(tmp_path: Path, dtype: str, stored: str) -> None:
    values = weight((64, 96), dtype).astype(np.float32)
    model = make(tmp_path / "in" / "m.onnx", [node("MatMul", ["x", "w"], "y")], {"w": values}, {"y": ["n", 96]}, X)
    result = export(model, tmp_path / "out")
    manifest = load(tmp_path / "out")[0]
    assert manifest["tensors"][0]["dtype"] == stored
    assert manifest["source"]["dtype"] == "fp32"
    assert result.lossless
    check_same(model, tmp_path / "out", feeds(X), 1)


def nbits(tmp_path: Path, packed: np.ndarray) -> Path:
    """A MatMulNBits of 4 bits in blocks of 32."""
    scales = np.full((96 * 2,), 0.01, np.float32)
    nodes = [node("MatMulNBits", ["x", "q", "s"], "y", "com.microsoft", K=64, N=96, bits=4, block_size=32)]
    return make(tmp_path / "in" / "m.onnx", nodes, {"q": packed, "s": scales}, {"y": ["n", 96]}, X)


def test_matmulnbits_bytes_are_compressed_where_it_pays(tmp_path: Path) -> None:
    packed = np.random.default_rng(0).choice(np.array([0x88, 0x89, 0x98], np.uint8), (96, 2, 16), p=[0.9, 0.05, 0.05])
    model = nbits(tmp_path, packed)
    result = export(model, tmp_path / "out")
    assert (result.tensors, result.plain) == (1, 0)
    assert load(tmp_path / "out")[0]["tensors"][0]["dtype"] == "uint8"
    check_same(model, tmp_path / "out", feeds(X), 0, 1)


def test_matmulnbits_bytes_stay_plain_where_it_does_not_pay(tmp_path: Path) -> None:
    model = nbits(tmp_path, np.random.default_rng(0).integers(0, 256, (96, 2, 16), np.uint8))
    result = export(model, tmp_path / "out")
    assert (result.tensors, result.plain) == (0, 1)
    manifest = load(tmp_path / "out")[0]
    assert manifest["constants"][0]["dtype"] == "uint8"
    assert "Decompress" not in op_types(tmp_path / "out" / "model.onnx")
    check_same(model, tmp_path / "out", feeds(X), 0)
    assert verify_against(tmp_path / "out", str(model)) == 1


def test_constants_that_are_no_weights_stay_as_they_are(tmp_path: Path) -> None:
    shape, table, bias = np.array([-1, 8, 12], np.int64), weight((96, 64)), weight((96,))
    nodes = [
        node("MatMul", ["x", "w"], "p"), node("Add", ["p", "b"], "q"), node("Reshape", ["q", "shape"], "y"),
        node("Mul", ["table", "table"], "z"),
    ]  # fmt: skip
    weights = {"w": weight((64, 96)), "b": bias, "shape": shape, "table": table}
    model = make(tmp_path / "in" / "m.onnx", nodes, weights, {"y": ["n", 8, 12], "z": [96, 64]}, X, external=True)
    assert export(model, tmp_path / "out").tensors == 1
    found = initializers(tmp_path / "out" / "model.onnx")
    inline = {name for name, proto in found.items() if proto.data_location != TensorProto.EXTERNAL}
    assert inline == {"b", "shape", "table"}
    check_same(model, tmp_path / "out", feeds(X), 1)


def test_large_constants_stay_external_in_our_file(tmp_path: Path) -> None:
    table = weight((1024, 512))
    nodes = [node("MatMul", ["x", "w"], "y"), node("Mul", ["table", "table"], "z")]
    outputs = {"y": ["n", 96], "z": [1024, 512]}
    model = make(tmp_path / "in" / "m.onnx", nodes, {"w": weight((64, 96)), "table": table}, outputs, X, external=True)
    export(model, tmp_path / "out")
    constant = load(tmp_path / "out")[0]["constants"][0]
    assert (constant["name"], constant["dtype"], constant["shape"]) == ("table", "fp32", [1024, 512])
    assert not (tmp_path / "out" / "weights.bin").exists()
    values = feeds(X)
    got = session(tmp_path / "out" / "model.onnx").run(["z"], values)[0]
    assert np.array_equal(got, session(model).run(["z"], values)[0])


def test_weight_that_a_nested_graph_reads_is_left_alone(tmp_path: Path) -> None:
    def branch(name: str) -> onnx.GraphProto:
        inner = node("MatMul", ["x", "w"], f"{name}_y")
        return onnx.helper.make_graph([inner], name, [], [onnx.helper.make_tensor_value_info(f"{name}_y", FLOAT, None)])

    choose = node("If", ["flag"], "y", then_branch=branch("a"), else_branch=branch("b"))
    nodes = [choose, node("MatMul", ["x", "v"], "z")]
    inputs = {**X, "flag": (TensorProto.BOOL, [])}
    weights = {"w": weight((64, 96)), "v": weight((64, 96), seed=1)}
    model = make(tmp_path / "in" / "m.onnx", nodes, weights, {"y": ["n", 96], "z": ["n", 96]}, inputs)
    assert export(model, tmp_path / "out").tensors == 1
    check_same(model, tmp_path / "out", {**feeds(X), "flag": np.array(True)}, 1)


def test_layers_follow_the_order_of_use(tmp_path: Path) -> None:
    nodes = [node("Gather", ["table", "ids"], "embed")]
    weights, value = {"table": weight((96, 64))}, "embed"
    for i in (1, 0):  # used in another order than their numbers
        for kind in ("up", "down"):
            name = f"model.layers.{i}.{kind}.weight"
            weights[name] = weight((64, 64), seed=i)
            nodes.append(node("MatMul", [value, name], f"v{i}{kind}"))
            value = f"v{i}{kind}"
    nodes += [node("Transpose", ["table"], "tt", perm=[1, 0]), node("MatMul", [value, "tt"], "logits")]
    model = make(tmp_path / "in" / "m.onnx", nodes, weights, {"logits": ["n", 96]}, IDS)
    export(model, tmp_path / "out")
    manifest = load(tmp_path / "out")[0]
    assert [layer["name"] for layer in manifest["layers"]] == ["embed/Gather", "layers.1", "layers.0", "logits/MatMul"]
    assert [entry["name"] for entry in manifest["tensors"]] == list(weights)
    attributes = [
        {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute}
        for n in onnx.load(tmp_path / "out" / "model.onnx", load_external_data=False).graph.node
        if n.op_type == "Decompress"
    ]
    assert [entry["layer"] for entry in attributes] == [0, 1, 1, 2, 2, 3]
    check_same(model, tmp_path / "out", feeds(IDS), 6)


# ---- whole language models ----


def plain_folder(tmp_path: Path, exported: Path) -> Path:
    """A folder as another tool would write it: the same model with its weights as they are, float32."""
    folder = tmp_path / "plain"
    folder.mkdir()
    onnx.save(plain_model(exported), folder / "model.onnx", save_as_external_data=True, location="weights.bin")
    for name in ("genai_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(exported / name, folder / name)
    return folder


def export_plain(tmp_path: Path, exported: Path, **options: Any) -> tuple[Path, ExportResult]:
    folder = plain_folder(tmp_path, exported)
    return folder, export(folder, tmp_path / "again", ExportOptions(**options))


@pytest.mark.parametrize("name", ["stories260k", "demo_model"])
def test_onnx_language_model_gives_the_golden_tokens(tmp_path: Path, name: str, export_model: ExportModel) -> None:
    _, result = export_plain(tmp_path, export_model(name, "lz4"))
    assert result.lossless
    assert load(result.out)[0]["totals"]["bits_per_weight"] < 12
    model = load_model(result.out)
    for record in golden(name):
        text = model.generate(record["prompt"], max_new_tokens=len(record["greedy_ids"]), greedy=True)
        list(text)
        assert (
            text.report.token_ids == tuple(record["greedy_ids"]) or list(text.report.token_ids) == record["greedy_ids"]
        )
    stats = model.stats()
    assert stats is not None
    assert stats.nodes_unclaimed == 0


def test_onnx_language_model_through_the_fallback_gives_the_same_bits(
    tmp_path: Path, export_model: ExportModel
) -> None:
    folder, result = export_plain(tmp_path, export_model("stories260k", "lz4"))
    ids = np.array([golden("stories260k")[0]["prompt_ids"]], np.int64)
    values: dict[str, Any] = {
        "input_ids": ids, "attention_mask": np.ones_like(ids), "position_ids": np.arange(ids.shape[1])[None],
    }  # fmt: skip
    plain, ours = session(folder / "model.onnx"), session(result.out / "model.onnx")
    for value in plain.get_inputs():
        if value.name not in values:
            values[value.name] = np.zeros((1, value.shape[1], 0, value.shape[3]), np.float32)
    assert np.array_equal(plain.run(["logits"], values)[0], ours.run(["logits"], values)[0])


def test_onnx_without_tokenizer_warns_and_exports(tmp_path: Path) -> None:
    nodes, shapes, inputs, columns, _ = PATTERNS["matmul"]
    model = make(tmp_path / "in" / "m.onnx", nodes, {"w": weight(shapes["w"])}, {"y": ["n", columns]}, inputs)
    warnings = export(model, tmp_path / "out").warnings
    assert len(warnings) == 1
    assert "no tokenizer.json and no genai_config.json" in warnings[0]
    with_tokenizer = ExportOptions(tokenizer=checkpoint_folder("demo_model"))
    assert "tokenizer.json" not in export(model, tmp_path / "two", with_tokenizer).warnings[0]
    assert (tmp_path / "two" / "tokenizer.json").is_file()


def test_genai_config_of_the_source_gets_our_provider(tmp_path: Path, export_model: ExportModel) -> None:
    folder = plain_folder(tmp_path, export_model("stories260k", "lz4"))
    config = json.loads((folder / "genai_config.json").read_text())
    config["model"]["decoder"]["session_options"]["provider_options"] = [{"cuda": {}}]
    (folder / "genai_config.json").write_text(json.dumps(config))
    export(folder, tmp_path / "again")
    got = json.loads((tmp_path / "again" / "genai_config.json").read_text())
    assert got["model"]["decoder"]["session_options"]["provider_options"] == [{"LpcExecutionProvider": {}}]
    assert got["search"] == config["search"]


@pytest.mark.parametrize("links", [1, 2000])
def test_transposes_without_end_are_left_alone(tmp_path: Path, links: int) -> None:
    """A cycle, which only a malformed graph has, and a chain that is longer than any exporter's."""
    values = ["w", *(f"t{index}" for index in range(1, links))]
    ring = [node("Transpose", [a], b) for a, b in itertools.pairwise([*values, "w" if links == 1 else "t0"])]
    nodes = [*ring, node("MatMul", ["x", values[-1]], "y"), node("MatMul", ["x", "v"], "z")]
    weights = {"w": weight((64, 64)), "v": weight((64, 96))}
    model = make(tmp_path / "in" / "m.onnx", nodes, weights, {"y": ["n", 64], "z": ["n", 96]}, X)
    assert export(model, tmp_path / "out").tensors == 1


def test_operators_of_ours_that_the_source_declares_are_ours(tmp_path: Path) -> None:
    nodes, shapes, inputs, columns, claimed = PATTERNS["matmul"]
    model = make(
        tmp_path / "in" / "m.onnx", nodes, {name: weight(shape) for name, shape in shapes.items()},
        {"y": ["n", columns]}, inputs,
    )  # fmt: skip
    proto = onnx.load(model)
    proto.opset_import.append(onnx.helper.make_opsetid("lpc", 99))
    onnx.save(proto, model)
    export(model, tmp_path / "out")
    check_same(model, tmp_path / "out", feeds(inputs), claimed)
