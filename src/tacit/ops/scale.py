"""scale: a product with a public rational number, one for all elements."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, fraction
from tacit.ir.source import Step, needs_value, polynomial
from tacit.secure import basis
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "factor", "lower", "onnx", "shape"]


def factor(attrs: Attrs) -> Fraction:
    """The factor num/den, exactly. Raises InvalidInput."""
    num, den = fraction(attrs.get("num"), "num"), fraction(attrs.get("den"), "den")
    if num.denominator != 1 or den.denominator != 1 or den <= 0:
        raise InvalidInput("a scale is num/den of two integers, the second one positive")
    return num / den


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of x. Raises InvalidInput."""
    factor(attrs)
    return x


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """x * num / den."""
    return x * float(factor(attrs))


def lower(s: Session, x: Share) -> Share:
    """Nothing but a sign on the integers: a positive factor changes only what they stand for."""
    ratio = factor(s.step.attrs)
    return basis.scaled(s, x, -1 if ratio < 0 else 1, 1 / abs(ratio))


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """|factor| times the input's bound."""
    return abs(float(factor(attrs))) * x


def _neg(x: Any) -> Step:
    return polynomial(needs_value(x, "a negation"), 0, -1)


aten = {"aten.neg.default": _neg}
onnx = {"Neg": _neg}
