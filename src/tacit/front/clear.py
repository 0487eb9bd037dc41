"""The meaning of a Graph in plain numbers: float64 numpy, no secrecy, no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tacit import ops
from tacit.errors import InvalidInput
from tacit.ir import Graph, Node
from tacit.ir.attrs import Doubles, Weights
from tacit.ir.onehot import from_indices

__all__ = ["observe", "ranges", "run_clear"]

Record = Callable[[Node, Doubles], None]


def run_clear(graph: Graph, *inputs: ArrayLike, record: Record | None = None) -> list[Doubles]:
    """The outputs for `inputs`, each of its input node's shape; `record` is told of every node's value.

    Raises InvalidInput when the inputs' number, shapes or values do not fit the graph.
    """
    return _run(graph, _doubles(graph), _checked(graph, inputs), record)


def _doubles(graph: Graph) -> Weights:
    return {key: np.asarray(array, np.float64) for key, array in graph.weights.items()}


def _run(graph: Graph, weights: Weights, inputs: Sequence[Doubles], record: Record | None) -> list[Doubles]:
    values = {node.id: x for node, x in zip(graph.inputs, inputs, strict=True)}
    uses = Counter([*graph.outputs, *(i for node in graph.nodes for i in node.inputs)])
    for node in graph.nodes:
        if node.op != "input":
            own = {slot: weights[key] for slot, key in node.weights.items()}
            values[node.id] = ops.load(node.op).clear(node.attrs, own, *(values[i] for i in node.inputs))
        if record is not None:
            record(node, values[node.id])
        _forget(values, uses, node)
    return [values[output] for output in graph.outputs]


def ranges(graph: Graph, batches: Iterable[Any]) -> dict[str, float]:
    """The largest absolute value that each node takes over `batches`: its range as calibration sees it.

    A batch is an array, or a sequence of one array per input; its leading size is a multiple of the graph's. Raises
    InvalidInput when there is no batch or one does not fit.
    """
    largest: dict[str, float] = {}

    def record(node: Node, value: Doubles) -> None:
        largest[node.id] = max(largest.get(node.id, 0.0), float(np.abs(value).max(initial=0.0)))

    observe(graph, batches, record)
    if not largest:
        raise InvalidInput("calibration needs at least one batch of inputs")
    return largest


def observe(graph: Graph, batches: Iterable[Any], record: Record) -> None:
    """Tell `record` of every node's value on `batches`, which are given as to `ranges`. Raises InvalidInput."""
    weights = _doubles(graph)
    for batch in batches:
        arrays = batch if isinstance(batch, tuple) or len(graph.inputs) > 1 else (batch,)
        for inputs in _split(graph, [np.asarray(array) for array in arrays]):
            _run(graph, weights, _checked(graph, inputs), record)


def _checked(graph: Graph, inputs: Sequence[ArrayLike]) -> list[Doubles]:
    if len(inputs) != len(graph.inputs):
        raise InvalidInput(f"the model takes {len(graph.inputs)} inputs, not {len(inputs)}")
    arrays = []
    for node, given in zip(graph.inputs, inputs, strict=True):
        array = np.asarray(from_indices(np.asarray(given), node.shape))
        if array.shape != node.shape or array.dtype.kind not in "fiub":
            raise InvalidInput(
                f"input {node.id!r} must be numbers of shape {node.shape}, not {array.dtype} of shape {array.shape}"
            )
        if not np.all(np.isfinite(array)):
            raise InvalidInput(f"input {node.id!r} holds NaN or infinity")
        arrays.append(array.astype(np.float64))
    return arrays


def _split(graph: Graph, arrays: list[NDArray[Any]]) -> Iterable[list[NDArray[Any]]]:
    """The batch in pieces of the graph's own size; the whole, for `_checked` to refuse, when it does not divide."""
    pairs = zip(graph.inputs, arrays, strict=False)
    sizes = {divmod(len(array), node.shape[0]) for node, array in pairs if array.ndim and any(node.shape[:1])}
    if len(sizes) != 1 or len(arrays) != len(graph.inputs) or not all(array.ndim for array in arrays):
        return [arrays]
    ((count, rest),) = sizes
    if rest or not count:
        return [arrays]
    return [list(piece) for piece in zip(*(np.split(array, count) for array in arrays), strict=True)]


def _forget(values: dict[str, Doubles], uses: Counter[str], node: Node) -> None:
    """Drops the values that no later node reads."""
    for i in (*node.inputs, node.id):
        uses[i] -= i != node.id
        if not uses[i]:
            values.pop(i, None)
