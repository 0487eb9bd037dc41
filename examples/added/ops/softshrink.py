"""softshrink: x moved towards zero by a threshold, and zero where it is smaller than that."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, fraction
from tacit.ir.graph import Node
from tacit.ir.source import Step, Unsupported, literal, needs_value
from tacit.secure.placer import Placer

__all__ = ["aten", "bound", "clear", "onnx", "place", "shape"]


def _threshold(attrs: Attrs) -> Fraction:
    value = fraction(attrs.get("threshold", ""), "threshold")
    if value < 0:
        raise InvalidInput(f"the threshold {value} is negative")
    return value


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of x. Raises InvalidInput for a threshold that is no rational from 0."""
    _threshold(attrs)
    return x


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """sign(x) max(|x| - threshold, 0)."""
    return np.sign(x) * np.maximum(np.abs(x) - float(_threshold(attrs)), 0.0)


def place(p: Placer, node: Node, sites: list[int]) -> int:
    """max(x - t, 0) + min(x + t, 0): two kinks at one opening of x."""
    source, t = node.inputs[0], _threshold(node.attrs)
    if t >= Fraction(p.bound(source)):
        raise InvalidInput(f"the threshold {float(t):g} is beyond the range of its input: the result is always zero")
    above = p.kink(sites[0], node.id, source, (0, 1), knots=(t,))
    below = p.kink(sites[0], node.id, source, (1, 0), knots=(-t,))
    both = p.emit("concat", (above, below), node.id, {"axis": 0})
    return p.emit("combine", (both,), node.id, {"factors": [1, 1]})


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The input's bound less the threshold."""
    return max(0.0, x - float(_threshold(attrs)))


def _softshrink(x: Any, threshold: Any) -> Step:
    number = literal(threshold)
    if number is None or number < 0:
        raise Unsupported("not yet", "a threshold that is not a number from 0", "Use a fixed threshold.")
    return Step("softshrink", (needs_value(x, "an activation's input"),), {"threshold": str(number)})


aten = {"examples.softshrink.default": _softshrink}
onnx: dict[str, Any] = {}
