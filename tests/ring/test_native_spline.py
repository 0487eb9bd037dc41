"""Splines in shares: against integers, for every value and every mask of small rings, on every tier."""

from __future__ import annotations

import numpy as np
import pytest

from tacit.ring import native
from tacit.ring.piecewise import piecewise

KEYS = (bytes(range(16)), bytes(range(16, 32)))


def packed(rows: np.ndarray) -> np.ndarray:
    return np.packbits(rows.astype(np.uint8), axis=1, bitorder="little").reshape(-1)


def opened(y: np.ndarray, lam: np.ndarray, k: int) -> np.ndarray:
    return (y.astype(np.uint64) + lam + np.uint64(1 << (k - 2))) & np.uint64((1 << k) - 1)


def tags(c: np.ndarray, lam: np.ndarray, k: int, p: int) -> np.ndarray:
    """u = c - tag, as integers, from the definition."""
    out = []
    for value, mask in zip(c.tolist(), lam.tolist(), strict=True):
        whole = mask % (1 << k)
        tag = whole if value >> (k - 1) else (whole - (1 << k) if whole >> (k - 1) else whole)
        out.append((value >> p) - (1 << (k - 2 - p)) - (tag >> p))
    return np.array(out, np.int64)  # within a unit of y >> p


def every(k: int) -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(1 - (1 << (k - 2)), 1 << (k - 2))
    lam = np.arange(1 << k, dtype=np.uint64)
    return np.repeat(y, len(lam)), np.tile(lam, len(y))


def sides(c: np.ndarray, lam: np.ndarray, k: int, p: int, knots: np.ndarray, **more: object) -> np.ndarray:
    """[u >= t] for every knot, by keys and both parties' shares."""
    mu, m = lam + np.uint64(1 << (k - 2)), k - p - 1
    keys = native.dpf_keygen(mu >> np.uint64(p), m, KEYS[0], 3, KEYS[1], 3)
    at = knots.astype(np.int64).view(np.uint64)
    a, b = (native.dpf_sides(c >> np.uint64(p), at, m, r, KEYS[r], 3, keys, **more) for r in (0, 1))  # type: ignore[arg-type]
    bits = np.unpackbits((a ^ b).reshape(len(knots), -1), axis=1, count=len(c), bitorder="little")
    return (1 ^ bits ^ (mu >> np.uint64(k - 1) & np.uint64(1)).astype(np.uint8)).astype(bool)


