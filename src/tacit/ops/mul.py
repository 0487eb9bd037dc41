"""mul: the product of two activations; importers fuse squares and the like into `poly` and refuse what remains."""

from __future__ import annotations

from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights
from tacit.ir.source import Constant, Step, Unsupported, Value, literal, needs_constant, polynomial, scaled_by

__all__ = ["aten", "clear", "onnx", "shape"]


def shape(attrs: Attrs, x: Shape, y: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of both. Raises InvalidInput when they differ."""
    if x != y:
        raise InvalidInput(f"a product needs equal shapes, not {x} and {y}")
    return x


def clear(attrs: Attrs, weights: Weights, x: Doubles, y: Doubles) -> Doubles:
    """x * y."""
    return x * y


def _mul(x: Any, y: Any) -> Step:
    if isinstance(x, Value) and isinstance(y, Value):
        if x.shape != y.shape:
            raise Unsupported(
                "not yet",
                f"a product of two activations of shapes {x.shape} and {y.shape}",
                "Two secrets need the fss protocol's triples; scale by constants instead.",
            )
        return Step("mul", (x, y))
    value, other = (x, y) if isinstance(x, Value) else (y, x)
    number = literal(other)
    return scaled_by(value, other) if number is None else polynomial(value, 0, number)


def _div(x: Any, y: Any) -> Step:
    if not isinstance(x, Value) or isinstance(y, Value):
        raise Unsupported("replace", "a division by an activation", "Divide by constants only.")
    number = literal(y)
    if number == 0 or (number is None and not np.all(needs_constant(y).array)):
        raise Unsupported("never", "a division by zero", "Correct the model.")
    if number is not None:
        return polynomial(x, 0, 1 / number)
    return scaled_by(x, Constant(1 / y.array.astype(np.float64), trained=y.trained))


aten = {
    "aten.mul.Tensor": _mul,
    "aten.mul.Scalar": _mul,
    "aten.div.Tensor": _div,
    "aten.div.Scalar": _div,
}
onnx = {"Mul": _mul, "Div": _div}
