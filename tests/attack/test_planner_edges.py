"""What a planner may get wrong at its edges: coarse scales, roundings beyond proven ranges, ranges under two names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tacit.errors import Refused
from tacit.front.clear import run_clear
from tacit.front.compile import compile_model
from tacit.plan.policy import Policy
from tacit.plan.save import plan_from_json
from tacit.run.simulate import simulate
from tacit.testing.graphs import Sketch

BITS = np.array([[-1.0, 2.0, 1.0, -3.0], [0.5, -0.5, 3.0, 1.0]])


def bias(s: Sketch, x: str) -> str:
    return s.op("bias", x, value=np.array([0.3, -0.4, 0.25, 0.1]))


def clip(s: Sketch, x: str) -> str:
    return s.op("clip", x, attrs={"low": "1/4", "high": "1/2"})


def curve(s: Sketch, x: str) -> str:
    return s.op("smooth", s.op("scale", x, attrs={"num": "7", "den": "1"}), attrs={"function": "tanh"})


def quadratic(s: Sketch, x: str) -> str:
    return s.poly(s.op("scale", x, attrs={"num": "7", "den": "1"}), ("1/3", "1/2", "1/8"))


@pytest.mark.parametrize("after", [bias, clip, curve, quadratic])
@pytest.mark.parametrize("gate", ["step", "topk"])
def test_whole_numbers_take_fractions(gate: str, after: Any) -> None:
    """Bits and labels count whole numbers: what is added to them or compared with them must not be rounded to such."""
    s = Sketch()
    x = s.input(2, 4)
    twice = s.op("concat", x, x, attrs={"axis": 1})
    counted = s.op("step", x) if gate == "step" else s.op("topk", twice, attrs={"k": 4})
    graph = s.graph(after(s, counted))
    plan = compile_model(graph, BITS, policy=Policy(input_bits=16))
    (want,) = run_clear(graph, BITS)
    (got,) = simulate(plan, BITS).outputs
    assert np.allclose(got, want, atol=4e-3 * max(1.0, float(np.abs(want).max())))


def test_a_narrow_ring_does_not_coarsen_proven_weights() -> None:
    """169 weights of 0.0118 sum up to less than two; rounded to sixty-fourths, to 2.64, and an opening would wrap."""
    s = Sketch()
    graph = s.graph(s.poly(s.op("linear", s.input(50, 169), weight=np.full((1, 169), 0.0118)), ("0", "1")))
    ones = np.ones((50, 169))
    with pytest.raises(Refused, match="do not fit a ring of 18 bits"):
        compile_model(graph, ones, policy=Policy(ranges="proven", ring=18, input_bits=8))
    plan = compile_model(graph, ones, policy=Policy(ranges="proven", ring=18, input_bits=8, weight_bits=6))
    assert min(plan.ranges[step.site] for step in plan.steps if step.op == "open") >= 169 / 64
    calibrated = compile_model(graph, ones, policy=Policy(ring=18, input_bits=8, margin=1))
    assert calibrated.wires[calibrated.outputs[0].site].ring == 18


def test_a_unit_of_rounding_stays_within_proven_ranges() -> None:
    """Values clipped to one may be a unit more by their coins; one in a thousand would wrap at a bound of one."""
    s = Sketch()
    x = s.op("linear", s.input(20_000, 1), weight=np.array([[0.77]]))
    clipped = s.op("clip", x, attrs={"low": "-1/3", "high": "1"})
    graph = s.graph(s.op("relu", s.op("linear", clipped, weight=np.array([[1 - 2.0**-14]]))))
    xs = np.linspace(1.5, 2.0, 20_000).reshape(-1, 1)
    (got,) = simulate(compile_model(graph, xs, policy=Policy(ranges="proven", input_bits=8)), xs).outputs
    assert float(np.abs(got - 1).max()) < 2.0**-6


def test_one_value_under_two_names_has_one_range() -> None:
    """An interval beyond the range changes nothing, so that its own ends are no range of what is opened."""
    s = Sketch()
    x = s.input(2, 6)
    wide = s.op("clip", x, attrs={"low": "-1000", "high": "1000"})
    graph = s.graph(s.op("relu", x), s.op("relu", wide))
    xs = np.linspace(-0.2, 0.2, 12).reshape(2, 6)
    plan = compile_model(graph, xs, policy=Policy(ranges="proven", input_bits=10))
    assert plan_from_json(plan.canonical(), "the plan").digest == plan.digest
    assert {plan.ranges[step.site] for step in plan.steps if step.op == "open"} == {0.25}


def test_a_curve_beyond_all_numbers_is_refused() -> None:
    s = Sketch()
    graph = s.graph(s.op("smooth", s.input(1, 2), attrs={"function": "exp"}))
    with pytest.raises(Refused, match="beyond what numbers hold"):
        compile_model(graph, np.array([[-1000.0, 3.0]]), policy=Policy(input_bits=8))


@pytest.mark.parametrize("tolerance", [1e-3, 1e-9])
def test_a_public_plan_tells_errors_as_powers_of_two(tolerance: float) -> None:
    """The figures are measured on the owner's weights and data: sixty bits of them are nobody's business."""
    s = Sketch(3)
    graph = s.graph(s.op("relu", s.linear(s.input(4, 5), 3)))
    plan = compile_model(graph, s.values()[0], policy=Policy(tolerance=tolerance))
    measured = plan.settings["measured"]
    assert measured["error"] == tolerance or math.frexp(measured["error"])[0] == 0.5
    for line in measured["tried"]:
        assert line.partition(" up to ")[2] in {f"{2.0**-e:.1e}" for e in range(64)}
