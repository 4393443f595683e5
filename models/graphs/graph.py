"""An ONNX graph while it is being rewritten."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

Array = NDArray[np.generic]


@dataclass
class Graph:
    """The nodes of a graph in order, and its constants by name."""

    nodes: list[NodeProto]
    constants: dict[str, Array]

    def producer(self, output: str) -> NodeProto | None:
        """Return the node that computes ``output``; None for a constant or an input."""
        return next((node for node in self.nodes if output in node.output), None)

    def consumers(self, output: str) -> list[NodeProto]:
        """Return the nodes that read ``output``."""
        return [node for node in self.nodes if output in node.input]

    def remove_and_bypass(self, node: NodeProto) -> None:
        """Remove a node whose output equals its first input."""
        self.nodes.remove(node)
        for consumer in self.consumers(node.output[0]):
            for position, name in enumerate(consumer.input):
                if name == node.output[0]:
                    consumer.input[position] = node.input[0]
