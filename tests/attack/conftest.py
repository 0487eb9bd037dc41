"""A small plan and a house of parties for the attacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tacit.plan.plan import Plan
from tacit.testing.graphs import Sketch, plan_for, policy_for
from tacit.testing.parties import House


@pytest.fixture(scope="session")
def plan() -> Plan:
    """Two linear layers with a square between, on [2, 3]."""
    s = Sketch(0)
    graph = s.graph(s.linear(s.poly(s.linear(s.input(2, 3), 4), ("0", "1/2", "1/4")), 2))
    return plan_for(graph, policy_for("dealer"), [np.linspace(-1, 1, 6).reshape(2, 3)])


@pytest.fixture
def house(tmp_path: Path, plan: Plan) -> Iterator[House]:
    with House(tmp_path, [plan]) as parties:
        yield parties
        assert not parties.faults, parties.faults
