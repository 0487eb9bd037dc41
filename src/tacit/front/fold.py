"""The folding of per-channel products and sums into the convolution or matrix product before them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tacit.ir import Node
from tacit.ir.attrs import Shape

__all__ = ["fold"]

Array = NDArray[np.float64]
_CHANNEL = {"conv": "weight", "linear": "weight", "affine": "gain"}


def fold(
    nodes: Sequence[Node], outputs: Sequence[str], weights: Mapping[str, Array]
) -> tuple[list[Node], list[str], dict[str, Array]]:
    """The same computation with each `affine` and `bias` merged into the layer before it, if that feeds nothing else.

    Reshapes and permutations between the two are seen through. Weights are not rounded here; shared ones are copied
    before a change, others change where they are.
    """
    folding = _Folding(nodes, outputs, weights)
    for node in nodes:
        folding.visit(node)
    return folding.nodes, [folding.moved.get(o, o) for o in outputs], folding.weights


class _Folding:
    def __init__(self, nodes: Sequence[Node], outputs: Sequence[str], weights: Mapping[str, Array]) -> None:
        self.weights = dict(weights)
        self.moved: dict[str, str] = {}
        self._done: dict[str, Node] = {}
        self._uses = Counter([*outputs, *(i for node in nodes for i in node.inputs)])
        self._sharers = Counter(key for node in nodes for key in node.weights.values())

    @property
    def nodes(self) -> list[Node]:
        return list(self._done.values())

    def visit(self, node: Node) -> None:
        node = replace(node, inputs=tuple(self.moved.get(i, i) for i in node.inputs))
        change = self._change(node)
        target = None if change is None else self._producer(node.inputs[0], change[0])
        if change is None or target is None:
            self._done[node.id] = node
            return
        self._merge(target, change[1], change[2])
        self.moved[node.id] = node.inputs[0]
        self._uses[node.inputs[0]] = self._uses[node.id]

    def _change(self, node: Node) -> tuple[int, Array | None, Array | None] | None:
        """The axis, the factors and the summands of a node that acts channel by channel; None for other nodes."""
        if node.op == "affine":
            offset = node.weights.get("offset")
            gain = self.weights[node.weights["gain"]]
            return int(str(node.attrs["axis"])), gain, None if offset is None else self.weights[offset]
        if node.op != "bias":
            return None
        value = self.weights[node.weights["value"]]
        shape = (1,) * (len(node.shape) - value.ndim) + value.shape
        varying = [a for a, size in enumerate(shape) if size > 1]
        if len(varying) == 1:
            return varying[0], None, value.reshape(-1)
        if varying or node.inputs[0] not in self._done:
            return None
        return self._uniform(node, float(value.reshape(())))

    def _uniform(self, node: Node, value: float) -> tuple[int, None, Array] | None:
        """A sum with one number as a sum along whichever axis the producer's channels lie."""
        for along in range(1, len(node.shape)):
            if self._producer(node.inputs[0], along) is not None:
                return along, None, np.full(node.shape[along], value)
        return None

    def _producer(self, node_id: str, along: int) -> Node | None:
        """The layer whose output channels lie along axis `along` of the value `node_id`, if only that path reads it."""
        while self._uses[node_id] == 1 and node_id in self._done:
            node = self._done[node_id]
            channels = {"conv": 1, "linear": len(node.shape) - 1, "affine": node.attrs.get("axis")}.get(node.op)
            if channels is not None:
                return node if channels == along else None
            before = self._axis_before(node, along)
            if before is None:
                return None
            node_id, along = node.inputs[0], before
        return None

    def _axis_before(self, node: Node, along: int) -> int | None:
        """The axis of a permutation's or reshape's input that its output's axis `along` is."""
        if node.op == "permute":
            order = node.attrs["order"]
            return int(str(order[along])) if isinstance(order, list) else None
        return _same_axis(self._done[node.inputs[0]].shape, node.shape, along) if node.op == "reshape" else None

    def _merge(self, target: Node, gain: Array | None, offset: Array | None) -> None:
        main, shift = _CHANNEL[target.op], "offset" if target.op == "affine" else "bias"
        keys = dict(target.weights)
        old = self.weights[keys[main]]
        summand = self.weights[keys[shift]] if shift in keys else np.zeros(old.shape[0])
        if gain is not None:
            alone = self._sharers[keys[main]] == 1
            factors = gain.reshape(-1, *(1,) * (old.ndim - 1))
            keys[main] = self._store(target, main, np.multiply(old, factors, out=old if alone else None))
            summand = summand * gain
        if offset is not None:
            summand = summand + offset
        if shift in keys or offset is not None:
            keys[shift] = self._store(target, shift, summand)
        self._done[target.id] = replace(target, weights=keys)

    def _store(self, node: Node, slot: str, array: Array) -> str:
        key = node.weights.get(slot, f"{node.id}.{slot}")
        if self._sharers[key] > 1:  # a weight that another node uses too stays as it is
            self._sharers[key] -= 1
            key = f"{node.id}.{slot}"
        while key in self.weights and key != node.weights.get(slot):
            key += "_"
        self._sharers[key] = 1
        self.weights[key] = array
        return key


def _same_axis(before: Shape, after: Shape, along: int) -> int | None:
    """The axis of `before` that a reshape leaves as axis `along` of `after`: all sizes up to or from it are equal."""
    if before[: along + 1] == after[: along + 1]:
        return along
    tail = len(after) - along
    return len(before) - tail if tail <= len(before) and before[-tail:] == after[along:] else None
