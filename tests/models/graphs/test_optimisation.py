"""Optimised graphs return the same values as the original ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.embedding.alignment import align
from models.errors import InferenceFailed
from models.graphs.optimisation import optimise
from models.pictures.decoding import DecodeLimits, decode
from models.pipeline import FacePipeline
from models.session import Cancellation, OnnxSession
from models.weights import find_weights

Array = NDArray[Any]
RANDOM = np.random.default_rng(20_26)


def saved_model(
    folder: Path, nodes: list[Any], constants: dict[str, Array], output_shape: list[int]
) -> Path:
    """An ONNX file with the input x (1, 4, 6, 6) and the output y.

    Constants are listed as inputs too, as in the published SFace.
    """
    names = {**{"x": [1, 4, 6, 6]}, **{name: list(v.shape) for name, v in constants.items()}}
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in names.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output_shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    model.ir_version = 10
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def normal(*shape: int) -> Array:
    return RANDOM.normal(size=shape).astype(np.float32)


def norm_constants(channels: int) -> dict[str, Array]:
    return {
        "gamma": normal(channels),
        "beta": normal(channels),
        "mean": normal(channels),
        "variance": np.abs(normal(channels)) + 0.1,
    }


NORM_INPUTS = ["gamma", "beta", "mean", "variance"]


def assert_same_output(path: Path, gone: set[str]) -> None:
    """The optimised graph returns the original's values, without the operators ``gone``."""
    x = normal(1, 4, 6, 6)
    session = onnx.load(path)
    before_ops = {node.op_type for node in session.graph.node}
    assert gone <= before_ops, "the test graph lacks the operators to be removed"
    del session.graph.input[1:]
    before = OnnxSession("before", session.SerializeToString()).run(x, Cancellation())["y"]
    rewritten = optimise(path, dynamic_input=False)
    after = OnnxSession("after", rewritten).run(x, Cancellation())["y"]
    np.testing.assert_allclose(after, before, rtol=2e-5, atol=2e-5)
    assert not gone & {node.op_type for node in onnx.load_from_string(rewritten).graph.node}


@pytest.mark.parametrize("bias", [True, False])
def test_batch_normalisation_folds_into_the_convolution_before_it(
    tmp_path: Path, bias: bool
) -> None:
    """Whether or not the convolution has a bias."""
    constants = {"w": normal(5, 4, 3, 3), **norm_constants(5)}
    if bias:
        constants["b"] = normal(5)
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"] if bias else ["x", "w"], ["c"]),
        helper.make_node("BatchNormalization", ["c", *NORM_INPUTS], ["y"], epsilon=1e-3),
    ]
    path = saved_model(tmp_path, nodes, constants, [1, 5, 4, 4])
    assert_same_output(path, {"BatchNormalization"})


def test_batch_normalisation_folds_into_the_gemm_before_it(tmp_path: Path) -> None:
    """As after SFace's last layer."""
    constants = {"w": normal(7, 144), "b": normal(7), **norm_constants(7)}
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["g"], transB=1),
        helper.make_node("BatchNormalization", ["g", *NORM_INPUTS], ["y"]),
    ]
    assert_same_output(saved_model(tmp_path, nodes, constants, [1, 7]), {"BatchNormalization"})


