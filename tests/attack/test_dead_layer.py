"""A layer whose values are all but zero, at a fine scale: its ring is narrower than the shift that precision asks."""

from __future__ import annotations

import numpy as np

from tacit.front.clear import run_clear
from tacit.plan.policy import Policy
from tacit.plan.save import plan_from_json
from tacit.run.simulate import simulate
from tacit.testing.graphs import Sketch, plan_for


def test_a_dead_layer_runs() -> None:
    s = Sketch(0)
    x = s.op("linear", s.input(1, 3), weight=np.zeros((3, 3)))
    for _ in range(2):
        x = s.op("linear", x, weight=np.eye(3))
    graph = s.graph(s.linear(s.poly(x, ("1/2", "1/2", "1/4")), 2))
    xs = [np.linspace(-1, 1, 3).reshape(1, 3)]
    plan = plan_for(graph, Policy(), xs)
    assert all(step.attrs["shift"] <= plan.wires[step.inputs[0]].ring - 2 for step in plan.steps if step.op == "poly")
    assert plan_from_json(plan.canonical(), "our own").digest == plan.digest
    assert np.allclose(simulate(plan, *xs).outputs[0], run_clear(graph, *xs)[0], atol=1e-3)
