"""resample: fixed weighted means of entries along one axis: enlarged images, and pools of unequal windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, axis
from tacit.ir.expr import Expr
from tacit.ir.graph import Node
from tacit.ir.source import Step, Unsupported, Value, needs_value, wrap_axis
from tacit.ir.weighted import Rows, read_taps, write_taps
from tacit.ring.tensor import taken
from tacit.secure import basis
from tacit.secure.placer import Placer
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "place", "shape"]

_TORCH_CUBIC = Fraction(-3, 4)
_LONGEST = 1 << 16


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of x with as many entries along `axis` as `index` has columns. Raises InvalidInput."""
    along = axis(attrs, "axis", len(x))
    index, _, _ = read_taps(attrs, x[along])
    return (*x[:along], len(index[0]), *x[along + 1 :])


def _sums(attrs: Attrs, x: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """The sums of entries times factors, in the type of x, and the divisor."""
    along = axis(attrs, "axis", x.ndim)
    index, factors, divisor = read_taps(attrs, x.shape[along])
    across = (-1, *(1,) * (x.ndim - along - 1))
    total = np.zeros(shape(attrs, x.shape), x.dtype)
    for positions, row in zip(index, factors, strict=True):
        column = np.array(row, np.int64).astype(x.dtype).reshape(across)  # words: negative factors mod 2^64
        total += taken(x, along, positions) * column
    return total, divisor


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """The weighted means."""
    total, divisor = _sums(attrs, x)
    return np.asarray(total / divisor)


def lower(s: Session, x: Share) -> Share:
    """The sums of each part; the divisor goes into the scale."""
    attrs = s.step.attrs
    out = shape(attrs, x.wire.shape)
    _, _, divisor = read_taps(attrs, x.wire.shape[axis(attrs, "axis", len(x.wire.shape))])
    return basis.local(s, lambda part: _sums(attrs, part)[0], x, shape=out, divisor=divisor)


def place(p: Placer, node: Node, sites: list[int]) -> int:
    """One step, after a truncation where the divisor would make the scale too fine for the ring."""
    site, source = sites[0], node.inputs[0]
    scale = p.wires[site].scale
    _, _, divisor = read_taps(node.attrs, p.wires[site].shape[axis(node.attrs, "axis", len(node.shape))])
    reach = Fraction(max(p.bound(node.id), p.bound(source))) * scale * divisor
    if scale > 1 << p.resolution and reach > 1 << (p.widest - 2):
        site = p.truncated(site, node.id, source)
    return p.emit("resample", (site,), node.id, node.attrs)


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The input's bound times the largest sum of weights' magnitudes."""
    _, factors, divisor = read_taps(attrs, _LONGEST)
    return float(x * max(sum(map(abs, column)) for column in zip(*factors, strict=True)) / divisor)


#: From the position of an entry of the result to the position that it comes from.
Source = Callable[[int], Fraction]


def _half_pixel(scale: Fraction) -> Source:
    return lambda o: (o + Fraction(1, 2)) / scale - Fraction(1, 2)


def _corners(size: int, count: int) -> Source:
    return lambda o: Fraction(o * (size - 1), count - 1) if count > 1 else Fraction(0)


def _linear(size: int, count: int, source: Source) -> Rows:
    """Between the two nearest entries; beyond the ends, the entry there."""
    rows = []
    for o in range(count):
        at = min(max(source(o), Fraction(0)), Fraction(size - 1))
        low, part = floor(at), at - floor(at)
        rows.append([(low, 1 - part), (min(low + 1, size - 1), part)] if part else [(low, Fraction(1))])
    return rows


def _cubic(size: int, count: int, source: Source, a: Fraction) -> Rows:
    """Keys' interpolation between the four nearest entries (IEEE Trans. ASSP 1981); the entries at the ends go on."""
    rows = []
    for o in range(count):
        low = floor(source(o))
        t = source(o) - low
        far = [abs(t + 1 - k) for k in range(4)]
        weights = [
            (a + 2) * d**3 - (a + 3) * d**2 + 1 if d <= 1 else a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a for d in far
        ]
        rows.append([(min(max(low + k - 1, 0), size - 1), w) for k, w in enumerate(weights)])
    return rows


def _applied(x: Expr, along: int, rows: Rows) -> Expr:
    """Means along an axis, as plain positions where every weight is one."""
    if all(len(row) == 1 and row[0][1] == 1 for row in rows):
        return x.take(along, [row[0][0] for row in rows])
    attrs = write_taps(rows, along)
    return Expr(Step("resample", (x.tree,), attrs), (*x.shape[:along], len(rows), *x.shape[along + 1 :]))


def _sizes(x: Value, sizes: Sequence[int] | None, factors: Sequence[float] | None) -> list[tuple[int, Fraction]]:
    """For each axis after the channels the new size and how many times the old one it is."""
    old = x.shape[2:]
    if sizes is not None:
        return [(int(new), Fraction(int(new), was)) for new, was in zip(sizes, old, strict=True)]
    scales = [Fraction(str(float(factor))) for factor in factors or ()]
    return [(floor(was * scale), scale) for was, scale in zip(old, scales, strict=True)]


def _upsample(mode: str) -> Callable[..., Value | Step]:
    def adapter(x: Any, *given: Any, align_corners: bool = False) -> Value | Step:
        value = needs_value(x, "an image to enlarge")
        *rest, factors = given
        if mode != "nearest" and mode != "exact":
            align_corners = bool(rest.pop())
        image = Expr.of(value)
        for along, (count, scale) in enumerate(_sizes(value, rest[0], factors), 2):
            size = value.shape[along]
            if mode in ("nearest", "exact"):
                image = image.take(along, _torch_nearest(size, count, float(1 / scale), mode == "exact"))
                continue
            source = _corners(size, count) if align_corners else _half_pixel(scale)
            rows = _cubic(size, count, source, _TORCH_CUBIC) if mode == "cubic" else _linear(size, count, source)
            image = _applied(image, along, rows)
        return image.tree

    return adapter


def _torch_nearest(size: int, count: int, step: float, exact: bool) -> list[int]:
    """torch computes positions in single precision."""
    at = (np.arange(count, dtype=np.float32) + np.float32(0.5 if exact else 0)) * np.float32(step)
    return [min(int(i), size - 1) for i in np.floor(at)]


_ROUND: dict[str, Callable[[Fraction], int]] = {
    "round_prefer_floor": lambda at: -floor(-at + Fraction(1, 2)),
    "round_prefer_ceil": lambda at: floor(at + Fraction(1, 2)),
    "floor": floor,
    "ceil": lambda at: -floor(-at),
}


def _onnx(
    x: Any,
    roi: Any = None,
    scales: Any = None,
    sizes: Any = None,
    *,
    mode: str = "nearest",
    coordinate_transformation_mode: str = "half_pixel",
    nearest_mode: str = "round_prefer_floor",
    cubic_coeff_a: float = -0.75,
    axes: Any = None,
    antialias: int = 0,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
) -> Value | Step:
    value = needs_value(x, "an image to resize")
    rank = len(value.shape)
    if antialias or exclude_outside or keep_aspect_ratio_policy != "stretch":
        raise Unsupported("not yet", "a resize with antialiasing or other options", "Resize without them.")
    named = [wrap_axis(a, rank) for a in axes] if axes else list(range(rank))
    given = sizes if sizes is not None and sizes.array.size else scales
    if given is None or len(given.array) != len(named):
        raise Unsupported("never", "a resize without sizes", "Give sizes or scales for every axis.")
    image = Expr.of(value)
    for along, number in zip(named, given.array.tolist(), strict=True):
        size = value.shape[along]
        scale = Fraction(int(number), size) if given is sizes else Fraction(str(number))
        count = int(number) if given is sizes else floor(size * scale)
        if count == size:
            continue
        source = _onnx_source(coordinate_transformation_mode, size, count, scale)
        if mode == "nearest":
            at = [min(max(_ROUND[nearest_mode](source(o)), 0), size - 1) for o in range(count)]
            image = image.take(along, at)
        elif mode in ("linear", "cubic"):
            a = Fraction(str(round(cubic_coeff_a, 6)))
            rows = _linear(size, count, source) if mode == "linear" else _cubic(size, count, source, a)
            image = _applied(image, along, rows)
    return image.tree


def _onnx_source(mode: str, size: int, count: int, scale: Fraction) -> Source:
    sources: dict[str, Source] = {
        "half_pixel": _half_pixel(scale),
        "pytorch_half_pixel": _half_pixel(scale) if count > 1 else lambda o: Fraction(0),
        "asymmetric": lambda o: o / scale,
        "align_corners": _corners(size, count),
    }
    if mode not in sources:
        raise Unsupported("not yet", f"a resize with coordinates {mode!r}", "Use half_pixel or align_corners.")
    return sources[mode]


aten = {
    **{f"aten.upsample_nearest{n}d.vec": _upsample("nearest") for n in (1, 2, 3)},
    **{f"aten._upsample_nearest_exact{n}d.vec": _upsample("exact") for n in (1, 2, 3)},
    "aten.upsample_linear1d.vec": _upsample("linear"),
    "aten.upsample_bilinear2d.vec": _upsample("linear"),
    "aten.upsample_trilinear3d.vec": _upsample("linear"),
    "aten.upsample_bicubic2d.vec": _upsample("cubic"),
}
onnx = {"Resize": _onnx}