def test_batch_normalisation_folds_into_the_gemm_after_a_flatten(tmp_path: Path) -> None:
    """As before SFace's last layer, with a dropout in between."""
    constants = {"w": normal(7, 144), "b": normal(7), **norm_constants(4)}
    nodes = [
        helper.make_node("BatchNormalization", ["x", *NORM_INPUTS], ["n"]),
        helper.make_node("Dropout", ["n"], ["d"]),
        helper.make_node("Flatten", ["d"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["y"], transB=1),
    ]
    path = saved_model(tmp_path, nodes, constants, [1, 7])
    assert_same_output(path, {"BatchNormalization", "Dropout"})


def test_batch_normalisation_of_a_shared_result_stays(tmp_path: Path) -> None:
    """A convolution with another consumer must not change."""
    constants = {"w": normal(4, 4, 1, 1), **norm_constants(4)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("BatchNormalization", ["c", *NORM_INPUTS], ["n"]),
        helper.make_node("Add", ["c", "n"], ["y"]),
    ]
    assert_same_output(saved_model(tmp_path, nodes, constants, [1, 4, 6, 6]), set())


def test_graphs_exported_by_mxnet_are_repaired(tmp_path: Path) -> None:
    """``spatial = 0`` and a flat vector of slopes, which onnxruntime refuses unrepaired.

    The repaired graph returns the same values as one written correctly.
    """
    constants = {"w": normal(5, 4, 3, 3), "a": normal(5), "w2": normal(5, 5, 1, 1)}
    constants |= norm_constants(5)

    def nodes(**spatial: int) -> list[Any]:
        return [
            helper.make_node("Conv", ["x", "w"], ["c"]),
            helper.make_node("PRelu", ["c", "a"], ["r"]),
            helper.make_node("BatchNormalization", ["r", *NORM_INPUTS], ["n"], **spatial),
            helper.make_node("Conv", ["n", "w2"], ["y"]),
        ]

    old = onnx.load(saved_model(tmp_path, nodes(spatial=0), constants, [1, 5, 4, 4]))
    old.opset_import[0].version = 8
    old.ir_version = 4
    onnx.save(old, tmp_path / "old.onnx")
    with pytest.raises(InferenceFailed):
        OnnxSession("old", tmp_path / "old.onnx").run(normal(1, 4, 6, 6), Cancellation())
    meant = constants | {"a": constants["a"].reshape(5, 1, 1)}
    good = onnx.load(saved_model(tmp_path, nodes(), meant, [1, 5, 4, 4]))
    del good.graph.input[1:]
    x = normal(1, 4, 6, 6)
    expected = OnnxSession("good", good.SerializeToString()).run(x, Cancellation())["y"]
    repaired = OnnxSession("new", optimise(tmp_path / "old.onnx", dynamic_input=False))
    np.testing.assert_allclose(repaired.run(x, Cancellation())["y"], expected, rtol=2e-5, atol=2e-5)


def test_a_vector_of_slopes_per_column_stays(tmp_path: Path) -> None:
    """As ONNX defines it: six slopes for six columns."""
    nodes = [helper.make_node("PRelu", ["x", "a"], ["y"])]
    assert_same_output(saved_model(tmp_path, nodes, {"a": normal(6)}, [1, 4, 6, 6]), set())


def test_prelu_becomes_convolutions(tmp_path: Path) -> None:
    """For any slope: negative, between 0 and 1, above 1."""
    constants = {"a": np.array([-0.7, 0.0, 0.25, 1.8], np.float32).reshape(4, 1, 1)}
    nodes = [helper.make_node("PRelu", ["x", "a"], ["y"])]
    assert_same_output(saved_model(tmp_path, nodes, constants, [1, 4, 6, 6]), {"PRelu"})


@pytest.mark.parametrize("zero", [True, False])
def test_block_quantised_weights_become_floats(tmp_path: Path, zero: bool) -> None:
    """int8 blocks of three with their scales, then the reshape to the convolution's shape."""
    quantised = RANDOM.integers(-128, 128, (5, 36)).astype(np.int8)
    constants: dict[str, Array] = {
        "q": quantised,
        "s": np.abs(normal(5, 12)) / 50,
        "shape": np.array([5, 4, 3, 3], np.int64),
    }
    if zero:
        constants["z"] = RANDOM.integers(-9, 9, (5, 12)).astype(np.int8)
    inputs = ["q", "s", "z"] if zero else ["q", "s"]
    nodes = [
        helper.make_node("DequantizeLinear", inputs, ["d"], axis=1, block_size=3),
        helper.make_node("Reshape", ["d", "shape"], ["w"]),
        helper.make_node("Conv", ["x", "w"], ["y"]),
    ]
    path = saved_model(tmp_path, nodes, constants, [1, 5, 4, 4])
    assert_same_output(path, {"DequantizeLinear", "Reshape"})


def test_weights_quantised_by_channel_become_floats(tmp_path: Path) -> None:
    """One scale per output channel."""
    quantised = RANDOM.integers(-128, 128, (5, 4, 3, 3)).astype(np.int8)
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s"], ["w"], axis=0),
        helper.make_node("Conv", ["x", "w"], ["y"]),
    ]
    constants: dict[str, Array] = {"q": quantised, "s": np.abs(normal(5)) / 50}
    assert_same_output(saved_model(tmp_path, nodes, constants, [1, 5, 4, 4]), {"DequantizeLinear"})


def test_prepared_sface_equals_the_published_graph(
    pipeline: FacePipeline, hopper: bytes, collins: bytes
) -> None:
    """The published graph, without its stale inputs, gives the same embeddings."""
    published = onnx.load(find_weights("sface"))
    data = [item for item in published.graph.input if item.name == "data"]
    del published.graph.input[:]
    published.graph.input.extend(data)
    session = OnnxSession("published", published.SerializeToString())
    for picture in (hopper, collins):
        face = pipeline.score(picture, min_confidence=0.7, max_faces=1).faces[0]
        crop = align(decode(picture, DecodeLimits()), face.landmarks)
        tensor = np.ascontiguousarray(crop[:, :, ::-1].transpose(2, 0, 1)[np.newaxis])
        raw = session.run(tensor.astype(np.float32), Cancellation())["fc1"][0]
        assert raw @ face.embedding / np.linalg.norm(raw) >= 0.99999
        assert np.linalg.norm(raw) == pytest.approx(face.measures.embedding_norm, rel=1e-4)


def test_optimising_twice_gives_the_same_bytes() -> None:
    """Two processes that prepare at once must agree."""
    yunet = find_weights("yunet")
    assert optimise(yunet, dynamic_input=True) == optimise(yunet, dynamic_input=True)
