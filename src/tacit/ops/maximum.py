"""maximum: the larger of two activations of equal shapes, element by element; with a sign turned, the smaller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights
from tacit.ir.expr import Expr, joined
from tacit.ir.extremes import signed
from tacit.ir.graph import Node
from tacit.ir.source import (
    Constant,
    Step,
    Unsupported,
    Value,
    common_shape,
    literal,
    needs_constant,
    needs_value,
    offset_by,
)
from tacit.secure.placer import Placer

__all__ = ["aten", "bound", "clear", "onnx", "place", "shape"]


def shape(attrs: Attrs, x: Shape, y: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of both. Raises InvalidInput when they differ."""
    if x != y:
        raise InvalidInput(f"a maximum needs equal shapes, not {x} and {y}")
    return x


def clear(attrs: Attrs, weights: Weights, x: Doubles, y: Doubles) -> Doubles:
    """max(x, y)."""
    return np.maximum(x, y)


def place(p: Placer, node: Node, sites: list[int]) -> int:
    """y + max(x - y, 0)."""
    x, y = p.aligned(sites, node)
    widest = max(node.inputs, key=p.bound)
    difference = p.emit("sub", (x, y), node.id, {})
    gain = p.kink(difference, node.id, widest, bound=2 * p.bound(widest), truncate=False)
    return p.emit("add", (y, gain), node.id, {})


def bound(attrs: Attrs, weights: Weights, x: float, y: float) -> float:
    """The larger bound."""
    return max(x, y)


def _with_constant(x: Expr, other: Any, smallest: bool) -> Expr:
    """The larger of x and a constant c, c + max(x - c, 0), or the smaller, c - max(c - x, 0)."""
    number = literal(other)
    if number is not None:
        return Expr(Step("clip", (x.tree,), {"high" if smallest else "low": str(number)}), x.shape)
    array = np.asarray(needs_constant(other).array, np.float64)
    x = x.expand(*common_shape(x.shape, array.shape))
    rest = offset_by(signed(x, smallest).tree, x.shape, Constant(array if smallest else -array))
    gain = signed(Expr(Step("relu", (rest,)), x.shape), smallest)
    return Expr(offset_by(gain.tree, x.shape, Constant(array)), x.shape)


def _extreme(operands: Sequence[Any], smallest: bool) -> Value | Step:
    """The largest of operands of which one at least is an activation, or the smallest, which is -max(-x, -y, ...)."""
    values = [Expr.of(x) for x in operands if isinstance(x, Value)]
    if not values:
        raise Unsupported("never", "a maximum or minimum of constants", "Compute it before.")
    shape = common_shape(*(x.shape for x in values))
    parts = [signed(x.expand(*shape), smallest) for x in values]
    best = parts[0]
    if len(parts) == 2:
        best = Expr(Step("maximum", (parts[0].tree, parts[1].tree)), shape)
    elif len(parts) > 2:  # all at once, in as many levels as their number has bits
        whole = joined([part.reshape(*shape, 1) for part in parts], len(shape))
        best = Expr(Step("max", (whole.tree,), {"axis": len(shape), "whole": True}), (*shape, 1)).reshape(*shape)
    best = signed(best, smallest)
    for other in (x for x in operands if not isinstance(x, Value)):
        best = _with_constant(best, other, smallest)
    return best.tree


def _largest(*operands: Any) -> Value | Step:
    return _extreme(operands, smallest=False)


def _smallest(*operands: Any) -> Value | Step:
    return _extreme(operands, smallest=True)


def _clamped(x: Any, min: Any = None, max: Any = None) -> Value | Step:  # noqa: A002 - names that the source uses
    """Between two arrays, of which either may be missing."""
    best = Expr.of(needs_value(x, "the input of a clip"))
    for end, smallest in ((min, False), (max, True)):
        if isinstance(end, Value):
            raise Unsupported("not yet", "an interval whose ends are computed", "Write it with minimum and maximum.")
        best = best if end is None else _with_constant(best, end, smallest)
    return best.tree


aten = {
    "aten.maximum.default": _largest,
    "aten.max.other": _largest,
    "aten.minimum.default": _smallest,
    "aten.min.other": _smallest,
    "aten.clamp.Tensor": _clamped,
}
onnx = {"Max": _largest, "Min": _smallest}
