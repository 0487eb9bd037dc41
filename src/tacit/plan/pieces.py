"""What a spline of a plan from outside must satisfy: knots in order and within range, small numbers, honest bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise
from typing import Any

from tacit.errors import InvalidFile
from tacit.ir.attrs import fraction
from tacit.plan.spline import MAX_COEFF_BITS, MAX_PIECES, spline_bits

__all__ = ["check_spline", "check_spline_form"]

_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_LIMITS = {"degree": (1, 3), "shift": (0, 62), "trunc": (0, 62), "width": (1, 16)}


def check_spline_form(attrs: Mapping[str, Any]) -> None:
    """InvalidFile unless the attributes of a `spline` are numbers of the sizes that its kernels take."""
    for name, (low, high) in _LIMITS.items():
        value = attrs[name]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise InvalidFile(f"its {name} must be from {low} to {high}")
    bits = attrs["value_bits"]
    if not isinstance(bits, (int, float)) or isinstance(bits, bool) or not 0 <= bits <= 128:
        raise InvalidFile("its value_bits must be from 0 to 128")
    if fraction(attrs["error"], "error") < 0:
        raise InvalidFile("its error is below zero")
    knots, coeffs = _numbers(attrs, "knots"), _numbers(attrs, "coeffs")
    if not 1 <= len(knots) < MAX_PIECES or any(a >= b for a, b in pairwise(knots)):
        raise InvalidFile(f"it has no 1 to {MAX_PIECES - 1} knots in rising order")
    if len(coeffs) != (len(knots) + 1) * (attrs["degree"] + 1):
        raise InvalidFile(f"it has {len(coeffs)} coefficients for {len(knots) + 1} pieces of degree {attrs['degree']}")
    if any(c.bit_length() >= MAX_COEFF_BITS for c in coeffs):
        raise InvalidFile(f"a coefficient has {MAX_COEFF_BITS} bits or more")
    if attrs["bits"][0] != attrs["shift"]:
        raise InvalidFile("its knots are not tested on the bits that its tags keep")
    if len(_numbers(attrs, "domain")) != 2:
        raise InvalidFile("it does not say from where to where it holds")


def check_spline(attrs: Mapping[str, Any], ring: int, reach: Fraction) -> None:
    """InvalidFile unless a `spline` of the right form fits opened values of `ring` bits that stay within `reach`."""
    shift, (_, high), degree = attrs["shift"], attrs["bits"], attrs["degree"]
    if shift > ring - 2:
        raise InvalidFile(f"it shifts {shift} bits out of a ring of {ring}")
    knots, (start, end) = _numbers(attrs, "knots"), _numbers(attrs, "domain")
    if reach + (max(abs(t) for t in knots) + 1 << shift) > Fraction(2) ** (high - 1):
        raise InvalidFile(f"its sign test leaves out bits above {high} that differences from knots have")
    tags = int(reach / (1 << shift)) + 2
    if not -tags <= start <= end <= tags:
        raise InvalidFile("it holds beyond the range of its values, or nowhere")
    numbers = _numbers(attrs, "coeffs")
    rows = [tuple(numbers[i : i + degree + 1]) for i in range(0, len(numbers), degree + 1)]
    bits = spline_bits(tuple(knots), tuple(rows), start, end)
    if bits > attrs["value_bits"] + 1e-9 or bits >= MAX_COEFF_BITS:
        raise InvalidFile(f"its values have up to {bits:.1f} bits, more than the {attrs['value_bits']:g} it states")
    if attrs["value_bits"] > 8 * attrs["width"]:
        raise InvalidFile(f"its values do not fit words of {attrs['width']} bytes")


def _numbers(attrs: Mapping[str, Any], name: str) -> list[int]:
    texts = attrs[name]
    if not isinstance(texts, list) or not all(isinstance(t, str) and _NUMBER.fullmatch(t) for t in texts):
        raise InvalidFile(f"its {name} are not whole numbers")
    return [int(t) for t in texts]
