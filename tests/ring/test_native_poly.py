"""Lifted powers and polynomials of opened values against Python integers, on every tier."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.ring import native

TIERS = native.tiers()
KEY = bytes(range(16))
M128 = 1 << 128


def words(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).integers(0, 1 << 64, size=shape, dtype=np.uint64)


def split(values: list[int]) -> np.ndarray:
    return np.array([[v % (1 << 64), v % M128 >> 64] for v in values], dtype=np.uint64)


def signed(value: int, bits: int) -> int:
    value %= 1 << bits
    return value - (value >> (bits - 1) << bits)


def shares_of(n: int, degree: int, nonce: int) -> list[int]:
    """The client's 128-bit shares in block order."""
    stream = native.prg(KEY, nonce, 0, 4 * n * degree).tolist()
    return [lo | hi << 64 for lo, hi in zip(stream[::2], stream[1::2], strict=True)]


def slow_powers(lam: list[int], k: int, p: int, degree: int, nonce: int) -> list[int]:
    shares = iter(shares_of(len(lam), degree, nonce))
    tags = [tag for v in lam for tag in ((v % (1 << k)) >> p, signed(v, k) >> p)]
    return [(tag**j - next(shares)) % M128 for tag in tags for j in range(1, degree + 1)]


def slow_part(
    opened: list[int], k: int, p: int, coeffs: list[int], trunc: int, shares: list[int], server: bool
) -> list[int]:
    degree, out = len(coeffs) - 1, []
    for i, C in enumerate(opened):
        C %= 1 << k
        v = 1 - (C >> (k - 1))
        c = (C >> p) - (1 << (k - 2 - p))
        t = [sum(a * math.comb(m, j) * c ** (m - j) for m, a in enumerate(coeffs) if m >= j) for j in range(degree + 1)]
        acc = sum((-1) ** j * t[j] * shares[(2 * i + v) * degree + j - 1] for j in range(1, degree + 1))
        acc = (acc + t[0]) % M128 if server else acc % M128
        out.append((-((-acc % M128) >> trunc) if server else acc >> trunc) % (1 << 64))
    return out


OPENING = st.integers(3, 64).flatmap(lambda k: st.tuples(st.just(k), st.integers(0, k - 2)))
COEFFS = st.lists(st.integers(-(1 << 127), (1 << 127) - 1), min_size=2, max_size=7)


