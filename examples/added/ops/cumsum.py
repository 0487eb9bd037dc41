"""cumsum: running sums along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, axis, integer
from tacit.ir.source import Step, needs_value, wrap_axis
from tacit.secure import basis
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "shape"]


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of x. Raises InvalidInput unless axis `axis` of x has `length` entries."""
    if x[axis(attrs, "axis", len(x))] != integer(attrs, "length", 1):
        raise InvalidInput(f"the axis of a running sum over an array of shape {x} has not {attrs['length']!r} entries")
    return x


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """The sums."""
    return np.asarray(x.cumsum(axis(attrs, "axis", x.ndim)), np.float64)


def lower(s: Session, x: Share) -> Share:
    """The sums of each part: a linear map with whole factors, so that each party does it alone."""
    along = axis(s.step.attrs, "axis", len(x.wire.shape))
    return basis.local(s, lambda part: part.cumsum(along, dtype=np.uint64), x, shape=x.wire.shape)


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The input's bound times the number of summands; only data can say less."""
    return x * integer(attrs, "length", 1)


def _cumsum(x: Any, dim: int, dtype: str | None = None) -> Step:
    value = needs_value(x, "the array of a running sum")
    along = wrap_axis(dim, len(value.shape))
    return Step("cumsum", (value,), {"axis": along, "length": value.shape[along]})


aten = {"aten.cumsum.default": _cumsum}
onnx: dict[str, Any] = {}
