"""The gates of `fss` in the rings that plans use, on many random values, against the clear reading and the laws.

By default about a million signs; the slow runs take a hundred million (two or three minutes a ring on one core, each
value through an exact sign and a ReLU), as many values in orders (some seconds a case) and a million draws a point of
the windowed laws (a quarter of a minute each).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tacit.corr.bundle import Seeds
from tacit.front.clear import run_clear
from tacit.ir import Graph
from tacit.protocols.fss.bit import step
from tacit.protocols.fss.relu import relu
from tacit.ring.prg import Seed
from tacit.run.simulate import simulate
from tacit.testing.graphs import Sketch, plan_for, policy_for
from tacit.testing.opened import at_masks

Ints = np.ndarray[Any, np.dtype[np.int64]]
RINGS, CHUNK, RESULT = (24, 32, 44, 64), 250_000, {"ring": 64, "scale": "1"}


def seeds(*parts: object) -> Seeds:
    """Seeds that a rerun draws again."""
    client, server = (hashlib.sha256(repr((*parts, name)).encode()).digest()[:16] for name in ("client", "server"))
    return Seeds(Seed(client), Seed(server))


def values(rng: np.random.Generator, ring: int, count: int) -> Ints:
    """Half of them over the whole range, the others of every size, with the ends, zero and its neighbours."""
    most = 1 << (ring - 2)
    y = rng.integers(-most, most, count, np.int64, endpoint=True)
    y[::2] >>= rng.integers(0, ring - 1, len(y[::2]))
    y[:7] = 0, 1, -1, most, -most, most - 1, 1 - most
    return y


def masks(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(0, 1 << 64, count, np.uint64)


def carries(y: Ints, lam: np.ndarray, bits: int) -> Ints:
    low = np.int64((1 << bits) - 1)
    return ((y & low) + (lam.view(np.int64) & low) > low).astype(np.int64)


def check_gates(ring: int, count: int) -> None:
    """Exact sign, and ReLU with both roundings behind a shift, for `count` values under fresh masks."""
    shift = ring // 3
    for number, start in enumerate(range(0, count, CHUNK)):
        rng = np.random.default_rng([ring, number])
        y, lam = values(rng, ring, min(CHUNK, count - start)), masks(rng, min(CHUNK, count - start))
        bits = {"bits": [0, ring], "tie": "negpass", "shift": shift, "slopes": [0, 1]}
        got = at_masks(step, {**RESULT, "bits": [0, ring]}, y, lam, ring, seeds=seeds(ring, number, "sign"))
        assert np.array_equal(got, y >= 0)
        coin = at_masks(
            relu, {**RESULT, **bits, "rounding": "stochastic"}, y, lam, ring, seeds=seeds(ring, number, "coin")
        )
        assert np.array_equal(coin, np.where(y >= 0, (y >> shift) + carries(y, lam, shift), 0))
        if number == 0:  # dearer, and the same but for the carry
            exact = at_masks(
                relu, {**RESULT, **bits, "rounding": "exact"}, y, lam, ring, seeds=seeds(ring, number, "floor")
            )
            assert np.array_equal(exact, np.maximum(y >> shift, 0))


@pytest.mark.parametrize("ring", RINGS)
def test_a_million_signs(ring: int) -> None:
    check_gates(ring, 250_000)


@pytest.mark.slow
@pytest.mark.parametrize("ring", RINGS)
def test_a_hundred_million_signs(ring: int) -> None:
    check_gates(ring, 25_000_000)


def largest(items: int, rows: int) -> Graph:
    s = Sketch(0)
    return s.graph(s.op("max", s.input(rows, items), attrs={"axis": 1, "whole": True}))


def first(items: int, rows: int) -> Graph:
    s = Sketch(0)
    return s.graph(s.op("topk", s.input(rows, items), attrs={"k": 1}))


def second_of_two(items: int, rows: int) -> Graph:
    s = Sketch(0)
    return s.graph(s.op("maximum", s.input(rows, items), s.input(rows, items)))


def check_order(draw: Callable[[int, int], Graph], ring: int, items: int, rows: int, seed: int) -> None:
    """Exactly the clear reading, on values that a wire holds exactly and that are often equal."""
    graph, policy = draw(items, rows), policy_for("dealer", ring)
    rng, unit = np.random.default_rng([seed, items]), 2.0**-policy.input_bits
    xs = [rng.integers(-1 << 9, 1 << 9, (rows, items)) * unit for _ in graph.inputs]
    for x in xs:
        x[::3] = rng.integers(-1, 2, x[::3].shape) * unit  # ties, and differences of one unit
        x[1::3] *= rng.integers(1, 1 << 6, x[1::3].shape)
    plan = plan_for(graph, policy, xs)
    assert np.array_equal(simulate(plan, *xs, seeds=seeds(seed, ring)).outputs[0], run_clear(graph, *xs)[0])


ORDERS = [(largest, 9), (first, 10), (second_of_two, 8)]


@pytest.mark.parametrize(("draw", "items"), ORDERS)
@pytest.mark.parametrize("ring", [0, 32, 64])
def test_orders_of_many_values(draw: Callable[[int, int], Graph], items: int, ring: int) -> None:
    check_order(draw, ring, items, 8_000, 0)


@pytest.mark.slow
@pytest.mark.parametrize(("draw", "items"), ORDERS)
@pytest.mark.parametrize("ring", [0, 64])
def test_orders_of_a_hundred_million_values(draw: Callable[[int, int], Graph], items: int, ring: int) -> None:
    """25 million values each; a label of ten is 45 comparisons, so that they have a tenth."""
    rows = 20_000
    for seed in range((25_000_000 if draw is not first else 2_500_000) // (rows * items)):
        check_order(draw, ring, items, rows, seed + 1)


def check_law(ring: int, window: int, tie: str, draws: int, tolerance: float) -> None:
    """The share of wrong signs at a dozen values, around the window's end, against Circa's law."""
    low = ring - window
    unit = 1 << low
    for number, part in enumerate((-16, -13, -8, -3, -1, 0, 1, 5, 8, 12, 15, 16)):
        y = np.full(draws, part * unit // 16 if unit >= 16 else part, np.int64)
        rng = np.random.default_rng([ring, window, number])
        attrs = {**RESULT, "bits": [low, ring], "tie": tie}
        got = at_masks(step, attrs, y, masks(rng, draws), ring, seeds=seeds(ring, window, tie, number))
        wrong = float((got != (y >= 0)).mean())
        magnitude = abs(int(y[0]))
        mistaken = (part < 0) if tie == "negpass" else (part >= 0)
        odds = 1 - magnitude / unit if mistaken and magnitude < unit else 0.0
        assert abs(wrong - odds) < tolerance, (part, wrong, odds)
        assert odds not in (0.0, 1.0) or wrong == odds


@pytest.mark.parametrize("tie", ["negpass", "poszero"])
@pytest.mark.parametrize(("ring", "window"), [(32, 12), (44, 20), (64, 24)])
def test_windows_follow_circas_law(ring: int, window: int, tie: str) -> None:
    check_law(ring, window, tie, 10_000, 5 * 0.5 / 100)


@pytest.mark.slow
@pytest.mark.parametrize("tie", ["negpass", "poszero"])
@pytest.mark.parametrize("ring", [32, 64])
@pytest.mark.parametrize("window", [8, 16, 24])
def test_windows_follow_circas_law_to_three_decimals(ring: int, window: int, tie: str) -> None:
    """A million draws a point: five standard deviations are 0.0025, and the seeds are fixed."""
    check_law(ring, window, tie, 1_000_000, 5 * 0.5 / 1000)
