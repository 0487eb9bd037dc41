"""Source operations that become several steps: softmax, norms by the query's own statistics, attention, quotients."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod

import numpy as np

from tacit.ir.graph import Attr
from tacit.ir.source import Constant, Step, Unsupported, Value, literal, polynomial

__all__ = ["Tree", "attention", "centred", "grouped", "log_softmax", "quotient", "scaled_to_one", "softmax"]

Tree = Value | Step

#: What a masked score counts as: its exponential is nothing, as long as the others lie within half of it.
_MASKED = -64.0
#: What the largest of some numbers up to zero, one of which is zero, gives at least, roundings included.
_LEAST = {"low": "1/2"}
#: Denominators of a factor that is not written as a fraction.
_FINE = 1 << 16


def _sizes(shape: Sequence[int]) -> list[Attr]:
    return list(shape)


def _repeated(x: Tree, shape: tuple[int, ...]) -> Step:
    return Step("expand", (x,), {"shape": _sizes(shape)})


def _mean(x: Tree, axes: Sequence[int]) -> Step:
    return Step("mean", (x,), {"axes": _sizes(axes), "keepdims": True})


def _smooth(x: Tree, name: str, **attrs: Attr) -> Step:
    return Step("smooth", (x,), {"function": name, **attrs})


def _powers(x: Tree, shape: tuple[int, ...], along: int) -> tuple[Step, Step, Step]:
    """x less its largest along an axis, the exponentials of that, and their sum, with one entry along the axis."""
    largest = Step("max", (x,), {"axis": along, "whole": True})
    rest = Step("sub", (x, _repeated(largest, shape)))
    powers = _smooth(rest, "decay")
    return rest, powers, polynomial(_mean(powers, [along]), 0, shape[along])


def softmax(x: Tree, shape: tuple[int, ...], along: int) -> Step:
    """exp(x - max) over its sum along an axis of `shape`."""
    _, powers, total = _powers(x, shape, along)
    return Step("mul", (powers, _smooth(total, "reciprocal", **_LEAST)))


def log_softmax(x: Tree, shape: tuple[int, ...], along: int) -> Step:
    """x - max - log of the sum of exp(x - max)."""
    rest, _, total = _powers(x, shape, along)
    return Step("sub", (rest, _repeated(_smooth(total, "log", **_LEAST), shape)))


def _exact(number: object, what: str) -> Fraction:
    value = literal(number)
    if value is None:
        raise Unsupported("not yet", f"{what} that is no number", "Use a fixed number.")
    return value


def scaled_to_one(x: Tree, axes: Sequence[int], eps: object) -> Step:
    """x over the root of the mean of its squares along `axes`, `eps` added under the root."""
    power = polynomial(_mean(polynomial(x, 0, 0, 1), axes), _exact(eps, "an epsilon"), 1)
    return Step("mul", (x, _smooth(power, "rsqrt")))


def centred(x: Tree, shape: tuple[int, ...], axes: Sequence[int], eps: object) -> Step:
    """x of `shape` less its mean along `axes`, over its standard deviation."""
    return scaled_to_one(Step("sub", (x, _repeated(_mean(x, axes), shape))), axes, eps)


def grouped(x: Tree, shape: tuple[int, ...], groups: int, eps: object) -> Step:
    """x of `shape` [N, C, ...] centred and scaled within groups of channels. Raises Unsupported."""
    if len(shape) < 2 or groups < 1 or shape[1] % groups:
        raise Unsupported("never", f"{groups} groups of channels of an array of shape {shape}", "Correct the model.")
    parts = (shape[0], groups, prod(shape[1:]) // groups)
    split = Step("reshape", (x,), {"shape": _sizes(parts)})
    return Step("reshape", (centred(split, parts, [2], eps),), {"shape": _sizes(shape)})


def quotient(x: Value, y: Value) -> Step:
    """x / y, for y above some positive number on the calibration data. Raises Unsupported."""
    if len(x.shape) != len(y.shape):
        what = f"a quotient of arrays of shapes {x.shape} and {y.shape}"
        raise Unsupported("not yet", what, "Give both as many axes.")
    return Step("mul", (x, _smooth(y, "reciprocal")))


def attention(q: Value, k: Value, v: Value, mask: Constant | None, causal: bool, scale: object) -> Step:
    """softmax(q k^T scale + mask) v: q of [..., L, E], k of [..., S, E], v of [..., S, F]. Raises Unsupported."""
    rank, width = len(q.shape), q.shape[-1]
    alike = q.shape[:-2] == k.shape[:-2] and k.shape[:-1] == v.shape[:-1]
    if rank < 2 or {len(k.shape), len(v.shape)} != {rank} or not alike:
        what = f"an attention of arrays of shapes {q.shape}, {k.shape} and {v.shape}"
        raise Unsupported("not yet", what, "Give queries, keys and values as many heads.")
    turned = Step("permute", (k,), {"order": [*range(rank - 2), rank - 1, rank - 2]})
    factor = Fraction(width**-0.5) if scale is None else _exact(scale, "a scale of scores")
    shape = (*q.shape[:-1], k.shape[-2])
    scores = polynomial(Step("matmul", (q, turned), {"inner": width}), 0, factor.limit_denominator(_FINE))
    hidden = _masking(mask, causal, shape)
    if hidden is not None:
        scores = Step("bias", (scores,), {}, {"value": hidden})
    return Step("matmul", (softmax(scores, shape, rank - 1), v), {"inner": shape[-1]})


def _masking(mask: Constant | None, causal: bool, shape: tuple[int, ...]) -> Constant | None:
    """What is added to scores of `shape`; a masked one gets a number that is large enough, not an infinite one."""
    if causal:
        mask = Constant(np.tri(shape[-2], shape[-1], dtype=bool), trained=False)
    if mask is None:
        return None
    array = np.where(mask.array, 0.0, _MASKED) if mask.array.dtype == bool else np.maximum(mask.array, _MASKED)
    try:
        fits = np.broadcast_shapes(array.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise Unsupported("never", f"a mask of shape {array.shape} for scores of {shape}", "Correct the model.")
    return Constant(np.asarray(array, np.float64), mask.name and f"{mask.name}.masking", mask.trained)
