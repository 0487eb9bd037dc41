"""The building of a Graph from source calls, which goes on past every problem so that one error can name them all."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacit import ops
from tacit.errors import InvalidInput, Refusal, Refused
from tacit.front.fold import fold
from tacit.front.fuse import fuse
from tacit.front.order import pool_first
from tacit.ir import Graph, Node
from tacit.ir.attrs import Shape
from tacit.ir.onehot import check_classes, lifted
from tacit.ir.positions import positions
from tacit.ir.source import Adapter, Constant, OneHot, Step, Unsupported, Value

__all__ = ["OPAQUE", "Builder"]

OPAQUE = "unsupported"  # the op that stands for a refused call; no finished Graph holds it


class Builder:
    """A Graph under construction: nodes in topological order, weights in float64, and the problems found so far."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._weights: dict[str, NDArray[np.float64]] = {}
        self._refusals: list[Refusal] = []
        self._kept: dict[int, tuple[NDArray[Any], str]] = {}

    def input(self, name: str, shape: Shape) -> Value:
        """A new input of the model, batch first."""
        return self._add(Node(self._fresh(name), "input", (), shape, source=name))

    def refuse(self, where: str, why: Unsupported) -> None:
        """Records a problem of the model."""
        refusal = Refusal(why.kind, where, why.what, why.advice)
        if refusal not in self._refusals:
            self._refusals.append(refusal)

    def indices(self, name: str, shape: Shape, classes: int) -> Value | OneHot:
        """A new input of indices below `classes`, as rows of zeros and a one; refused where these are too many."""
        try:
            check_classes(shape, classes)
        except Unsupported as why:
            self.refuse(name, why)
            return self.input(name, shape)
        return OneHot(self.input(name, (*shape, classes)).id, shape, classes)

    def moved(
        self, adapter: Adapter, name: str, source: str, args: Sequence[Any], kwargs: Mapping[str, Any], index: OneHot
    ) -> tuple[OneHot | Value | Unsupported, ...]:
        """A call that moves indices about, as the same of their rows."""

        def plain(x: Any) -> Any:
            return Value(x.id, x.shape) if isinstance(x, OneHot) else [*map(plain, x)] if isinstance(x, list) else x

        def move(*given: Any, **options: Any) -> tuple[Value | Step | Unsupported, ...]:
            made = adapter(*map(plain, given), **{key: plain(x) for key, x in options.items()})
            trees = made if isinstance(made, tuple) else (made,)
            return tuple(tree if isinstance(tree, Unsupported) else lifted(tree, index) for tree in trees)

        values = self.call(move, name, source, args, kwargs, [(*index.shape, index.classes)])
        return tuple(OneHot(v.id, v.shape[:-1], index.classes) if isinstance(v, Value) else v for v in values)

    def opaque(self, name: str, shape: Shape, source: str) -> Value:
        """What a refused call would have made, so that its consumers can be checked."""
        return self._add(Node(self._fresh(name), OPAQUE, (), shape, source=source))

    def kept(self, x: Value) -> NDArray[np.bool_] | None:
        """The entries of x that no mask excludes, in a shape that broadcasts to it; None where there is no mask."""
        node = self._nodes[x.id]
        return positions(node.attrs) if node.op == "exclude" else None

    def check_finite(self, name: str, array: NDArray[Any]) -> None:
        """Refuses a parameter that holds NaN or infinity; minus infinity is how masks exclude entries."""
        if array.dtype.kind == "f" and not np.all(np.isfinite(array) | np.isneginf(array)):
            self.refuse(name, Unsupported("never", "this parameter holds NaN or infinity", "Train or load it again."))

    def call(
        self,
        adapter: Adapter,
        name: str,
        source: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        shapes: Sequence[Shape],
    ) -> tuple[Value | Unsupported, ...]:
        """The values of one source call: one, or as many as the adapter returns, in place of some of which there may be
        the reason to refuse what reads them.

        `shapes` are what the source says of its outputs; a refused call yields stand-ins of them.
        """
        try:
            inspect.signature(adapter).bind(*args, **kwargs)
        except TypeError as error:
            self.refuse(
                source, Unsupported("not yet", f"arguments that are not known here ({error})", "Leave them out.")
            )
            return tuple(self.opaque(name, shape, source) for shape in shapes)
        try:
            made = adapter(*args, **kwargs)
            placed: dict[int, Value] = {}
            trees = made if isinstance(made, tuple) else (made,)
            return tuple(t if isinstance(t, Unsupported) else self._place(t, name, source, placed) for t in trees)
        except Unsupported as why:
            self.refuse(source, why)
        except (InvalidInput, ValueError, IndexError, TypeError) as error:  # a file may say anything in its attributes
            self.refuse(
                source, Unsupported("never", f"arguments that do not fit together ({error})", "Correct the model.")
            )
        return tuple(self.opaque(name, shape, source) for shape in shapes)

    def finish(self, outputs: Sequence[Value]) -> Graph:
        """The Graph: polynomials fused, norms folded, dead nodes left out, weights rounded to float32.

        Raises Refused.
        """
        if self._refusals:
            raise Refused(self._refusals)
        nodes, ends = fuse(list(self._nodes.values()), [value.id for value in outputs], self._weights)
        nodes, ends = pool_first(nodes, ends)
        nodes, ends, weights = fold(nodes, ends, self._weights)
        used = {key for node in nodes for key in node.weights.values()}
        rounded = {key: self._rounded(key, weights[key]) for key in weights if key in used}
        if self._refusals:
            raise Refused(self._refusals)
        return Graph(tuple(nodes), tuple(ends), rounded)

    def _rounded(self, key: str, array: NDArray[np.float64]) -> NDArray[np.float32]:
        with np.errstate(over="ignore"):
            rounded = np.array(array, np.float32, order="C")
        if not np.all(np.isfinite(rounded)):
            self.refuse(
                key, Unsupported("never", "weights that leave the range of float32", "Rescale or retrain the model.")
            )
        rounded.setflags(write=False)
        return rounded

    def _place(self, tree: Value | Step, name: str, source: str, placed: dict[int, Value]) -> Value:
        """The nodes of a tree of steps, innermost first; `placed` holds those of steps met before, by identity."""
        pending = [tree]
        while pending:
            step = pending[-1]
            if isinstance(step, Value) or id(step) in placed:
                pending.pop()
                continue
            unmet = [x for x in step.inputs if isinstance(x, Step) and id(x) not in placed]
            pending += unmet
            if not unmet:
                placed[id(step)] = self._step(step, name, source, placed)
        return tree if isinstance(tree, Value) else placed[id(tree)]

    def _step(self, step: Step, name: str, source: str, placed: Mapping[int, Value]) -> Value:
        """The node of one step whose inputs have theirs."""
        inputs = [x if isinstance(x, Value) else placed[id(x)] for x in step.inputs]
        shapes = {slot: constant.array.shape for slot, constant in step.weights.items()}
        shape = ops.infer(step.op, step.attrs, tuple(x.shape for x in inputs), shapes)
        node = Node(self._fresh(name), step.op, tuple(x.id for x in inputs), shape, dict(step.attrs), source=source)
        keys = {slot: self._store(constant, f"{node.id}.{slot}") for slot, constant in step.weights.items()}
        return self._add(replace(node, weights=keys))

    def _store(self, constant: Constant, unnamed: str) -> str:
        """The key of a constant: its own name, so that tied weights are stored once, or `unnamed`."""
        if constant.array.dtype.kind not in "fiub":
            raise Unsupported("not yet", f"a weight of type {constant.array.dtype}", "Use real floating-point weights.")
        before = self._kept.get(id(constant.array))
        if before is not None:
            return before[1]
        array = np.array(constant.array, np.float64)  # our own, whatever the model's type
        known = self._weights.get(constant.name)
        if constant.name and (known is None or (known.shape == array.shape and np.array_equal(known, array))):
            key = constant.name
        else:
            key = unnamed
            while key in self._weights:
                key += "_"
        self._weights[key] = array
        self._kept[id(constant.array)] = (constant.array, key)  # the same array again is the same weight
        return key

    def _add(self, node: Node) -> Value:
        self._nodes[node.id] = node
        return Value(node.id, node.shape)

    def _fresh(self, name: str) -> str:
        fresh, count = name, 1
        while fresh in self._nodes:
            count += 1
            fresh = f"{name}.{count}"
        return fresh
