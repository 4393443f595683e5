"""Small generated graphs with the shapes of real models, for tests without downloads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper, save

QUALITY_MODEL = """
task = "assess"
family = "crop_quality"
input_size = [112, 112]
channels = "rgb"
mean = 127.5
scale = 127.5
"""


def embedder_graph(path: Path, dimension: int, seed: int = 3) -> Path:
    """A random embedder, 1 x 3 x 112 x 112 to 1 x ``dimension``: convolution, PRelu, projection."""
    random = np.random.default_rng(seed)
    weights = {
        "w": random.normal(0, 0.02, (8, 3, 16, 16)),
        "a": np.full((8, 1, 1), 0.25),
        "p": random.normal(0, 0.1, (dimension, 8 * 7 * 7)),
        "b": np.zeros(dimension),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], strides=[16, 16]),
        helper.make_node("PRelu", ["c", "a"], ["r"]),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("Gemm", ["f", "p", "b"], ["y"], transB=1),
    ]
    return _saved(path, nodes, weights, [1, 3, 112, 112], {"y": [1, dimension]})


def quality_model(path: Path, answers: int = 1) -> Path:
    """A quality model with its description, 1 x 3 x 112 x 112 to 1 x ``answers`` like eDifFIQA.

    It returns the mean of the first plane, red, which depends on channel order and scale.
    """
    weights = {
        "w": np.array([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1),
        "p": np.ones((answers, 1)),
        "b": np.zeros(answers),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "p", "b"], ["y"], transB=1),
    ]
    path.with_suffix(".toml").write_text(QUALITY_MODEL)
    return _saved(path, nodes, weights, [1, 3, 112, 112], {"y": [1, answers]})


def constant_graph(
    path: Path, outputs: dict[str, NDArray[np.float32]], input_shape: list[int | str]
) -> Path:
    """A detector that returns the same tensors for every picture."""
    nodes: list[object] = []
    weights: dict[str, NDArray[np.floating]] = {"zero": np.zeros(1)}
    nodes.append(helper.make_node("ReduceMean", ["x"], ["m"], keepdims=0))
    nodes.append(helper.make_node("Mul", ["m", "zero"], ["nothing"]))
    for name, value in outputs.items():
        weights[f"{name}_value"] = value
        nodes.append(helper.make_node("Add", [f"{name}_value", "nothing"], [name]))
    shapes: dict[str, list[int]] = {name: list(value.shape) for name, value in outputs.items()}
    return _saved(path, nodes, weights, input_shape, shapes)


def _saved(
    path: Path,
    nodes: list[object],
    weights: dict[str, NDArray[np.floating]],
    input_shape: list[int] | list[int | str],
    outputs: dict[str, list[int]],
) -> Path:
    graph = helper.make_graph(
        nodes,
        "generated",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(v.astype(np.float32), n) for n, v in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(model)
    save(model, str(path))
    return path
