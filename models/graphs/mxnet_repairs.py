"""Repairs of graphs that onnxruntime refuses because an older exporter broke ONNX's rules.

Seen in ArcFace networks exported by MXNet (onnx/models issues 91, 156 and 242). Both repairs are
exact: taken literally, such a graph cannot run at all.
"""

from __future__ import annotations

from onnx import NodeProto

from models.graphs.graph import Graph


def repair(graph: Graph) -> None:
    """Apply every repair; a correct graph stays as it is."""
    for node in graph.nodes:
        if node.op_type == "BatchNormalization":
            _normalise_by_channel(graph, node)
        elif node.op_type == "PRelu":
            _slope_by_channel(graph, node)


def _normalise_by_channel(graph: Graph, node: NodeProto) -> None:
    """Drop the obsolete ``spatial = 0``, which asks for parameters per pixel, not a vector."""
    if graph.constants[node.input[1]].ndim != 1:
        return
    for attribute in [found for found in node.attribute if found.name == "spatial"]:
        node.attribute.remove(attribute)


def _slope_by_channel(graph: Graph, node: NodeProto) -> None:
    """Reshape a vector of slopes, one per channel, that ONNX would read as one per column."""
    slope = graph.constants.get(node.input[1])
    if slope is None or slope.ndim != 1 or slope.size != _channels(graph, node.input[0]):
        return
    name = f"{node.output[0]}/slope"
    graph.constants[name] = slope.reshape(-1, 1, 1)
    node.input[1] = name


def _channels(graph: Graph, output: str) -> int | None:
    """Count the channels of the convolution before ``output``, or before its normalisation."""
    node = graph.producer(output)
    if node is not None and node.op_type == "BatchNormalization":
        node = graph.producer(node.input[0])
    weights = None if node is None or node.op_type != "Conv" else graph.constants.get(node.input[1])
    return None if weights is None else int(weights.shape[0])
