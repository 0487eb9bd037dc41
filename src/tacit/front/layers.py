"""What every layer of a model computes: in float64, in a plan's integers, and in float64 from a run's own inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tacit import ops
from tacit.errors import InvalidInput
from tacit.front.clear import run_clear
from tacit.ir.attrs import Doubles, Weights
from tacit.ir.graph import Graph, Node
from tacit.ir.positions import positions
from tacit.plan.measure import Reading
from tacit.plan.plan import Plan
from tacit.ring.fixed import decode
from tacit.secure.session import Step
from tacit.secure.share import Share

__all__ = ["Values", "expected", "fixed_values", "float_values", "keeping", "layer_sites", "own_weights", "pieces"]

#: What each layer made, by its node's id.
Values = dict[str, Doubles]

#: Steps that hold no layer's result: openings are public masked values, the others belong to whoever reads them.
_NOT_RESULTS = ("open", "fan", "sign", "reveal", "remask")


def layer_sites(plan: Plan) -> dict[str, int]:
    """The step that holds each layer's result, by node. A layer without a step of its own has its input's.

    LookupError for the public half of a plan, which has no layers.
    """
    if plan.graph is None:
        raise LookupError("the public half of a plan has no graph")
    shapes = {node.id: node.shape for node in plan.graph.nodes}
    found: dict[str, int] = {}
    for step in plan.steps:
        wire = plan.wires[step.site]
        if step.op not in _NOT_RESULTS and wire.preset != "opened" and shapes.get(step.node) == wire.shape:
            found[step.node] = step.site
    for node in plan.graph.nodes:
        if node.id not in found and node.inputs and node.inputs[0] in found and shapes[node.inputs[0]] == node.shape:
            found[node.id] = found[node.inputs[0]]
    return found


def float_values(graph: Graph, xs: Sequence[NDArray[np.float64]]) -> Values:
    """Every node's value in float64 for one batch, one array per input. Raises InvalidInput."""
    values: Values = {}

    def note(node: Node, value: Doubles) -> None:
        values[node.id] = value

    run_clear(graph, *xs, record=note)
    return values


def keeping(plan: Plan, values: Values) -> Callable[[Step, Share], None]:
    """A recorder that puts what a run of `plan` makes for each layer, as real numbers, into `values`."""
    wanted: dict[int, list[str]] = {}
    for node, site in layer_sites(plan).items():
        wanted.setdefault(site, []).append(node)

    def note(step: Step, value: Share) -> None:
        for node in wanted.get(step.site, ()):
            values[node] = decode(value.require(), value.wire.scale, value.wire.ring)

    return note


def fixed_values(plan: Plan, xs: Sequence[NDArray[np.float64]], *, threads: int = 1) -> Values:
    """Every layer's value in the plan's integers, in the clear, for one batch. Raises InvalidInput."""
    values: Values = {}
    Reading.of(plan).outputs(xs, threads=threads, record=keeping(plan, values))
    return values


def own_weights(graph: Graph, node: Node) -> Weights:
    """The node's weights in float64 by the operation's own names."""
    return {slot: np.asarray(graph.weights[key], np.float64) for slot, key in node.weights.items()}


def expected(graph: Graph, node: Node, values: Mapping[str, Doubles]) -> Doubles | None:
    """What `node` should make of the values that reached it; None where a value is missing, and for inputs."""
    if node.op == "input" or not all(i in values for i in node.inputs):
        return None
    want = ops.load(node.op).clear(node.attrs, own_weights(graph, node), *(values[i] for i in node.inputs))
    if node.op == "exclude" and node.id in values:  # a number below all others: any that is low enough is right
        want = np.where(positions(node.attrs), want, np.minimum(want, values[node.id]))
    return want


def pieces(graph: Graph, data: Sequence[NDArray[np.float64]], most: int) -> list[tuple[NDArray[np.float64], ...]]:
    """The first examples of `data` (one array per input) in at most `most` batches of the graph's own size.

    Raises InvalidInput when there is less than one batch, or an array does not fit.
    """
    if len(data) != len(graph.inputs):
        raise InvalidInput(f"the data have {len(data)} arrays, the model takes {len(graph.inputs)} inputs")
    for array, node in zip(data, graph.inputs, strict=True):
        if array.shape[1:] != node.shape[1:]:
            raise InvalidInput(f"the data have shape {array.shape}, the model takes {node.shape} (batch first)")
        if len(array) < node.shape[0]:
            raise InvalidInput(f"the data have {len(array)} examples, one batch of the model is {node.shape[0]}")
    count = min(most, *(len(a) // n.shape[0] for a, n in zip(data, graph.inputs, strict=True)))
    sizes = [node.shape[0] for node in graph.inputs]
    return [tuple(a[i * n : (i + 1) * n] for a, n in zip(data, sizes, strict=True)) for i in range(count)]
