"""pairs: the differences x_i - x_j of all entries i < j of the last axis; what an order is found from."""

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

#: Half a million comparisons a thousand entries; a plan from outside may not ask for more of them than this.
_MOST = 4096


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """[*, n] to [*, n (n - 1) / 2], n from 2 to _MOST. Raises InvalidInput."""
    if not x or not 2 <= x[-1] <= _MOST:
        raise InvalidInput(f"an order is found among 2 to {_MOST} values, not along the last axis of {x}")
    return (*x[:-1], x[-1] * (x[-1] - 1) // 2)


def _differences(x: NDArray[Any]) -> NDArray[Any]:
    """Pairs in lexicographic order."""
    first, second = np.triu_indices(x.shape[-1], 1)
    return np.asarray(x[..., first] - x[..., second])


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """The differences."""
    return _differences(x)


def lower(s: Session, x: Share) -> Share:
    """The differences of each part."""
    return basis.local(s, _differences, x, shape=shape(s.step.attrs, x.wire.shape))


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """Twice the input's bound."""
    return 2 * x


aten: dict[str, Any] = {}
onnx: dict[str, Any] = {}
