"""pad: zeros before and after each axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, integers
from tacit.ir.expr import Expr
from tacit.ir.source import Constant, Step, Unsupported, Value, literal, needs_value, wrap_axis
from tacit.secure import basis
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "shape"]

_MOST = 1 << 16
#: Modes of torch and ONNX as numpy calls them.
_NUMPY: Mapping[str, Any] = {
    "reflect": "reflect",
    "replicate": "edge",
    "edge": "edge",
    "circular": "wrap",
    "wrap": "wrap",
}


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """x's sizes plus `before` and `after` along each axis. Raises InvalidInput."""
    before, after = integers(attrs, "before", len(x)), integers(attrs, "after", len(x))
    return tuple(size + b + a for size, b, a in zip(x, before, after, strict=True))


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """x among zeros."""
    widths = list(zip(integers(attrs, "before", x.ndim), integers(attrs, "after", x.ndim), strict=True))
    return np.pad(x, widths)


def lower(s: Session, x: Share) -> Share:
    """The same on each part."""
    attrs = s.step.attrs
    return basis.local(s, lambda part: clear(attrs, {}, part), x, shape=shape(attrs, x.wire.shape))


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """No value grows."""
    return x


def _build(x: Any, before: list[int], after: list[int], mode: str, value: Any) -> Value | Step:
    """x with entries before and after each axis; negative numbers take entries away instead."""
    whole = Expr.of(needs_value(x, "an array to pad"))
    if mode != "constant":
        for along, (b, a) in enumerate(zip(before, after, strict=True)):
            if b or a:
                whole = whole.take(along, _reflected(whole.shape[along], b, a, mode))
        return whole.tree
    fill = Fraction(0) if value is None else literal(value)
    if fill is None or abs(fill) > _MOST:
        raise Unsupported("replace", f"padding with {value!r}", f"Pad with a number within {_MOST}.")
    whole = whole.offset(-fill)
    return whole.padded(list(zip(before, after, strict=True))).offset(fill).tree


def _reflected(size: int, before: int, after: int, mode: str) -> list[int]:
    """The positions of a padded axis: around its ends, its ends again, or on from its other end."""
    if _NUMPY.get(mode) is None:
        raise Unsupported("not yet", f"padding of mode {mode!r}", f"Use one of {', '.join(_NUMPY)}.")
    if (mode == "reflect" and max(before, after) >= size) or (
        mode in ("circular", "wrap") and max(before, after) > size
    ):
        raise Unsupported("never", f"padding by {max(before, after)} of an axis of {size}", "Pad less.")
    inside = range(max(0, -before), size - max(0, -after))
    return [int(i) for i in np.pad(inside, (max(0, before), max(0, after)), _NUMPY[mode])]


def _aten(x: Any, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Value | Step:
    """torch lists (before, after) pairs from the last axis backwards."""
    rest = [0] * (len(getattr(x, "shape", ())) - len(pad) // 2)
    return _build(x, rest + list(pad[-2::-2]), rest + list(pad[::-2]), mode, value)


def _constant_pad(x: Any, pad: Sequence[int], value: Any = 0) -> Value | Step:
    return _aten(x, pad, "constant", value)


def _onnx(x: Any, pads: Any, value: Any = None, axes: Any = None, *, mode: str = "constant") -> Value | Step:
    if not isinstance(pads, Constant) or not isinstance(axes, Constant | None):
        raise Unsupported("never", "a padding that depends on the data", "Give the padding as a constant.")
    if isinstance(value, Constant):
        value = Constant(value.array, trained=False)  # the fill is part of the structure wherever it is stored
    rank = len(getattr(x, "shape", ()))
    widths = [int(p) for p in pads.array]
    named = [wrap_axis(int(a), rank) for a in axes.array] if axes is not None else list(range(rank))
    before, after = [0] * rank, [0] * rank
    for i, a in enumerate(named):
        before[a], after[a] = widths[i], widths[i + len(named)]
    return _build(x, before, after, mode, value)


def _mode(mode: str) -> Any:
    return lambda x, padding: _aten(x, padding, mode)


aten = {
    "aten.pad.default": _aten,
    "aten.constant_pad_nd.default": _constant_pad,
    **{f"aten.reflection_pad{n}d.default": _mode("reflect") for n in (1, 2, 3)},
    **{f"aten.replication_pad{n}d.default": _mode("replicate") for n in (1, 2, 3)},
}
onnx = {"Pad": _onnx}
