"""Comparison keys against a tree written from its definition, fused ReLU against integers, on every tier."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.ring import native

TIERS = native.tiers()
KEYS = bytes(range(16)), bytes(range(16, 32))
NONCES = 5, 7


def words(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).integers(0, 1 << 64, size=shape, dtype=np.uint64)


def low(values: np.ndarray, bits: int) -> np.ndarray:
    return values & np.uint64((1 << bits) - 1)


def packed(bits: np.ndarray) -> np.ndarray:
    return np.packbits(bits.astype(np.uint8), bitorder="little")


def unpacked(data: np.ndarray, n: int) -> np.ndarray:
    assert not np.unpackbits(data, bitorder="little")[n:].any()
    return np.unpackbits(data, count=n, bitorder="little")


def keygen(alpha: np.ndarray, m: int, **options: object) -> np.ndarray:
    return native.dpf_keygen(alpha, m, KEYS[0], NONCES[0], KEYS[1], NONCES[1], **options)


def less(x: np.ndarray, m: int, rank: int, corrections: np.ndarray, **options: object) -> np.ndarray:
    return native.dpf_less(x, m, rank, KEYS[rank], NONCES[rank], corrections, **options)


# The definition: Boyle, Gilboa and Ishai (CCS 2016), figure 1, one key at a time. Blocks are integers.

CIPHERS = {
    name: Cipher(AES(hashlib.sha256(b"tacit fss " + name.encode()).digest()[:16]), ECB())
    for name in ("left", "right", "leaf")
}


def hashed(name: str, seed: int) -> int:
    block = CIPHERS[name].encryptor().update(seed.to_bytes(16, "little"))
    return int.from_bytes(block, "little") ^ seed


def children(seed: int) -> list[tuple[int, int]]:
    """(seed, control bit) on the left and on the right."""
    blocks = hashed("left", seed), hashed("right", seed)
    return [(block >> 1 << 1, block & 1) for block in blocks]


def slow_roots(rank: int, n: int) -> list[int]:
    halves = native.prg(KEYS[rank], NONCES[rank], 0, 2 * n, tier="portable").tolist()
    return [(lo | hi << 64) >> 1 << 1 for lo, hi in zip(halves[::2], halves[1::2], strict=True)]


def slow_key(alpha: int, m: int, roots: list[int]) -> tuple[list[tuple[int, int, int]], int]:
    """(seed, left bit, right bit) of each level, and the leaf correction."""
    seeds, controls, levels = list(roots), [0, 1], []
    for level in range(max(m - 7, 0)):
        a = alpha >> (m - 1 - level) & 1
        below = [children(seed) for seed in seeds]
        seed_word = below[0][1 - a][0] ^ below[1][1 - a][0]
        bits = [below[0][0][1] ^ below[1][0][1] ^ a ^ 1, below[0][1][1] ^ below[1][1][1] ^ a]
        levels.append((seed_word, *bits))
        seeds = [below[b][a][0] ^ controls[b] * seed_word for b in (0, 1)]
        controls = [below[b][a][1] ^ controls[b] * bits[a] for b in (0, 1)]
    return levels, hashed("leaf", seeds[0]) ^ hashed("leaf", seeds[1]) ^ 1 << alpha % 128


def step(seed: int, control: int, side: int, word: tuple[int, int, int]) -> tuple[int, int]:
    child, bit = children(seed)[side]
    return child ^ control * word[0], bit ^ control * word[1 + side]


def slow_points(root: int, rank: int, m: int, key: tuple[list[tuple[int, int, int]], int]) -> list[int]:
    """One party's share of [i = alpha] for every i below 2^m."""
    nodes = [(root, rank)]
    for word in key[0]:
        nodes = [step(*node, side, word) for node in nodes for side in (0, 1)]
    leaves = [hashed("leaf", seed) ^ control * key[1] for seed, control in nodes]
    return [leaf >> i & 1 for leaf in leaves for i in range(128)][: 1 << m]


def slow_less(x: int, root: int, rank: int, m: int, key: tuple[list[tuple[int, int, int]], int]) -> int:
    """One party's share of [x < alpha]: of the subtrees to the right of the path, and of the leaves after x.

    A subtree's share is the parent's control bit plus the kept child's, so the other child is never made.
    """
    seed, control, share = root, rank, 0
    for level, word in enumerate(key[0]):
        side = x >> (m - 1 - level) & 1
        parent = control
        seed, control = step(seed, control, side, word)
        share ^= (1 - side) * (parent ^ control)
    rest = (hashed("leaf", seed) ^ control * key[1]) >> (x % 128 + 1)
    return share ^ rest.bit_count() & 1


