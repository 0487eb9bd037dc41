"""expand: axes of size 1 repeated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, integers
from tacit.ir.source import Constant, Step, Unsupported, Value, needs_value, with_rank
from tacit.secure import basis
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "shape"]


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The attribute `shape`, which differs from that of x where x has 1. Raises InvalidInput."""
    new = integers(attrs, "shape", len(x), 1)
    if any(size != old and old != 1 for size, old in zip(new, x, strict=True)):
        raise InvalidInput(f"an array of shape {x} cannot be repeated to {new}")
    return new


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """The copies."""
    return np.array(np.broadcast_to(x, shape(attrs, x.shape)))


def lower(s: Session, x: Share) -> Share:
    """The same copies of each part."""
    new = shape(s.step.attrs, x.wire.shape)
    return basis.local(s, lambda part: np.broadcast_to(part, new), x, shape=new)


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The input's bound."""
    return x


def _to(x: Value, new: Sequence[int]) -> Value | Step:
    if tuple(new) == x.shape:
        return x
    if len(new) < len(x.shape):
        raise Unsupported("never", f"an expansion of {x.shape} to fewer axes", "Correct the model.")
    return Step("expand", (with_rank(x, len(new)),), {"shape": list(new)})


def _aten(given: Any, size: Sequence[int], implicit: bool = False) -> Value | Step:
    """A size of -1 keeps the axis."""
    x = needs_value(given, "an expansion's input")
    old = (1,) * (len(size) - len(x.shape)) + x.shape
    return _to(x, [o if s == -1 else s for s, o in zip(size, old, strict=False)])


def _onnx(given: Any, sizes: Any) -> Value | Step:
    """Sizes of 1 keep the axis, and so do missing ones."""
    x = needs_value(given, "an expansion's input")
    if not isinstance(sizes, Constant):
        raise Unsupported("never", "a shape that depends on the data", "Give shapes as constants.")
    return _to(x, np.broadcast_shapes(x.shape, tuple(int(s) for s in sizes.array.reshape(-1))))


aten = {"aten.expand.default": _aten}
onnx = {"Expand": _onnx}
