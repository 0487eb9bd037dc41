"""pad: zeros before and after each axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, integers
from tacit.ir.source import Constant, Step, Unsupported, Value, literal, needs_value, wrap_axis
from tacit.secure import basis
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "shape"]


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
    x = needs_value(x, "an array to pad")
    if mode != "constant" or (value is not None and literal(value) != 0):
        raise Unsupported("replace", f"padding of mode {mode!r} with a value other than zero", "Pad with zeros.")
    if min([*before, *after], default=0) < 0:
        raise Unsupported("not yet", "a negative padding, which cuts the array", "Leave the cut to the client.")
    return Step("pad", (x,), {"before": list(before), "after": list(after)}) if any([*before, *after]) else x


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


aten = {"aten.pad.default": _aten, "aten.constant_pad_nd.default": _constant_pad}
onnx = {"Pad": _onnx}
