"""Fixed point: how a polynomial becomes 128-bit integers, and how weights become words, at exact scales."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacit.errors import InvalidInput
from tacit.ring.fixed import encode
from tacit.secure.session import Step
from tacit.secure.share import Words

__all__ = ["Fitted", "ceil_log2", "fit_polynomial", "max_abs", "quantise"]


def ceil_log2(value: Fraction | float | int) -> int:
    """The least e with value <= 2^e, for value > 0."""
    exact = Fraction(value)
    e = exact.numerator.bit_length() - exact.denominator.bit_length()
    while exact > Fraction(2) ** e:
        e += 1
    while exact <= Fraction(2) ** (e - 1):
        e -= 1
    return e


def max_abs(coeffs: list[Fraction], bound: float) -> Fraction:
    """An upper bound of |P| on [-bound, bound]: the sum of the terms' magnitudes."""
    return sum((abs(a) * Fraction(bound) ** i for i, a in enumerate(coeffs)), Fraction(0))


@dataclass(frozen=True)
class Fitted:
    """A polynomial in integers: opened value >> shift, coefficients at 2^q, then >> trunc.

    value_bits is log2 of the largest magnitude before truncation; error the largest deviation of the result from P
    at the
    tag, in real units, over the observed range.
    """

    shift: int
    coeffs: tuple[int, ...]
    trunc: int
    value_bits: float
    error: float


def _candidate(
    coeffs: list[Fraction], scale: Fraction, shift: int, out_bits: int, bound: float, seen: float, limit: int
) -> Fitted | None:
    """The polynomial with the tag at scale / 2^shift, at the largest precision that keeps the value below 2^limit."""
    tag = scale / (1 << shift)
    top = max(ceil_log2(max_abs(coeffs, bound) or Fraction(1, 1 << 20)), 1)
    exact = _exact_bits(coeffs, tag)
    q = limit - top if exact is None else min(max(exact, out_bits), limit - top)
    reach = Fraction(bound) * tag
    while q >= out_bits:
        ints = [a * Fraction(2) ** q / tag**i for i, a in enumerate(coeffs)]
        rounded = tuple(round(v) for v in ints)
        # Rounding up must not take the value beyond what the failure bound is computed from.
        bits = max(top + q, ceil_log2(sum(abs(c) * reach**i for i, c in enumerate(rounded)) or 1))
        if bits <= limit:
            break
        q -= 1
    else:
        return None
    lost = sum(abs(v - w) * (Fraction(seen) * tag) ** i for i, (v, w) in enumerate(zip(ints, rounded, strict=True)))
    slope = sum(i * abs(a) * Fraction(seen) ** (i - 1) for i, a in enumerate(coeffs) if i)
    error = float(lost / Fraction(2) ** q + slope / tag)
    return Fitted(shift, rounded, q - out_bits, float(bits), error)


def _exact_bits(coeffs: list[Fraction], tag: Fraction) -> int | None:
    """The least q that makes every a_i 2^q / tag^i an integer, or None if there is none."""
    need = 0
    for i, a in enumerate(coeffs):
        denominator = (a / tag**i).denominator
        if denominator & (denominator - 1):
            return None
        need = max(need, denominator.bit_length() - 1)
    return need


def fit_polynomial(
    coeffs: list[Fraction], scale: Fraction, out_bits: int, bound: float, seen: float, failure_bits: int
) -> Fitted:
    """Integers for the polynomial `coeffs` (a_0 first) on values at `scale` within `bound`, result at 2^out_bits.

    n·f' + c + log2|P| <= 128 - failure_bits is kept by lowering the tag's precision f', where that costs least
    accuracy over the values `seen`. InvalidInput if no precision works, or none leaves the result recognisable.
    """
    limit = 128 - failure_bits
    # The ring may be no wider than the values: a shift beyond them does not exist there.
    most = max(0, ceil_log2(Fraction(bound) * scale))
    shifts = range(min(most, max(0, ceil_log2(scale) - out_bits - 2)), min(most + 1, ceil_log2(scale)))
    tries = (_candidate(coeffs, scale, shift, out_bits, bound, seen, limit) for shift in shifts)
    found = [t for t in tries if t is not None]
    best = min(found, key=lambda f: (f.error, -f.shift), default=None)
    # A fit that is off by more than an eighth of what it computes is no fit; below the result's resolution all are.
    if best is None or best.error > float(max_abs(coeffs, seen)) / 8 + 2.0 ** (3 - out_bits):
        off = "" if best is None else f" (values up to {seen:g} would be off by up to {best.error:.2g})"
        raise InvalidInput(
            f"a polynomial of degree {len(coeffs) - 1} on values up to {bound:g} does not fit in 128 bits{off}; "
            "train for a smaller range, lower the degree, policy.margin or policy.input_bits"
        )
    return best


def quantise(step: Step, weights: Mapping[str, NDArray[Any]], scale: Fraction) -> dict[str, Words]:
    """The integer tensors of `step`, mod 2^64: weights at the step's weight scale, biases at the result's `scale`."""
    out: dict[str, Words] = {}
    for name, shape in step.weights.items():
        at = step.fraction("weight_scale") if name == "weight" else scale
        value = np.asarray(weights[name], np.float64)
        if value.shape != tuple(shape):
            raise InvalidInput(f"{step.node}: {name} has shape {value.shape}, the plan says {tuple(shape)}")
        out[name] = encode(value, at, 64)
        if not math.isfinite(float(np.abs(value).max(initial=0.0))):
            raise InvalidInput(f"{step.node}: {name} is not finite")
    return out
