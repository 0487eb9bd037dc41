"""matmul: the matrix product of two activations, batch by batch; `linear` takes those with constant weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, integer
from tacit.ir.contract import contracted, matrix_letters
from tacit.ir.expr import Expr
from tacit.ir.graph import Node
from tacit.ir.source import Constant, Step, Unsupported, Value, literal, matrix_product, needs_constant, offset_by
from tacit.secure import basis
from tacit.secure.multiply import out_shape
from tacit.secure.placer import Placer
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "place", "shape", "words"]

#: What a protocol must have beyond the words that all share.
words = ("times",)


def shape(attrs: Attrs, x: Shape, y: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """[*, M, K] by [*, K, N] to [*, M, N]; leading sizes of 1 are repeated. Attribute: `inner`, which is K.

    Raises InvalidInput.
    """
    out = out_shape("matmul", x, y)
    if integer(attrs, "inner", 1) != x[-1]:
        raise InvalidInput(f"matrices of shapes {x} and {y} do not have {attrs['inner']} columns and rows")
    return out


def clear(attrs: Attrs, weights: Weights, x: Doubles, y: Doubles) -> Doubles:
    """x @ y."""
    return np.asarray(x @ y)


def lower(s: Session, x: Share, y: Share) -> Share:
    """The exact product of the opened operands, at the product of their scales."""
    return basis.times(s, x, y)


def place(p: Placer, node: Node, sites: list[int]) -> int:
    """The operands opened, and one product: what is repeated is opened once."""
    x, y = p.factors(sites, node)
    return p.emit("matmul", (x, y), node.id, {})


def bound(attrs: Attrs, weights: Weights, x: float, y: float) -> float:
    """The product of the bounds, for every summand."""
    return integer(attrs, "inner", 1) * x * y


def _bmm(x: Any, y: Any) -> Value | Step:
    if isinstance(x, Value) and isinstance(y, Value):
        return matrix_product(x, y)
    return contracted(x, y, *matrix_letters(x, y))


def _baddbmm(summand: Any, x: Any, y: Any, *, beta: Any = 1, alpha: Any = 1) -> Value | Step:
    """beta times summand plus alpha times the products of matrices."""
    more, times = literal(beta), literal(alpha)
    if more is None or times is None:
        raise Unsupported("not yet", "a sum with a trained factor", "Multiply before adding.")
    product = _bmm(x, y)
    left, right = (v.shape if isinstance(v, Value) else v.array.shape for v in (x, y))
    made = Expr(product, (*left[:-1], right[-1])).times(times)
    if isinstance(summand, Value):
        return (made + Expr.of(summand).times(more)).tree
    array = np.asarray(needs_constant(summand).array, np.float64) * float(more)
    return offset_by(made.tree, made.shape, Constant(array, trained=summand.trained)) if more else made.tree


def _outer(x: Any, y: Any) -> Value | Step:
    return contracted(x, y, "a", "b", "ab")


def _einsum(equation: str, operands: Sequence[Any], path: Any = None) -> Value | Step:
    """Sums of products of one or two operands over named axes; "..." stands for the same axes in each."""
    given, _, out = equation.replace(" ", "").partition("->")
    letters = given.split(",")
    if len(letters) != len(operands) or len(operands) > 2:
        raise Unsupported("not yet", f"a sum of {len(operands)} factors", "Write it as products of two.")
    shapes = [x.shape if isinstance(x, Value) else x.array.shape for x in operands]
    free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in equation]
    hidden = ""
    for at, (named, shape) in enumerate(zip(letters, shapes, strict=True)):
        count = len(shape) - len(named.replace("...", ""))
        rest = "".join(free[:count][::-1]) if "..." in named else ""
        letters[at], hidden = named.replace("...", rest), max(hidden, rest, key=len)
    if "->" not in equation:
        joint = "".join(letters)
        out = hidden + "".join(sorted(c for c in set(joint) - set(hidden) if joint.count(c) == 1))
    out = out.replace("...", hidden)
    if len(operands) == 1:
        return contracted(operands[0], Constant(np.ones(()), trained=False), letters[0], "", out)
    return contracted(operands[0], operands[1], letters[0], letters[1], out)


def _onnx_einsum(*operands: Any, equation: str) -> Value | Step:
    return _einsum(equation, operands)


aten = {
    "aten.bmm.default": _bmm,
    "aten.baddbmm.default": _baddbmm,
    "aten.outer.default": _outer,
    "aten.einsum.default": _einsum,
}
onnx = {"Einsum": _onnx_einsum}
