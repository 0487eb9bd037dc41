"""keep: entries at fixed positions as they are and zeros elsewhere; selections by constant and by secret masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights
from tacit.ir.expr import Expr
from tacit.ir.positions import Bools, check_positions, positions, write_positions
from tacit.ir.source import (
    LOWEST,
    Constant,
    Step,
    Unsupported,
    Value,
    common_shape,
    literal,
    needs_constant,
    needs_value,
    offset_by,
    polynomial,
    structure,
)
from tacit.secure import basis
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "shape"]


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of x, to which the mask of `mask` and `mask_shape` broadcasts. Raises InvalidInput."""
    check_positions(attrs, x)
    return x


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """x where the mask is true, else 0."""
    return x * positions(attrs).astype(x.dtype)


def lower(s: Session, x: Share) -> Share:
    """The same of each part."""
    kept = positions(s.step.attrs)
    return basis.local(s, lambda part: part * kept.astype(part.dtype), x, shape=shape(s.step.attrs, x.wire.shape))


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The input's bound."""
    return x


def _kept(x: Expr, mask: Bools) -> Expr:
    return Expr(Step("keep", (x.tree,), write_positions(mask)), x.shape)


def _common(*operands: Any) -> tuple[int, ...]:
    """The shape of what broadcasts operands together. Raises Unsupported."""
    arrays = [x.array if isinstance(x, Constant) else x for x in operands if isinstance(x, Value | Constant)]
    return common_shape(*(array.shape for array in arrays))


def _offset(x: Expr, summand: Any, sign: int = 1) -> Expr:
    """x plus a number or array, or less it."""
    number = literal(summand)
    if number is not None:
        return Expr(polynomial(x.tree, sign * number, 1), x.shape)
    array = np.asarray(needs_constant(summand).array, np.float64)
    return Expr(offset_by(x.tree, x.shape, Constant(sign * array)), x.shape)


def _where(condition: Any, x: Any, y: Any) -> Value | Step:
    """x where the condition holds, else y."""
    if isinstance(condition, Value):
        return _chosen(condition, x, y)
    out = _common(condition, x, y)
    mask = structure(condition, "a mask").astype(np.bool_)
    if isinstance(x, Value) and isinstance(y, Value):
        return (_kept(Expr.of(x).expand(*out), mask) + _kept(Expr.of(y).expand(*out), ~mask)).tree
    mask, value, fill = (mask, x, y) if isinstance(x, Value) else (~mask, y, x)
    return _filled(Expr.of(needs_value(value, "what a mask selects")).expand(*out), mask, fill)


def _filled(x: Expr, mask: Bools, fill: Any) -> Value | Step:
    """x where the mask is true, else a constant; one that is hugely negative means never."""
    if mask.all():
        return x.tree
    number = literal(fill)
    if number is not None and number > LOWEST:
        return _offset(_kept(_offset(x, fill, -1), mask), fill).tree
    array = np.asarray(fill.array if isinstance(fill, Constant) else fill, np.float64)
    if np.all(array <= LOWEST):
        return Step("exclude", (x.tree,), write_positions(mask))
    rest = np.where(np.broadcast_to(mask, x.shape), 0.0, np.broadcast_to(needs_constant(fill).array, x.shape))
    return offset_by(_kept(x, mask).tree, x.shape, Constant(rest))


def _chosen(condition: Value, x: Any, y: Any) -> Value | Step:
    """y + c (x - y) for a condition c of zeros and ones that depends on the data."""
    out = _common(condition, x, y)
    if any(isinstance(v, int | float) and not -(2**16) < v < 2**16 for v in (x, y)):
        raise Unsupported("replace", "a huge number chosen by secret values", "Multiply by the condition instead.")
    c = Expr.of(condition)
    if isinstance(x, Value) and isinstance(y, Value):
        other = Expr.of(y).expand(*out)
        return (other + c * (Expr.of(x).expand(*out) - other)).tree
    if isinstance(y, Value):  # x + (1 - c) (y - x)
        c, x, y = Expr(polynomial(condition, 1, -1), condition.shape), y, x
    fill = literal(y)
    if isinstance(x, Value):
        return _offset(c * _offset(Expr.of(x).expand(*out), y, -1), y).tree
    high = literal(x)
    if high is None or fill is None:
        raise Unsupported("not yet", "a choice between two arrays of trained values", "Choose between numbers.")
    return polynomial(c.expand(*out).tree, fill, high - fill)


def _masked_fill(x: Any, mask: Any, value: Any) -> Value | Step:
    return _where(mask, value, needs_value(x, "what a mask fills"))


def _triangle(x: Any, mask: Bools) -> Value | Step:
    return _kept(Expr.of(needs_value(x, "an array of a triangle")), mask).tree


def _tril(x: Any, diagonal: int = 0) -> Value | Step:
    return _triangle(x, np.tril(np.ones(x.shape[-2:], np.bool_), diagonal))


def _triu(x: Any, diagonal: int = 0) -> Value | Step:
    return _triangle(x, np.triu(np.ones(x.shape[-2:], np.bool_), diagonal))


def _onnx_triangle(x: Any, k: Any = None, *, upper: int = 1) -> Value | Step:
    diagonal = 0 if k is None else int(structure(k, "a diagonal").reshape(()))
    return _triu(x, diagonal) if upper else _tril(x, diagonal)


def _and(x: Any, y: Any) -> Value | Step:
    """The product of two conditions."""
    if isinstance(x, Value) and isinstance(y, Value):
        return (Expr.of(x) * Expr.of(y)).tree
    value, mask = (x, y) if isinstance(x, Value) else (y, x)
    return _filled(
        Expr.of(needs_value(value, "a condition")).expand(*_common(x, y)),
        structure(mask, "a mask").astype(np.bool_),
        0,
    )


def _not(x: Any) -> Step:
    return polynomial(needs_value(x, "a condition"), 1, -1)


def _or(x: Any, y: Any) -> Value | Step:
    """x + y - x y."""
    if not (isinstance(x, Value) and isinstance(y, Value)):
        value, mask = (x, y) if isinstance(x, Value) else (y, x)
        return _where(mask, 1, needs_value(value, "a condition"))
    left, right = Expr.of(x), Expr.of(y)
    return (left + right - left * right).tree


aten = {
    "aten.where.self": _where,
    "aten.where.ScalarOther": _where,
    "aten.where.ScalarSelf": _where,
    "aten.where.Scalar": _where,
    "aten.masked_fill.Scalar": _masked_fill,
    "aten.masked_fill.Tensor": _masked_fill,
    "aten.tril.default": _tril,
    "aten.triu.default": _triu,
    "aten.__and__.Tensor": _and,
    "aten.bitwise_and.Tensor": _and,
    "aten.__or__.Tensor": _or,
    "aten.bitwise_or.Tensor": _or,
    "aten.bitwise_not.default": _not,
}
onnx = {"Where": _where, "Trilu": _onnx_triangle, "And": _and, "Or": _or, "Not": _not}
