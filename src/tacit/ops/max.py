"""max: the largest of fixed windows of one axis, exactly; max-pools, adaptive ones too, and maxima along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, axis, integer
from tacit.ir.expr import Expr
from tacit.ir.extremes import best_and_place, largest, signed
from tacit.ir.graph import Attr, Node
from tacit.ir.padding import Ends, onnx_padding, spans
from tacit.ir.source import Constant, Step, Unsupported, Value, literal, needs_value, wrap_axis
from tacit.ring.tensor import taken
from tacit.secure.placer import Placer

__all__ = ["aten", "bound", "clear", "onnx", "place", "shape", "taps"]

_MOST = 1 << 20


def taps(attrs: Attrs, size: int) -> list[list[int]]:
    """The positions of the axis that are compared: taps(...)[t][o] is position t of window o.

    Attributes: `kernel` k, `stride`, `padding` (before the first), `dilation` and `windows` (their number), or `whole`.
    Positions outside of the axis are replaced by the nearest one inside, which every window has too, so that they
    change nothing; an adaptive pool has `adaptive` instead. Raises InvalidInput.
    """
    if attrs.get("whole") is True:
        return [[t] for t in range(size)]
    if "adaptive" in attrs:
        count = integer(attrs, "adaptive", 1)
        if count > size:
            raise InvalidInput(f"an axis of {size} has no {count} windows")
        ends = [(o * size // count, -(-(o + 1) * size // count)) for o in range(count)]
        longest = max(end - start for start, end in ends)
        return [[min(start + t, end - 1) for start, end in ends] for t in range(longest)]
    kernel, stride, dilation, count = (integer(attrs, n, 1) for n in ("kernel", "stride", "dilation", "windows"))
    padding = integer(attrs, "padding")
    if max(kernel * count, stride, dilation, padding) > _MOST:
        raise InvalidInput(f"windows of {dict(attrs)} are absurdly large")
    reach = (kernel - 1) * dilation
    last = (count - 1) * stride - padding
    if last >= size or padding - reach > 0:
        raise InvalidInput(f"windows {dict(attrs)} do not fit an axis of {size}")
    inside = [[o * stride - padding + t * dilation for o in range(count)] for t in range(kernel)]
    kept = [[i for i in window if 0 <= i < size] for window in zip(*inside, strict=True)]
    if not all(kept):
        raise InvalidInput(f"a window of {dict(attrs)} lies outside of an axis of {size}")
    return [
        [i if 0 <= i < size else (kept[o][0] if i < 0 else kept[o][-1]) for o, i in enumerate(row)] for row in inside
    ]


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of x with one entry a window along `axis`. Raises InvalidInput."""
    along = axis(attrs, "axis", len(x))
    return (*x[:along], len(taps(attrs, x[along])[0]), *x[along + 1 :])


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """The maxima."""
    along = axis(attrs, "axis", x.ndim)
    first, *rest = taps(attrs, x.shape[along])
    best = taken(x, along, first)
    for tap in rest:
        np.maximum(best, taken(x, along, tap), out=best)
    return best


def place(p: Placer, node: Node, sites: list[int]) -> int:
    """A tree of b + max(a - b, 0), all pairs of a level at once: two one-way steps a level."""
    along, site, source = axis(node.attrs, "axis", len(p.wires[sites[0]].shape)), sites[0], node.inputs[0]
    rows = taps(node.attrs, p.wires[site].shape[along])
    count = len(rows[0])

    def take(at: int, some: list[list[int]]) -> int:
        index = [i for row in some for i in row]
        if index == list(range(p.wires[at].shape[along])):
            return at
        return p.emit("take", (at,), node.id, {"axis": along, "index": index})

    if len(rows) == 1:
        return take(site, rows)
    while len(rows) > 1:
        half = len(rows) // 2
        a, b = take(site, rows[:half]), take(site, rows[half : 2 * half])
        difference = p.emit("sub", (a, b), node.id, {})
        gain = p.kink(difference, node.id, source, bound=2 * p.bound(source), truncate=False)
        best = p.emit("add", (b, gain), node.id, {})
        if len(rows) % 2:
            best = p.emit("concat", (best, take(site, rows[-1:])), node.id, {"axis": along})
        site, left = best, half + len(rows) % 2
        rows = [list(range(t * count, (t + 1) * count)) for t in range(left)]
    return site


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The input's bound."""
    return x


def _numbers(value: Any, count: int, what: str) -> list[int]:
    """One whole number an axis; a single one is meant for all."""
    given = list(value) if isinstance(value, (list, tuple)) else [value]
    numbers = [literal(v) for v in (given * count if len(given) == 1 else given)]
    if len(numbers) != count or any(n is None or n.denominator != 1 for n in numbers):
        raise Unsupported("never", f"a {what} of {value!r}", "Give one whole number an axis.")
    return [int(n) for n in numbers if n is not None]


