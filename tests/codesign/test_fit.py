"""The integer fit: the published integers, and the optimum of small cases found by trying everything."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.codesign.activations.curves import CURVES
from tacit.codesign.activations.fit import PILLAR, Polynomial, fit
from tacit.errors import InvalidInput

PUBLISHED = [
    (4, 8, (70, 128, 45, 0, -1), 0.0962, 0.273),
    (4, 10, (322, 512, 160, 0, -3), 0.0918, 0.312),
    (4, 12, (1220, 2048, 663, 0, -13), 0.0904, 0.295),
    (2, 10, (479, 512, 96), 0.181, 0.465),
    (6, 10, (322, 512, 160, 0, -3, 0, 0), 0.0918, 0.312),
    (6, 12, (837, 2048, 966, 0, -48, 0, 1), 0.0568, 0.202),
]


@pytest.mark.parametrize(("degree", "bits", "numerators", "rms", "largest"), PUBLISHED)
def test_the_published_integers(
    degree: int, bits: int, numerators: tuple[int, ...], rms: float, largest: float
) -> None:
    found = fit(degree, bits, compat="pillar")
    assert found.numerators == numerators
    assert fit(degree, bits).rms <= found.rms
    assert found.rms == pytest.approx(rms, abs=6e-5 if rms < 0.1 else 6e-4)
    assert found.largest == pytest.approx(largest, abs=1e-3)


def test_the_published_procedure_gives_the_published_quartic() -> None:
    """Truncating the targets changes nothing at 10 bits, and up to a unit of the constant elsewhere."""
    assert fit(4, 10, compat="pillar") == PILLAR == fit(4, 10)
    assert PILLAR.numerators == (322, 512, 160, 0, -3)
    assert fit(6, 12).rms <= 0.057
    assert fit(4, 12).numerators == (1221, 2048, 663, 0, -13)
    assert fit(2, 10).numerators == (480, 512, 96)
    with pytest.raises(InvalidInput, match="one half"):
        fit(4, 10, 1.0, compat="pillar")


@pytest.mark.parametrize("interval", [0.1, 30.0, 2.0**10])
def test_the_search_is_short_on_any_range(interval: float) -> None:
    fine = fit(6, 24, interval, grid=200)
    assert fine.rms <= fit(4, 24, interval, grid=200).rms <= fit(2, 24, interval, grid=200).rms < 0.1 * interval


def error(numerators: tuple[int, ...], bits: int, interval: float, target: str, grid: int) -> float:
    x = np.linspace(-interval, interval, grid)
    values = sum(n / 2**bits * x**i for i, n in enumerate(numerators))
    return float(np.sum((values - CURVES[target](x)) ** 2))


@pytest.mark.parametrize("target", ["relu", "gelu", "softplus", "tanh", "selu"])
@pytest.mark.parametrize(("degree", "bits", "interval", "grid"), [(2, 3, 2.0, 9), (3, 2, 1.5, 10), (4, 2, 1.0, 17)])
def test_nothing_in_a_box_is_better(degree: int, bits: int, interval: float, grid: int, target: str) -> None:
    found = fit(degree, bits, interval, target=target, grid=grid)
    reach = 8 if degree < 4 else 5
    boxes = itertools.product(*(range(n - reach, n + reach + 1) for n in found.numerators))
    points = np.array([*boxes], np.float64)
    x = np.linspace(-interval, interval, grid)
    powers = np.stack([x**i for i in range(degree + 1)]) / 2**bits
    costs = ((points @ powers - CURVES[target](x)) ** 2).sum(1)
    assert error(found.numerators, bits, interval, target, grid) <= costs.min() * (1 + 1e-9)


@given(
    degree=st.integers(1, 6),
    bits=st.integers(1, 16),
    interval=st.floats(0.25, 20),
    target=st.sampled_from(sorted(CURVES)),
    moves=st.lists(st.tuples(st.integers(0, 6), st.integers(-2, 2)), min_size=1, max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_no_move_makes_it_better(
    degree: int, bits: int, interval: float, target: str, moves: list[tuple[int, int]]
) -> None:
    found = fit(degree, bits, interval, target=target, grid=64).numerators
    moved = list(found)
    for place, step in moves:
        moved[place % (degree + 1)] += step
    rounded = np.round(real(degree, interval, target, 64) * 2**bits).astype(int).tolist()
    best = error(found, bits, interval, target, 64)
    for other in (tuple(moved), tuple(rounded)):
        assert best <= error(other, bits, interval, target, 64) * (1 + 1e-9) + 1e-12


def real(degree: int, interval: float, target: str, grid: int) -> np.ndarray:
    x = np.linspace(-interval, interval, grid)
    basis = np.stack([(x / interval) ** i for i in range(degree + 1)], 1)
    return np.linalg.lstsq(basis, CURVES[target](x), rcond=None)[0] / interval ** np.arange(degree + 1)


def test_many_bits_come_to_the_real_fit() -> None:
    for degree in (2, 4, 6):
        exact = real(degree, 5.0, "relu", 1000)
        assert np.allclose(fit(degree, 24).values, exact, atol=2e-5)


def test_a_target_of_ones_own() -> None:
    square = fit(3, 4, 2.0, target=lambda x: x**2 / 2 + x)
    assert square.numerators == (0, 16, 8, 0)
    assert square.degree == 2
    assert square.rms < 1e-12
    assert str(square) == "(16x + 8x^2) / 2^4"


def test_arguments_out_of_range() -> None:
    for arguments, said in (
        ({"degree": 7}, "degree"),
        ({"bits": 0}, "bits"),
        ({"interval": 0.0}, "range"),
        ({"interval": float("nan")}, "range"),
        ({"grid": 3}, "points"),
        ({"target": "rely"}, "known"),
        ({"compat": "espn"}, "compat"),
        ({"target": lambda x: x / 0 if x is None else np.full_like(x, np.nan)}, "finite"),
    ):
        with pytest.raises(InvalidInput, match=said):
            fit(**arguments)
    with pytest.raises(InvalidInput, match="numerators"):
        Polynomial((1,), 4, 5.0)
    with pytest.raises(InvalidInput, match="fraction bits"):
        Polynomial((1, 2), 40, 5.0)
