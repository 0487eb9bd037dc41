"""maximum: the larger of two activations of equal shapes, element by element; with a sign turned, the smaller."""

from __future__ import annotations

from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights
from tacit.ir.graph import Node
from tacit.ir.source import Step, Unsupported, Value, alike, literal, needs_value, polynomial
from tacit.secure.placer import Placer

__all__ = ["aten", "bound", "clear", "onnx", "place", "shape"]


def shape(attrs: Attrs, x: Shape, y: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of both. Raises InvalidInput when they differ."""
    if x != y:
        raise InvalidInput(f"a maximum needs equal shapes, not {x} and {y}")
    return x


def clear(attrs: Attrs, weights: Weights, x: Doubles, y: Doubles) -> Doubles:
    """max(x, y)."""
    return np.maximum(x, y)


def place(p: Placer, node: Node, sites: list[int]) -> int:
    """y + max(x - y, 0)."""
    x, y = p.aligned(sites, node)
    widest = max(node.inputs, key=p.bound)
    difference = p.emit("sub", (x, y), node.id, {})
    gain = p.kink(difference, node.id, widest, bound=2 * p.bound(widest), truncate=False)
    return p.emit("add", (y, gain), node.id, {})


def bound(attrs: Attrs, weights: Weights, x: float, y: float) -> float:
    """The larger bound."""
    return max(x, y)


def _bounded(x: Any, y: Any, end: str) -> Step:
    """The larger ("low") or smaller ("high") of an activation and a number."""
    value, number = (x, literal(y)) if isinstance(x, Value) else (y, literal(x))
    if number is None:
        raise Unsupported("not yet", "a maximum or minimum with trained values", "Use a fixed number.")
    return Step("clip", (needs_value(value, "an activation"),), {end: str(number)})


def _maximum(x: Any, y: Any) -> Step:
    if isinstance(x, Value) and isinstance(y, Value):
        return Step("maximum", alike(x, y))
    return _bounded(x, y, "low")


def _minimum(x: Any, y: Any) -> Step:
    """min(x, y) = -max(-x, -y)."""
    if isinstance(x, Value) and isinstance(y, Value):
        left, right = alike(x, y)
        return polynomial(Step("maximum", (polynomial(left, 0, -1), polynomial(right, 0, -1))), 0, -1)
    return _bounded(x, y, "high")


aten = {
    "aten.maximum.default": _maximum,
    "aten.max.other": _maximum,
    "aten.minimum.default": _minimum,
    "aten.min.other": _minimum,
}
onnx = {"Max": _maximum, "Min": _minimum}
