"""take: entries of one axis by fixed positions, in any order and number."""

from __future__ import annotations

from typing import Any

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, axis, integers
from tacit.ring.tensor import taken
from tacit.secure import basis
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "shape"]


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of x with as many entries along `axis` as there are positions. Raises InvalidInput."""
    along = axis(attrs, "axis", len(x))
    index = integers(attrs, "index")
    if not index or max(index) >= x[along]:
        raise InvalidInput(f"positions must be below {x[along]}, and there must be one at least")
    return (*x[:along], len(index), *x[along + 1 :])


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """The entries."""
    return taken(x, axis(attrs, "axis", x.ndim), integers(attrs, "index"))


def lower(s: Session, x: Share) -> Share:
    """The same entries of each part."""
    attrs = s.step.attrs
    along, index = axis(attrs, "axis", len(x.wire.shape)), integers(attrs, "index")
    return basis.local(s, lambda part: taken(part, along, index), x, shape=shape(attrs, x.wire.shape))


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The input's bound."""
    return x


aten: dict[str, Any] = {}
onnx: dict[str, Any] = {}
