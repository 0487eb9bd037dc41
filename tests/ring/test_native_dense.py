"""The dense kernels of every tier against numpy, which multiplies mod 2^64 as well."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.ring import native

TIERS = native.tiers()
SIZE = st.integers(0, 40)
#: What the server's operand may be made of; the result is mod 2 to its bits.
TYPES = [np.uint64, np.uint32]


def words(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).integers(0, 1 << 64, size=shape, dtype=np.uint64)


def low(values: np.ndarray, dtype: type) -> np.ndarray:
    """The low bits of uint64 words that a `dtype` holds, as uint64."""
    return values.astype(dtype).astype(np.uint64)


def test_portable_is_always_there_and_last() -> None:
    assert TIERS[-1] == "portable"
    assert len(set(TIERS)) == len(TIERS)
    assert native.version() == 1


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("tier", TIERS)
@given(m=SIZE, k=SIZE, n=SIZE)
@settings(max_examples=60, deadline=None)
def test_matmul(tier: str, dtype: type, m: int, k: int, n: int) -> None:
    a, b = words(m, k), words(k, n, seed=1)
    assert np.array_equal(native.matmul(a.astype(dtype), b, tier=tier), low(a @ b, dtype))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(("m", "k", "n"), [(64, 513, 400), (9, 256, 193), (8, 257, 192), (1, 700, 385), (130, 1, 24)])
def test_matmul_across_blocks(tier: str, dtype: type, m: int, k: int, n: int) -> None:
    a, b = words(m, k), words(k, n, seed=1)
    assert np.array_equal(native.matmul(a.astype(dtype), b, tier=tier), low(a @ b, dtype))


@pytest.mark.parametrize("tier", TIERS)
def test_products_of_the_largest_words(tier: str) -> None:
    a = np.full((9, 300), (1 << 64) - 1, dtype=np.uint64)
    assert np.array_equal(native.matmul(a, a.T.copy(), tier=tier), np.full((9, 9), 300, dtype=np.uint64))
    assert np.array_equal(native.linear(a[:3], a, tier=tier), np.full((3, 9), 300, dtype=np.uint64))
    half, init = a.astype(np.uint32), np.full((3, 9), (1 << 64) - 1, dtype=np.uint64)
    assert np.array_equal(native.linear(a[:3], half, init, tier=tier), np.full((3, 9), 299, dtype=np.uint64))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("tier", TIERS)
@given(b=st.integers(0, 12), i=st.integers(0, 40), o=st.integers(0, 40), with_init=st.booleans())
@settings(max_examples=60, deadline=None)
def test_linear(tier: str, dtype: type, b: int, i: int, o: int, with_init: bool) -> None:
    x, w, init = words(b, i), words(o, i, seed=1), words(b, o, seed=2)
    wanted = x @ w.T + (init if with_init else np.uint64(0))
    got = native.linear(x, w.astype(dtype), init if with_init else None, tier=tier)
    assert np.array_equal(got, low(wanted, dtype))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("tier", TIERS)
def test_linear_over_many_depth_blocks(tier: str, dtype: type) -> None:
    x, w, init = words(33, 1100), words(21, 1100, seed=1), words(33, 21, seed=2)
    assert np.array_equal(native.linear(x, w.astype(dtype), init, tier=tier), low(x @ w.T + init, dtype))


@pytest.mark.parametrize("tier", TIERS)
@given(shape=st.lists(st.integers(0, 9), max_size=4), s=st.integers(-(1 << 70), 1 << 70))
@settings(max_examples=60, deadline=None)
def test_elementwise(tier: str, shape: list[int], s: int) -> None:
    a, b = words(*shape), words(*shape, seed=1)
    wanted = np.array([v * s % (1 << 64) for v in a.reshape(-1).tolist()], dtype=np.uint64).reshape(shape)
    for got, want in [
        (native.add(a, b, tier=tier), a + b),
        (native.sub(a, b, tier=tier), a - b),
        (native.scale(a, s, tier=tier), wanted),
    ]:
        assert got.shape == tuple(shape)
        assert np.array_equal(got, want)


@pytest.mark.parametrize("tier", TIERS)
def test_threads_change_nothing(tier: str) -> None:
    a, b = words(200, 500), words(500, 300, seed=1)
    x, w = words(2, 4096), words(1500, 4096, seed=1)
    half = w.astype(np.uint32)
    big = words(1 << 19)
    for run in [
        lambda t: native.matmul(a, b, threads=t, tier=tier),
        lambda t: native.matmul(a, b[:, :5].copy(), threads=t, tier=tier),
        lambda t: native.linear(x, w, threads=t, tier=tier),
        lambda t: native.linear(words(40, 4096), w, threads=t, tier=tier),
        lambda t: native.linear(x, half, threads=t, tier=tier),
        lambda t: native.linear(words(40, 4096), half, threads=t, tier=tier),
        lambda t: native.add(big, big, threads=t, tier=tier),
        lambda t: native.sub(big, big[::-1].copy(), threads=t, tier=tier),
        lambda t: native.scale(big, -3, threads=t, tier=tier),
    ]:
        one = run(1)
        assert np.array_equal(run(2), one)
        assert np.array_equal(run(7), one)


def test_calls_from_many_threads_at_once() -> None:
    a, b = words(60, 500), words(500, 300, seed=1)
    wanted = a @ b
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: native.matmul(a, b, threads=2), range(16)):
            assert np.array_equal(got, wanted)


def test_read_only_arrays_are_taken_and_results_are_writable() -> None:
    a = np.frombuffer(bytes(range(64)), dtype=np.uint64)
    out = native.add(a, a)
    out[0] = 1
    assert np.array_equal(out[1:], 2 * a[1:])


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: native.matmul(words(2, 3), words(2, 3)), ValueError, "as many columns"),
        (lambda: native.matmul(words(2, 3), words(3)), ValueError, "b must have 2 dimensions, not 1"),
        (lambda: native.matmul(words(2, 3).astype(np.int64), words(3, 2)), TypeError, "a must have dtype uint64"),
        (lambda: native.matmul(words(2, 3).astype(">u8"), words(3, 2)), TypeError, "a must be a numpy array"),
        (lambda: native.matmul([[1]], words(3, 2)), TypeError, "a must be a numpy array"),
        (lambda: native.matmul(words(3, 2).T, words(3, 2)), ValueError, "a must be C-contiguous"),
        (lambda: native.matmul(words(4, 4)[:, ::2], words(2, 2)), ValueError, "a must be C-contiguous"),
        (lambda: native.matmul(np.broadcast_to(words(1, 4), (3, 4)), words(4, 2)), ValueError, "C-contiguous"),
        (lambda: native.add(words(3), words(4)), ValueError, "b must have shape"),
        (lambda: native.add(unaligned(3), words(3)), ValueError, "a must be aligned"),
        (lambda: native.linear(words(2, 3), words(2, 4)), ValueError, "same number of inputs"),
        (lambda: native.linear(words(2, 3), words(4, 3), words(4, 2)), ValueError, "init must have shape"),
        (lambda: native.add(words(3), words(3), threads=0), ValueError, "threads must be 1 or more"),
        (lambda: native.add(words(3), words(3), tier="sse9"), ValueError, "tier 'sse9' is not one this CPU supports"),
        (lambda: native.matmul(words(1 << 26, 0), words(0, 1 << 26)), MemoryError, None),
        (lambda: native.matmul(words(1 << 40, 0), words(0, 1 << 40)), MemoryError, None),
    ],
)
def test_refusals(call: object, error: type[Exception], says: str | None) -> None:
    with pytest.raises(error, match=says):
        call()  # type: ignore[operator]


def unaligned(n: int) -> np.ndarray:
    return np.frombuffer(bytes(8 * n + 1), dtype=np.uint8)[1:].view(np.uint64)
