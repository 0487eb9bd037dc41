"""bias: adding a constant array that broadcasts to the activation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights
from tacit.ir.source import Adapter
from tacit.secure import basis
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "shape"]

aten: Mapping[str, Adapter] = {}  # sums with constants are written as sums in every source: see add and sub
onnx: Mapping[str, Adapter] = {}


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of x, to which `value` broadcasts. Raises InvalidInput."""
    try:
        fits = np.broadcast_shapes(x, weights["value"]) == x
    except (KeyError, ValueError):
        fits = False
    if not fits:
        raise InvalidInput(f"a bias of shape {weights.get('value')} does not broadcast to {x}")
    return x


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """x + value."""
    return x + weights["value"]


def lower(s: Session, x: Share) -> Share:
    """The server adds its constant."""
    return basis.offset(s, x)


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The input's bound and the largest constant."""
    return x + float(np.abs(weights["value"]).max(initial=0.0))
