"""step: 1 where x >= 0, else 0; comparisons with numbers and with each other are made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights
from tacit.ir.graph import Node
from tacit.ir.source import Constant, Value, literal, needs_value, offset_by, polynomial
from tacit.ir.source import Step as Call
from tacit.secure import basis
from tacit.secure.placer import Placer
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "evaluates", "extent", "lower", "onnx", "place", "shape", "words"]

#: What a protocol must have beyond the words that all share.
words = ("step",)
#: Its operand is opened, and its result is in a ring of its own.
evaluates = True


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of x."""
    return x


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """[x >= 0]."""
    return np.asarray(x >= 0).astype(np.float64)


def lower(s: Session, opened: Share) -> Share:
    """The exact test at the opened value."""
    return basis.step(s, opened)


def place(p: Placer, node: Node, sites: list[int]) -> int:
    """One opening and one exact sign test."""
    bound = p.bound(node.inputs[0])
    bits = p.sign_bits(p.wires[sites[0]].scale, bound, exact=True)
    opened = p.opened(sites[0], node.id, node.inputs[0], bound)
    return p.emit("step", (opened,), node.id, {"ring": p.widest, "scale": "1", "bits": bits})


def extent(attrs: Attrs, x: Shape) -> float:
    """One, whatever x is."""
    return 1.0


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """One."""
    return 1.0


def _difference(x: Any, y: Any) -> Value | Call:
    """x - y, of which one may be a number or a constant array."""
    if isinstance(x, Value) and isinstance(y, Value):
        return Call("sub", (x, y))
    if isinstance(y, Value):
        return polynomial(_difference(y, x), 0, -1)
    value, number = needs_value(x, "a comparison"), literal(y)
    if number is not None:
        return polynomial(value, -number, 1)
    return offset_by(value, value.shape, Constant(-np.asarray(y.array, np.float64), trained=y.trained))


def _not_less(x: Any, y: Any) -> Call:
    """[x >= y]."""
    return Call("step", (_difference(x, y),))


def _greater(x: Any, y: Any) -> Call:
    """[x > y], which is 1 - [y >= x]."""
    return polynomial(_not_less(y, x), 1, -1)


def _turned(compare: Callable[[Any, Any], Call]) -> Callable[[Any, Any], Call]:
    return lambda x, y: compare(y, x)


aten = {
    f"aten.{name}.{kind}": rule
    for name, rule in {
        "ge": _not_less,
        "gt": _greater,
        "le": _turned(_not_less),
        "lt": _turned(_greater),
    }.items()
    for kind in ("Tensor", "Scalar")
}
onnx = {
    "GreaterOrEqual": _not_less,
    "Greater": _greater,
    "LessOrEqual": _turned(_not_less),
    "Less": _turned(_greater),
}
