"""conv: two-dimensional cross-correlation with strides, zero padding, dilation and groups.

Conv1d is conv of height 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, integer, integers, weight_shape
from tacit.ir.graph import Attr, Node
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
    if rank not in (1, 2):
        raise Unsupported("not yet", f"a convolution over {rank} axes", "Use convolutions over one or two axes.")
    if len(x.shape) != rank + 2:
        raise Unsupported("not yet", f"a convolution of an array of shape {x.shape}", "Give the example a batch axis.")
    return x, weight, {"weight": weight} | ({} if bias is None else {"bias": bias})


def _build(
    x: Value, weights: dict[str, Constant], stride: Any, before: Any, after: Any, dilation: Any, groups: int
) -> Step:
    """The convolution over one or two axes, zero-padded `before` and `after` each: a conv and what surrounds it."""
    rank = len(x.shape) - 2
    wide = [[fill] * (2 - rank) + list(v) for fill, v in ((1, stride), (0, before), (0, after), (1, dilation))]
    inner: Value | Step = x
    lifted = (*x.shape[:2], *([1] * (2 - rank)), *x.shape[2:])
    weight = weights["weight"]
    if rank == 1:
        inner = Step("reshape", (x,), {"shape": list(lifted)})
        kernel = weight.array[:, :, None, :]
        weight = Constant(kernel, f"{weight.name}.2d" if weight.name else "", weight.trained)
        weights = weights | {"weight": weight}
    padding = wide[1]
    if wide[1] != wide[2]:
        inner = Step("pad", (inner,), {"before": [0, 0, *wide[1]], "after": [0, 0, *wide[2]]})
        lifted = (*lifted[:2], *(d + b + a for d, b, a in zip(lifted[2:], wide[1], wide[2], strict=True)))
        padding = [0, 0]
    attrs: dict[str, Attr] = {"stride": wide[0], "padding": padding, "dilation": wide[3], "groups": groups}
    step = Step("conv", (inner,), attrs, weights)
    if rank == 2:
        return step
    out = shape(attrs, lifted, weights={"weight": weight.array.shape})
    return Step("reshape", (step,), {"shape": [out[0], out[1], out[3]]})


def _spread(values: Any, rank: int) -> list[int]:
    """The attribute of each axis; one value stands for all axes."""
    return list(values) * rank if len(values) == 1 else list(values)


def _same(weight: Constant, dilation: list[int], *, upper: bool) -> tuple[list[int], list[int]]:
    """The padding before and after each axis that keeps the size at stride 1; the odd one goes last when `upper`."""
    total = [d * (k - 1) for d, k in zip(dilation, weight.array.shape[2:], strict=True)]
    small = [t // 2 for t in total]
    large = [t - s for t, s in zip(total, small, strict=True)]
    return (small, large) if upper else (large, small)


def _conv(x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Step:
    x, weight, weights = _plain(x, weight, bias)
    rank = weight.array.ndim - 2
    stride, dilation = _spread(stride, rank), _spread(dilation, rank)
    if padding == "same":
        before, after = _same(weight, dilation, upper=True)
    else:
        before = after = [0] * rank if padding == "valid" else _spread(padding, rank)
    return _build(x, weights, stride, before, after, dilation, groups)


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
) -> Step:
    if transposed:
        raise Unsupported("not yet", "a transposed convolution", "Upsample and convolve, or wait for a later version.")
    return _conv(x, weight, bias, stride, padding, dilation, groups)


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
) -> Step:
    x, weight, weights = _plain(x, weight, bias)
    rank = weight.array.ndim - 2
    stride, dilation = _spread(strides, rank), _spread(dilations, rank)
    before = after = [0] * rank
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        if set(stride) != {1}:
            raise Unsupported("not yet", f"auto_pad {auto_pad} with strides {stride}", "Write the padding in `pads`.")
        before, after = _same(weight, dilation, upper=auto_pad == "SAME_UPPER")
    elif auto_pad == "NOTSET" and pads is not None:
        before, after = list(pads[:rank]), list(pads[rank:])
    return _build(x, weights, stride, before, after, dilation, group)


aten = {
    "aten.conv1d.default": _conv,
    "aten.conv2d.default": _conv,
    "aten.conv3d.default": _conv,
    "aten.conv1d.padding": _conv,
    "aten.conv2d.padding": _conv,
    "aten.convolution.default": _convolution,
}
onnx = {"Conv": _onnx_conv}
