"""Packing against one Python integer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.errors import InvalidInput
from tacit.ring import bits, native


def words(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).integers(0, 1 << 64, size=shape, dtype=np.uint64)


@pytest.mark.parametrize("width", range(1, 65))
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 129])
def test_every_width(width: int, count: int) -> None:
    values = words(count)
    stream = sum((v % (1 << width)) << (i * width) for i, v in enumerate(values.tolist()))
    data = native.pack(values, width)
    assert data.tobytes() == stream.to_bytes((count * width + 7) // 8, "little")
    assert len(data) == bits.packed_size(count, width)
    assert np.array_equal(native.unpack(data, width, count), values & np.uint64((1 << width) - 1))


@given(width=st.integers(1, 64), shape=st.lists(st.integers(0, 6), max_size=4))
@settings(max_examples=80, deadline=None)
def test_any_shape(width: int, shape: list[int]) -> None:
    values = words(*shape)
    data = bits.pack(values, width)
    back = bits.unpack(data.tobytes(), width, tuple(shape))
    assert back.shape == tuple(shape)
    assert np.array_equal(back, values & np.uint64((1 << width) - 1))
    assert np.array_equal(bits.unpack(data, width, tuple(shape)), back)


def test_views_are_packed_as_they_look() -> None:
    values = words(6, 4)
    assert np.array_equal(bits.pack(values.T, 40), bits.pack(values.T.copy(), 40))


@pytest.mark.parametrize("width", [1, 13, 32, 40, 44, 57, 61, 63, 64])
def test_threads_change_nothing(width: int) -> None:
    values = words(500_003)
    data = native.pack(values, width)
    assert np.array_equal(native.pack(values, width, threads=2), data)
    assert np.array_equal(native.unpack(data, width, len(values), threads=2), native.unpack(data, width, len(values)))


def test_padding_must_be_zero() -> None:
    data = native.pack(words(3), 13)
    data[-1] |= 0x80
    with pytest.raises(ValueError, match="padding bits"):
        native.unpack(data, 13, 3)
    with pytest.raises(InvalidInput, match="padding bits"):
        bits.unpack(data, 13, (3,))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: native.pack(words(3), 0), ValueError, "bits must be between 1 and 64"),
        (lambda: native.pack(words(3), 65), ValueError, "bits must be between 1 and 64"),
        (lambda: native.pack(words(3, 1), 8), ValueError, "values must have 1 dimensions, not 2"),
        (lambda: native.unpack(words(3), 8, 3), TypeError, "data must have dtype uint8"),
        (lambda: native.unpack(np.zeros(4, np.uint8), 8, 3), ValueError, "data must be 3 bytes, not 4"),
        (lambda: native.unpack(np.zeros(2, np.uint8), 8, 3), ValueError, "data must be 3 bytes, not 2"),
        (lambda: native.unpack(np.zeros(2, np.uint8), 64, 1 << 62), ValueError, "count must be at most"),
        (lambda: bits.unpack(b"abcd", 8, (3,)), InvalidInput, "has 4 bytes where shape \\(3,\\) at 8 bits takes 3"),
        (lambda: bits.unpack(b"", 65, (3,)), InvalidInput, "use 0 or more elements of 1 to 64 bits"),
        (lambda: bits.pack(words(3), 0), InvalidInput, "use 0 or more elements of 1 to 64 bits"),
        (lambda: bits.packed_size(-1, 8), InvalidInput, "use 0 or more"),
    ],
)
def test_refusals(call: object, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        call()  # type: ignore[operator]
