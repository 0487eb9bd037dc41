"""mul: the product of two activations, element by element; importers fuse squares and the like into `poly`."""

from __future__ import annotations

from typing import Any

import numpy as np

from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights
from tacit.ir.composed import quotient
from tacit.ir.graph import Node
from tacit.ir.source import (
    Constant,
    Step,
    Unsupported,
    Value,
    literal,
    needs_constant,
    needs_value,
    polynomial,
    same_rank,
    scaled_by,
)
from tacit.secure import basis
from tacit.secure.multiply import out_shape
from tacit.secure.placer import Placer
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "place", "shape", "words"]

#: What a protocol must have beyond the words that all share.
words = ("times",)


def shape(attrs: Attrs, x: Shape, y: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of both, where sizes of 1 are repeated. Raises InvalidInput when they do not fit."""
    return out_shape("mul", x, y)


def clear(attrs: Attrs, weights: Weights, x: Doubles, y: Doubles) -> Doubles:
    """x * y."""
    return x * y


def lower(s: Session, x: Share, y: Share) -> Share:
    """The exact product of the opened operands, at the product of their scales."""
    return basis.times(s, x, y)


def place(p: Placer, node: Node, sites: list[int]) -> int:
    """The operands opened, and one product: what is repeated is opened once."""
    x, y = p.factors(sites, node)
    return p.emit("mul", (x, y), node.id, {})


def bound(attrs: Attrs, weights: Weights, x: float, y: float) -> float:
    """The product of the bounds."""
    return x * y


def _mul(x: Any, y: Any) -> Step:
    if isinstance(x, Value) and isinstance(y, Value):
        return Step("mul", same_rank(x, y))
    value, other = (x, y) if isinstance(x, Value) else (y, x)
    number = literal(other)
    return scaled_by(value, other) if number is None else polynomial(value, 0, number)


def _div(x: Any, y: Any) -> Step:
    if isinstance(x, Value) and isinstance(y, Value):
        return quotient(x, y)
    if not isinstance(x, Value):
        return _over(x, needs_value(y, "a divisor"))
    number = literal(y)
    if number == 0 or (number is None and not np.all(needs_constant(y).array)):
        raise Unsupported("never", "a division by zero", "Correct the model.")
    if number is not None:
        return polynomial(x, 0, 1 / number)
    return scaled_by(x, Constant(1 / y.array.astype(np.float64), trained=y.trained))


def _over(x: Any, y: Value) -> Step:
    """A number over an activation."""
    number = literal(x)
    if number is None:
        raise Unsupported("not yet", "a constant array over an activation", "Multiply by the reciprocal.")
    return polynomial(Step("smooth", (y,), {"function": "reciprocal"}), 0, number)


aten = {
    "aten.mul.Tensor": _mul,
    "aten.mul.Scalar": _mul,
    "aten.div.Tensor": _div,
    "aten.div.Scalar": _div,
}
onnx = {"Mul": _mul, "Div": _div}
