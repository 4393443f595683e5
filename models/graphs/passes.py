"""The optimisation passes; each leaves the graph's output as it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from models.graphs.graph import Array, Graph

Floats = NDArray[np.float64]
_T = TypeVar("_T")


def fold_constants(graph: Graph) -> None:
    """Evaluate dequantised weights and their reshaping once, not in every run."""
    kept = []
    for node in graph.nodes:
        value = _constant_value(node, graph.constants)
        if value is None:
            kept.append(node)
        else:
            graph.constants[node.output[0]] = value
    graph.nodes[:] = kept


def drop_dropout(graph: Graph) -> None:
    """Remove Dropout, which does nothing at inference time."""
    for node in [node for node in graph.nodes if node.op_type == "Dropout"]:
        graph.remove_and_bypass(node)


def fold_batch_normalisation(graph: Graph) -> None:
    """Fold each BatchNormalization into the Conv or Gemm before it, or the Gemm after it.

    One without either as neighbour stays: correct, only slower.
    """
    for node in [node for node in graph.nodes if node.op_type == "BatchNormalization"]:
        gamma, beta, mean, variance = (
            graph.constants[name].astype(np.float64) for name in node.input[1:5]
        )
        factor = gamma / np.sqrt(variance + _attribute(node, "epsilon", 1e-5))
        offset = beta - mean * factor
        before = graph.producer(node.input[0])
        if before is not None and _is_foldable(graph, before):
            _fold_into_previous(graph, before, factor, offset)
            before.output[0] = node.output[0]
            graph.nodes.remove(node)
        elif (gemm := _gemm_after(graph, node)) is not None:
            _fold_into_next(graph, gemm, factor, offset)
            graph.remove_and_bypass(node)


def rewrite_prelu(graph: Graph) -> None:
    """Replace PRelu(z) by z + (1 - a) ReLU(-z), with depthwise 1x1 convolutions for the scaling.

    Exact. onnxruntime keeps convolutions, ReLU and Add in its blocked layout and fuses them; a
    PRelu makes it leave that layout and return (39 % of SFace's time as published).
    """
    rewritten = []
    for node in graph.nodes:
        slope = graph.constants.get(node.input[1]) if node.op_type == "PRelu" else None
        if slope is None or slope.ndim != 3 or slope.shape[1:] != (1, 1):
            rewritten.append(node)
        else:
            rewritten += _prelu_as_convolutions(graph, node, slope.reshape(-1).astype(np.float64))
    graph.nodes[:] = rewritten


def _constant_value(node: NodeProto, constants: dict[str, Array]) -> Array | None:
    """Return the value of a node that depends on constants alone; None for any other."""
    if node.op_type == "Constant":
        return _constant_of(node)
    if not all(name in constants for name in node.input):
        return None
    values = [constants[name] for name in node.input]
    if node.op_type == "DequantizeLinear":
        block_size, axis = _attribute(node, "block_size", 0), _attribute(node, "axis", 1)
        return _dequantise(values[0], values[1], values[2:], block_size, axis)
    if node.op_type == "Reshape" and 0 not in values[1]:
        return values[0].reshape(values[1].tolist())
    return None


def _constant_of(node: NodeProto) -> Array | None:
    for attribute in node.attribute:
        if attribute.name == "value":
            return np.asarray(numpy_helper.to_array(attribute.t))
        if attribute.name == "value_float":
            return np.asarray(attribute.f, dtype=np.float32)
    return None


def _dequantise(
    values: Array, scale: Array, zero_point: Sequence[Array], block_size: int, axis: int
) -> Array:
    zero = zero_point[0] if zero_point else np.zeros_like(scale, dtype=np.int32)

    def spread(parameter: Array) -> NDArray[np.float32]:
        """Expand a parameter per tensor, per block or per channel to one per value."""
        floats = parameter.astype(np.float32)
        if floats.size == 1:
            # Legal for one tensor, but the published YuNet also gives these a block size,
            # which onnxruntime refuses.
            return floats.reshape(())
        if block_size:
            repeated = np.repeat(floats, block_size, axis)
            return repeated.take(np.arange(values.shape[axis]), axis)
        return floats.reshape([-1 if dim == axis else 1 for dim in range(values.ndim)])

    difference = values.astype(np.float32) - spread(zero)
    return np.asarray(difference * spread(scale), dtype=np.float32)


def _is_foldable(graph: Graph, node: NodeProto) -> bool:
    plain_gemm = node.op_type == "Gemm" and _is_plain_gemm(node)
    constant = all(name in graph.constants for name in node.input[1:])
    alone = len(graph.consumers(node.output[0])) == 1
    return (node.op_type == "Conv" or plain_gemm) and constant and alone


def _is_plain_gemm(node: NodeProto) -> bool:
    return bool(_attribute(node, "transB", 0)) and not _attribute(node, "transA", 0)


def _fold_into_previous(graph: Graph, node: NodeProto, factor: Floats, offset: Floats) -> None:
    weight = graph.constants[node.input[1]].astype(np.float64)
    bias = graph.constants[node.input[2]].astype(np.float64) if len(node.input) > 2 else 0.0
    per_output = factor.reshape((-1,) + (1,) * (weight.ndim - 1))
    _set_weights(graph, node, weight * per_output, bias * factor + offset)


def _gemm_after(graph: Graph, node: NodeProto) -> NodeProto | None:
    """Return the Gemm that follows ``node`` and a Flatten, if both are the only consumers."""
    following = graph.consumers(node.output[0])
    if len(following) != 1 or following[0].op_type != "Flatten":
        return None
    after = graph.consumers(following[0].output[0])
    if len(after) != 1 or after[0].op_type != "Gemm" or not _is_plain_gemm(after[0]):
        return None
    return after[0] if all(name in graph.constants for name in after[0].input[1:]) else None


def _fold_into_next(graph: Graph, gemm: NodeProto, factor: Floats, offset: Floats) -> None:
    weight = graph.constants[gemm.input[1]].astype(np.float64)
    bias = graph.constants[gemm.input[2]].astype(np.float64) if len(gemm.input) > 2 else 0.0
    # Flatten of (1, C, H, W): each channel's factor is repeated for its H x W positions.
    positions = weight.shape[1] // factor.size
    per_input, shift = np.repeat(factor, positions), np.repeat(offset, positions)
    _set_weights(graph, gemm, weight * per_input, bias + weight @ shift)


def _set_weights(graph: Graph, node: NodeProto, weight: Floats, bias: Floats) -> None:
    names = [f"{node.output[0]}/folded_weight", f"{node.output[0]}/folded_bias"]
    for name, value in zip(names, (weight, bias), strict=True):
        graph.constants[name] = value.astype(np.float32)
    del node.input[1:]
    node.input.extend(names)


def _prelu_as_convolutions(graph: Graph, node: NodeProto, slope: Floats) -> list[NodeProto]:
    source, target = node.input[0], node.output[0]

    def scaled(value: str, factor: Floats, result: str) -> NodeProto:
        weight = f"{result}/weight"
        graph.constants[weight] = factor.astype(np.float32).reshape(-1, 1, 1, 1)
        return helper.make_node("Conv", [value, weight], [result], group=slope.size)

    return [
        scaled(source, -np.ones_like(slope), f"{target}/negated"),
        helper.make_node("Relu", [f"{target}/negated"], [f"{target}/below_zero"]),
        scaled(f"{target}/below_zero", 1.0 - slope, f"{target}/correction"),
        helper.make_node("Add", [source, f"{target}/correction"], [target]),
    ]


def _attribute(node: NodeProto, name: str, default: _T) -> _T:
    """Return the value of a numeric attribute, or its default."""
    for attribute in node.attribute:
        if attribute.name == name:
            value: _T = helper.get_attribute_value(attribute)
            return value
    return default
