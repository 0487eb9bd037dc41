"""Source operations that become several steps: softmax, norms by the query's own statistics, attention, quotients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from tacit.ir.expr import Expr
from tacit.ir.graph import Attr
from tacit.ir.source import (
    LOWEST,
    Constant,
    Step,
    Unsupported,
    Value,
    common_shape,
    literal,
    offset_by,
    polynomial,
    same_rank,
)

__all__ = [
    "Tree",
    "attention",
    "log_softmax",
    "log_sum",
    "quotient",
    "scaled_to_one",
    "shared_heads",
    "softmax",
    "standardised",
]

Tree = Value | Step

#: Why a mask is refused that leaves nothing: torch gives zeros there, a softmax gives something.
NOTHING_SEEN = "an attention with a position that sees nothing"

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


def _powers(x: Tree, shape: tuple[int, ...], along: int) -> tuple[Step, Step, Step, Step]:
    """The largest along an axis, x less that, the exponentials, and their sum, with one entry along the axis."""
    largest = Step("max", (x,), {"axis": along, "whole": True})
    rest = Step("sub", (x, _repeated(largest, shape)))
    powers = _smooth(rest, "decay")
    return largest, rest, powers, polynomial(_mean(powers, [along]), 0, shape[along])


def softmax(x: Tree, shape: tuple[int, ...], along: int) -> Step:
    """exp(x - max) over its sum along an axis of `shape`."""
    _, _, powers, total = _powers(x, shape, along)
    return Step("mul", (powers, _smooth(total, "reciprocal", **_LEAST)))


def log_softmax(x: Tree, shape: tuple[int, ...], along: int) -> Step:
    """x - max - log of the sum of exp(x - max)."""
    _, rest, _, total = _powers(x, shape, along)
    return Step("sub", (rest, _repeated(_smooth(total, "log", **_LEAST), shape)))


def log_sum(x: Tree, shape: tuple[int, ...], along: int) -> Step:
    """max + log of the sum of exp(x - max), with one entry along the axis."""
    largest, _, _, total = _powers(x, shape, along)
    return Step("add", (largest, _smooth(total, "log", **_LEAST)))


def _exact(number: object, what: str) -> Fraction:
    value = literal(number)
    if value is None:
        raise Unsupported("not yet", f"{what} that is no number", "Use a fixed number.")
    return value


def _inverse_root(x: Tree, axes: Sequence[int], eps: object) -> Step:
    """One over the root of the mean of squares, `eps` added under the root."""
    power = polynomial(_mean(polynomial(x, 0, 0, 1), axes), _exact(eps, "an epsilon"), 1)
    return _smooth(power, "rsqrt")


def scaled_to_one(x: Tree, axes: Sequence[int], eps: object) -> Step:
    """x over the root of the mean of its squares along `axes`, `eps` added under the root."""
    return Step("mul", (x, _inverse_root(x, axes, eps)))


def standardised(x: Tree, shape: tuple[int, ...], axes: Sequence[int], eps: object) -> tuple[Step, Step, Step]:
    """x of `shape` less its mean along `axes`, over its standard deviation; the mean; and one over the deviation."""
    mean = _mean(x, axes)
    rest = Step("sub", (x, _repeated(mean, shape)))
    inverse = _inverse_root(rest, axes, eps)
    return Step("mul", (rest, inverse)), mean, inverse


def quotient(x: Value, y: Value) -> Step:
    """x / y, for y above some positive number on the calibration data."""
    left, right = same_rank(x, y)
    return Step("mul", (left, _smooth(right, "reciprocal")))


def shared_heads(q: Value, x: Value) -> Expr:
    """x of [..., G, S, E] with each of its heads as often as the H heads of q have it (Ainslie and others, EMNLP 2023).

    Raises Unsupported.
    """
    along = len(x.shape) - 3
    if along < 0 or len(x.shape) != len(q.shape) or q.shape[along] % x.shape[along]:
        raise Unsupported("never", f"heads of {x.shape} shared by those of {q.shape}", "Correct the model.")
    times = q.shape[along] // x.shape[along]
    return Expr.of(x).take(along, [head for head in range(x.shape[along]) for _ in range(times)])


def attention(q: Expr, k: Expr, v: Expr, mask: Constant | None, causal: bool, scale: object) -> Step:
    """softmax(q k^T scale + mask) v: q of [..., L, E], k of [..., S, E], v of [..., S, F]. Raises Unsupported."""
    rank, width = len(q.shape), q.shape[-1]
    alike = q.shape[:-2] == k.shape[:-2] and k.shape[:-1] == v.shape[:-1]
    if rank < 2 or {len(k.shape), len(v.shape)} != {rank} or not alike:
        what = f"an attention of arrays of shapes {q.shape}, {k.shape} and {v.shape}"
        raise Unsupported("not yet", what, "Give queries, keys and values as many heads.")
    turned = k.permute(*range(rank - 2), rank - 1, rank - 2)
    factor = Fraction(width**-0.5) if scale is None else _exact(scale, "a scale of scores")
    products = q @ turned
    scores: Tree = products.times(factor.limit_denominator(_FINE)).tree
    for hidden in _masks(mask, causal, products.shape):
        scores = offset_by(scores, products.shape, hidden)
    return Step("matmul", (softmax(scores, products.shape, rank - 1), v.tree), {"inner": v.shape[-2]})


def _masks(mask: Constant | None, causal: bool, shape: tuple[int, ...]) -> Iterator[Constant]:
    """What is added to scores of `shape`: minus infinity where a mask of truths is false. Raises Unsupported."""
    given = [] if mask is None else [mask]
    if causal:
        given.append(Constant(np.tri(shape[-2], shape[-1], dtype=bool), trained=False))
    for each in given:
        if common_shape(each.array.shape, shape) != shape:
            what = f"a mask of shape {each.array.shape} for scores of {shape}"
            raise Unsupported("never", what, "Correct the model.")
        seen = each.array if each.array.dtype == bool else each.array > LOWEST
        if seen.ndim and not seen.any(-1).all():
            raise Unsupported("not yet", NOTHING_SEEN, "Let every position see one at least.")
        if each.array.dtype != bool:
            yield each
        elif not each.array.all():
            yield Constant(np.where(each.array, 0.0, -np.inf), trained=each.trained)
