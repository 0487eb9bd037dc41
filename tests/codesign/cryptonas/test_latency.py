"""Predicted seconds: the additive model against compiled plans, and the budgets made of it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tacit
from tacit.codesign.cryptonas.budget import LatencyBudget, ReluBudget
from tacit.codesign.cryptonas.graph import as_graph
from tacit.codesign.cryptonas.latency import Bills, LatencyModel, fit_latency, made, parts, probes, width_within
from tacit.codesign.cryptonas.space import OPERATIONS, Cell, Space
from tacit.codesign.seeding import generator
from tacit.errors import InvalidInput
from tacit.plan.policy import Policy

POLICY = Policy(input_bits=12, weight_bits=14)
SPACE = Space(6, 4, 8, classes=5, operations=("conv3", "max"))
PLAIN = Cell.parse("conv3 conv3 conv3 conv3 conv3 conv3")


@pytest.fixture(scope="module")
def bills() -> Bills:
    return Bills(SPACE, policy=POLICY)


@pytest.fixture(scope="module")
def model(bills: Bills) -> LatencyModel:
    return fit_latency(bills, "lan", checks=4)


def test_the_additive_model_predicts_compiled_plans(model: LatencyModel, bills: Bills) -> None:
    """On cells that it was not fitted on; an operation, a merge and a skip really cost something."""
    assert model.checked == 4
    assert model.error < 0.02
    draws = torch.Generator().manual_seed(77)
    for _ in range(3):
        cell = SPACE.draw(draws)
        assert model.seconds(cell) == pytest.approx(bills.seconds(cell, "lan"), rel=0.02)
    assert model.cost["operation", "1", "max"] > model.cost["operation", "1", "conv3"]
    assert model.cost["kept", "0"] + model.cost["skip", "0", "0 halved"] > 0


def test_probes_span_the_parts_of_every_cell() -> None:
    """Whatever part a random cell has, some probe has too."""
    for space in (SPACE, Space(12, 4, 8, operations=OPERATIONS), Space(3, 4, 8)):
        known = {part for probe in probes(space) for part in parts(space, probe)}
        draws = torch.Generator().manual_seed(3)
        for _ in range(50):
            assert set(parts(space, space.draw(draws))) <= known


def test_parts_of_a_cell() -> None:
    """Source 0 is skipped from twice and kept once; sources are in the third whose ReLU opens them."""
    found = parts(SPACE, Cell.parse("conv3 max+0 conv3 conv3+2 max conv3+0,3"))
    assert found == {
        ("operation", "0", "conv3"): 1,
        ("operation", "0 halved", "max"): 1,
        ("operation", "1", "conv3"): 1,
        ("operation", "1 halved", "conv3"): 1,
        ("operation", "2", "max"): 1,
        ("operation", "last", "conv3"): 1,
        ("skip", "0", "0 halved"): 1,
        ("skip", "1", "1 halved"): 1,
        ("skip", "0", "last"): 1,
        ("skip", "1", "last"): 1,
        ("kept", "0"): 1,
        ("kept", "1"): 2,
    }


def test_a_plan_is_drafted_once(bills: Bills) -> None:
    bills.seconds(PLAIN)
    before = bills.drafted
    assert bills.seconds(PLAIN, "wan") > bills.seconds(PLAIN, "lan")
    assert bills.drafted == before


def test_made_nets_are_repeatable_and_normalised() -> None:
    state = torch.get_rng_state()
    first, second = made(SPACE, PLAIN, seed=3), made(SPACE, PLAIN, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not first.training
    assert all(m.momentum == 0.1 for m in first.modules() if isinstance(m, torch.nn.BatchNorm2d))


def test_the_widest_net_within_seconds() -> None:
    space = Space(3, 1, 4, classes=3)
    cell = Cell.parse("conv3 conv3 conv3")
    at = {width: Bills(space.wide(width), policy=POLICY).seconds(cell) for width in (1, 2, 3, 4, 5)}
    assert sorted(at.values()) == list(at.values())
    assert width_within(space, cell, (at[3] + at[4]) / 2, policy=POLICY) == 3
    assert width_within(space, cell, 1e6, policy=POLICY, most=5) == 5
    with pytest.raises(InvalidInput, match="any width"):
        width_within(space, cell, at[1] / 2, policy=POLICY)


def test_a_relu_budget_leaves_every_cell_as_it_is() -> None:
    budget = ReluBudget(1000)
    assert budget.trimmed(PLAIN) == PLAIN
    assert budget.holds(PLAIN)
    assert budget.seconds(PLAIN) is None


def test_a_latency_budget_holds_by_compiled_plans(model: LatencyModel, bills: Bills) -> None:
    cheap, slow = model.cheapest(), Cell(("max",) * 6, PLAIN.skips)
    budget = LatencyBudget(model.seconds(cheap) * 1.05, model, bills)
    assert budget.holds(cheap)
    assert not budget.holds(slow)
    assert budget.seconds(cheap) == bills.seconds(cheap, "lan")
    assert budget.trimmed(cheap) == cheap


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), room=st.floats(0.0, 1.5))
def test_what_is_left_is_within_the_limit(model: LatencyModel, bills: Bills, seed: int, room: float) -> None:
    """And it is a part of the cell: no skip is new, no operation but the cheapest."""
    cell, cheap = SPACE.draw(torch.Generator().manual_seed(seed)), model.cheapest()
    limit = max(bills.seconds(cheap), model.seconds(cheap)) * (1 + room) / (1 - model.error)
    left = LatencyBudget(limit, model, bills).trimmed(cell)
    assert model.seconds(left) <= limit * (1 - model.error)
    assert all(set(few) <= set(many) for few, many in zip(left.skips, cell.skips, strict=True))
    assert all(a in (b, c) for a, b, c in zip(left.operations, cell.operations, cheap.operations, strict=True))
    if model.seconds(cell) <= limit * (1 - model.error):
        assert left == cell


def test_a_cell_is_trimmed_until_it_holds(model: LatencyModel, bills: Bills) -> None:
    """What costs most goes first, the comparisons; a skip stays if the limit leaves room for it."""
    full = Cell.parse("conv3 max+0 conv3 conv3+0 conv3+1 max")
    one = Cell.parse("conv3 conv3+0 conv3 conv3+0 conv3 conv3")
    budget = LatencyBudget(model.seconds(one) * 1.001 / (1 - model.error), model, bills)
    trimmed = budget.trimmed(full)
    assert budget.holds(trimmed)
    assert set(trimmed.operations) == {"conv3"}
    assert any(trimmed.skips)
    assert all(set(left) <= set(had) for left, had in zip(trimmed.skips, full.skips, strict=True))
    tight = LatencyBudget(model.seconds(model.cheapest()) * 1.0001, model, bills)
    assert tight.trimmed(full) == model.cheapest()


def test_a_latency_budget_that_nothing_holds(model: LatencyModel, bills: Bills) -> None:
    with pytest.raises(InvalidInput, match="below the"):
        LatencyBudget(1e-6, model, bills)
    with pytest.raises(InvalidInput, match="positive"):
        LatencyBudget(0.0, model, bills)


def test_a_drafted_bill_is_the_compiled_plans(bills: Bills) -> None:
    """To the byte, so that what is said of drafts is said of plans."""
    cell = Cell.parse("conv3 max+0 conv3 conv3+0 conv3+1 conv3")
    graph = as_graph(made(SPACE, cell))
    x = torch.randn(8, 3, 8, 8, generator=generator(0, "made images"))
    plan = tacit.compile(graph, x[:1], policy=POLICY, calibration=[x])
    drafted = bills.bill(cell, "wan")
    assert drafted.messages("online") == plan.bill("wan").messages("online")
    assert drafted.seconds() == plan.bill("wan").seconds()
