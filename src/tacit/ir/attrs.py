"""Checked readings of a node's attributes: what a file from outside says is not believed before it passes here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from tacit.errors import InvalidInput
from tacit.ir.graph import Attr

__all__ = [
    "NO_WEIGHTS",
    "Attrs",
    "Doubles",
    "Shape",
    "Shapes",
    "Weights",
    "axis",
    "flag",
    "fraction",
    "integer",
    "integers",
    "strings",
    "weight_shape",
]

Attrs = Mapping[str, Attr]
Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]
Doubles = NDArray[np.float64]
Weights = Mapping[str, Doubles]

NO_WEIGHTS: Shapes = MappingProxyType({})
_RATIONAL = re.compile(r"-?[0-9]{1,4000}(/[0-9]{1,4000})?", re.ASCII)


def integer(attrs: Attrs, name: str, low: int = 0) -> int:
    """The integer attribute `name`, at least `low`. Raises InvalidInput."""
    value = attrs.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise InvalidInput(f"attribute {name!r} must be an integer of at least {low}, not {value!r}")
    return value


def integers(attrs: Attrs, name: str, length: int | None = None, low: int = 0) -> tuple[int, ...]:
    """The attribute `name` as a list of `length` integers (any length when None), each at least `low`.

    Raises InvalidInput.
    """
    value = attrs.get(name)
    if not isinstance(value, list) or (length is not None and len(value) != length):
        wanted = "a list" if length is None else f"a list of {length}"
        raise InvalidInput(f"attribute {name!r} must be {wanted} integers, not {value!r}")
    return tuple(integer({name: item}, name, low) for item in value)


def flag(attrs: Attrs, name: str) -> bool:
    """The boolean attribute `name`. Raises InvalidInput."""
    value = attrs.get(name)
    if not isinstance(value, bool):
        raise InvalidInput(f"attribute {name!r} must be true or false, not {value!r}")
    return value


def strings(attrs: Attrs, name: str) -> tuple[str, ...]:
    """The attribute `name` as a list of strings. Raises InvalidInput."""
    value = attrs.get(name)
    if not isinstance(value, list):
        raise InvalidInput(f"attribute {name!r} must be a list of strings, not {value!r}")
    texts = tuple(item for item in value if isinstance(item, str))
    if len(texts) != len(value):
        raise InvalidInput(f"attribute {name!r} must hold strings only, not {value!r}")
    return texts


def fraction(text: Attr, name: str) -> Fraction:
    """The rational written as "num" or "num/den" (decimal digits only, so that no text can name a huge power).

    Raises InvalidInput.
    """
    if not isinstance(text, str) or _RATIONAL.fullmatch(text) is None:
        raise InvalidInput(f"attribute {name!r} must hold rationals such as '3/8', not {str(text)[:40]!r}")
    numerator, _, denominator = text.partition("/")
    if denominator and int(denominator) == 0:
        raise InvalidInput(f"attribute {name!r} has a zero denominator")
    return Fraction(int(numerator), int(denominator or 1))


def axis(attrs: Attrs, name: str, rank: int) -> int:
    """The attribute `name` as an axis of an array of rank `rank`, counted from the front. Raises InvalidInput."""
    value = integer(attrs, name)
    if value >= rank:
        raise InvalidInput(f"attribute {name!r} names axis {value} of an array of rank {rank}")
    return value


def weight_shape(weights: Shapes, name: str, rank: int) -> Shape:
    """The shape of the weight `name`, of rank `rank`. Raises InvalidInput when it is missing or of another rank."""
    shape = weights.get(name)
    if shape is None or len(shape) != rank:
        raise InvalidInput(f"weight {name!r} must be an array of rank {rank}, not of shape {shape}")
    return shape
