"""The basis: the closed set of words that ops are lowered to; each finds its kernel in the step's protocol."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from numpy.typing import NDArray

from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = [
    "WORDS",
    "fan",
    "labels",
    "local",
    "mask",
    "offset",
    "open_masked",
    "plus",
    "poly",
    "product",
    "ranks",
    "relu",
    "remask",
    "reveal",
    "scaled",
    "spline",
    "step",
    "times",
]

#: The names under which a protocol's table holds them.
WORDS = (
    "mask",
    "remask",
    "product",
    "offset",
    "plus",
    "local",
    "scaled",
    "open",
    "poly",
    "relu",
    "fan",
    "step",
    "spline",
    "ranks",
    "labels",
    "times",
    "reveal",
)


def mask(s: Session, x: Share) -> Share:
    """x on a fresh dealt preset."""
    return s.protocol.kernels["mask"](s, x)


def remask(s: Session, x: Share) -> Share:
    """A derived preset turned into a dealt one."""
    return s.protocol.kernels["remask"](s, x)


def product(s: Session, x: Share) -> Share:
    """The server's integer tensor "weight" times x, plus its "bias" if the step has one."""
    return s.protocol.kernels["product"](s, x)


def offset(s: Session, x: Share) -> Share:
    """x plus the server's constant "value"."""
    return s.protocol.kernels["offset"](s, x)


def plus(s: Session, x: Share) -> Share:
    """x plus the step's public number "value"."""
    return s.protocol.kernels["plus"](s, x)


def local(
    s: Session, apply: Callable[..., NDArray[Any]], *xs: Share, shape: tuple[int, ...], divisor: Fraction | int = 1
) -> Share:
    """A public integer-linear map of parts, result of shape `shape`, scale multiplied by `divisor`."""
    return s.protocol.kernels["local"](s, apply, *xs, shape=shape, divisor=divisor)


def scaled(s: Session, x: Share, factor: int, relabel: Fraction | int = 1) -> Share:
    """x · factor / relabel for public numbers: integers times `factor`, scale times `relabel`."""
    return s.protocol.kernels["scaled"](s, x, factor, relabel)


def open_masked(s: Session, x: Share) -> Share:
    """The public value C of x under a fresh mask."""
    return s.protocol.kernels["open"](s, x)


def poly(s: Session, opened: Share) -> Share:
    """The step's public polynomial at an opened value, masked afresh."""
    return s.protocol.kernels["poly"](s, opened)


def relu(s: Session, opened: Share) -> Share:
    """An opened value times one of two public slopes, by its sign, truncated, masked afresh."""
    return s.protocol.kernels["relu"](s, opened)


def fan(s: Session, opened: Share) -> Share:
    """The opened values of y - t for the step's public knots t, stacked along a new first axis."""
    return s.protocol.kernels["fan"](s, opened)


def step(s: Session, opened: Share) -> Share:
    """[y >= 0] at an opened value, masked afresh."""
    return s.protocol.kernels["step"](s, opened)


def spline(s: Session, opened: Share) -> Share:
    """The step's piecewise polynomial at an opened value, truncated, masked afresh."""
    return s.protocol.kernels["spline"](s, opened)


def ranks(s: Session, opened: Share) -> Share:
    """The ranks of n values from the opened differences of all pairs, masked afresh."""
    return s.protocol.kernels["ranks"](s, opened)


def labels(s: Session, opened: Share) -> Share:
    """The indices of the first ranks from opened ranks less 1, 2, ..., masked afresh."""
    return s.protocol.kernels["labels"](s, opened)


def times(s: Session, x: Share, y: Share) -> Share:
    """The product of two opened values, elementwise or of matrices by the step's name, masked afresh."""
    return s.protocol.kernels["times"](s, x, y)


def reveal(s: Session, x: Share) -> Share:
    """x to the client."""
    return s.protocol.kernels["reveal"](s, x)
