"""The vocabulary of adapters: a call found in a model's source, as plain data, and what it becomes in a Graph.

An adapter is a function of one source operation's arguments, in which every tensor is a `Value` (an activation) or a
`Constant`. It returns a tree of `Step`s, or one of its arguments where the operation changes no number, or a tuple of
these where the operation has several outputs, or raises `Unsupported`. A step that occurs twice in what it returns is
computed once. One of several outputs may be the `Unsupported` that is raised if anything reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import isfinite, prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tacit.ir.graph import Attr
from tacit.ir.positions import write_positions

__all__ = [
    "LOWEST",
    "Adapter",
    "Constant",
    "OneHot",
    "Step",
    "Unsupported",
    "Value",
    "alike",
    "common_shape",
    "literal",
    "matrix_product",
    "needs_constant",
    "needs_value",
    "offset_by",
    "polynomial",
    "same_rank",
    "scaled_by",
    "structure",
    "with_rank",
    "wrap_axis",
]


#: Numbers that are written for minus infinity: entries that a softmax or maximum shall not see.
LOWEST = -1e4


@dataclass(frozen=True)
class Value:
    """An activation: the `id` of the node that makes it and its `shape`, batch first."""

    id: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class OneHot:
    """An input of indices of `shape` below `classes`, whose node `id` holds rows of zeros and a one instead."""

    id: str
    shape: tuple[int, ...]
    classes: int


@dataclass(frozen=True)
class Constant:
    """An array known before the query.

    `name` is its key ("" when it was computed); `trained` says that it is the owner's secret.
    """

    array: NDArray[Any] = field(repr=False)
    name: str = ""
    trained: bool = True


@dataclass(frozen=True)
class Step:
    """One node to be: `inputs` are activations or further steps, `weights` constants by the op's own names."""

    op: str
    inputs: tuple[Value | Step, ...]
    attrs: Mapping[str, Attr] = field(default_factory=dict)
    weights: Mapping[str, Constant] = field(default_factory=dict)


Adapter = Callable[..., "Value | Step | tuple[Value | Step | Unsupported, ...]"]


class Unsupported(Exception):
    """Why a source operation cannot be taken: `kind`, `what` and `advice` as in `tacit.errors.Refusal`."""

    def __init__(self, kind: Literal["never", "not yet", "replace"], what: str, advice: str) -> None:
        self.kind, self.what, self.advice = kind, what, advice
        super().__init__(what)


def literal(x: object) -> Fraction | None:
    """The exact rational of a public literal: its shortest decimal (0.1 is 1/10); None for anything else.

    A literal is a Python number, or an array of one element that no training made.
    """
    if isinstance(x, Constant) and not x.trained and x.array.size == 1:
        x = x.array.reshape(())[()]
    if isinstance(x, bool | np.bool_) or not isinstance(x, int | float | np.integer | np.floating) or not isfinite(x):
        return None
    return Fraction(str(x))


def polynomial(x: Value | Step, *coeffs: Fraction | int) -> Step:
    """The node sum of coeffs[i] * x**i.

    Degree 1 stands for products and sums with literals until the importer fuses them.
    """
    return Step("poly", (x,), {"coeffs": [str(Fraction(c)) for c in coeffs]})


def needs_value(x: object, what: str) -> Value:
    """`x` as an activation. Raises Unsupported when it is a constant or a number."""
    if not isinstance(x, Value):
        raise Unsupported(
            "not yet", f"{what} is not computed from the model's input", "Compute it before the model runs."
        )
    return x


def needs_constant(x: object) -> Constant:
    """`x` as a constant array. Raises Unsupported for anything else, such as a complex or an infinite number."""
    if not isinstance(x, Constant):
        raise Unsupported("never", f"arithmetic with {x!r}", "Use finite real numbers and tensors.")
    return x


def structure(x: object, what: str) -> NDArray[Any]:
    """A constant that belongs to the model's structure, hence public: an index, a mask, a shape.

    Raises Unsupported when it is secret, for it depends on the input or on trained values.
    """
    if isinstance(x, Constant) and not x.trained and x.array.dtype.kind in "iub":
        return x.array
    if isinstance(x, Constant):
        raise Unsupported(
            "never", f"{what} that depends on trained values", "Give it as whole numbers or true and false."
        )
    raise Unsupported("never", f"{what} that depends on the data", "Give it as a constant of the model.")


