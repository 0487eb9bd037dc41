"""combine: the sum over the first axis with one fixed whole factor an entry; what gates at several knots end with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights
from tacit.secure import basis
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "shape"]

_MOST = 1 << 16


def _factors(attrs: Attrs) -> list[int]:
    factors = attrs.get("factors")
    if not isinstance(factors, list) or not all(isinstance(f, int) and abs(f) <= _MOST for f in factors):
        raise InvalidInput(f"attribute 'factors' must be a list of whole numbers up to {_MOST}")
    return [int(f) for f in factors if isinstance(f, int)]


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """[n, *] to [*]. Raises InvalidInput unless there are n factors."""
    if len(x) < 2 or x[0] != len(_factors(attrs)):
        raise InvalidInput(f"{len(_factors(attrs))} factors do not fit an array of shape {x}")
    return x[1:]


def _combined(attrs: Attrs, x: NDArray[Any]) -> NDArray[Any]:
    total = np.zeros(x.shape[1:], x.dtype)
    for factor, part in zip(_factors(attrs), x, strict=True):
        if factor > 0:
            total += part if factor == 1 else part * x.dtype.type(factor)
        else:
            total -= part if factor == -1 else part * x.dtype.type(-factor)
    return total


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """The sum."""
    return _combined(attrs, x)


def lower(s: Session, x: Share) -> Share:
    """The sum of each part."""
    attrs = s.step.attrs
    return basis.local(s, lambda part: _combined(attrs, part), x, shape=shape(attrs, x.wire.shape))


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The input's bound times the factors' magnitudes."""
    return x * sum(abs(f) for f in _factors(attrs))


aten: dict[str, Any] = {}
onnx: dict[str, Any] = {}
