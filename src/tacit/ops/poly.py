"""poly: one polynomial with public coefficients, applied to every element."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, fraction, strings
from tacit.ir.graph import Node
from tacit.ir.source import Constant, Step, Unsupported, literal, needs_value, polynomial
from tacit.secure import basis
from tacit.secure.placer import Placer
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = [
    "MAX_DEGREE",
    "aten",
    "bound",
    "clear",
    "coefficients",
    "evaluates",
    "lower",
    "onnx",
    "place",
    "shape",
    "words",
]

#: What a protocol must have beyond the words that all share.
words = ("poly",)
#: Its operand is opened, and its result is in a ring of its own.
evaluates = True

MAX_DEGREE = 6


def coefficients(attrs: Attrs) -> tuple[Fraction, ...]:
    """The coefficients a_0 .. a_d, exactly, d from 1 to MAX_DEGREE. Raises InvalidInput."""
    texts = strings(attrs, "coeffs")
    if not 2 <= len(texts) <= MAX_DEGREE + 1:
        raise InvalidInput(f"a polynomial has degree 1 to {MAX_DEGREE}, not {len(texts) - 1}")
    return tuple(fraction(text, "coeffs") for text in texts)


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of x. Raises InvalidInput."""
    coefficients(attrs)
    return x


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """a_0 + a_1 x + ... + a_d x**d, by Horner's rule."""
    *rest, top = (float(c) for c in coefficients(attrs))
    y = np.full_like(x, top)
    for c in reversed(rest):
        y = y * x + c
    return y


def lower(s: Session, opened: Share) -> Share:
    """The polynomial at the opened value."""
    return basis.poly(s, opened)


def place(p: Placer, node: Node, sites: list[int]) -> int:
    """One opening and one evaluation."""
    return p.polynomial(sites[0], node.id, list(strings(node.attrs, "coeffs")), node.inputs[0])


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The sum of the terms' largest magnitudes."""
    return float(sum(abs(c) * Fraction(x) ** i for i, c in enumerate(coefficients(attrs))))


#: Powers that have a gate of their own.
_ROOTS = {Fraction(1, 2): "sqrt", Fraction(-1, 2): "rsqrt", Fraction(-1): "reciprocal"}


def _square(x: Any) -> Step:
    return polynomial(needs_value(x, "a square"), 0, 0, 1)


def _pow(x: Any, exponent: Any) -> Step:
    n = literal(exponent)
    if n in _ROOTS:
        return Step("smooth", (needs_value(x, "a power"),), {"function": _ROOTS[n]})
    if n is None or n.denominator != 1 or not 0 <= n <= MAX_DEGREE:
        raise Unsupported(
            "replace",
            f"a power whose exponent is {'not a literal' if n is None else n}",
            f"Use whole exponents from 0 to {MAX_DEGREE}, -1, or halves of 1 and -1.",
        )
    return polynomial(needs_value(x, "a power"), *([0] * int(n) + [1] if n else [1, 0]))


def _onnx_pow(x: Any, exponent: Any) -> Step:
    """x ** n; ONNX writes even a fixed exponent as an initialiser, so that it counts as structure wherever it is."""
    return _pow(x, Constant(exponent.array, trained=False) if isinstance(exponent, Constant) else exponent)


aten = {
    "aten.square.default": _square,
    "aten.pow.Tensor_Scalar": _pow,
    "aten.pow.Tensor_Tensor": _pow,
}
onnx = {"Pow": _onnx_pow}
