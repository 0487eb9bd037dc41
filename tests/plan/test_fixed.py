"""Fixed point: the polynomial's integers keep the error they promise, and exact logarithms."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tacit.errors import InvalidInput
from tacit.plan.fixed import ceil_log2, fit_polynomial, max_abs
from tacit.testing.graphs import QUARTIC

POSITIVE = st.fractions(min_value=Fraction(1, 1 << 40), max_value=1 << 40).filter(lambda v: v > 0)
COEFFS = st.lists(
    st.fractions(-4, 4, max_denominator=4096) | st.floats(-2, 2, allow_subnormal=False).map(Fraction),
    min_size=2,
    max_size=7,
)


@given(POSITIVE)
def test_ceil_log2_is_exact(value: Fraction) -> None:
    e = ceil_log2(value)
    assert value <= Fraction(2) ** e
    assert value > Fraction(2) ** (e - 1)


@given(st.integers(-200, 200))
def test_ceil_log2_of_powers_and_their_neighbours(e: int) -> None:
    power, little = Fraction(2) ** e, Fraction(2) ** (e - 60)
    assert (ceil_log2(power), ceil_log2(power + little), ceil_log2(power - little)) == (e, e + 1, e)


def exact(coeffs: list[Fraction], x: Fraction) -> Fraction:
    return sum((a * x**i for i, a in enumerate(coeffs)), Fraction(0))


@given(
    coeffs=COEFFS,
    scale=st.integers(8, 40).map(lambda b: Fraction(1 << b)) | st.integers(8, 30).map(lambda b: Fraction(9 << b)),
    out_bits=st.integers(8, 20),
    range_bits=st.integers(0, 6),
    places=st.lists(st.fractions(-1, 1), min_size=1, max_size=20),
    both=st.booleans(),
)
@settings(deadline=None, max_examples=200)
def test_the_error_bound_holds(
    coeffs: list[Fraction], scale: Fraction, out_bits: int, range_bits: int, places: list[Fraction], both: bool
) -> None:
    """Every value within the range seen, at either reading of its tag, is within the stated error and two units."""
    seen = float(1 << range_bits)
    bound = seen * (4 if both else 1)
    try:
        fitted = fit_polynomial(coeffs, scale, out_bits, bound, seen, 40)
    except InvalidInput:
        assume(False)
        raise
    limit = Fraction(2) ** 88
    tag_bound = Fraction(bound) * scale / (1 << fitted.shift)
    assert (
        sum(abs(c) * tag_bound**i for i, c in enumerate(fitted.coeffs))
        <= Fraction(2) ** int(fitted.value_bits)
        <= limit
    )
    allowed = Fraction(fitted.error) * (1 + Fraction(1, 1 << 30)) + Fraction(2, 1 << out_bits)
    # the edge of the range seen is a unit of the tag inside, where the readings of the tag stay within it
    inside = Fraction(seen) - Fraction(2 << fitted.shift, 1) / scale
    assume(inside > 0)
    for place in places:
        y = round(place * inside * scale)
        want = exact(coeffs, Fraction(y) / scale)
        for tag in (y >> fitted.shift, (y >> fitted.shift) + 1):
            value = sum(c * tag**i for i, c in enumerate(fitted.coeffs)) >> fitted.trunc
            assert abs(Fraction(value, 1 << out_bits) - want) <= allowed


def test_a_polynomial_that_cannot_fit_says_so() -> None:
    with pytest.raises(InvalidInput, match="degree 6 on values"):
        fit_polynomial([Fraction(1)] * 7, Fraction(1 << 16), 16, 2.0**12, 2.0**12, 40)


@given(COEFFS, st.floats(0.01, 100), st.fractions(-1, 1))
def test_max_abs_is_a_bound(coeffs: list[Fraction], bound: float, place: Fraction) -> None:
    assert abs(exact(coeffs, place * Fraction(bound))) <= max_abs(coeffs, bound)


def test_higher_degrees_lower_the_tag_and_keep_the_failure_bound() -> None:
    """Degree 6 at full precision would need more than 128 bits; the tag gives way, never the failure bound."""
    shifts = []
    for degree in range(2, 7):
        coeffs = [Fraction(1, 3 + i) for i in range(degree + 1)]
        fitted = fit_polynomial(coeffs, Fraction(1 << 28), 16, 32.0, 8.0, 40)
        assert fitted.value_bits <= 88
        shifts.append(fitted.shift)
    assert shifts == sorted(shifts)
    assert shifts[-1] > shifts[0]


def test_a_fit_that_would_lose_the_polynomial_is_refused() -> None:
    """A quartic on values up to 2^22 keeps no bit of its leading coefficients: refused, not computed as a constant."""
    coeffs = [Fraction(c) for c in QUARTIC]
    with pytest.raises(InvalidInput, match="would be off by up to"):
        fit_polynomial(coeffs, Fraction(1 << 16), 8, 2.0**22, 2.0**12, 40)


def test_values_below_the_resolution_are_no_reason_to_refuse() -> None:
    fitted = fit_polynomial([Fraction(0), Fraction(1)], Fraction(1 << 28), 16, 2.0**-18, 2.0**-20, 40)
    assert fitted.error < 2.0**-13