def evaluated(
    c: np.ndarray,
    lam: np.ndarray,
    shape: tuple[int, int, int],
    coeffs: np.ndarray,
    trunc: int,
    d: np.ndarray,
    **more: object,
) -> np.ndarray:
    """The sum of both parties' parts."""
    k, p, width = shape
    r = np.random.default_rng(5).integers(0, 2, d.shape).astype(bool)
    sizes = (coeffs.shape[1] - 1, coeffs.shape[0] - 1)
    held = native.spline_deal(lam, k, p, *sizes, width, packed(r), KEYS[0], 9, **more)  # type: ignore[arg-type]
    assert held.size == len(c) * (2 * sizes[0] + sizes[1] * (1 + 2 * sizes[0])) * width
    args = (c, k, p, coeffs, trunc, width, packed(r ^ d))
    client = native.spline_client(*args, KEYS[0], 9, **more)  # type: ignore[arg-type]
    return client + native.spline_server(*args, held, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("tier", native.tiers())
@pytest.mark.parametrize("p", [0, 1, 3])
def test_sides_are_those_of_the_tag_for_every_value_and_mask(tier: str, p: int) -> None:
    k = 7
    y, lam = every(k)
    c = opened(y, lam, k)
    u = tags(c, lam, k, p)
    assert set(np.unique(u - (y >> p))) <= {0, 1}
    most = (1 << (k - 2 - p)) - 1
    knots = np.arange(-most, most + 1)
    assert np.array_equal(sides(c, lam, k, p, knots, tier=tier), u >= knots[:, None])


@pytest.mark.parametrize("tier", native.tiers())
@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize(("width", "trunc"), [(8, 0), (9, 3), (16, 7), (13, 11)])
def test_every_value_and_mask(tier: str, degree: int, width: int, trunc: int) -> None:
    k, p = 6, 1
    y, lam = every(k)
    c = opened(y, lam, k)
    u, knots = tags(c, lam, k, p), np.array([-5, -1, 0, 3])
    coeffs = np.random.default_rng(degree).integers(-99, 100, (5, degree + 1))
    got = evaluated(c, lam, (k, p, width), coeffs.view(np.uint64), trunc, u >= knots[:, None], tier=tier).view(np.int64)
    off = got - (piecewise(knots.tolist(), coeffs.tolist(), u) >> trunc)
    assert set(np.unique(off)) <= ({0, 1} if trunc else {0})


@pytest.mark.parametrize(
    ("k", "p", "degree", "knots"), [(64, 30, 2, 16), (40, 18, 3, 64), (24, 0, 1, 1), (33, 31, 2, 3)]
)
@pytest.mark.parametrize("count", [0, 1, 7, 33, 1001])
def test_wide_words(k: int, p: int, degree: int, knots: int, count: int) -> None:
    """Coefficients of 62 bits and words of 128: the sum is exact, whatever the terms are, by any number of threads."""
    rng = np.random.default_rng(k + count)
    half = 1 << (k - 2)
    y = rng.integers(1 - half, half, count)
    lam = rng.integers(0, 1 << 63, count, dtype=np.uint64) * np.uint64(2) + rng.integers(0, 2, count).astype(np.uint64)
    c = opened(y, lam, k)
    u = tags(c, lam, k, p)
    at = np.sort(rng.integers(u.min(initial=0), u.max(initial=0) + 1, knots))
    coeffs = rng.integers(-(1 << 61), 1 << 61, (knots + 1, degree + 1))
    d = u >= at[:, None]
    got = [
        evaluated(c, lam, (k, p, 16), coeffs.view(np.uint64), 0, d, threads=threads, tier=tier)
        for threads in (1, 3)
        for tier in native.tiers()
    ]
    want = piecewise(at.tolist(), coeffs.tolist(), u).view(np.uint64)
    assert all(np.array_equal(values, want) for values in got)


@pytest.mark.parametrize("tier", native.tiers())
@pytest.mark.parametrize("k", [24, 63, 64])
@pytest.mark.parametrize("p", [0, 1, 9])
def test_truncation_in_wide_rings(tier: str, k: int, p: int) -> None:
    """Small values under masks of all bits: what is shifted down has the high bits right too."""
    rng = np.random.default_rng(k + p)
    y = rng.integers(-(1 << 20), 1 << 20, 2000)
    lam = rng.integers(0, 1 << 63, 2000, dtype=np.uint64) * np.uint64(2) + rng.integers(0, 2, 2000).astype(np.uint64)
    c = opened(y, lam, k)
    u, knots = tags(c, lam, k, p), np.array([-99, 0, 5000])
    assert set(np.unique(u - (y >> p))) <= {0, 1}
    coeffs = rng.integers(-(1 << 20), 1 << 20, (4, 3))
    d = sides(c, lam, k, p, knots, tier=tier)
    assert np.array_equal(d, u >= knots[:, None])
    got = evaluated(c, lam, (k, p, 14), coeffs.view(np.uint64), 20, d, tier=tier).view(np.int64)
    assert set(np.unique(got - (piecewise(knots.tolist(), coeffs.tolist(), u) >> 20))) <= {0, 1}


def test_what_a_truncation_needs_to_spare() -> None:
    """With words just as wide as the values, it fails often; with 40 bits more, never in ten thousand."""
    rng = np.random.default_rng(1)
    lam = rng.integers(0, 1 << 40, 10_000, dtype=np.uint64)
    c = opened(rng.integers(-1000, 1000, 10_000), lam, 40)
    u = tags(c, lam, 40, 0)
    coeffs = np.array([[1 << 22, 1 << 10], [7, 3]])
    want = piecewise([0], coeffs.tolist(), u) >> 8
    for width, fails in ((3, True), (8, False)):
        got = evaluated(c, lam, (40, 0, width), coeffs.view(np.uint64), 8, (u >= 0)[None]).view(np.int64)
        assert bool((abs(got - want) > 1).any()) == fails


def test_refusals() -> None:
    one, coeffs = np.zeros(1, np.uint64), np.ones((2, 3), np.uint64)
    bit, wide = np.zeros(1, np.uint8), np.array([[1 << 62, 1], [1, 1]], np.uint64)
    for bad in (
        (2, 0, coeffs, 0, 8),
        (8, 7, coeffs, 0, 8),
        (8, 0, coeffs, 64, 8),
        (8, 0, coeffs, 0, 17),
        (8, 0, wide, 0, 8),
    ):
        with pytest.raises(ValueError, match="must"):
            native.spline_client(one, *bad, bit, KEYS[0], 1)
    with pytest.raises(ValueError, match="dimensions"):
        native.spline_client(one, 8, 0, one, 0, 8, bit, KEYS[0], 1)
    with pytest.raises(ValueError, match="padding"):
        native.spline_client(one, 8, 0, coeffs, 0, 8, bit + np.uint8(2), KEYS[0], 1)
    with pytest.raises(ValueError, match="bytes"):
        native.spline_server(one, 8, 0, coeffs, 0, 8, bit, bit)
    with pytest.raises(ValueError, match="degree"):
        native.spline_deal(one, 8, 0, 4, 1, 8, bit, KEYS[0], 1)
    with pytest.raises(ValueError, match="knots"):
        native.spline_deal(one, 8, 0, 1, 65, 8, bit, KEYS[0], 1)
