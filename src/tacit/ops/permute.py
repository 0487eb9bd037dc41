"""permute: the axes in another order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, integers
from tacit.ir.source import Step, Value, needs_value, wrap_axis
from tacit.secure import basis
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "shape"]


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """x's sizes in the order of `order`. Raises InvalidInput."""
    order = integers(attrs, "order")
    if sorted(order) != list(range(len(x))):
        raise InvalidInput(f"{order} is not an order of the axes of an array of shape {x}")
    return tuple(x[a] for a in order)


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """x with its axes permuted."""
    return x.transpose(integers(attrs, "order"))


def lower(s: Session, x: Share) -> Share:
    """The same on each part."""
    attrs = s.step.attrs
    return basis.local(s, lambda part: clear(attrs, {}, part), x, shape=shape(attrs, x.wire.shape))


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """No value grows."""
    return x


def _permute(x: Any, dims: Sequence[int]) -> Value | Step:
    x = needs_value(x, "an array to permute")
    order = [wrap_axis(a, len(x.shape)) for a in dims]
    return x if order == list(range(len(x.shape))) else Step("permute", (x,), {"order": list(order)})


def _transpose(x: Any, dim0: int, dim1: int) -> Value | Step:
    x = needs_value(x, "an array to transpose")
    order = list(range(len(x.shape)))
    a, b = wrap_axis(dim0, len(order)), wrap_axis(dim1, len(order))
    order[a], order[b] = order[b], order[a]
    return _permute(x, order)


def _t(x: Any) -> Value | Step:
    x = needs_value(x, "an array to transpose")
    return _transpose(x, 0, 1) if len(x.shape) == 2 else x


def _onnx(x: Any, *, perm: Sequence[int] | None = None) -> Value | Step:
    x = needs_value(x, "an array to transpose")
    return _permute(x, list(reversed(range(len(x.shape)))) if perm is None else perm)


aten = {"aten.permute.default": _permute, "aten.transpose.int": _transpose, "aten.t.default": _t}
onnx = {"Transpose": _onnx}
