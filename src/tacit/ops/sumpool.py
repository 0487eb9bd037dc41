"""sumpool: the sum over windows divided by a fixed number; average pooling."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, integer, integers
from tacit.ir.graph import Attr
from tacit.ir.padding import Ends, onnx_padding, spans, spread
from tacit.ir.source import Step, Unsupported, Value, needs_value, polynomial
from tacit.ir.weighted import Rows, adaptive_means, window_means, write_taps
from tacit.secure import basis
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "shape", "sums"]


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """[N, C, H, W] to [N, C, H', W']; a window that does not fit whole is left out. Raises InvalidInput."""
    kernel, stride = integers(attrs, "kernel", 2, 1), integers(attrs, "stride", 2, 1)
    padding = integers(attrs, "padding", 2)
    integer(attrs, "divisor", 1)
    if len(x) != 4:
        raise InvalidInput(f"a pool acts on [N, C, H, W], not on an array of shape {x}")
    room = [size + 2 * p - k for size, p, k in zip(x[2:], padding, kernel, strict=True)]
    if min(room) < 0:
        raise InvalidInput(f"a pool window {kernel} does not fit in an array of shape {x}")
    return (*x[:2], *(r // s + 1 for r, s in zip(room, stride, strict=True)))


def sums(attrs: Attrs, x: NDArray[Any]) -> NDArray[Any]:
    """The window sums over zero-padded x, in its own type (words add mod 2^64)."""
    (ph, pw), (sh, sw) = integers(attrs, "padding", 2), integers(attrs, "stride", 2, 1)
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, integers(attrs, "kernel", 2, 1), (2, 3))
    return np.asarray(windows[:, :, ::sh, ::sw].sum((-2, -1)))


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """The window sums divided by `divisor`."""
    return np.asarray(sums(attrs, x) / integer(attrs, "divisor", 1))


def lower(s: Session, x: Share) -> Share:
    """The sums of each part; the divisor goes into the scale."""
    attrs = s.step.attrs
    divisor = integer(attrs, "divisor", 1)
    return basis.local(s, lambda part: sums(attrs, part), x, shape=shape(attrs, x.wire.shape), divisor=divisor)


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The input's bound times window size over divisor."""
    return x * prod(integers(attrs, "kernel", 2, 1)) / integer(attrs, "divisor", 1)


def _build(x: Value, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], divisor: int) -> Step:
    """The pool over the last one or two axes of [N, C, ...]."""
    if len(x.shape) == 4:
        attrs: dict[str, Attr] = {
            "kernel": list(kernel),
            "stride": list(stride),
            "padding": list(padding),
            "divisor": divisor,
        }
        return Step("sumpool", (x,), attrs)
    lifted = (*x.shape[:2], 1, x.shape[2])
    attrs = {"kernel": [1, *kernel], "stride": [1, *stride], "padding": [0, *padding], "divisor": divisor}
    out = shape(attrs, lifted)
    step = Step("sumpool", (Step("reshape", (x,), {"shape": list(lifted)}),), attrs)
    return Step("reshape", (step,), {"shape": [out[0], out[1], out[3]]})


def _checked(given: Any, rank: int) -> Value:
    x = needs_value(given, "the array that a pool averages")
    if len(x.shape) != rank + 2 or rank not in (1, 2, 3):
        raise Unsupported("not yet", f"an average pool of an array of shape {x.shape}", "Use [N, C] and 1 to 3 axes.")
    return x


def _means(x: Value, rows: Sequence[Rows], factor: Fraction | int = 1) -> Value | Step:
    """Weighted means along the axes after the channels, times a number."""
    tree: Value | Step = x
    for along, entries in enumerate(rows, 2):
        tree = Step("resample", (tree,), write_taps(entries, along))
    return tree if factor == 1 else polynomial(tree, 0, factor)


def _pooled(
    x: Value, kernel: list[int], stride: list[int], padding: Ends, dilation: list[int], ceil: bool, counted: bool,
    divisor: int | None = None,
) -> Value | Step:  # fmt: skip
    """One sum where all windows have one divisor, else a weighted mean along each axis."""
    sizes = list(zip(x.shape[2:], kernel, stride, *padding, dilation, strict=True))
    even = padding[0] == padding[1] and set(dilation) == {1}
    ragged = ceil and any((size + 2 * p - k) % s for size, k, s, p, _, _ in sizes)
    if len(kernel) < 3 and even and not ragged and (counted or divisor or not any(padding[0])):
        return _build(x, kernel, stride, padding[0], divisor or prod(kernel))
    rows = [
        window_means(n, k, s, before, ceil, counted, 1 if divisor else None, after=after, dilation=gap)
        for n, k, s, before, after, gap in sizes
    ]
    return _means(x, rows, Fraction(1, divisor or 1))


def _avg_pool(
    x: Any, kernel: Any, stride: Any = (), padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value | Step:  # fmt: skip
    rank = len(getattr(x, "shape", ())) - 2
    x = _checked(x, rank)
    kernel = spread(kernel, rank)
    stride, padding = spread(stride, rank) or kernel, spread(padding, rank)
    return _pooled(x, kernel, stride, (padding, padding), [1] * rank, ceil_mode, count_include_pad, divisor_override)


def _adaptive(x: Any, output_size: Any) -> Value | Step:
    rank = len(getattr(x, "shape", ())) - 2
    x = _checked(x, rank)
    sizes = x.shape[2:]
    out = [size if o is None else int(o) for o, size in zip(spread(output_size, rank), sizes, strict=True)]
    if set(out) == {1}:
        return Step("mean", (x,), {"axes": list(range(2, rank + 2)), "keepdims": True})
    if rank == 3 or any(o < 1 or size % o for size, o in zip(sizes, out, strict=True)):
        return _means(x, [adaptive_means(size, o) for size, o in zip(sizes, out, strict=True)])
    kernel = [size // o for size, o in zip(sizes, out, strict=True)]
    return _build(x, kernel, kernel, [0] * rank, prod(kernel))


def _onnx_avg(
    x: Any,
    *,
    kernel_shape: Any,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Any = (1,),
    pads: Any = None,
    strides: Any = (1,),
) -> Value | Step:
    rank = len(kernel_shape)
    x = _checked(x, rank)
    kernel, stride, gaps = (spread(v, rank) for v in (kernel_shape, strides, dilations))
    padding = onnx_padding(auto_pad, pads, x.shape[2:], spans(kernel, gaps), stride)
    return _pooled(x, kernel, stride, padding, gaps, bool(ceil_mode), bool(count_include_pad))


def _onnx_global(x: Any) -> Step:
    x = needs_value(x, "the array that a pool averages")
    return Step("mean", (x,), {"axes": list(range(2, len(x.shape))), "keepdims": True})


aten = {
    "aten.avg_pool1d.default": _avg_pool,
    "aten.avg_pool2d.default": _avg_pool,
    "aten.avg_pool3d.default": _avg_pool,
    "aten.adaptive_avg_pool1d.default": _adaptive,
    "aten.adaptive_avg_pool2d.default": _adaptive,
    "aten.adaptive_avg_pool3d.default": _adaptive,
    "aten._adaptive_avg_pool2d.default": _adaptive,
}
onnx = {"AveragePool": _onnx_avg, "GlobalAveragePool": _onnx_global}
