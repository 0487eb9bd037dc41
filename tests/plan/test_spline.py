"""Splines of smooth functions: within their stated errors over every tag, honest bounds, few bytes, one plan."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tacit.errors import InvalidInput
from tacit.ir.curves import CURVES
from tacit.plan.pieces import check_spline, check_spline_form
from tacit.plan.spline import MAX_COEFF_BITS, Spline, fit_spline, spline_bits
from tacit.ring.piecewise import piecewise

TOLERANCE = 2.0**-11
DOMAINS = {
    "decay": (-64.0, 2.0**-8),
    "exp": (-4.0, 4.0),
    "log": (0.5, 64.0),
    "reciprocal": (0.75, 200.0),
    "rsqrt": (0.01, 4.0),
    "sqrt": (0.01, 16.0),
}


def fitted(name: str, low: float = -16.0, high: float = 16.0, scale: int = 28, bits: int = 16) -> Spline:
    low, high = DOMAINS.get(name, (low, high))
    bits = {"reciprocal": 22, "rsqrt": 17}.get(name, bits)
    return fit_spline(name, Fraction(1 << scale), low, high, bits, TOLERANCE, 40)


def outputs(spline: Spline, tags: np.ndarray, bits: int) -> np.ndarray:
    return (piecewise(spline.knots, spline.coeffs, tags) >> spline.trunc) / 2.0**bits


@pytest.mark.parametrize("name", sorted(CURVES))
def test_every_tag_is_within_the_stated_error(name: str) -> None:
    """Every value of the domain is one of two tags; every tag's result, and the next one, is as close as stated."""
    spline, curve = fitted(name), CURVES[name]
    low, high = DOMAINS.get(name, (-16.0, 16.0))
    bits = {"reciprocal": 22, "rsqrt": 17}.get(name, 16)
    assert spline.error <= TOLERANCE
    tag = 2.0**28 / (1 << spline.shift)
    u = np.arange(int(np.ceil(low * tag)), int(high * tag), max(1, int((high - low) * tag) >> 20), dtype=np.int64)
    got = outputs(spline, u, bits)
    for coin in (0.0, 0.5, 1.0):
        for up in (0.0, 2.0**-bits):
            want = curve.function(np.clip((u - coin) / tag, low, high))
            assert (np.abs(got + up - want) / curve.sizes(want)).max() <= spline.error * (1 + 1e-6)


@pytest.mark.parametrize("name", sorted(CURVES))
def test_values_have_as_many_bits_as_stated_and_coefficients_as_many_as_allowed(name: str) -> None:
    spline = fitted(name)
    u = np.linspace(*spline.domain, 100_001).astype(np.int64)
    most = np.log2(np.abs(piecewise(spline.knots, spline.coeffs, u)).max())
    assert most <= spline.value_bits <= most + 3
    assert spline.value_bits + 40 <= 8 * spline.bytes
    assert max(abs(c) for row in spline.coeffs for c in row) < 1 << (MAX_COEFF_BITS - 1)
    assert list(spline.knots) == sorted(set(spline.knots))


@pytest.mark.parametrize("bound", [16.0, 256.0, 4096.0])
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "gelu", "silu", "softplus", "elu", "erf"])
def test_a_wide_range_costs_hardly_more(name: str, bound: float) -> None:
    """Where a function is straight, one piece does, however long."""
    spline = fitted(name, -bound, bound, 26)
    assert len(spline.knots) <= 18
    assert spline.error <= TOLERANCE


def test_a_straight_function_has_one_knot() -> None:
    spline = fit_spline("hardswish", Fraction(1 << 20), 4.0, 8.0, 16, TOLERANCE, 40)
    assert len(spline.knots) == 1
    assert spline.error < TOLERANCE


@pytest.mark.parametrize("scale", [Fraction(1 << 12), Fraction(3 << 20, 7), Fraction(1 << 40)])
def test_any_scale(scale: Fraction) -> None:
    spline = fit_spline("gelu", scale, -8.0, 8.0, 12, 2.0**-9, 40)
    u = np.arange(*spline.domain)
    want = CURVES["gelu"].function(u / float(scale) * (1 << spline.shift))
    assert np.abs(outputs(spline, u, 12) - want).max() <= spline.error <= 2.0**-9


def test_two_fits_are_one() -> None:
    first = fitted("gelu")
    fit_spline.cache_clear()
    assert fitted("gelu") == first


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(InvalidInput, match="does not come within"):
        fit_spline("rsqrt", Fraction(1 << 32), 2.0**-16, 64.0, 20, 2.0**-11, 40)
    with pytest.raises(InvalidInput, match="does not come within"):
        fit_spline("gelu", Fraction(1 << 20), -8.0, 8.0, 8, 2.0**-11, 40)
    with pytest.raises(InvalidInput, match="no function of its argument"):
        spline_bits((0,), ((0, 0), (0, 0)), -4, 4)


@pytest.mark.parametrize("name", ["gelu", "reciprocal"])
def test_what_the_planner_makes_passes_the_checks(name: str) -> None:
    spline = fitted(name)
    reach = Fraction(256 << 28)
    attrs = {
        "knots": [str(t) for t in spline.knots],
        "coeffs": [str(c) for row in spline.coeffs for c in row],
        "domain": [str(t) for t in spline.domain],
        "degree": len(spline.coeffs[0]) - 1,
        "shift": spline.shift,
        "trunc": spline.trunc,
        "width": spline.bytes,
        "value_bits": spline.value_bits,
        "error": "1/2048",
        "bits": [spline.shift, 38],
    }
    check_spline_form(attrs)
    check_spline(attrs, 40, reach)
