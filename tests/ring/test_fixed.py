"""Fixed point and signed views against Fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.errors import InvalidInput
from tacit.ring import fixed, tensor

SCALE = st.one_of(
    st.integers(0, 40).map(lambda e: Fraction(1 << e)),
    st.builds(lambda n, e: Fraction(n << e), st.integers(1, 2000), st.integers(0, 30)),
    st.fractions(min_value=Fraction(1, 1000), max_value=1 << 30, max_denominator=1000),
)
ANY = st.floats(allow_nan=False, allow_infinity=False)
USUAL = st.one_of(st.floats(-100, 100), st.floats(-100, 100, width=32), st.integers(-4000, 4000).map(lambda i: i / 32))


@given(values=st.lists(st.one_of(ANY, USUAL), max_size=6), scale=SCALE, bits=st.integers(1, 64))
@settings(max_examples=400, deadline=None)
def test_encode_is_the_rounded_fraction_or_a_refusal(values: list[float], scale: Fraction, bits: int) -> None:
    exact = [round(Fraction(v) * scale) for v in values]
    array = np.array(values, dtype=np.float64)
    if all(-(1 << (bits - 1)) <= v < 1 << (bits - 1) for v in exact):
        assert fixed.encode(array, scale, bits).tolist() == [v % (1 << bits) for v in exact]
    else:
        with pytest.raises(InvalidInput, match=r"does not fit"):
            fixed.encode(array, scale, bits)


@given(values=st.lists(USUAL, min_size=1, max_size=6), scale=SCALE)
@settings(max_examples=200, deadline=None)
def test_values_that_fit_are_exact(values: list[float], scale: Fraction) -> None:
    got = tensor.centered(fixed.encode(np.array(values), scale, 64), 64)
    assert got.tolist() == [round(Fraction(v) * scale) for v in values]


@pytest.mark.parametrize("bits", [1, 8, 40, 64])
def test_the_ends_of_the_range(bits: int) -> None:
    half = float(1 << (bits - 1))
    assert fixed.encode([-half], 1, bits).tolist() == [(-(1 << (bits - 1))) % (1 << bits)]
    with pytest.raises(InvalidInput, match="does not fit"):
        fixed.encode([half], 1, bits)
    with pytest.raises(InvalidInput, match="does not fit"):
        fixed.encode([np.nextafter(-half, -np.inf) - (0.5 if bits < 50 else 0)], 1, bits)


def test_halves_go_to_even() -> None:
    assert fixed.encode([0.5, 1.5, 2.5, -0.5, -1.5], 1, 8).tolist() == [0, 2, 2, 0, 254]
    assert fixed.encode([5e-324, -5e-324, 0.0], Fraction(1 << 30), 8).tolist() == [0, 0, 0]


@given(values=st.lists(st.integers(0, (1 << 64) - 1), max_size=6), scale=SCALE, bits=st.integers(1, 64))
@settings(max_examples=300, deadline=None)
def test_decode_is_the_nearest_float(values: list[int], scale: Fraction, bits: int) -> None:
    words = np.array(values, dtype=np.uint64)
    signed = [(v + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1)) for v in values]
    assert tensor.centered(words, bits).tolist() == signed
    assert tensor.wrap(tensor.centered(words, bits), bits).tolist() == [v % (1 << bits) for v in values]
    wanted = [v * scale.denominator / scale.numerator for v in signed]
    got = fixed.decode(words, scale, bits)
    assert got.dtype == np.float64
    assert got.tolist() == wanted


def test_shapes_are_kept() -> None:
    for shape in [(), (0,), (2, 0, 3), (2, 3)]:
        array = np.ones(shape, dtype=np.float32)
        words = fixed.encode(array, 9 << 16)
        assert words.shape == shape
        assert fixed.decode(words, 9 << 16).shape == shape
        assert tensor.mask(words, 3).shape == tensor.centered(words, 3).shape == shape
        assert np.array_equal(fixed.decode(words, 9 << 16), array)


def test_the_view_of_a_transpose() -> None:
    words = np.arange(6, dtype=np.uint64).reshape(2, 3).T
    assert np.array_equal(tensor.centered(words, 2), np.array([[0, -1], [1, 0], [-2, 1]]))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: fixed.encode([1.0, float("nan")], 1), r"index \(1,\) is not finite"),
        (lambda: fixed.encode([[float("inf")]], 1), r"index \(0, 0\) is not finite"),
        (lambda: fixed.encode([1.0], 0), "scale must be positive"),
        (lambda: fixed.encode([1.0], Fraction(-1, 2)), "scale must be positive"),
        (lambda: fixed.encode([1j], 1), "real numbers"),
        (lambda: fixed.encode(["a"], 1), "real numbers"),
        (lambda: fixed.encode([(1 << 53) + 1], 1), "beyond 2\\^53"),
        (lambda: fixed.encode([1.0], 1, 65), "use 1 to 64"),
        (lambda: fixed.decode(np.zeros(1, np.uint64), 0), "scale must be positive"),
        (lambda: fixed.decode(np.zeros(1, np.uint64), 1, 0), "use 1 to 64"),
        (lambda: tensor.mask(np.zeros(1, np.uint64), 65), "use 1 to 64"),
        (lambda: fixed.encode([200.0], 1, 8), r"index \(0,\) does not fit 8 bits at scale 1"),
    ],
)
def test_refusals(call: object, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        call()  # type: ignore[operator]


def test_the_message_does_not_hold_the_value() -> None:
    with pytest.raises(InvalidInput) as caught:
        fixed.encode([31337.25], 1, 8)
    assert "31337" not in str(caught.value)
