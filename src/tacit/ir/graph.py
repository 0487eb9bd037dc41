"""The Graph: nodes in topological order, attributes as plain JSON data, weights beside them as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Attr", "Graph", "Node"]

Attr = int | float | str | bool | list["Attr"] | None
Array = NDArray[np.floating]


@dataclass(frozen=True)
class Node:
    """One operation.

    `op` is the name of a module in `tacit.ops`; `inputs` are ids of earlier nodes; `attrs` is JSON data; `weights` maps
    the op's
    own names ("weight", "bias") to keys of `Graph.weights`; `shape` is the output's, batch first; `source` is what the
    node was called in the model, for error messages.
    """

    id: str
    op: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    attrs: Mapping[str, Attr] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True)
class Graph:
    """A whole model: `nodes` in topological order (the inputs are nodes of op "input"), `outputs` by id.

    `weights` are the owner's secret: float arrays by key, never printed.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    weights: Mapping[str, Array] = field(default_factory=dict, repr=False)

    def __getitem__(self, node_id: str) -> Node:
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise KeyError(node_id)

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The nodes of op "input", in order."""
        return tuple(node for node in self.nodes if node.op == "input")
