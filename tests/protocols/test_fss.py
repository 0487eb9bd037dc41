"""Exact ReLU: the sign is exact to the unit, the truncation a coin of known odds, what the parties see uniform."""

from __future__ import annotations

import numpy as np
import pytest

from tacit.corr.bundle import Seeds
from tacit.front.clear import run_clear
from tacit.ir import Graph
from tacit.net.frame import Kind
from tacit.net.memory import pair
from tacit.net.record import record
from tacit.ring.prg import Seed
from tacit.run.simulate import simulate
from tacit.testing.graphs import Sketch, nrmse, plan_for, policy_for, residual_net

RINGS = (32, 40, 44, 64)


def _relu_alone(count: int) -> Graph:
    s = Sketch(1)
    return s.graph(s.op("relu", s.input(1, count)))


@pytest.mark.parametrize("ring", RINGS)
def test_the_sign_is_exact_to_the_unit(ring: int) -> None:
    """Zero, one unit on either side, and the ends of the range; no truncation here, so the integers are exact."""
    policy = policy_for("dealer", ring)
    unit = 2.0**-policy.input_bits
    values = [np.array([[0.0, unit, -unit, 2 * unit, -2 * unit, 1.0, -1.0, 0.75, -0.75]])]
    plan = plan_for(_relu_alone(9), policy, values)
    for _ in range(20):
        assert np.array_equal(simulate(plan, *values).outputs[0], np.maximum(values[0], 0.0))


@pytest.mark.parametrize("ring", RINGS)
def test_a_residual_net(ring: int) -> None:
    graph, xs = residual_net(activation="relu")
    plan = plan_for(graph, policy_for("dealer", ring), xs)
    assert {step.protocol for step in plan.steps if step.op == "relu"} == {"fss"}
    bound = 2e-2 if ring == 32 else 1e-3
    seeds = Seeds(Seed(bytes([5] * 16)), Seed(bytes([6] * 16)))  # the same coins each time
    assert nrmse(simulate(plan, *xs, seeds=seeds).outputs, run_clear(graph, *xs)) < bound


def test_truncation_is_a_coin_whose_odds_are_the_fraction() -> None:
    """y >> p or one more, up with the probability of what is cut off; negative values give zero, whatever the coin."""
    s = Sketch(2)
    x = s.input(1, 4000)
    y = s.op("relu", s.op("scale", x, attrs={"num": "1", "den": "8"}))
    fraction = 3 / 8
    units = np.repeat([40 + fraction, -(40 + fraction)], 2000)[None]
    policy = policy_for("dealer")
    values = [units * 8 * 2.0**-policy.input_bits]
    plan = plan_for(s.graph(y), policy, values)
    seeds = Seeds(Seed(bytes([3] * 16)), Seed(bytes([4] * 16)))
    got = np.round(simulate(plan, *values, seeds=seeds).outputs[0] * 2.0**policy.input_bits).astype(int)
    assert not got[:, 2000:].any()
    assert set(got[0, :2000]) == {40, 41}
    assert abs((got[0, :2000] == 41).mean() - fraction) < 5 * np.sqrt(fraction * (1 - fraction) / 2000)


def test_what_the_parties_see_of_a_sign_is_uniform_and_tells_nothing() -> None:
    """b_s and b_c, over fresh seeds, for inputs that are all positive and all negative."""
    ones = {}
    for sign in (1.0, -1.0):
        values = [np.full((1, 4096), sign)]
        plan = plan_for(_relu_alone(4096), policy_for("dealer"), values)
        channels = pair()
        taps = [record(channel, keep=True) for channel in channels]
        seeds = Seeds(Seed(bytes([1] * 15 + [int(sign > 0)])), Seed(bytes([2] * 16)))
        simulate(plan, *values, seeds=seeds, channels=channels)
        frames = [f.payload for f in taps[0].frames if f.kind is Kind.DATA and len(f.payload) == 4096 // 8]
        assert len(frames) == 2
        bits = [np.unpackbits(np.frombuffer(f, np.uint8)).astype(int) for f in frames]
        ones[sign] = [*(b.mean() for b in bits), (bits[0] ^ bits[1]).mean()]
    for mean in (*ones[1.0], *ones[-1.0]):
        assert abs(mean - 0.5) < 5 * 0.5 / np.sqrt(4096)