def slow_bytes(keys: list[tuple[list[tuple[int, int, int]], int]]) -> bytes:
    levels = len(keys[0][0])
    rows = [key[0][level][0] for level in range(levels) for key in keys] + [key[1] for key in keys]
    bits = [bit for level in range(levels) for key in keys for bit in key[0][level][1:]]
    return b"".join(row.to_bytes(16, "little") for row in rows) + packed(np.array(bits)).tobytes()


def test_the_definition_gives_points() -> None:
    for m, alpha in [(3, 5), (7, 127), (8, 128), (9, 300)]:
        roots = [slow_roots(rank, 1)[0] for rank in (0, 1)]
        key = slow_key(alpha, m, roots)
        shares = [slow_points(roots[rank], rank, m, key) for rank in (0, 1)]
        assert [a ^ b for a, b in zip(*shares, strict=True)] == [int(i == alpha) for i in range(1 << m)]


@pytest.mark.parametrize("tier", TIERS)
@given(m=st.integers(1, 63), n=st.integers(1, 70), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_against_the_definition(tier: str, m: int, n: int, seed: int) -> None:
    alpha, x = words(n, seed=seed), words(n, seed=seed + 1)
    x[::3] = alpha[::3]
    roots = [slow_roots(rank, n) for rank in (0, 1)]
    keys = [slow_key(int(a), m, [roots[0][e], roots[1][e]]) for e, a in enumerate(low(alpha, m))]
    corrections = keygen(alpha, m, tier=tier)
    assert corrections.tobytes() == slow_bytes(keys)
    assert corrections.size == native.dpf_size(m, n)
    for rank in (0, 1):
        got = unpacked(less(x, m, rank, corrections, tier=tier), n)
        assert got.tolist() == [slow_less(int(v), roots[rank][e], rank, m, keys[e]) for e, v in enumerate(low(x, m))]


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("m", range(1, 10))
def test_every_point_of_small_domains(tier: str, m: int) -> None:
    every = np.arange(1 << m, dtype=np.uint64)
    alpha, x = np.repeat(every, 1 << m), np.tile(every, 1 << m)
    corrections = keygen(alpha, m, tier=tier)
    bits = [unpacked(less(x, m, rank, corrections, tier=tier), len(x)) for rank in (0, 1)]
    assert np.array_equal(bits[0] ^ bits[1], x < alpha)


@pytest.mark.slow
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("m", [10, 11, 12])
def test_every_point_of_larger_domains(tier: str, m: int) -> None:
    """Three to five levels of the tree; seconds, but some minutes for the portable tier."""
    x = np.tile(np.arange(1 << m, dtype=np.uint64), 64)
    for first in range(0, 1 << m, 64):
        alpha = np.repeat(np.arange(first, first + 64, dtype=np.uint64), 1 << m)
        corrections = keygen(alpha, m, tier=tier)
        bits = [unpacked(less(x, m, rank, corrections, tier=tier), len(x)) for rank in (0, 1)]
        assert np.array_equal(bits[0] ^ bits[1], x < alpha)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("m", [31, 39, 43, 63])
def test_large_domains(tier: str, m: int) -> None:
    n = 4_001
    alpha, x = words(n), words(n, seed=1)
    near = np.arange(n) % 4 == 0
    x[near] = alpha[near] + words(n, seed=2)[near] % np.uint64(5) - np.uint64(2)
    alpha[:4], x[:4] = (0, 0, 2**64 - 1, 2**64 - 1), (0, 2**64 - 1, 0, 2**64 - 1)
    corrections = keygen(alpha, m, tier=tier)
    bits = [unpacked(less(x, m, rank, corrections, tier=tier), n) for rank in (0, 1)]
    assert np.array_equal(bits[0] ^ bits[1], low(x, m) < low(alpha, m))


@pytest.mark.parametrize("m", [5, 8, 31, 63])
@pytest.mark.parametrize("n", [1, 31, 32, 33, 20_011])
def test_threads_and_tiers_change_nothing(m: int, n: int) -> None:
    alpha, x = words(n), words(n, seed=1)
    corrections = keygen(alpha, m)
    shares = [less(x, m, rank, corrections) for rank in (0, 1)]
    choices = [{"threads": 2}, {"threads": 5}, *({"tier": t} for t in TIERS[1:] if n < 1000 or t != "portable")]
    for options in choices:
        assert np.array_equal(keygen(alpha, m, **options), corrections)
        for rank in (0, 1):
            assert np.array_equal(less(x, m, rank, corrections, **options), shares[rank])


def test_no_keys() -> None:
    nothing = words(0)
    assert keygen(nothing, 31).size == native.dpf_size(31, 0) == 0
    assert less(nothing, 31, 1, keygen(nothing, 31)).size == 0


def test_sizes() -> None:
    assert native.dpf_size(7, 10) == 160
    assert native.dpf_size(31, 10) == 25 * 160 + 60
    assert native.dpf_size(8, 3) == 2 * 48 + 1
    assert native.dpf_key_bytes(31) == 25 * 16 + 6
    assert native.dpf_key_bytes(63) == 57 * 16 + 14


def chi_square(values: np.ndarray) -> float:
    """Distance of 256 byte counts from uniform, in standard deviations of the chi-square law."""
    counts = np.bincount(values.reshape(-1), minlength=256)
    wanted = values.size / 256
    return float((((counts - wanted) ** 2 / wanted).sum() - 255) / np.sqrt(2 * 255))


@pytest.mark.parametrize("alpha", [0, 1, (1 << 31) - 1])
def test_one_partys_view_looks_uniform(alpha: int) -> None:
    """The same alpha 20,000 times: neither corrections nor one party's output bits show anything of it."""
    n, m = 20_000, 31
    corrections = keygen(np.full(n, alpha, dtype=np.uint64), m)
    rows = corrections[: n * 16 * 25].reshape(25, n, 16)
    assert not (rows[:24, :, 0] & 1).any()
    assert chi_square(rows[:24, :, 0]) > 5  # for want of the lowest bit
    assert abs(chi_square(rows[24])) < 5
    assert all(abs(chi_square(row[:, 1:])) < 5 for row in rows)
    assert abs(chi_square(corrections[n * 16 * 25 :])) < 5
    for x in (0, alpha ^ 1, 12345):
        for rank in (0, 1):
            ones = int(unpacked(less(np.full(n, x, dtype=np.uint64), m, rank, corrections), n).sum())
            assert abs(ones - n / 2) < 5 * np.sqrt(n) / 2


# ReLU


def signed(value: int, bits: int) -> int:
    value %= 1 << bits
    return value - (value >> (bits - 1) << bits)


def slow_words(lam: list[int], k: int, p: int, ring: int, flip: list[int], nonce: int) -> list[list[int]]:
    stream = native.prg(KEYS[0], nonce, 0, 8 * len(lam)).tolist()
    out = []
    for e, (mask, r) in enumerate(zip(lam, flip, strict=True)):
        tags = (mask % (1 << k)) >> p, signed(mask, k) >> p
        values = r, tags[0], tags[0] * r, tags[1], tags[1] * r
        out.append([(value - stream[8 * e + j]) % (1 << ring) for j, value in enumerate(values)])
    return out


OPENING = st.integers(3, 64).flatmap(lambda k: st.tuples(st.just(k), st.integers(0, k - 2)))


@pytest.mark.parametrize("tier", TIERS)
@given(opening=OPENING, ring=st.integers(1, 64), n=st.integers(0, 70), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_relu_against_integers(tier: str, opening: tuple[int, int], ring: int, n: int, seed: int) -> None:
    (k, p), lam = opening, words(n, seed=seed)
    y = (words(n, seed=seed + 1) % np.uint64((1 << (k - 1)) - 1)).astype(object) - ((1 << (k - 2)) - 1)
    flip, dhat = words(2, n, seed=seed + 2) & np.uint64(1)
    opened = np.array([(v + a + (1 << (k - 2))) % (1 << 64) for v, a in zip(y, lam.tolist(), strict=True)], np.uint64)
    dealt = native.relu_deal(lam, k, p, ring, packed(flip), KEYS[0], 9, tier=tier)
    dealt_words = native.unpack(dealt, ring, 5 * n).reshape(n, 5)
    assert dealt_words.tolist() == slow_words(lam.tolist(), k, p, ring, flip.tolist(), 9)
    client = native.relu_client(opened, k, p, packed(dhat), KEYS[0], 9, tier=tier)
    server = native.relu_server(opened, k, p, packed(dhat), dealt, ring, tier=tier)
    for e, v in enumerate(y):
        keep = int(flip[e] ^ dhat[e])
        wanted = {keep * ((v >> p) + more) % (1 << ring) for more in (0, 1)}
        assert (int(client[e]) + int(server[e])) % (1 << ring) in wanted


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(("k", "p"), [(9, 3), (7, 0), (8, 6)])
def test_sign_and_relu_of_a_whole_small_ring(tier: str, k: int, p: int) -> None:
    """Every mask and every value: the keys give y's sign at the opened value, the words give ReLU(y) >> p."""
    y = np.arange(-(1 << (k - 2)) + 1, 1 << (k - 2), dtype=np.int64)
    lam = np.repeat(np.arange(1 << k, dtype=np.uint64), len(y))
    y = np.tile(y, 1 << k)
    opened = low(y.view(np.uint64) + lam + np.uint64(1 << (k - 2)), k)
    r = words(len(y), seed=3) & np.uint64(1)
    # y = X - lam: its sign is the sum of both signs and the borrow
    X, top = low(opened - np.uint64(1 << (k - 2)), k), np.uint64(k - 1)
    corrections = keygen(lam, k - 1, tier=tier)
    shares = [unpacked(less(X, k - 1, rank, corrections, tier=tier), len(X)) for rank in (0, 1)]
    dhat = np.uint64(1) ^ X >> top ^ lam >> top ^ r ^ shares[0] ^ shares[1]
    dealt = native.relu_deal(lam, k, p, 40, packed(r), KEYS[0], 3, tier=tier)
    out = native.relu_client(opened, k, p, packed(dhat), KEYS[0], 3, tier=tier)
    out = low(out + native.relu_server(opened, k, p, packed(dhat), dealt, 40, tier=tier), 40).astype(np.int64)
    more = out - np.where(y >= 0, y >> p, 0)
    assert set(more.tolist()) == ({0} if p == 0 else {0, 1})
    assert not more[y < 0].any()


@pytest.mark.parametrize("tier", TIERS)
def test_relu_threads_change_nothing(tier: str) -> None:
    n = 100_003 if tier != "portable" else 50_003
    lam, bits = words(n), packed(words(n, seed=1) & np.uint64(1))
    dealt = native.relu_deal(lam, 40, 12, 64, bits, KEYS[0], 1, tier=tier)
    client = native.relu_client(lam, 40, 12, bits, KEYS[0], 1, tier=tier)
    server = native.relu_server(lam, 40, 12, bits, dealt, 64, tier=tier)
    assert np.array_equal(dealt, native.relu_deal(lam, 40, 12, 64, bits, KEYS[0], 1, tier=tier, threads=3))
    assert np.array_equal(client, native.relu_client(lam, 40, 12, bits, KEYS[0], 1, tier=tier, threads=3))
    assert np.array_equal(server, native.relu_server(lam, 40, 12, bits, dealt, 64, tier=tier, threads=3))


A, CW, W5 = words(9), keygen(words(9), 31), np.zeros(9 * 5 * 5, np.uint8)
BITS, LOOSE = np.zeros(2, np.uint8), np.array([0, 2], np.uint8)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: native.dpf_size(0, 1), ValueError, "m must be between 1 and 63"),
        (lambda: native.dpf_size(64, 1), ValueError, "m must be between 1 and 63"),
        (lambda: native.dpf_size(31, 1 << 60), ValueError, "more than memory can hold"),
        (lambda: native.dpf_size(31, -1), TypeError, None),
        (lambda: native.dpf_key_bytes(64), ValueError, "m must be between 1 and 63"),
        (lambda: keygen(A, 0), ValueError, "m must be between 1 and 63"),
        (lambda: keygen(A, 64), ValueError, "m must be between 1 and 63"),
        (lambda: keygen(A.view(np.int64), 31), TypeError, "alpha must have dtype uint64"),
        (lambda: keygen(A.reshape(3, 3), 31), ValueError, "alpha must have 1 dimensions"),
        (lambda: keygen(A[::2], 31), ValueError, "alpha must be C-contiguous"),
        (lambda: keygen(A, 31, threads=0), ValueError, "threads"),
        (lambda: keygen(A, 31, tier="x"), ValueError, "tier"),
        (lambda: native.dpf_keygen(A, 31, KEYS[0], 1, KEYS[0], 1), ValueError, "different keys or nonces"),
        (lambda: native.dpf_keygen(A, 31, KEYS[0][1:], 1, KEYS[1], 1), ValueError, "key must be 16 bytes"),
        (lambda: native.dpf_keygen(A, 31, KEYS[0], 1, KEYS[1] * 2, 1), ValueError, "key must be 16 bytes"),
        (lambda: native.dpf_keygen(A, 31, KEYS[0], 1, KEYS[1], 1 << 64), TypeError, None),
        (lambda: native.dpf_less(A, 31, 2, KEYS[0], 1, CW), ValueError, "rank must be 0"),
        (lambda: native.dpf_less(A, 31, -1, KEYS[0], 1, CW), ValueError, "rank must be 0"),
        (lambda: native.dpf_less(A, 64, 0, KEYS[0], 1, CW), ValueError, "m must be between 1 and 63"),
        (lambda: native.dpf_less(A, 31, 0, KEYS[0], 1, CW[:-1]), ValueError, "corrections must be"),
        (lambda: native.dpf_less(A[:8], 31, 0, KEYS[0], 1, CW), ValueError, "corrections must be"),
        (lambda: native.dpf_less(A, 31, 0, KEYS[0], 1, CW[::-1]), ValueError, "corrections must be C-contiguous"),
        (lambda: native.dpf_less(A, 31, 0, KEYS[0], 1, A), TypeError, "corrections must have dtype uint8"),
        (lambda: native.dpf_less(A, 31, 0, b"", 1, CW), ValueError, "key must be 16 bytes"),
        (lambda: native.dpf_less(A, 31, 0, KEYS[0], 1, CW, tier="x"), ValueError, "tier"),
        (lambda: native.relu_deal(A, 2, 0, 64, BITS, KEYS[0], 0), ValueError, "k must be between 3 and 64"),
        (lambda: native.relu_deal(A, 40, 39, 64, BITS, KEYS[0], 0), ValueError, "p must be between 0 and k - 2"),
        (lambda: native.relu_deal(A, 40, -1, 64, BITS, KEYS[0], 0), ValueError, "p must be between 0 and k - 2"),
        (lambda: native.relu_deal(A, 40, 12, 0, BITS, KEYS[0], 0), ValueError, "ring must be between 1 and 64"),
        (lambda: native.relu_deal(A, 40, 12, 65, BITS, KEYS[0], 0), ValueError, "ring must be between 1 and 64"),
        (lambda: native.relu_deal(A, 40, 12, 64, BITS[:1], KEYS[0], 0), ValueError, "flip must be 2 bytes, not 1"),
        (lambda: native.relu_deal(A, 40, 12, 64, LOOSE, KEYS[0], 0), ValueError, "flip has padding bits"),
        (lambda: native.relu_client(A, 65, 12, BITS, KEYS[0], 0), ValueError, "k must be between 3 and 64"),
        (lambda: native.relu_client(A, 40, 12, LOOSE, KEYS[0], 0), ValueError, "dhat has padding bits"),
        (lambda: native.relu_client(A, 40, 12, BITS, KEYS[0][1:], 0), ValueError, "key must be 16 bytes"),
        (lambda: native.relu_server(A, 40, 39, BITS, W5, 40), ValueError, "p must be between 0 and k - 2"),
        (lambda: native.relu_server(A, 40, 12, BITS, W5[:-1], 40), ValueError, "words must be 225 bytes, not 224"),
        (lambda: native.relu_server(A, 40, 12, BITS, W5, 41), ValueError, "words must be 231 bytes, not 225"),
        (lambda: native.relu_server(A, 40, 12, BITS, W5, 0), ValueError, "ring must be between 1 and 64"),
        (lambda: native.relu_server(A, 40, 12, BITS, W5, 40, tier="x"), ValueError, "tier"),
        (lambda: native.relu_server(A, 40, 12, BITS, W5, 40, threads=0), ValueError, "threads"),
    ],
)
def test_refusals(call: object, error: type[Exception], says: str | None) -> None:
    with pytest.raises(error, match=says):
        call()  # type: ignore[operator]
