"""Labels instead of values: the end of a Graph that lets the client learn which class, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from tacit import ops
from tacit.errors import InvalidInput
from tacit.ir.graph import Attr, Graph, Node

__all__ = ["with_labels"]


def with_labels(graph: Graph, count: int) -> Graph:
    """`graph` with every output [*, n] replaced by the positions of its `count` largest values, [*, count].

    InvalidInput if an output has no `count` values to choose among.
    """
    nodes, outputs = list(graph.nodes), []
    shapes = {node.id: node.shape for node in nodes}
    for number, out in enumerate(graph.outputs):
        name = f"labels{number or ''}"
        while name in shapes:
            name += "_"
        attrs: dict[str, Attr] = {"k": count}
        try:
            shape = ops.infer("topk", attrs, (shapes[out],))
        except InvalidInput as error:
            raise InvalidInput(f"policy.reveal does not fit the output {out}: {error}") from error
        nodes.append(Node(name, "topk", (out,), shape, attrs, source="policy.reveal"))
        shapes[name] = shape
        outputs.append(name)
    return replace(graph, nodes=tuple(nodes), outputs=tuple(outputs))
