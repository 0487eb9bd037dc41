"""concat: activations one after the other along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights
from tacit.ir.attrs import axis as axis_of
from tacit.ir.expr import Expr, joined
from tacit.ir.source import Constant, Step, Value, needs_value, wrap_axis
from tacit.secure import basis
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "shape"]


def shape(attrs: Attrs, *inputs: Shape, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The inputs' shape with the sizes along `axis` summed. Raises InvalidInput when other sizes differ."""
    if not inputs:
        raise InvalidInput("a concatenation needs at least one array")
    first = inputs[0]
    along = axis_of(attrs, "axis", len(first))
    for other in inputs:
        if len(other) != len(first) or other[:along] != first[:along] or other[along + 1 :] != first[along + 1 :]:
            raise InvalidInput(f"arrays of shapes {first} and {other} cannot be concatenated along axis {along}")
    return (*first[:along], sum(x[along] for x in inputs), *first[along + 1 :])


def clear(attrs: Attrs, weights: Weights, *inputs: Doubles) -> Doubles:
    """The concatenation."""
    return np.concatenate(inputs, axis_of(attrs, "axis", inputs[0].ndim))


def lower(s: Session, *inputs: Share) -> Share:
    """The same on each part."""
    attrs = s.step.attrs
    out = shape(attrs, *(x.wire.shape for x in inputs))
    return basis.local(s, lambda *parts: clear(attrs, {}, *parts), *inputs, shape=out)


def bound(attrs: Attrs, weights: Weights, *inputs: float) -> float:
    """The largest of the inputs' bounds."""
    return max(inputs)


def _cat(tensors: Sequence[Any], dim: int = 0) -> Value | Step:
    values = [x for x in tensors if isinstance(x, Value)]
    constants = [x for x in tensors if isinstance(x, Constant)]
    if len(values) + len(constants) < len(tensors) or not values:
        needs_value(None, "a part of a concatenation")
    along = wrap_axis(dim, len(values[0].shape))
    whole = joined([Expr.of(x) for x in values], along)
    return _among(whole, tensors, along).tree if constants else whole.tree


def _among(whole: Expr, tensors: Sequence[Any], along: int) -> Expr:
    """The concatenated values put between the constants: among zeros first, to which the constants are then added."""
    fits = shape({"axis": along}, *(x.shape if isinstance(x, Value) else x.array.shape for x in tensors))
    next_value, next_zero = 0, whole.shape[along]
    order: list[int] = []
    parts = []
    for x in tensors:
        sizes = x.shape if isinstance(x, Value) else x.array.shape
        first = next_value if isinstance(x, Value) else next_zero
        order += range(first, first + sizes[along])
        next_value, next_zero = (
            (first + sizes[along], next_zero) if isinstance(x, Value) else (next_value, first + sizes[along])
        )
        parts.append(np.zeros(sizes) if isinstance(x, Value) else x.array.astype(np.float64))
    array = np.concatenate(parts, along)
    if along and (array == array[:1]).all():
        array = array[:1]  # the same for every example of the batch
    trained = any(isinstance(x, Constant) and x.trained for x in tensors)
    placed = whole.pad(along, 0, fits[along] - whole.shape[along]).take(along, order)
    if not array.any():
        return placed
    return Expr(Step("bias", (placed.tree,), weights={"value": Constant(array, trained=trained)}), fits)


def _stack(tensors: Sequence[Any], dim: int = 0) -> Step:
    values = tuple(needs_value(x, "a part of a stack") for x in tensors)
    shape = list(values[0].shape)
    along = wrap_axis(dim, len(shape) + 1)
    lifted = [*shape[:along], 1, *shape[along:]]
    return Step("concat", tuple(Step("reshape", (x,), {"shape": list(lifted)}) for x in values), {"axis": along})


def _onnx(*tensors: Any, axis: int) -> Value | Step:
    return _cat(tensors, axis)


aten = {"aten.cat.default": _cat, "aten.stack.default": _stack}
onnx = {"Concat": _onnx}
