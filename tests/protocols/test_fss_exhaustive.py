"""Every gate of `fss` at every value and every mask of small rings, against laws in plain integers; and the counts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest

from tacit.protocols.fss.bit import labels_of, ranks, step
from tacit.protocols.fss.relu import fan, relu
from tacit.ring.prg import Seed
from tacit.secure.session import Session
from tacit.secure.share import Share
from tacit.testing.opened import at_masks

Ints = np.ndarray[Any, np.dtype[np.int64]]
RESULT = {"ring": 44, "scale": "1"}


def grid(ring: int, high: int | None = None) -> tuple[Ints, Ints]:
    """All pairs of a value within the range of bits below `high`, ends included, and a mask: [values, masks] each."""
    most = 1 << ((high or ring) - 2)
    y = np.arange(-most, most + 1, dtype=np.int64)
    lam = np.arange(1 << ring, dtype=np.int64)
    return np.repeat(y[:, None], len(lam), 1), np.repeat(lam[None], len(y), 0)


def words(lam: Ints, ring: int) -> np.ndarray:
    """The masks as words, with bits above the ring that mean nothing."""
    above = np.random.default_rng(lam.size).integers(0, 1 << (64 - ring), lam.shape, np.uint64)
    return lam.astype(np.uint64) | above << np.uint64(ring)


def run(kernel: Callable[[Session, Share], Share], y: Ints, lam: Ints, ring: int, **attrs: Any) -> Ints:
    return at_masks(kernel, {**RESULT, **attrs}, y, words(lam, ring), ring)


# The laws, in integers that do not wrap.


def carried(y: Ints, lam: Ints, bits: int) -> Ints:
    """y >> bits, or one more where the low bits of y and of the mask carry."""
    low = (1 << bits) - 1
    return (y >> bits) + ((y & low) + (lam & low) > low)


def passes(y: Ints, lam: Ints, low: int, tie: str) -> Ints:
    """Whether y counts as not negative when its bits below `low` are not looked at."""
    return (carried(y, lam, low) >= (1 if tie == "poszero" else 0)).astype(np.int64)


def sign_law(y: Ints, lam: Ints, low: int, tie: str, shift: int, rounding: str, slopes: tuple[int, int]) -> Ints:
    whole = y >> shift if rounding == "exact" else carried(y, lam, shift)
    return whole * np.where(passes(y, lam, low, tie) == 1, slopes[1], slopes[0])


def relu_attrs(
    low: int, high: int, tie: str = "negpass", shift: int = 0, rounding: str = "stochastic", slopes: Any = (0, 1)
) -> dict[str, Any]:
    return {"bits": [low, high], "tie": tie, "shift": shift, "rounding": rounding, "slopes": list(slopes)}


TIES, ROUNDINGS = ("negpass", "poszero"), ("stochastic", "exact")


@pytest.mark.parametrize("ring", [5, 6, 7])
def test_relu_at_every_value_and_mask(ring: int) -> None:
    for high, tie, rounding in product((ring, ring - 1), TIES, ROUNDINGS):
        y, lam = grid(ring, high)
        for low, shift in product(range(high - 1), sorted({0, 1, ring // 2, ring - 2})):
            slopes = ((0, 1), (-1, 1), (5, 64), (-7, 3), (1, 0))[(low + shift) % 5]
            got = run(relu, y, lam, ring, **relu_attrs(low, high, tie, shift, rounding, slopes))
            want = sign_law(y, lam, low, tie, shift, rounding, slopes)
            assert np.array_equal(got, want), (ring, high, low, shift, tie, rounding, slopes)


@pytest.mark.parametrize(
    ("ring", "low", "shift", "rounding"),
    [(8, 0, 0, "exact"), (8, 3, 5, "exact"), (8, 6, 2, "stochastic"), (9, 0, 4, "stochastic"), (9, 5, 3, "exact")],
)
@pytest.mark.parametrize("tie", TIES)
def test_relu_in_larger_rings(ring: int, low: int, shift: int, rounding: str, tie: str) -> None:
    """Beyond 7 compared bits, where keys are trees."""
    y, lam = grid(ring)
    got = run(relu, y, lam, ring, **relu_attrs(low, ring, tie, shift, rounding, (-3, 4)))
    assert np.array_equal(got, sign_law(y, lam, low, tie, shift, rounding, (-3, 4)))


@pytest.mark.parametrize("ring", [5, 6, 7, 8, 9])
def test_the_exact_sign_has_no_ties(ring: int) -> None:
    """[y >= 0] whatever the mask, as the op `step` asks for it; nothing in the clear is a function of the mask."""
    y, lam = grid(ring)
    for high in (ring, ring - 1):
        inside = np.abs(y) <= 1 << (high - 2)
        got = run(step, y, lam, ring, bits=[0, high])
        assert np.array_equal(got[inside], (y >= 0)[inside])


@pytest.mark.parametrize("ring", [5, 6, 7, 8, 9])
@pytest.mark.parametrize("tie", TIES)
def test_windows_follow_circas_law_when_counted(ring: int, tie: str) -> None:
    """Over all masks, the share of wrong signs is exactly 1 - |y| / 2^low on one side of zero, none on the other; and
    from 2^low on nothing is ever wrong.
    """
    y, lam = grid(ring)
    for low in range(ring - 1):
        got = run(step, y, lam, ring, bits=[low, ring], tie=tie)
        wrong = (got != (y >= 0)).sum(1)
        value, unit = y[:, 0], 1 << low
        mistaken = (value < 0) if tie == "negpass" else (value >= 0)
        odds = np.where(mistaken & (np.abs(value) < unit), unit - np.abs(value), 0)
        if low:
            assert np.array_equal(wrong * unit, odds * (1 << ring)), (low, tie)
        else:  # no ties but zero itself, which "poszero" takes for negative
            assert np.array_equal(wrong > 0, (value == 0) & (tie == "poszero"))


@pytest.mark.parametrize("ring", [5, 7, 9])
def test_exact_rounding_is_the_floor(ring: int) -> None:
    y, lam = grid(ring)
    for shift in range(1, ring - 1):
        got = run(relu, y, lam, ring, **relu_attrs(0, ring, "negpass", shift, "exact", (1, 1)))
        assert np.array_equal(got, y >> shift)


@pytest.mark.parametrize("ring", [5, 7, 9])
def test_stochastic_rounding_counts_the_fraction(ring: int) -> None:
    """Up for exactly as many masks as the fraction cut off says, and by one."""
    y, lam = grid(ring)
    for shift in range(1, ring - 1):
        up = run(relu, y, lam, ring, **relu_attrs(0, ring, "negpass", shift, "stochastic", (1, 1))) - (y >> shift)
        assert set(np.unique(up)) <= {0, 1}
        assert np.array_equal(up.sum(1) << shift, (y[:, 0] & ((1 << shift) - 1)) << ring)


def fanned(knots: list[int], s: Session, opened: Share) -> Share:
    """`fan` and then the gate, which a plan has as two steps."""
    return relu(s, fan(s, opened))


@pytest.mark.parametrize(("low", "shift", "rounding"), [(0, 0, "stochastic"), (0, 3, "exact"), (2, 3, "stochastic")])
def test_knots_at_one_opening(low: int, shift: int, rounding: str) -> None:
    """Values within half the range less knots within it, as the planner leaves room for."""
    ring = 8
    y, lam = grid(ring, ring - 1)
    knots = [-(1 << (ring - 3)), -5, 0, 1, 1 << (ring - 3)]
    attrs = relu_attrs(low, ring, "poszero", shift, rounding, (2, 3))
    got = run(partial(fanned, knots), y, lam, ring, knots=[str(t) for t in knots], **attrs)
    for t, each in zip(knots, got, strict=True):
        assert np.array_equal(each, sign_law(y - t, lam, low, "poszero", shift, rounding, (2, 3)))


@pytest.mark.parametrize("items", [2, 3, 4])
def test_ranks_of_every_row(items: int) -> None:
    """All rows of `items` small numbers, each difference under random masks: the order of a stable sort."""
    ring, most = 7, {2: 15, 3: 5, 4: 2}[items]
    rows = np.array(list(product(range(-most, most + 1), repeat=items)), np.int64)
    first, second = np.triu_indices(items, 1)
    y = rows[:, first] - rows[:, second]
    lam = np.random.default_rng(items).integers(0, 1 << ring, y.shape)
    got = run(ranks, y, lam, ring, bits=[0, ring], items=items)
    for row, rank in zip(rows.tolist(), got.tolist(), strict=True):
        order = sorted(range(items), key=lambda i: (-row[i], i))
        assert [order.index(i) for i in range(items)] == rank


@pytest.mark.parametrize(("items", "count"), [(2, 1), (4, 1), (4, 3), (6, 2)])
def test_labels_of_every_order(items: int, count: int) -> None:
    """All permutations as ranks, taken apart at knots 1 ... count as the planner writes them."""
    rows = np.array(list(permutations(range(items))), np.int64)
    y = np.stack([rows - t for t in range(1, count + 1)])
    lam = np.random.default_rng(items).integers(0, 1 << 6, rows.shape)
    got = at_masks(labels_of, {**RESULT, "bits": [0, 6]}, y, np.broadcast_to(words(lam, 6), y.shape).copy(), 6)
    assert np.array_equal(got, np.argsort(rows, axis=-1)[:, :count])


def test_the_harness_sees_a_wrong_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: with the roots of another seed the law fails on about half of the values."""
    y, lam = grid(7)
    plain = Session.stream

    def other(self: Session, owner: int, domain: int) -> tuple[bytes, int]:
        _, nonce = plain(self, owner, domain)
        return Seed(bytes(16)).key, nonce

    monkeypatch.setattr(Session, "stream", other)
    got = run(step, y, lam, 7, bits=[0, 7])
    assert 0.3 < np.mean(got != (y >= 0)) < 0.7
