"""Small plans and a house of parties for the service tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tacit.plan.plan import Plan
from tacit.testing.graphs import Sketch, plan_for, policy_for
from tacit.testing.parties import House


def small_plan(seed: int = 0, trust: str = "dealer", **policy: object) -> Plan:
    """Two linear layers with a square between, on [2, 3]."""
    s = Sketch(seed)
    graph = s.graph(s.linear(s.poly(s.linear(s.input(2, 3), 4), ("0", "1/2", "1/4")), 2))
    return plan_for(graph, policy_for(trust, **policy), [np.linspace(-1, 1, 6).reshape(2, 3)])


@pytest.fixture(scope="session")
def plan() -> Plan:
    return small_plan()


@pytest.fixture(scope="session")
def other_plan() -> Plan:
    return small_plan(1)


@pytest.fixture(scope="session")
def clear_plan() -> Plan:
    return small_plan(0, "clear")


@pytest.fixture
def house(tmp_path: Path, plan: Plan, other_plan: Plan) -> Iterator[House]:
    with House(tmp_path, [plan, other_plan]) as parties:
        yield parties
        assert not parties.faults, parties.faults
