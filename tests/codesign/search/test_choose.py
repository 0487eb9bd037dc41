"""The choice under a budget against every assignment there is."""

from __future__ import annotations

import math
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tacit.codesign.search.choose import cheapest, frontier, least_harm, spread
from tacit.errors import InvalidInput

Table = dict[str, dict[str, float]]
CHOICES = ("exact", "poly4", "identity")
#: Sums of these are exact in floats, so that ties are ties.
NUMBERS = st.integers(-8, 8).map(lambda n: n / 4)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Table, Table]:
    sites = [f"s{i}" for i in range(draw(st.integers(1, 5)))]
    return tuple({s: {c: draw(NUMBERS) for c in CHOICES} for s in sites} for _ in range(2))  # type: ignore[return-value]


def _all(costs: Table, harms: Table) -> list[tuple[float, float]]:
    return [
        (
            sum(costs[s][c] for s, c in zip(costs, cs, strict=True)),
            sum(harms[s][c] for s, c in zip(costs, cs, strict=True)),
        )
        for cs in product(CHOICES, repeat=len(costs))
    ]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_the_frontier_is_that_of_all_assignments(given_tables: tuple[Table, Table]) -> None:
    costs, harms = given_tables
    every = _all(costs, harms)
    wanted = {p for p in every if not any(q[0] <= p[0] and q[1] <= p[1] and q != p for q in every)}
    front = frontier(costs, harms)
    assert {(c.cost, c.harm) for c in front} == wanted
    assert [c.cost for c in front] == sorted(c.cost for c in front)
    for chosen in front:  # and the sums are those of the assignments
        assert chosen.cost == sum(costs[s][c] for s, c in chosen.assignment.items())
        assert chosen.harm == sum(harms[s][c] for s, c in chosen.assignment.items())
        assert list(chosen.assignment) == list(costs)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables(), NUMBERS)
def test_budgets_are_met_as_well_as_they_can_be(given_tables: tuple[Table, Table], budget: float) -> None:
    costs, harms = given_tables
    front, every = frontier(costs, harms), _all(costs, harms)
    within = [harm for cost, harm in every if cost <= budget]
    if within:
        assert least_harm(front, budget).harm == min(within)
    else:
        with pytest.raises(InvalidInput, match="no choice costs as little"):
            least_harm(front, budget)
    harmless = [cost for cost, harm in every if harm <= budget]
    if harmless:
        assert cheapest(front, budget).cost == min(harmless)
    else:
        with pytest.raises(InvalidInput, match="no choice harms as little"):
            cheapest(front, budget)


def test_the_base_is_added_once() -> None:
    (only,) = frontier({"a": {"exact": 1.0}}, {"a": {"exact": 0.0}}, base=5.0)
    assert only.cost == 6.0


def test_thinning_keeps_the_ends_and_stays_close() -> None:
    sites = [f"s{i}" for i in range(14)]
    costs = {s: {"exact": 0.0, "identity": -math.sqrt(2 + i)} for i, s in enumerate(sites)}
    harms = {s: {"exact": 0.0, "identity": math.log(3 + 7 * i % 11)} for i, s in enumerate(sites)}
    whole, thin = frontier(costs, harms), frontier(costs, harms, kept=30)
    assert len(thin) <= 30 < len(whole)
    assert (thin[0].cost, thin[-1].cost) == pytest.approx((whole[0].cost, whole[-1].cost))
    width = (whole[-1].cost - whole[0].cost) * len(sites) / 28
    for chosen in whole:
        assert least_harm(thin, chosen.cost + width).harm <= chosen.harm + 1e-9


def test_spread_is_even_and_has_both_ends() -> None:
    costs = {f"s{i}": {"exact": 0.0, "identity": -1.0} for i in range(10)}
    harms = {s: {"exact": 0.0, "identity": 1.0} for s in costs}
    front = frontier(costs, harms)
    assert [c.cost for c in spread(front, 3)] == [-10.0, -5.0, 0.0]
    assert [c.cost for c in spread(front, 1)] == [0.0]
    assert len(spread(front, 50)) == len(front)
    with pytest.raises(InvalidInput, match="1 point or more"):
        spread(front, 0)


@pytest.mark.parametrize(
    ("costs", "harms", "says"),
    [
        ({}, {}, "same sites"),
        ({"a": {"exact": 0.0}}, {"b": {"exact": 0.0}}, "same sites"),
        ({"a": {"exact": 0.0}}, {"a": {"identity": 0.0}}, "same sites"),
        ({"a": {"exact": math.nan}}, {"a": {"exact": 0.0}}, "finite"),
        ({"a": {"exact": 0.0}}, {"a": {"exact": math.inf}}, "finite"),
        ({"a": {}}, {"a": {}}, "finite"),
    ],
)
def test_tables_that_make_no_sense_are_refused(costs: Table, harms: Table, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        frontier(costs, harms)
