"""conv: two-dimensional cross-correlation with strides, zero padding, dilation and groups.

Conv1d is conv of height 1.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, integer, integers, weight_shape
from tacit.ir.expr import Expr
from tacit.ir.graph import Attr, Node
from tacit.ir.padding import onnx_padding, same_padding, spans, spread
from tacit.ir.source import Constant, Step, Unsupported, Value
from tacit.secure import basis
from tacit.secure.placer import Placer
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "place", "shape"]


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """[N, C, H, W] to [N, O, H', W'] for weight [O, C/groups, KH, KW] and bias [O]. Raises InvalidInput."""
    stride, padding = integers(attrs, "stride", 2, 1), integers(attrs, "padding", 2)
    dilation, groups = integers(attrs, "dilation", 2, 1), integer(attrs, "groups", 1)
    maps, depth, *kernel = weight_shape(weights, "weight", 4)
    if len(x) != 4 or x[1] != depth * groups or maps % groups:
        raise InvalidInput(
            f"conv with weight {weights['weight']} in {groups} groups cannot act on an array of shape {x}"
        )
    if "bias" in weights and weight_shape(weights, "bias", 1) != (maps,):
        raise InvalidInput(f"the bias of a conv layer with {maps} outputs has shape {weights['bias']}")
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    room = [size + 2 * p - span for size, p, span in zip(x[2:], padding, spans, strict=True)]
    if min(room) < 0 or min(kernel) < 1:
        raise InvalidInput(f"a conv kernel {tuple(kernel)} does not fit in an array of shape {x}")
    return (x[0], maps, *(r // s + 1 for r, s in zip(room, stride, strict=True)))


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """The cross-correlation, one image at a time as a matrix product of the unrolled windows (im2col)."""
    weight, groups = weights["weight"], integer(attrs, "groups", 1)
    out = np.empty(shape(attrs, x.shape, weights={"weight": weight.shape}))
    flat = weight.reshape(groups, out.shape[1] // groups, -1)
    for image, result in zip(x, out, strict=True):
        columns = _unrolled(attrs, image, weight.shape[2:]).reshape(groups, flat.shape[2], -1)
        np.matmul(flat, columns, out=result.reshape(groups, flat.shape[1], -1))
    return out + weights["bias"][:, None, None] if "bias" in weights else out


def lower(s: Session, x: Share) -> Share:
    """The server's product with its weights."""
    return basis.product(s, x)


def place(p: Placer, node: Node, sites: list[int]) -> int:
    """One product with the server's weights."""
    return p.linear(node, sites[0])


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The largest row sum of magnitudes times the input's bound, and the largest bias."""
    weight = np.abs(weights["weight"])
    rows = weight.reshape(len(weight), -1).sum(1)
    bias = np.abs(weights["bias"]) if "bias" in weights else np.zeros(len(rows))
    return float((rows * x + bias).max(initial=0.0))


