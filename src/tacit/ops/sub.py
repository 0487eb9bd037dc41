"""sub: the difference of two activations of equal shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights
from tacit.ir.source import (
    Adapter,
    Constant,
    Step,
    Unsupported,
    Value,
    alike,
    literal,
    needs_constant,
    offset_by,
    polynomial,
)
from tacit.secure import basis
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "shape"]


def shape(attrs: Attrs, x: Shape, y: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of both. Raises InvalidInput when they differ."""
    if x != y:
        raise InvalidInput(f"a difference needs equal shapes, not {x} and {y}")
    return x


def clear(attrs: Attrs, weights: Weights, x: Doubles, y: Doubles) -> Doubles:
    """x - y."""
    return x - y


def lower(s: Session, x: Share, y: Share) -> Share:
    """The same on each part, mod 2^64."""
    attrs = s.step.attrs
    out = shape(attrs, x.wire.shape, y.wire.shape)
    return basis.local(s, lambda p, q: clear(attrs, {}, p, q), x, y, shape=out)


def bound(attrs: Attrs, weights: Weights, x: float, y: float) -> float:
    """The sum of the inputs' bounds."""
    return x + y


def _sub(x: Any, y: Any, *, alpha: Any = 1) -> Step:
    """x - alpha * y, where either may be a literal or a constant array."""
    times = literal(alpha)
    if times is None:
        raise Unsupported("not yet", "a difference with a trained factor", "Multiply before subtracting.")
    if isinstance(x, Value) and isinstance(y, Value):
        first, second = alike(x, y)
        return Step("sub", (first, second if times == 1 else polynomial(second, 0, times)))
    if isinstance(x, Value):
        number = literal(y)
        if number is not None:
            return polynomial(x, -number * times, 1)
        return offset_by(x, x.shape, Constant(needs_constant(y).array * -float(times), trained=y.trained))
    number = literal(x)
    if number is not None:
        return polynomial(y, number, -times)
    return offset_by(polynomial(y, 0, -times), y.shape, x)


def _rsub(x: Any, y: Any, alpha: Any = 1) -> Step:
    """y - alpha * x."""
    return _sub(y, x, alpha=alpha)


aten: Mapping[str, Adapter] = {
    "aten.sub.Tensor": _sub,
    "aten.sub.Scalar": _sub,
    "aten.rsub.Scalar": _rsub,
    "aten.rsub.Tensor": _rsub,
}
onnx = {"Sub": _sub}
