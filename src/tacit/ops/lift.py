"""lift: the same value at a finer scale, so that operands of a sum agree; the planner inserts it, no model has it."""

from __future__ import annotations

from collections.abc import Mapping

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, fraction
from tacit.ir.source import Adapter
from tacit.secure import basis
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "shape"]

aten: Mapping[str, Adapter] = {}
onnx: Mapping[str, Adapter] = {}


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of x. Raises InvalidInput unless `by` is a positive integer."""
    by = fraction(attrs.get("by"), "by")
    if by.denominator != 1 or by < 1:
        raise InvalidInput("a lift is by a positive integer")
    return x


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """x itself."""
    return x


def lower(s: Session, x: Share) -> Share:
    """Integers times `by`, at `by` times the scale."""
    by = int(fraction(s.step.attrs.get("by"), "by"))
    return basis.scaled(s, x, by, by)


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The input's bound."""
    return x
