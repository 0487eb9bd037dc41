"""A layer's error beside what its plan explains: below one for every operation, and above it for a small fault."""

from __future__ import annotations

import numpy as np
import pytest

from tacit.errors import TacitError
from tacit.front.layers import Values, expected, fixed_values, keeping, layer_sites
from tacit.front.rounding import Rounding
from tacit.plan.plan import Plan
from tacit.plan.policy import Policy
from tacit.run.simulate import simulate
from tacit.testing.graphs import Sketch, plan_for, residual_net
from tacit.testing.ops import CASES

POLICIES = (
    Policy(input_bits=16, weight_bits=12, margin=2.0), Policy(input_bits=11, ring=32), Policy(input_bits=12, window=12),
    Policy(input_bits=12, rounding="exact"),
)  # fmt: skip


def unexplained(plan: Plan, values: Values) -> dict[str, float]:
    assert plan.graph is not None
    rounding, found = Rounding(plan), {}
    for node in plan.graph.nodes:
        want = expected(plan.graph, node, values)
        if want is not None:
            found[node.id] = rounding.unexplained(node, values, want)
    return found


@pytest.mark.parametrize("name", sorted(CASES))
def test_healthy_layers_are_explained(name: str) -> None:
    tried = 0
    for seed, draw in enumerate(CASES[name]):
        for policy in POLICIES[: 4 if len(CASES[name]) < 12 else 1]:
            s = Sketch(seed)
            graph = s.graph(*draw(s))
            xs = s.values()
            try:
                plan = plan_for(graph, policy, xs)
            except TacitError:  # too narrow a ring for this operation
                continue
            values = fixed_values(plan, xs)
            assert set(values) == {node.id for node in graph.nodes}
            worst = unexplained(plan, values)
            assert max(worst.values()) <= 1, worst
            tried += 1
    assert tried


@pytest.mark.parametrize("activation", ["relu", "poly"])
def test_private_values_are_explained_and_small_faults_are_not(activation: str) -> None:
    graph, xs = residual_net(activation=activation)
    plan = plan_for(graph, Policy(input_bits=12), xs)
    values: Values = {}
    simulate(plan, *xs, record=keeping(plan, values))
    assert set(values) == set(layer_sites(plan))
    assert max(unexplained(plan, values).values()) <= 1
    for node in graph.nodes[1:]:
        wrong = {**values, node.id: values[node.id] + 32 * 2.0**-12}
        assert unexplained(plan, wrong)[node.id] > 1, node.id


def test_the_recorded_run_is_the_run() -> None:
    graph, xs = residual_net()
    plan = plan_for(graph, Policy(input_bits=12), xs)
    values: Values = {}
    result = simulate(plan, *xs, record=keeping(plan, values))
    np.testing.assert_allclose(result.outputs[0], values[graph.outputs[0]], atol=2.0**-12)
