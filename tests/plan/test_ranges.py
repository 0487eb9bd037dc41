"""Ranges: a proven one holds for the integers that are really computed, quantised weights and all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from tacit.errors import InvalidInput, Refused
from tacit.front.clear import run_clear
from tacit.front.compile import compile_model
from tacit.plan.compile import proven_bounds
from tacit.plan.place import settled
from tacit.plan.plan import Plan
from tacit.plan.policy import Policy
from tacit.run.simulate import simulate
from tacit.testing.graphs import Sketch


def seven(batch: int) -> tuple[Plan, np.ndarray]:
    """Seven weights just below 1/7, which their 14 bits round up: a bound of one that integers exceed a little."""
    s = Sketch()
    x = s.input(batch, 7)
    graph = s.graph(s.poly(s.op("linear", x, weight=np.full((1, 7), (1 - 1e-9) / 7)), ("0", "1")))
    ones = np.ones((batch, 7))
    return compile_model(graph, ones, policy=Policy(ranges="proven", weight_bits=14)), ones


def test_rounded_weights_stay_within_proven_ranges() -> None:
    """Without room for the rounding, about one value in twenty thousand would wrap and come out grossly wrong."""
    plan, ones = seven(200_000)
    answers = simulate(plan, ones).outputs[0]
    assert float(np.abs(answers - 1.0).max()) < 1e-3


@st.composite
def nets(draw: st.DrawFn) -> tuple[Sketch, str]:
    s = Sketch(draw(st.integers(0, 1 << 20)))
    x = s.input(3, draw(st.integers(1, 6)))
    for _ in range(draw(st.integers(1, 3))):
        x = s.linear(x, draw(st.integers(1, 5)), gain=0.6)
        if draw(st.booleans()):
            x = s.poly(x, draw(st.sampled_from([("0", "1/2", "1/4"), ("1/10", "1/2", "0", "-1/50")])))
    return s, s.poly(x, ("0", "1"))


@given(nets(), st.integers(8, 14), st.sampled_from([-1.0, 1.0]))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_integers_never_leave_a_proven_range(net: tuple[Sketch, str], weight_bits: int, sign: float) -> None:
    """The extreme input that the first layer's weights like best, in the clear protocol, whose integers can be read."""
    sketch, out = net
    graph = sketch.graph(out)
    weight = next(graph.weights[node.weights["weight"]] for node in graph.nodes if node.op == "linear")
    extreme = sign * np.sign(np.resize(weight, graph.inputs[0].shape))
    extreme[extreme == 0] = 1.0
    policy = Policy(trust="clear", ranges="proven", weight_bits=weight_bits)
    try:
        plan = compile_model(graph, extreme, policy=policy)
    except Refused:
        reject()
    want = run_clear(graph, extreme)[0]
    assert np.allclose(simulate(plan, extreme).outputs[0], want, atol=0.05 * max(1.0, float(np.abs(want).max())))
    bounds = proven_bounds(graph, 1.0, policy)
    assert all(bounds[node.id] > 0 for node in graph.nodes)
    last = bounds[out]
    assert float(np.abs(want).max()) <= last


@pytest.mark.parametrize("ranges", ["calibrated", "proven"])
def test_inputs_beyond_the_range_are_refused(ranges: str) -> None:
    s = Sketch()
    graph = s.graph(s.linear(s.input(1, 3), 2))
    plan = compile_model(graph, np.ones((1, 3)), policy=Policy(ranges=ranges, margin=2.0))
    simulate(plan, np.ones((1, 3)))
    with pytest.raises(InvalidInput, match="values up to"):
        simulate(plan, np.full((1, 3), 100.0))


def test_a_long_recurrence_of_smooth_functions_keeps_its_observed_range() -> None:
    """Products and sums alone would let the range double at every step."""
    s = Sketch()
    x = s.input(1, 4)
    state, gate = s.op("smooth", x, attrs={"function": "tanh"}), s.op("smooth", x, attrs={"function": "sigmoid"})
    for _ in range(40):
        kept = s.op("mul", gate, state)
        state = s.op("add", kept, s.op("mul", gate, kept))
    graph = s.graph(state)
    bounds = {node.id: 2.0 for node in graph.nodes}
    assert max(settled(graph, bounds).values()) <= 2.0
    assert settled(graph, {node.id: 2.0**60 for node in graph.nodes})[state] > 1 << 20, "one that follows is smaller"


def test_what_bits_can_become_is_not_observed() -> None:
    s = Sketch()
    x = s.input(1, 4)
    bit, soft = s.op("step", x), s.op("smooth", x, attrs={"function": "sigmoid"})
    both, most = s.op("add", bit, soft), s.op("add", bit, bit)
    found = settled(s.graph(both, most), dict.fromkeys((x, bit, soft, both, most), 0.25))
    assert (found[both] >= 2.0, found[most]) == (True, 2.0)
