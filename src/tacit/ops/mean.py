"""mean: the mean over whole axes."""

from __future__ import annotations

from math import prod
from typing import Any

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, flag, integers
from tacit.ir.source import Constant, Step, Unsupported, needs_value, polynomial, wrap_axis
from tacit.secure import basis
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "shape"]


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """x's shape with the sizes of `axes` 1, or without them unless `keepdims`. Raises InvalidInput."""
    axes = integers(attrs, "axes")
    if not axes or len(set(axes)) != len(axes) or max(axes) >= len(x) or prod(x[a] for a in axes) < 1:
        raise InvalidInput(f"a mean over axes {axes} of an array of shape {x}")
    if flag(attrs, "keepdims"):
        return tuple(1 if a in axes else size for a, size in enumerate(x))
    return tuple(size for a, size in enumerate(x) if a not in axes)


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """The mean."""
    y: Doubles = x.mean(integers(attrs, "axes"), keepdims=flag(attrs, "keepdims"))
    return y


def lower(s: Session, x: Share) -> Share:
    """The sum of each part; the number of summands goes into the scale."""
    attrs = s.step.attrs
    axes, keep = integers(attrs, "axes"), flag(attrs, "keepdims")
    count = prod(x.wire.shape[a] for a in axes)
    out = shape(attrs, x.wire.shape)
    return basis.local(s, lambda part: part.sum(axes, keepdims=keep), x, shape=out, divisor=count)


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The input's bound."""
    return x


def _mean(x: Any, dim: Any = None, keepdim: bool = False, dtype: str | None = None) -> Step:
    x = needs_value(x, "the array of a mean")
    rank = len(x.shape)
    axes = sorted({wrap_axis(a, rank) for a in ([dim] if isinstance(dim, int) else dim or range(rank))})
    return Step("mean", (x,), {"axes": list(axes), "keepdims": bool(keepdim)})


def _mean_all(x: Any, dtype: str | None = None) -> Step:
    return _mean(x)


def _sum(x: Any, dim: Any = None, keepdim: bool = False, dtype: str | None = None) -> Step:
    """The mean times the number of summands."""
    step = _mean(x, dim, keepdim)
    axes = integers(step.attrs, "axes")
    return polynomial(step, 0, prod(x.shape[a] for a in axes))


def _sum_all(x: Any, dtype: str | None = None) -> Step:
    return _sum(x)


def _axes(x: Any, axes: Any, noop_with_empty_axes: int) -> list[int]:
    """ONNX's axes: an attribute, or from opset 18 a constant second input."""
    if axes is not None and not isinstance(axes, Constant | list | tuple):
        raise Unsupported("never", "a reduction whose axes are computed", "Give the axes as constants.")
    listed = [int(a) for a in (axes.array.reshape(-1) if isinstance(axes, Constant) else axes or ())]
    if not listed and noop_with_empty_axes:
        raise Unsupported("not yet", "a reduction over no axes", "Remove it from the model.")
    return listed


def _onnx_mean(x: Any, axes: Any = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Step:
    return _mean(x, _axes(x, axes, noop_with_empty_axes), bool(keepdims))


def _onnx_sum(x: Any, axes: Any = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Step:
    return _sum(x, _axes(x, axes, noop_with_empty_axes), bool(keepdims))


aten = {
    "aten.mean.dim": _mean,
    "aten.mean.default": _mean_all,
    "aten.sum.dim_IntList": _sum,
    "aten.sum.default": _sum_all,
}
onnx = {"ReduceMean": _onnx_mean, "ReduceSum": _onnx_sum}
