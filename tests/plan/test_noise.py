"""The bound that a plan states for what the coins of truncation do to its outputs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tacit
from tacit.corr.bundle import Seeds
from tacit.ir.graph import Graph
from tacit.plan.measure import Reading, noise
from tacit.plan.plan import Plan
from tacit.ring.prg import SEED_BYTES, Seed
from tacit.run.simulate import simulate
from tacit.testing.graphs import Doubles, Sketch, residual_net


def compiled(graph: Graph, xs: list[Doubles], **policy: Any) -> Plan:
    return tacit.compile(graph, tuple(xs), policy=tacit.Policy(**{"input_bits": 12, **policy}))


def seeds(number: int) -> Seeds:
    client, server = (Seed((2 * number + i).to_bytes(SEED_BYTES, "little")) for i in (0, 1))
    return Seeds(client=client, server=server)


def off(plan: Plan, xs: list[Doubles], runs: int) -> list[list[float]]:
    """How far each output of private runs lies from the integers in the clear: root mean square and largest."""
    found = []
    reading = Reading.of(plan).outputs(xs)
    for number in range(runs):
        got = simulate(plan, *xs, seeds=seeds(number)).outputs
        found.append([np.abs(g - w) for g, w in zip(got, reading, strict=True)])
    errors = [np.stack(parts) for parts in zip(*found, strict=True)]
    return [[float(np.sqrt((e**2).mean())), float(e.max())] for e in errors]


@pytest.mark.parametrize("activation", ["poly", "relu"])
@pytest.mark.parametrize("more", [{}, {"rounding": "exact"}, {"window": "exact"}])
def test_private_runs_stay_within_it(activation: str, more: dict[str, Any]) -> None:
    """Within it, and not far below: it is sixteen times what two readings differ by, rounded up to a power of two."""
    graph, xs = residual_net(activation=activation)
    plan = compiled(graph, xs, **more)
    (bound,) = plan.noise
    assert bound is not None
    assert math.frexp(bound)[0] == 0.5
    ((typical, largest),) = off(plan, xs, 8)
    assert largest <= bound
    if more.get("rounding") != "exact":
        assert bound <= 64 * typical


def test_each_output_has_its_own() -> None:
    """A large and a small output, and one that jumps."""
    s = Sketch(4)
    y = s.op("relu", s.linear(s.input(2, 6), 5))
    graph = s.graph(s.linear(y, 3, gain=64.0), s.linear(y, 40), s.op("topk", y, attrs={"k": 1}))
    xs = s.values()
    plan = compiled(graph, xs)
    large, small, label = plan.noise
    assert label is None
    assert large is not None
    assert small is not None
    assert large >= 16 * small
    for bound, (_, largest) in zip((large, small), off(plan, xs, 4), strict=False):
        assert largest <= bound


def test_a_fault_is_beyond_it() -> None:
    """Other weights by a two-hundredth show."""
    graph, xs = residual_net()
    plan = compiled(graph, xs)
    spoilt = replace(graph, weights={key: w * 1.005 for key, w in graph.weights.items()})
    got = Reading.of(replace(plan, graph=spoilt)).outputs(xs)
    (bound,) = plan.noise
    assert bound is not None
    assert np.abs(got[0] - Reading.of(plan).outputs(xs)[0]).max() > bound


def test_where_no_coin_falls_it_is_that_of_the_reveal() -> None:
    s = Sketch(1)
    graph = s.graph(s.linear(s.input(1, 4), 3))
    xs = s.values()
    plan = compiled(graph, xs)
    (bound,) = plan.noise
    (reveal,) = plan.outputs
    unit = 2.0 ** int(reveal.attrs["drop"]) / float(plan.wires[reveal.site].scale)
    assert bound == 2 * unit


def test_none_is_stated_where_signs_are_not_looked_at_closely() -> None:
    graph, xs = residual_net(activation="relu")
    assert compiled(graph, xs, window=8).noise == (None,)
    assert compiled(graph, xs, trust="clear").noise == (None,)


@pytest.mark.parametrize(
    "stated", [None, [], [1.0, 1.0], "1.0", [-1.0], [math.inf], [math.nan], ["1"], [True], {"0": 1.0}, 1.0]
)
def test_what_others_state_is_taken_for_nothing_else(stated: object) -> None:
    """Settings come from outside."""
    graph, xs = residual_net()
    plan = compiled(graph, xs)
    assert replace(plan, settings={**plan.settings, "measured": {"noise": stated}}).noise == (None,)
    assert replace(plan, settings={**plan.settings, "measured": stated}).noise == (None,)
    assert not any("coins" in line for line in replace(plan, settings={}).bill().reasons)


def test_the_bill_says_it() -> None:
    graph, xs = residual_net()
    plan = compiled(graph, xs)
    assert any(f"at most {plan.noise[0]:.1e}" in line for line in plan.bill().reasons)
    assert plan.public().noise == plan.noise


def test_it_is_measured_on_every_batch() -> None:
    """A quiet example and a loud one: two readings each, whatever the order."""
    graph, xs = residual_net()
    plan = compiled(graph, xs)
    quiet = [x * 0 for x in xs]
    assert noise(plan, [quiet, xs]) == noise(plan, [quiet, xs])
    one, both = noise(plan, [xs]), noise(plan, [quiet, xs])
    assert one[0] is not None
    assert both[0] is not None
    assert one[0] / 4 <= both[0] <= one[0] * 4