@pytest.mark.parametrize("tier", TIERS)
@given(opening=OPENING, coeffs=COEFFS, trunc=st.integers(0, 127), n=st.integers(0, 9), seed=st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_against_integers(
    tier: str, opening: tuple[int, int], coeffs: list[int], trunc: int, n: int, seed: int
) -> None:
    (k, p), degree = opening, len(coeffs) - 1
    lam, opened = words(n, seed=seed), words(n, seed=seed + 1)
    powers = native.powers(lam, k, p, degree, KEY, seed, tier=tier)
    assert powers.shape == (n, 2, degree, 2)
    wanted = slow_powers(lam.tolist(), k, p, degree, seed)
    assert np.array_equal(powers.reshape(-1, 2), split(wanted).reshape(-1, 2))
    client = native.poly_client(opened, k, p, split(coeffs), trunc, KEY, seed, tier=tier)
    server = native.poly_server(opened, k, p, split(coeffs), trunc, powers, tier=tier)
    shares = shares_of(n, degree, seed)
    assert client.tolist() == slow_part(opened.tolist(), k, p, coeffs, trunc, shares, server=False)
    assert server.tolist() == slow_part(opened.tolist(), k, p, coeffs, trunc, wanted, server=True)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(("k", "p"), [(10, 3), (7, 0), (8, 6), (9, 5)])
def test_a_whole_small_ring(tier: str, k: int, p: int) -> None:
    """Every mask and every value that may be opened: P at y >> p or one unit beside it, within one unit."""
    y = np.arange(-(1 << (k - 2)) + 1, 1 << (k - 2), dtype=np.int64)
    lam = np.repeat(np.arange(1 << k, dtype=np.uint64), len(y))
    y = np.tile(y, 1 << k)
    coeffs, trunc = [5 << 20, -3 << 20, 7 << 20, 1 << 20], 18
    opened = (y.view(np.uint64) + lam + np.uint64(1 << (k - 2))) & np.uint64((1 << k) - 1)
    junk = np.random.default_rng(1).integers(0, 1 << (64 - k), size=len(lam), dtype=np.uint64) << np.uint64(k)
    powers = native.powers(lam | junk, k, p, 3, KEY, 3, tier=tier)
    out = native.poly_client(opened | junk, k, p, split(coeffs), trunc, KEY, 3, tier=tier)
    out = (out + native.poly_server(opened, k, p, split(coeffs), trunc, powers, tier=tier)).view(np.int64)
    x = y >> p

    def value(at: np.ndarray) -> np.ndarray:
        return sum(a * at**i for i, a in enumerate(coeffs)) / (1 << trunc)

    errors = np.minimum(np.abs(out - value(x)), np.abs(out - value(x + 1)))
    assert errors.max() <= 1
    exact = np.abs(out - value(x)) <= 1
    assert exact.any()
    assert exact.all() == (p == 0)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("degree", range(1, 7))
def test_threads_and_chunks_change_nothing(tier: str, degree: int) -> None:
    n = 20_011 if tier != "portable" else 1_001
    lam, coeffs = words(n), words(degree + 1, 2, seed=1)
    one = native.powers(lam, 40, 12, degree, KEY, 1, tier=tier)
    client = native.poly_client(lam, 40, 12, coeffs, 30, KEY, 1, tier=tier)
    server = native.poly_server(lam, 40, 12, coeffs, 30, one, tier=tier)
    for threads in (2, 3):
        assert np.array_equal(native.powers(lam, 40, 12, degree, KEY, 1, threads=threads, tier=tier), one)
        again = native.poly_client(lam, 40, 12, coeffs, 30, KEY, 1, threads=threads, tier=tier)
        assert np.array_equal(again, client)
        again = native.poly_server(lam, 40, 12, coeffs, 30, one, threads=threads, tier=tier)
        assert np.array_equal(again, server)
    assert np.array_equal(native.powers(lam, 40, 12, degree, KEY, 1), one)
    assert np.array_equal(native.poly_client(lam, 40, 12, coeffs, 30, KEY, 1), client)


LAM, CO, PW = words(4), words(5, 2), words(4, 2, 4, 2)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: native.powers(LAM, 2, 0, 4, KEY, 0), ValueError, "k must be between 3 and 64"),
        (lambda: native.powers(LAM, 65, 0, 4, KEY, 0), ValueError, "k must be between 3 and 64"),
        (lambda: native.powers(LAM, 40, 39, 4, KEY, 0), ValueError, "p must be between 0 and k - 2"),
        (lambda: native.powers(LAM, 40, -1, 4, KEY, 0), ValueError, "p must be between 0 and k - 2"),
        (lambda: native.powers(LAM, 40, 12, 0, KEY, 0), ValueError, "degree must be between 1 and 6"),
        (lambda: native.powers(LAM, 40, 12, 7, KEY, 0), ValueError, "degree must be between 1 and 6"),
        (lambda: native.powers(LAM, 40, 12, 4, KEY[1:], 0), ValueError, "key must be 16 bytes"),
        (lambda: native.powers(LAM.reshape(2, 2), 40, 12, 4, KEY, 0), ValueError, "lam must have 1 dimensions"),
        (lambda: native.poly_client(LAM, 40, 12, CO, 128, KEY, 0), ValueError, "trunc must be between 0 and 127"),
        (lambda: native.poly_client(LAM, 40, 12, CO, -1, KEY, 0), ValueError, "trunc must be between 0 and 127"),
        (lambda: native.poly_client(LAM, 40, 12, words(8, 2), 1, KEY, 0), ValueError, "degree must be between 1 and 6"),
        (lambda: native.poly_client(LAM, 40, 12, words(0, 2), 1, KEY, 0), ValueError, "degree must be between 1 and 6"),
        (lambda: native.poly_client(LAM, 40, 12, words(5, 3), 1, KEY, 0), ValueError, "coeffs must have shape"),
        (lambda: native.poly_server(LAM, 40, 12, CO, 1, words(4, 2, 3, 2)), ValueError, "powers must have shape"),
        (lambda: native.poly_server(LAM, 40, 12, CO, 1, words(3, 2, 4, 2)), ValueError, "powers must have shape"),
        (lambda: native.poly_server(LAM, 40, 12, CO, 1, PW, threads=0), ValueError, "threads"),
        (lambda: native.poly_server(LAM, 40, 12, CO, 1, PW, tier="x"), ValueError, "tier"),
    ],
)
def test_refusals(call: object, error: type[Exception], says: str | None) -> None:
    with pytest.raises(error, match=says):
        call()  # type: ignore[operator]
