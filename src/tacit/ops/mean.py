"""mean: the mean over whole axes."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, flag, integers
from tacit.ir.expr import Expr
from tacit.ir.source import Constant, Step, Unsupported, Value, literal, needs_value, polynomial, wrap_axis
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


def _deviations(x: Any, dim: Any, correction: Any, keepdim: bool) -> tuple[Expr, Expr]:
    """The variance along axes, whose number of entries is taken `correction` less, and the mean. Raises Unsupported."""
    whole = Expr.of(needs_value(x, "the array of a variance"))
    rank, less = len(whole.shape), literal(1 if correction is None else correction)
    axes = sorted({wrap_axis(a, rank) for a in ([dim] if isinstance(dim, int) else dim or range(rank))})
    count = prod(whole.shape[a] for a in axes)
    if less is None or less >= count:
        raise Unsupported("never", f"a variance of {count} entries", "Take more entries, or a smaller correction.")
    sizes = tuple(1 if a in axes else size for a, size in enumerate(whole.shape))

    def mean(part: Expr) -> Expr:
        return Expr(Step("mean", (part.tree,), {"axes": list(axes), "keepdims": True}), sizes)

    middle = mean(whole)
    squares = mean((whole - middle).poly(0, 0, 1)).times(count / (count - less))
    kept = sizes if keepdim else tuple(size for a, size in enumerate(sizes) if a not in axes)
    return squares.reshape(*kept), middle.reshape(*kept)


def _var(x: Any, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Value | Step:
    return _deviations(x, dim, correction, keepdim)[0].tree


def _var_mean(x: Any, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> tuple[Value | Step, ...]:
    return tuple(part.tree for part in _deviations(x, dim, correction, keepdim))


def _std(x: Any, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Step:
    return Step("smooth", (_var(x, dim, correction=correction, keepdim=keepdim),), {"function": "sqrt"})


def _by_flag(rule: Any) -> Any:
    """Older forms say whether one is taken off the number of entries."""
    return lambda x, dim, unbiased=True, keepdim=False: rule(x, dim, correction=int(unbiased), keepdim=keepdim)


def _squares(x: Any, dim: Any, keepdim: bool) -> Step:
    """The sum of squares."""
    return _of_entries(x, dim, keepdim, lambda value: polynomial(value, 0, 0, 1))


def _of_entries(x: Any, dim: Any, keepdim: bool, f: Callable[[Value], Step]) -> Step:
    """The sum of f of every entry."""
    step = _mean(x, dim, keepdim)
    inner = Step("mean", (f(needs_value(x, "the array of a norm")),), step.attrs)
    return polynomial(inner, 0, prod(x.shape[a] for a in integers(step.attrs, "axes")))


def _norm(x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Step:  # noqa: A002
    """The sum of magnitudes (1), or the root of that of squares (2)."""
    if literal(ord) == 1:
        return _of_entries(x, dim, keepdim, lambda value: Step("abs", (value,)))
    if literal(ord) != 2:
        raise Unsupported("not yet", f"a norm of order {ord}", "Use order 1 or 2.")
    return Step("smooth", (_squares(x, dim, keepdim),), {"function": "sqrt"})


def _onnx_norm(order: int, root: bool = True) -> Any:
    def adapter(x: Any, axes: Any = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Step:
        listed = _axes(x, axes, noop_with_empty_axes)
        return _norm(x, order, listed, bool(keepdims)) if root else _squares(x, listed, bool(keepdims))

    return adapter


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
    "aten.var.correction": _var,
    "aten.var.dim": _by_flag(_var),
    "aten.var_mean.correction": _var_mean,
    "aten.var_mean.dim": _by_flag(_var_mean),
    "aten.std.correction": _std,
    "aten.std.dim": _by_flag(_std),
    "aten.linalg_vector_norm.default": _norm,
    "aten.norm.ScalarOpt_dim": _norm,
}
onnx = {
    "ReduceMean": _onnx_mean,
    "ReduceSum": _onnx_sum,
    "ReduceL1": _onnx_norm(1),
    "ReduceL2": _onnx_norm(2),
    "ReduceSumSquare": _onnx_norm(2, root=False),
}