def common_shape(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that broadcasting gives arrays of these. Raises Unsupported when there is none."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(str(shape) for shape in shapes)
        raise Unsupported("never", f"arrays of shapes {listed} together", "Correct the model.") from None


def _enlarged(x: Value | Step, shape: tuple[int, ...], array: NDArray[Any]) -> tuple[Value | Step, tuple[int, ...]]:
    """x of `shape` repeated to the shape that broadcasting with a constant gives it. Raises Unsupported."""
    out = common_shape(shape, array.shape)
    if out == shape:
        return x, shape
    lifted: list[Attr] = [*(1,) * (len(out) - len(shape)), *shape]
    inner = x if len(out) == len(shape) else Step("reshape", (x,), {"shape": lifted})
    return Step("expand", (inner,), {"shape": list(out)}), out


def scaled_by(x: Value, factor: object) -> Step:
    """x times a constant array: one factor per channel, or for each entry of the axes along which it varies.

    Raises Unsupported.
    """
    constant = needs_constant(factor)
    tree, shape = _enlarged(x, x.shape, constant.array)
    array = constant.array.reshape((1,) * (len(shape) - constant.array.ndim) + constant.array.shape)
    varying = [a for a, size in enumerate(array.shape) if size > 1]
    if len(varying) == 1 and varying != [0]:
        gain = Constant(array.reshape(-1), constant.name, constant.trained)
        return Step("affine", (tree,), {"axis": varying[0]}, {"gain": gain})
    if not varying and len(shape) > 1:
        spread = Constant(np.broadcast_to(array.reshape(1), (shape[1],)), trained=constant.trained)
        return Step("affine", (tree,), {"axis": 1}, {"gain": spread})
    first, last = (varying[0], varying[-1]) if varying else (0, 0)
    middle = np.broadcast_to(array, tuple(n if first <= a <= last else 1 for a, n in enumerate(shape))).reshape(-1)
    sizes: list[Attr] = [prod(shape[:first]), len(middle), prod(shape[last + 1 :])]
    gain = Constant(middle, constant.name and f"{constant.name}.{len(middle)}", constant.trained)
    step = Step("affine", (Step("reshape", (tree,), {"shape": sizes}),), {"axis": 1}, {"gain": gain})
    return Step("reshape", (step,), {"shape": list(shape)})


def offset_by(x: Value | Step, shape: tuple[int, ...], summand: object) -> Step:
    """x of `shape` plus a constant array that broadcasts to it; entries up to LOWEST exclude those they are added to.

    Raises Unsupported when the shapes do not fit.
    """
    value = needs_constant(summand)
    x, shape = _enlarged(x, shape, value.array)
    excluded = value.array <= LOWEST
    if not excluded.any():
        return Step("bias", (x,), {}, {"value": value})
    rest = Constant(np.where(excluded, 0.0, value.array), trained=value.trained)
    inner = offset_by(x, shape, rest) if rest.array.any() else x
    return Step("exclude", (inner,), write_positions(~excluded))


def with_rank(x: Value, rank: int) -> Value | Step:
    """x with axes of size 1 put before its own, until it has `rank` of them."""
    sizes: list[Attr] = [*(1,) * (rank - len(x.shape)), *x.shape]
    return x if len(sizes) == len(x.shape) else Step("reshape", (x,), {"shape": sizes})


def same_rank(x: Value, y: Value) -> tuple[Value | Step, Value | Step]:
    """Both with as many axes as the one that has more, as broadcasting reads them."""
    rank = max(len(x.shape), len(y.shape))
    return with_rank(x, rank), with_rank(y, rank)


def alike(x: Value, y: Value) -> tuple[Value | Step, Value | Step]:
    """Both repeated to the shape that broadcasting gives them. Raises Unsupported when there is none."""
    shape = common_shape(x.shape, y.shape)
    sizes: list[Attr] = list(shape)

    def repeated(v: Value) -> Value | Step:
        return v if v.shape == shape else Step("expand", (with_rank(v, len(shape)),), {"shape": sizes})

    return repeated(x), repeated(y)


def matrix_product(x: object, y: object) -> Step:
    """The matrix product of two activations of two axes or more. Raises Unsupported."""
    left, right = (needs_value(factor, "a factor of a product of matrices") for factor in (x, y))
    if min(len(left.shape), len(right.shape)) < 2:
        what = f"a product of matrices of shapes {left.shape} and {right.shape}"
        raise Unsupported("not yet", what, "Give vectors a second axis.")
    return Step("matmul", same_rank(left, right), {"inner": left.shape[-1]})


def wrap_axis(axis: int, rank: int) -> int:
    """An axis counted from either end as one counted from the front. Raises Unsupported when there is no such axis."""
    if not -rank <= axis < rank:
        raise Unsupported("never", f"axis {axis} of an array of rank {rank}", "Correct the model.")
    return axis % rank
