"""Activations through dealt powers and both evaluations against exact numbers: errors in last places, no outlier."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from tacit.plan.fixed import Fitted, fit_polynomial
from tacit.ring import native
from tacit.ring.tensor import centered
from tacit.testing.graphs import QUARTIC

#: Even and odd, below and above the words of 32 bits.
RINGS = (32, 37, 40, 44, 64)
F, SEEN, BOUND = 16, 8.0, 32.0
CHUNK = 1 << 18


def scale_of(ring: int) -> int:
    """The scale of a layer's output that fills the ring with values up to BOUND, or that of 24-bit weights."""
    return min(ring - 2 - int(math.log2(BOUND)), F + 24)


def fitted(ring: int) -> Fitted:
    return fit_polynomial([Fraction(c) for c in QUARTIC], Fraction(1 << scale_of(ring)), F, BOUND, SEEN, 40)


def words(coeffs: tuple[int, ...]) -> np.ndarray:
    values = [c % (1 << 128) for c in coeffs]
    return np.array([[v & ((1 << 64) - 1), v >> 64] for v in values], np.uint64)


def errors(rng: np.random.Generator, ring: int, count: int, fit: Fitted) -> np.ndarray:
    """Deviation, in units of 2^-F, of `count` activations of values within SEEN from the exact polynomial."""
    limit = int(SEEN) << scale_of(ring)
    y = rng.integers(-limit, limit, count, dtype=np.int64, endpoint=True)
    mask = (
        rng.integers(0, 1 << ring, count, dtype=np.uint64)
        if ring < 64
        else rng.integers(0, 2**64 - 1, count, np.uint64, True)
    )
    edges = [
        (sign * limit, edge) for sign in (-1, 1) for edge in (0, 1, (1 << ring - 1) - 1, 1 << ring - 1, (1 << ring) - 1)
    ]
    y[: len(edges)] = [e[0] for e in edges]
    mask[: len(edges)] = np.array([e[1] for e in edges], np.uint64)
    opened = (y.view(np.uint64) + mask + np.uint64(1 << (ring - 2))) & np.uint64((1 << ring) - 1)
    key, coeffs = rng.bytes(16), words(fit.coeffs)
    powers = native.powers(mask, ring, fit.shift, len(fit.coeffs) - 1, key, 7)
    client = native.poly_client(opened, ring, fit.shift, coeffs, fit.trunc, key, 7)
    server = native.poly_server(opened, ring, fit.shift, coeffs, fit.trunc, powers)
    got = centered(client + server, 64).astype(float)
    exact = np.polynomial.polynomial.polyval(y / 2.0 ** scale_of(ring), [float(Fraction(c)) for c in QUARTIC])
    return got - exact * 2.0**F


def allowed() -> float:
    """ceil(max |P'|) + 1 over the range: a unit of the tag, and a unit of the truncation."""
    x = np.linspace(-SEEN, SEEN, 100_001)
    slope = np.polynomial.polynomial.polyval(x, np.polynomial.polynomial.polyder([float(Fraction(c)) for c in QUARTIC]))
    return math.ceil(float(np.abs(slope).max())) + 1


def run(ring: int, count: int, seed: int) -> tuple[float, float]:
    rng, fit = np.random.default_rng([seed, ring]), fitted(ring)
    worst, total = 0.0, 0.0
    for start in range(0, count, CHUNK):
        error = np.abs(errors(rng, ring, min(CHUNK, count - start), fit))
        worst, total = max(worst, float(error.max())), total + float(error.sum())
    return worst, total / count


@pytest.mark.parametrize("ring", RINGS)
def test_error_in_last_places(ring: int) -> None:
    assert fitted(ring).value_bits <= 88
    worst, mean = run(ring, 100_000, 1)
    assert worst <= allowed()
    assert mean < 2.0


@pytest.mark.slow
@pytest.mark.parametrize("ring", RINGS)
def test_no_gross_error_in_a_hundred_million(ring: int) -> None:
    worst, _ = run(ring, 25_000_000, 2)
    assert worst <= allowed()


def test_a_value_out_of_range_is_grossly_wrong() -> None:
    """The control: beyond 2^(k-2) the case split fails, and this measure sees it."""
    ring, fit = 40, fitted(40)
    y = np.full(1000, 1 << (ring - 2), np.int64) + (1 << (ring - 3))
    mask = np.random.default_rng(3).integers(0, 1 << ring, 1000, dtype=np.uint64)
    opened = (y.view(np.uint64) + mask + np.uint64(1 << (ring - 2))) & np.uint64((1 << ring) - 1)
    powers = native.powers(mask, ring, fit.shift, 4, bytes(16), 7)
    parts = [
        native.poly_client(opened, ring, fit.shift, words(fit.coeffs), fit.trunc, bytes(16), 7),
        native.poly_server(opened, ring, fit.shift, words(fit.coeffs), fit.trunc, powers),
    ]
    got = centered(parts[0] + parts[1], 64).astype(float)
    exact = np.polynomial.polynomial.polyval(y / 2.0 ** scale_of(ring), [float(Fraction(c)) for c in QUARTIC])
    assert np.count_nonzero(np.abs(got - exact * 2.0**F) > 1e6) > 50