def _unrolled(attrs: Attrs, image: Doubles, kernel: Shape) -> Doubles:
    """The windows of one image [C, H, W] as an array [C, KH, KW, H', W']."""
    (ph, pw), (sh, sw) = integers(attrs, "padding", 2), integers(attrs, "stride", 2, 1)
    dh, dw = integers(attrs, "dilation", 2, 1)
    span = (dh * (kernel[0] - 1) + 1, dw * (kernel[1] - 1) + 1)
    padded = np.pad(image, ((0, 0), (ph, ph), (pw, pw)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, span, (1, 2))[:, ::sh, ::sw, ::dh, ::dw]
    return np.ascontiguousarray(windows.transpose(0, 3, 4, 1, 2))


def _plain(x: Any, weight: Any, bias: Any) -> tuple[Value, Constant, dict[str, Constant]]:
    if not isinstance(x, Value) or not isinstance(weight, Constant) or isinstance(bias, Value):
        raise Unsupported(
            "not yet", "a convolution whose weights are computed", "Use weights that are constants of the model."
        )
    rank = weight.array.ndim - 2
    if rank not in (1, 2, 3):
        raise Unsupported("not yet", f"a convolution over {rank} axes", "Use convolutions over one to three axes.")
    if len(x.shape) != rank + 2:
        raise Unsupported("not yet", f"a convolution of an array of shape {x.shape}", "Give the example a batch axis.")
    return x, weight, {"weight": weight} | ({} if bias is None else {"bias": bias})


def _build(
    x: Expr, weights: dict[str, Constant], stride: Any, before: Any, after: Any, dilation: Any, groups: int
) -> Expr:
    """The convolution over one to three axes, zero-padded `before` and `after` each: a conv and what surrounds it."""
    rank = len(x.shape) - 2
    if rank == 3:
        return _deep(x, weights, stride, before, after, dilation, groups)
    wide = [[fill] * (2 - rank) + list(v) for fill, v in ((1, stride), (0, before), (0, after), (1, dilation))]
    inner, weight = x.reshape(*x.shape[:2], *([1] * (2 - rank)), *x.shape[2:]), weights["weight"]
    if rank == 1:
        weights = weights | {"weight": _reshaped(weight, (*weight.array.shape[:2], 1, weight.array.shape[2]))}
    padding = wide[1]
    if wide[1] != wide[2]:
        inner = inner.padded([(0, 0), (0, 0), *zip(wide[1], wide[2], strict=True)])
        padding = [0, 0]
    attrs: dict[str, Attr] = {"stride": wide[0], "padding": padding, "dilation": wide[3], "groups": groups}
    out = shape(attrs, inner.shape, weights={name: w.array.shape for name, w in weights.items()})
    made = Expr(Step("conv", (inner.tree,), attrs, weights), out)
    return made if rank == 2 else made.reshape(out[0], out[1], out[3])


def _reshaped(weight: Constant, sizes: tuple[int, ...]) -> Constant:
    return Constant(weight.array.reshape(sizes), f"{weight.name}.2d" if weight.name else "", weight.trained)


def _deep(
    x: Expr, weights: dict[str, Constant], stride: Any, before: Any, after: Any, dilation: Any, groups: int
) -> Expr:
    """Over three axes: every window along the first one lies among the channels of an image of its own."""
    batch, depth = x.shape[:2]
    weight = weights["weight"]
    maps, _, kernel = weight.array.shape[:3]
    padded = x.padded([(0, 0), (0, 0), *zip(before, after, strict=True)])
    starts = range(0, padded.shape[2] - dilation[0] * (kernel - 1), stride[0])
    if not starts:
        raise InvalidInput(f"a conv kernel of {kernel} does not fit in an array of shape {x.shape}")
    windows = padded.take(2, [start + dilation[0] * t for start in starts for t in range(kernel)])
    high, wide = windows.shape[3:]
    split = windows.reshape(batch, depth, len(starts), kernel, high, wide).permute(0, 2, 1, 3, 4, 5)
    images = split.reshape(batch * len(starts), depth * kernel, high, wide)
    flat = {**weights, "weight": _reshaped(weight, (maps, weight.array.shape[1] * kernel, *weight.array.shape[3:]))}
    made = _build(images, flat, stride[1:], [0, 0], [0, 0], dilation[1:], groups)
    return made.reshape(batch, len(starts), *made.shape[1:]).permute(0, 2, 1, 3, 4)


def _conv(x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Value | Step:
    x, weight, weights = _plain(x, weight, bias)
    rank = weight.array.ndim - 2
    stride, dilation = spread(stride, rank), spread(dilation, rank)
    if padding == "same":
        reach = spans(weight.array.shape[2:], dilation)
        before, after = same_padding(x.shape[2:], reach, [1] * rank, upper=True)
    else:
        before = after = [0] * rank if padding == "valid" else spread(padding, rank)
    return _build(Expr.of(x), weights, stride, before, after, dilation, groups).tree


def _convolution(
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
) -> Value | Step:
    if transposed:
        return _transposed(x, weight, bias, stride, padding, output_padding, groups, dilation)
    return _conv(x, weight, bias, stride, padding, dilation, groups)


def _transposed(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = (1,),
    padding: Any = (0,),
    output_padding: Any = (0,),
    groups: int = 1,
    dilation: Any = (1,),
) -> Value | Step:
    x, weight, weights = _plain(x, weight, bias)
    rank = weight.array.ndim - 2
    stride, padding, more, gaps = (spread(v, rank) for v in (stride, padding, output_padding, dilation))
    reach = spans(weight.array.shape[2:], gaps)
    sizes = zip(x.shape[2:], stride, padding, reach, more, strict=True)
    return _widened(x, weights, stride, padding, [(n - 1) * s - 2 * p + k + o for n, s, p, k, o in sizes], gaps, groups)


def _widened(
    x: Value,
    weights: dict[str, Constant],
    stride: list[int],
    cut: list[int],
    out: list[int],
    gaps: list[int],
    groups: int,
) -> Value | Step:
    """The transposed convolution whose result is cut by `cut` in front and has the sizes `out`.

    Entries of one place modulo the stride are one plain convolution's, with every stride-th weight in reverse order.
    The convolutions of all places are one of as many times the channels; its results are put in turn. No product is by
    zero.
    """
    phased, rank, factor = _phases(weights["weight"].array, stride, gaps, groups), len(stride), prod(stride)
    sizes = list(zip(x.shape[2:], stride, cut, out, phased.shape[2:], strict=True))
    before = [taps - 1 - p // s for _, s, p, _, taps in sizes]
    after = [(p + n - 1) // s - (size - 1) for size, s, p, n, _ in sizes]
    name = weights["weight"].name
    inner = {"weight": Constant(phased, f"{name}.phases" if name else "", weights["weight"].trained)}
    if "bias" in weights:
        inner["bias"] = Constant(np.repeat(weights["bias"].array, factor), trained=weights["bias"].trained)
    # A negative padding takes entries away that the result does not show.
    kept = Expr.of(x).padded([(0, 0), (0, 0), *((min(b, 0), min(a, 0)) for b, a in zip(before, after, strict=True))])
    ends = [[max(0, width) for width in widths] for widths in (before, after)]
    made = _build(kept, inner, [1] * rank, ends[0], ends[1], [1] * rank, groups)
    split = made.reshape(made.shape[0], made.shape[1] // factor, *stride, *made.shape[2:])
    turned = split.permute(0, 1, *(axis for a in range(rank) for axis in (2 + rank + a, 2 + a)))
    joint = turned.reshape(*split.shape[:2], *(n * s for n, s in zip(made.shape[2:], stride, strict=True)))
    for axis, (_, s, p, n, _) in enumerate(sizes, 2):
        joint = joint.take(axis, range(p % s, p % s + n))
    return joint.tree


def _phases(weight: Doubles, stride: list[int], gaps: list[int], groups: int) -> Doubles:
    """[I, O/groups, K...] to [O s..., I/groups, T...]: for each place modulo the stride its weights, last tap first."""
    rank = len(stride)
    depth, maps, *kernel = weight.shape
    taps = [-(-(d * (k - 1) + 1) // s) for d, k, s in zip(gaps, kernel, stride, strict=True)]
    wide = np.zeros((depth, maps, *(t * s for t, s in zip(taps, stride, strict=True))), weight.dtype)
    wide[(slice(None), slice(None), *(slice(0, d * (k - 1) + 1, d) for d, k in zip(gaps, kernel, strict=True)))] = (
        weight
    )
    split = wide.reshape(groups, depth // groups, maps, *(n for pair in zip(taps, stride, strict=True) for n in pair))
    split = np.flip(split, tuple(3 + 2 * a for a in range(rank)))
    order = (0, 2, *(4 + 2 * a for a in range(rank)), 1, *(3 + 2 * a for a in range(rank)))
    return np.ascontiguousarray(split.transpose(order).reshape(groups * maps * prod(stride), depth // groups, *taps))


def _onnx_conv(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Any = (1,),
    group: int = 1,
    kernel_shape: Any = None,
    pads: Any = None,
    strides: Any = (1,),
) -> Value | Step:
    x, weight, weights = _plain(x, weight, bias)
    rank = weight.array.ndim - 2
    stride, dilation = spread(strides, rank), spread(dilations, rank)
    reach = spans(weight.array.shape[2:], dilation)
    before, after = onnx_padding(auto_pad, pads, x.shape[2:], reach, stride)
    return _build(Expr.of(x), weights, stride, before, after, dilation, group).tree


def _onnx_transposed(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Any = (1,),
    group: int = 1,
    kernel_shape: Any = None,
    output_padding: Any = (0,),
    output_shape: Any = None,
    pads: Any = None,
    strides: Any = (1,),
) -> Value | Step:
    x, weight, weights = _plain(x, weight, bias)
    rank = weight.array.ndim - 2
    stride, more, gaps = (spread(v, rank) for v in (strides, output_padding, dilations))
    sizes = zip(x.shape[2:], stride, spans(weight.array.shape[2:], gaps), more, strict=True)
    whole = [(n - 1) * s + k + o for n, s, k, o in sizes]
    if output_shape is None and auto_pad in ("NOTSET", "VALID"):
        before, after = onnx_padding(auto_pad, pads, x.shape[2:], whole, stride)
        out = [w - b - a for w, b, a in zip(whole, before, after, strict=True)]
        return _widened(x, weights, stride, before, out, gaps, group)
    # The result has the given sizes, or stride times the old ones: what is too much goes at both ends.
    out = list(output_shape or [n * s for n, s in zip(x.shape[2:], stride, strict=True)])[-rank:]
    cut = [max(0, w - n) for w, n in zip(whole, out, strict=True)]
    return _widened(
        x, weights, stride, [c // 2 if auto_pad == "SAME_UPPER" else c - c // 2 for c in cut], out, gaps, group
    )


aten = {
    "aten.conv_transpose1d.default": _transposed,
    "aten.conv_transpose2d.input": _transposed,
    "aten.conv_transpose3d.input": _transposed,
    "aten.conv1d.default": _conv,
    "aten.conv2d.default": _conv,
    "aten.conv3d.default": _conv,
    "aten.conv1d.padding": _conv,
    "aten.conv2d.padding": _conv,
    "aten.convolution.default": _convolution,
}
onnx = {"Conv": _onnx_conv, "ConvTranspose": _onnx_transposed}
