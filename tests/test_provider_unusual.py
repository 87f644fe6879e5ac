"""Valid graphs that no exporter writes: unused results, inputs left out, sums of nothing, bodies of If and Loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from small_models import Session, SmallModel, open_session, random_weight

FLOAT = TensorProto.FLOAT


def activations(*shape: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def check_both(path: Path, **feeds: NDArray[Any]) -> Session:
    """Run with the provider and with the fallback op: the same but for the order of summation."""
    session = open_session(path)
    for got, expected in zip(session.run(**feeds), open_session(path, use_provider=False).run(**feeds), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)
        assert got.shape == expected.shape
    return session


def used_product(model: SmallModel, source: str = "x") -> None:
    model.node("MatMul", [source, model.weight("used", random_weight((16, 8), "bf16", seed=5), token=source)], "y")


@pytest.mark.parametrize("op_type", ["MatMul", "Gemm", "Gather"])
def test_unused_result_of_a_pair_others_are_computed(tmp_path: Path, op_type: str) -> None:
    model = SmallModel(tmp_path)
    weight = model.weight("w", random_weight((16, 8), "bf16"), token="" if op_type == "Gather" else "x")
    model.node(op_type, [weight, "i"] if op_type == "Gather" else ["x", weight], "unused")
    used_product(model)
    path = model.save({"x": [2, 16], "i": [3]}, {"y": [2, 8]}, int_inputs=("i",))
    session = check_both(path, x=activations(2, 16), i=np.array([0, 1, 2]))
    assert session.stats.rows_fetched == 0


@pytest.mark.parametrize("output", ["unused", ""])
def test_unused_weight_is_left_alone(tmp_path: Path, output: str) -> None:
    model = SmallModel(tmp_path)
    model.weight("w", random_weight((16, 8), "bf16"), token="x")
    model.nodes[-1].output[0] = output
    used_product(model)
    check_both(model.save({"x": [2, 16]}, {"y": [2, 8]}), x=activations(2, 16))


def test_unused_results_only_the_session_still_runs(tmp_path: Path) -> None:
    model = SmallModel(tmp_path)
    model.node("MatMul", ["x", model.weight("w", random_weight((16, 8), "bf16"), token="x")], "unused")
    model.node("Relu", ["x"], "y")
    session = check_both(model.save({"x": [2, 16]}, {"y": [2, 16]}), x=activations(2, 16))
    assert session.stats.blobs_decompressed == 0


def test_gemm_whose_bias_is_left_out_by_an_empty_name(tmp_path: Path) -> None:
    model = SmallModel(tmp_path)
    model.node("Gemm", ["x", model.weight("w", random_weight((16, 8), "bf16"), token="x"), ""], "y", alpha=0.5)
    session = check_both(model.save({"x": [2, 16]}, {"y": [2, 8]}), x=activations(2, 16))
    assert session.stats.nodes_claimed == 1


@pytest.mark.parametrize(("m", "k", "n"), [(0, 16, 8), (2, 0, 8), (2, 16, 0), (0, 0, 0)])
@pytest.mark.parametrize("op_type", ["MatMul", "Gemm"])
def test_product_of_nothing_is_empty_or_zero(tmp_path: Path, op_type: str, m: int, k: int, n: int) -> None:
    model = SmallModel(tmp_path)
    bias = ["c"] if op_type == "Gemm" else []
    model.node(op_type, ["x", model.weight("w", random_weight((k, n), "bf16"), token="x"), *bias], "y")
    path = model.save({"x": ["m", k], "c": [n]}, {"y": ["m", n]})
    session = open_session(path)
    c = activations(n, seed=3)
    got = session.run(x=activations(m, k), c=c)[0]
    np.testing.assert_array_equal(got, np.zeros((m, n), np.float32) + (c if bias else 0))


def test_gather_of_no_rows_and_of_rows_of_nothing(tmp_path: Path) -> None:
    model = SmallModel(tmp_path)
    model.node("Gather", [model.weight("t", random_weight((16, 8), "bf16")), "i"], "y")
    model.node("Gather", [model.weight("u", random_weight((16, 0), "bf16")), "j"], "z")
    path = model.save({"i": ["a"], "j": ["b"]}, {"y": ["a", 8], "z": ["b", 0]}, int_inputs=("i", "j"))
    session = open_session(path)
    y, z = session.run(i=np.zeros(0, np.int64), j=np.array([3, 15]))
    assert (y.shape, z.shape) == ((0, 8), (2, 0))


def test_constant_activations_and_indices_are_left_to_onnxruntime(tmp_path: Path) -> None:
    model = SmallModel(tmp_path)
    constant, rows = activations(2, 16), np.array([1, 3], np.int64)
    model.initializers.append(onnx.numpy_helper.from_array(constant, "constant"))
    model.initializers.append(onnx.numpy_helper.from_array(rows, "rows"))
    model.node("MatMul", ["constant", model.weight("w", random_weight((16, 8), "bf16"), token="x")], "p")
    model.node("Gather", [model.weight("t", random_weight((16, 8), "bf16", seed=4), token="x"), "rows"], "g")
    model.node("Add", ["p", "g"], "s")
    used_product(model)
    session = check_both(model.save({"x": [2, 16]}, {"y": [2, 8], "s": [2, 8]}), x=activations(2, 16, seed=7))
    assert (session.stats.nodes_claimed, session.stats.nodes_unclaimed) == (1, 2)


def body(model: SmallModel, name: str, inputs: list[Any], more: list[onnx.NodeProto]) -> onnx.GraphProto:
    """Move the nodes of the model so far into a graph of their own with output `inner`."""
    nodes, model.nodes[:] = [*model.nodes, *more], []
    outputs = [helper.make_tensor_value_info(node.output[0], TensorProto.BOOL, []) for node in more]
    return helper.make_graph(nodes, name, inputs, [*outputs, helper.make_tensor_value_info("inner", FLOAT, None)])


@pytest.mark.parametrize("taken", [True, False])
def test_body_of_if_is_computed_by_the_fallback_operator(tmp_path: Path, taken: bool) -> None:
    model = SmallModel(tmp_path)
    branches = []
    for number, branch in enumerate(("then", "else")):
        weight = model.weight(branch, random_weight((16, 8), "bf16", seed=number), token="x")
        model.node("MatMul", ["x", weight], "inner")
        branches.append(body(model, branch, [], []))
    model.node("If", ["i"], "z", then_branch=branches[0], else_branch=branches[1])
    used_product(model)
    path = model.save({"x": [2, 16], "i": [1]}, {"y": [2, 8], "z": [2, 8]}, int_inputs=("i",))
    proto = onnx.load(path, load_external_data=False)
    proto.graph.input[1].type.tensor_type.elem_type = TensorProto.BOOL
    onnx.save(proto, path)
    session = check_both(path, x=activations(2, 16), i=np.array([taken]))
    assert (session.stats.nodes_claimed, session.stats.nodes_unclaimed) == (1, 2)


def test_body_of_loop_runs_its_product_every_time(tmp_path: Path) -> None:
    model = SmallModel(tmp_path)
    model.node("MatMul", ["state", model.weight("w", random_weight((16, 16), "bf16"), token="state")], "inner")
    value = helper.make_tensor_value_info
    inputs = [value("round", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("state", FLOAT, [2, 16])]
    loop_body = body(model, "body", inputs, [helper.make_node("Identity", ["go"], ["go_on"])])
    model.node("Loop", ["i", "", "x"], "z", body=loop_body)
    used_product(model)
    path = model.save({"x": [2, 16], "i": [1]}, {"y": [2, 8], "z": [2, 16]}, int_inputs=("i",))
    session = check_both(path, x=activations(2, 16), i=np.array([3]))
    assert (session.stats.nodes_claimed, session.stats.nodes_unclaimed) == (1, 1)


def test_weight_of_the_graph_used_in_a_body_alone(tmp_path: Path) -> None:
    model = SmallModel(tmp_path)
    weight = model.weight("w", random_weight((16, 16), "bf16"), token="x")
    outside = model.nodes.pop()
    model.node("MatMul", ["state", weight], "inner")
    value = helper.make_tensor_value_info
    inputs = [value("round", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("state", FLOAT, [2, 16])]
    loop_body = body(model, "body", inputs, [helper.make_node("Identity", ["go"], ["go_on"])])
    model.nodes.append(outside)
    model.node("Loop", ["i", "", "x"], "z", body=loop_body)
    used_product(model)
    path = model.save({"x": [2, 16], "i": [1]}, {"y": [2, 8], "z": [2, 16]}, int_inputs=("i",))
    session = check_both(path, x=activations(2, 16), i=np.array([3]))
    assert (session.stats.nodes_claimed, session.stats.nodes_unclaimed) == (1, 1)
