"""What older exporters wrote otherwise than ONNX says, so that onnxruntime refuses the graph.

Seen in ArcFace networks that MXNet exported (onnx/models issues 91, 156 and 242). Both repairs
are exact where they apply: read to the letter, such a graph cannot run at all.
"""

from __future__ import annotations

from typing import Any

from models.graphs.passes import Graph


def repair(graph: Graph) -> None:
    """Every repair; a graph that needs none stays as it is."""
    for node in graph.nodes:
        if node.op_type == "BatchNormalization":
            _normalise_by_channel(graph, node)
        elif node.op_type == "PRelu":
            _slope_by_channel(graph, node)


def _normalise_by_channel(graph: Graph, node: Any) -> None:
    """`spatial = 0`, no longer known, asks for parameters for every pixel; they are a vector."""
    if graph.constants[node.input[1]].ndim != 1:
        return
    for attribute in [found for found in node.attribute if found.name == "spatial"]:
        node.attribute.remove(attribute)


def _slope_by_channel(graph: Graph, node: Any) -> None:
    """A vector of slopes behind a convolution of as many channels: by the letter, one a column."""
    slope = graph.constants.get(node.input[1])
    if slope is None or slope.ndim != 1 or slope.size != _channels(graph, node.input[0]):
        return
    name = f"{node.output[0]}/slope"
    graph.constants[name] = slope.reshape(-1, 1, 1)
    node.input[1] = name


def _channels(graph: Graph, output: str) -> int | None:
    """Of the convolution that an output comes from, with at most a normalisation in between."""
    node = graph.producer(output)
    if node is not None and node.op_type == "BatchNormalization":
        node = graph.producer(node.input[0])
    weights = None if node is None or node.op_type != "Conv" else graph.constants.get(node.input[1])
    return None if weights is None else int(weights.shape[0])
