"""concat: activations one after the other along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights
from tacit.ir.attrs import axis as axis_of
from tacit.ir.source import Step, needs_value, wrap_axis
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


def _cat(tensors: Sequence[Any], dim: int = 0) -> Step:
    values = tuple(needs_value(x, "a part of a concatenation") for x in tensors)
    return Step("concat", values, {"axis": wrap_axis(dim, len(values[0].shape))})


def _stack(tensors: Sequence[Any], dim: int = 0) -> Step:
    values = tuple(needs_value(x, "a part of a stack") for x in tensors)
    shape = list(values[0].shape)
    along = wrap_axis(dim, len(shape) + 1)
    lifted = [*shape[:along], 1, *shape[along:]]
    return Step("concat", tuple(Step("reshape", (x,), {"shape": list(lifted)}) for x in values), {"axis": along})


def _onnx(*tensors: Any, axis: int) -> Step:
    return _cat(tensors, axis)


aten = {"aten.cat.default": _cat, "aten.stack.default": _stack}
onnx = {"Concat": _onnx}
