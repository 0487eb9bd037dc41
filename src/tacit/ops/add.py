"""add: the sum of two activations of equal shapes."""

from __future__ import annotations

from typing import Any

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights
from tacit.ir.source import Constant, Step, Unsupported, Value, alike, literal, needs_constant, offset_by, polynomial
from tacit.secure import basis
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "shape"]


def shape(attrs: Attrs, x: Shape, y: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of both. Raises InvalidInput when they differ."""
    if x != y:
        raise InvalidInput(f"a sum needs equal shapes, not {x} and {y}")
    return x


def clear(attrs: Attrs, weights: Weights, x: Doubles, y: Doubles) -> Doubles:
    """x + y."""
    return x + y


def lower(s: Session, x: Share, y: Share) -> Share:
    """The same on each part, mod 2^64."""
    attrs = s.step.attrs
    out = shape(attrs, x.wire.shape, y.wire.shape)
    return basis.local(s, lambda p, q: clear(attrs, {}, p, q), x, y, shape=out)


def bound(attrs: Attrs, weights: Weights, x: float, y: float) -> float:
    """The sum of the inputs' bounds."""
    return x + y


def _add(x: Any, y: Any, *, alpha: Any = 1) -> Step:
    """x + alpha * y, where either may be a literal or a constant array."""
    times = literal(alpha)
    if times is None:
        raise Unsupported("not yet", "a sum with a trained factor", "Multiply before adding.")
    if isinstance(x, Value) and isinstance(y, Value):
        first, second = alike(x, y)
        return Step("add", (first, second if times == 1 else polynomial(second, 0, times)))
    value, other = (x, y) if isinstance(x, Value) else (y, x)
    left: Value | Step = polynomial(value, 0, times) if value is y and times != 1 else value
    number = literal(other)
    if number is not None:
        return polynomial(left, number if value is y else number * times, 1)
    if value is x and times != 1:
        other = Constant(needs_constant(other).array * float(times), trained=other.trained)
    return offset_by(left, value.shape, other)


aten = {"aten.add.Tensor": _add, "aten.add.Scalar": _add}
onnx = {"Add": _add}