def _pooled(x: Value, kernel: list[int], stride: list[int], pads: Ends, gaps: list[int], ceil: bool) -> Step:
    """Maxima over windows of the last axes; with `ceil` also one that begins inside but ends beyond, as in torch.

    What is put around an axis is never the largest: such a position is left out (see `taps`).
    """
    tree: Value | Step = x
    first = len(x.shape) - len(kernel)
    for at, (k, s, before, after, gap) in reversed([*enumerate(zip(kernel, stride, *pads, gaps, strict=True), first)]):
        size = x.shape[at]
        room = size + before + after - gap * (k - 1) - 1
        count = (-(-room // s) if ceil else room // s) + 1
        if ceil and (count - 1) * s >= size + before:
            count -= 1
        attrs: dict[str, Attr] = {"kernel": k, "stride": s, "padding": before, "dilation": gap}
        tree = Step("max", (tree,), attrs | {"windows": count, "axis": at})
    assert isinstance(tree, Step)
    return tree


def _pool(axes: int) -> Any:
    def pool(
        x: Any, kernel_size: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
    ) -> Step:
        value = needs_value(x, "a pool's input")
        kernel = _numbers(kernel_size, axes, "pool window")
        steps = _numbers(stride, axes, "stride") if stride not in ((), [], None) else kernel
        pads, gaps = _numbers(padding, axes, "padding"), _numbers(dilation, axes, "dilation")
        return _pooled(value, kernel, steps, (pads, pads), gaps, ceil_mode)

    return pool


def _with_positions(
    x: Any, kernel_size: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> tuple[Step, Unsupported]:
    """A pool of images whose second output says where the largest are."""
    where = Unsupported("replace", "where the largest of a window lies", "Use the pool's values alone.")
    return _pool(2)(x, kernel_size, stride, padding, dilation, ceil_mode), where


def _adaptive(axes: int) -> Any:
    def pool(x: Any, output_size: Any) -> Step:
        value = needs_value(x, "a pool's input")
        tree: Value | Step = value
        given = list(output_size) if isinstance(output_size, (list, tuple)) else [output_size] * axes
        first = len(value.shape) - axes
        for number in reversed(range(axes)):
            size = value.shape[first + number] if given[number] is None else given[number]
            tree = Step("max", (tree,), {"axis": first + number, "adaptive": _numbers(size, 1, "size")[0]})
        assert isinstance(tree, Step)
        return tree

    return pool


def _extreme(x: Any, dim: Any, keepdim: bool, smallest: bool) -> Value | Step:
    whole = Expr.of(needs_value(x, "a maximum's or minimum's input"))
    rank = len(whole.shape)
    given = list(dim) if isinstance(dim, (list, tuple)) else [dim]
    axes = sorted(wrap_axis(int(d), rank) for d in given) or list(range(rank))
    return signed(largest(signed(whole, smallest), axes, keepdim), smallest).tree


def _amax(x: Any, dim: Any = (), keepdim: bool = False) -> Value | Step:
    return _extreme(x, dim, keepdim, smallest=False)


def _amin(x: Any, dim: Any = (), keepdim: bool = False) -> Value | Step:
    return _extreme(x, dim, keepdim, smallest=True)


def _aminmax(x: Any, *, dim: Any = (), keepdim: bool = False) -> tuple[Value | Step, Value | Step]:
    axes = () if dim is None else dim
    return _amin(x, axes, keepdim), _amax(x, axes, keepdim)


def _along(smallest: bool) -> Any:
    """The largest or smallest along one axis, and where it is."""

    def extreme(x: Any, dim: int, keepdim: bool = False) -> tuple[Value | Step, Value | Step | Unsupported]:
        whole = Expr.of(needs_value(x, "a maximum's or minimum's input"))
        return best_and_place(whole, wrap_axis(dim, len(whole.shape)), keepdim, smallest)

    return extreme


def _onnx_pool(
    x: Any,
    kernel_shape: Any = (),
    strides: Any = (),
    pads: Any = (),
    dilations: Any = (),
    ceil_mode: int = 0,
    auto_pad: str = "NOTSET",
    storage_order: int = 0,
) -> Step:
    value, axes = needs_value(x, "a pool's input"), len(kernel_shape)
    kernel, stride, gaps = list(kernel_shape), list(strides) or [1] * axes, list(dilations) or [1] * axes
    ends = onnx_padding(auto_pad, pads, value.shape[-axes:], spans(kernel, gaps), stride)
    return _pooled(value, kernel, stride, ends, gaps, bool(ceil_mode))


def _onnx_extreme(smallest: bool) -> Any:
    def extreme(x: Any, axes: Any = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Value | Step:
        """Axes are an attribute, or from opset 18 a constant second input."""
        listed = axes.array.reshape(-1).tolist() if isinstance(axes, Constant) else axes or []
        if not isinstance(listed, list) or (not listed and noop_with_empty_axes):
            raise Unsupported("not yet", "a maximum whose axes are computed or none", "Give the axes as constants.")
        return _extreme(x, listed, bool(keepdims), smallest)

    return extreme


def _onnx_global(x: Any) -> Value | Step:
    return _amax(x, list(range(2, len(needs_value(x, "a pool's input").shape))), True)


aten = {
    "aten.max_pool1d.default": _pool(1),
    "aten.max_pool2d.default": _pool(2),
    "aten.max_pool3d.default": _pool(3),
    "aten.adaptive_max_pool1d.default": _adaptive(1),
    "aten.adaptive_max_pool2d.default": _adaptive(2),
    "aten.max_pool2d_with_indices.default": _with_positions,
    "aten.amax.default": _amax,
    "aten.amin.default": _amin,
    "aten.aminmax.default": _aminmax,
    "aten.max.default": _amax,
    "aten.min.default": _amin,
    "aten.max.dim": _along(smallest=False),
    "aten.min.dim": _along(smallest=True),
}
onnx = {
    "MaxPool": _onnx_pool,
    "GlobalMaxPool": _onnx_global,
    "ReduceMax": _onnx_extreme(smallest=False),
    "ReduceMin": _onnx_extreme(smallest=True),
}
