"""reshape: the same numbers in the same order under another shape."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, integers
from tacit.ir.expr import Expr
from tacit.ir.source import Constant, Step, Unsupported, Value, needs_value, wrap_axis
from tacit.secure import basis
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "shape"]


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The attribute `shape`, which holds as many elements as x. Raises InvalidInput."""
    new = integers(attrs, "shape")
    if prod(new) != prod(x):
        raise InvalidInput(f"an array of shape {x} cannot be reshaped to {new}")
    return new


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """x under its new shape."""
    return x.reshape(integers(attrs, "shape"))


def lower(s: Session, x: Share) -> Share:
    """The same on each part."""
    attrs = s.step.attrs
    return basis.local(s, lambda part: clear(attrs, {}, part), x, shape=shape(attrs, x.wire.shape))


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """No value grows."""
    return x


def _to(x: Value, new: Sequence[int]) -> Value | Step:
    """x as `new`, in which one size may be -1; x itself when nothing changes."""
    known = prod(size for size in new if size != -1)
    sizes = [prod(x.shape) // max(known, 1) if size == -1 else size for size in new]
    return x if tuple(sizes) == x.shape else Step("reshape", (x,), {"shape": list(sizes)})


def _view(x: Any, size: Sequence[int]) -> Value | Step:
    return _to(needs_value(x, "an array to reshape"), size)


def _flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Value | Step:
    x = needs_value(x, "an array to flatten")
    first, last = wrap_axis(start_dim, len(x.shape)), wrap_axis(end_dim, len(x.shape))
    return _to(x, (*x.shape[:first], prod(x.shape[first : last + 1]), *x.shape[last + 1 :]))


def _unflatten(x: Any, dim: int, sizes: Sequence[int]) -> Value | Step:
    x = needs_value(x, "an array to unflatten")
    along = wrap_axis(dim, len(x.shape))
    return _to(x, (*x.shape[:along], *sizes, *x.shape[along + 1 :]))


def _squeeze(x: Any, dim: int | Sequence[int] | None = None) -> Value | Step:
    x = needs_value(x, "an array to squeeze")
    rank = len(x.shape)
    dims = range(rank) if dim is None else [dim] if isinstance(dim, int) else dim
    gone = {wrap_axis(a, rank) for a in dims}
    return _to(x, [size for a, size in enumerate(x.shape) if a not in gone or size != 1])


def _unsqueeze(x: Any, dim: int | Sequence[int]) -> Value | Step:
    x = needs_value(x, "an array to unsqueeze")
    dims = [dim] if isinstance(dim, int) else dim
    new = {wrap_axis(a, len(x.shape) + len(dims)) for a in dims}
    sizes = iter(x.shape)
    return _to(x, [1 if a in new else next(sizes) for a in range(len(x.shape) + len(dims))])


def _image(x: Any) -> Expr:
    return Expr.of(needs_value(x, "an image to rearrange"))


def _pixel_shuffle(x: Any, upscale_factor: int) -> Value | Step:
    """[*, C r r, H, W] to [*, C, H r, W r]."""
    image, r = _image(x), upscale_factor
    *lead, maps, high, wide = image.shape
    n = len(lead)
    split = image.reshape(*lead, maps // (r * r), r, r, high, wide)
    return split.permute(*range(n + 1), n + 3, n + 1, n + 4, n + 2).reshape(*lead, -1, high * r, wide * r).tree


def _pixel_unshuffle(x: Any, downscale_factor: int) -> Value | Step:
    """[*, C, H r, W r] to [*, C r r, H, W]."""
    image, r = _image(x), downscale_factor
    *lead, maps, high, wide = image.shape
    n = len(lead)
    split = image.reshape(*lead, maps, high // r, r, wide // r, r)
    return split.permute(*range(n + 1), n + 2, n + 4, n + 1, n + 3).reshape(*lead, -1, high // r, wide // r).tree


def _channel_shuffle(x: Any, groups: int) -> Value | Step:
    """The channels of all groups in turn."""
    image = _image(x)
    batch, maps, *rest = image.shape
    split = image.reshape(batch, groups, maps // groups, *rest)
    return split.permute(0, 2, 1, *range(3, 3 + len(rest))).reshape(*image.shape).tree


def _depth_to_space(x: Any, *, blocksize: int, mode: str = "DCR") -> Value | Step:
    if mode == "CRD":
        return _pixel_shuffle(x, blocksize)
    image, r = _image(x), blocksize
    batch, maps, high, wide = image.shape
    split = image.reshape(batch, r, r, maps // (r * r), high, wide)
    return split.permute(0, 3, 4, 1, 5, 2).reshape(batch, -1, high * r, wide * r).tree


def _space_to_depth(x: Any, *, blocksize: int) -> Value | Step:
    image, r = _image(x), blocksize
    batch, maps, high, wide = image.shape
    split = image.reshape(batch, maps, high // r, r, wide // r, r)
    return split.permute(0, 3, 5, 1, 2, 4).reshape(batch, -1, high // r, wide // r).tree


def _known(x: Any, what: str) -> list[int]:
    if not isinstance(x, Constant):
        raise Unsupported("never", f"{what} that depends on the data", "Give shapes and axes as constants.")
    return [int(size) for size in x.array.reshape(-1)]


def _onnx_reshape(x: Any, sizes: Any, *, allowzero: int = 0) -> Value | Step:
    x, new = needs_value(x, "an array to reshape"), _known(sizes, "a shape")
    if not allowzero:
        new = [x.shape[a] if size == 0 and a < len(x.shape) else size for a, size in enumerate(new)]
    return _to(x, new)


def _onnx_flatten(x: Any, *, axis: int = 1) -> Value | Step:
    x = needs_value(x, "an array to flatten")
    along = axis if axis == len(x.shape) else wrap_axis(axis, len(x.shape))
    return _to(x, (prod(x.shape[:along]), prod(x.shape[along:])))


def _onnx_squeeze(x: Any, axes: Any = None) -> Value | Step:
    return _squeeze(x, None if axes is None else _known(axes, "an axis"))


def _onnx_unsqueeze(x: Any, axes: Any) -> Value | Step:
    return _unsqueeze(x, _known(axes, "an axis"))


aten = {
    "aten.view.default": _view,
    "aten._unsafe_view.default": _view,
    "aten.reshape.default": _view,
    "aten.flatten.using_ints": _flatten,
    "aten.unflatten.int": _unflatten,
    "aten.squeeze.default": _squeeze,
    "aten.squeeze.dim": _squeeze,
    "aten.squeeze.dims": _squeeze,
    "aten.unsqueeze.default": _unsqueeze,
    "aten.pixel_shuffle.default": _pixel_shuffle,
    "aten.pixel_unshuffle.default": _pixel_unshuffle,
    "aten.channel_shuffle.default": _channel_shuffle,
    "aten.native_channel_shuffle.default": _channel_shuffle,
}
onnx = {
    "Reshape": _onnx_reshape,
    "Flatten": _onnx_flatten,
    "Squeeze": _onnx_squeeze,
    "Unsqueeze": _onnx_unsqueeze,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
}
