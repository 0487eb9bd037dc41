"""Topologies of real models, private against clear, in every ring and protocol; and what the planner made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tacit.corr.bundle import Seeds
from tacit.front.clear import run_clear
from tacit.plan.plan import Plan
from tacit.ring.prg import Seed
from tacit.run.simulate import simulate
from tacit.testing.graphs import QUARTIC, Sketch, nrmse, plan_for, policy_for
from tacit.testing.protocols import check_bill, plan_under

#: Even and odd, below and above the words of 32 bits.
RINGS = (20, 27, 32, 40, 51, 64)
Draw = Callable[[Sketch], list[str]]
#: The same coins each time, so that a bound is kept or not, whatever the day.
SEEDS = Seeds(Seed(bytes([1] * 16)), Seed(bytes([2] * 16)))
#: nRMSE against the clear reading by ring: the narrow ones leave fewer fraction bits (tacit.testing.graphs.BITS).
BOUND = {0: 1e-3, 64: 1e-3, 51: 5e-3, 44: 2e-3, 40: 5e-3, 32: 2e-2, 27: 2e-1, 20: 1.0}


def conv_conv(s: Sketch) -> list[str]:
    return [s.poly(s.conv(s.conv(s.input(2, 2, 5, 5), 3), 3, gain=0.7))]


def conv_add_conv(s: Sketch) -> list[str]:
    x = s.input(1, 3, 4, 4)
    return [s.conv(s.op("add", s.conv(x, 3), x), 2, gain=0.5)]


def two_consumers(s: Sketch) -> list[str]:
    x = s.poly(s.conv(s.input(1, 2, 4, 4), 3))
    return [s.op("add", s.conv(x, 3), s.conv(x, 3, 1, padding=0))]


def two_consumers_of_a_derived_wire(s: Sketch) -> list[str]:
    x = s.conv(s.input(1, 2, 4, 4), 3)
    return [s.op("add", s.conv(x, 3), s.conv(x, 3, 1, padding=0))]


def two_activations_of_one_wire(s: Sketch) -> list[str]:
    x = s.conv(s.input(1, 2, 4, 4), 3)
    return [s.op("add", s.poly(x), s.poly(x, ("0", "1", "1/8")))]


def pool_between_mask_and_conv(s: Sketch) -> list[str]:
    return [s.conv(s.pool(s.poly(s.conv(s.input(2, 2, 6, 6), 3)), 2), 2)]


def pool_by_nine(s: Sketch) -> list[str]:
    return [s.linear(s.flat(s.pool(s.poly(s.conv(s.input(2, 2, 6, 6), 3)), 3)), 2)]


def residual_of_other_scale(s: Sketch) -> list[str]:
    x = s.input(1, 3, 6, 6)
    return [s.poly(s.op("add", s.pool(x, 3), s.conv(s.pool(x, 3), 3)))]


def concatenation(s: Sketch) -> list[str]:
    x = s.poly(s.conv(s.input(1, 2, 4, 4), 2))
    return [s.conv(s.op("concat", x, s.conv(x, 3), attrs={"axis": 1}), 2)]


def concatenation_of_masks(s: Sketch) -> list[str]:
    x, y = s.input(2, 3), s.input(2, 4)
    return [s.linear(s.op("concat", x, y, attrs={"axis": 1}), 3)]


def batch_of_five(s: Sketch) -> list[str]:
    return [s.linear(s.flat(s.poly(s.conv(s.input(5, 1, 4, 4), 2))), 3)]


def poly_on_the_input(s: Sketch) -> list[str]:
    return [s.linear(s.poly(s.input(2, 6)), 3)]


def poly_after_poly(s: Sketch) -> list[str]:
    return [s.poly(s.poly(s.linear(s.input(2, 6), 4), ("1/10", "1/2", "1/8")))]


def square(s: Sketch) -> list[str]:
    return [s.linear(s.poly(s.linear(s.input(2, 6), 4), (0, 0, 1)), 3)]


def two_inputs(s: Sketch) -> list[str]:
    x, y = s.input(2, 4), s.input(2, 3)
    return [s.poly(s.op("sub", s.linear(x, 3), s.linear(y, 3)))]


def two_outputs(s: Sketch) -> list[str]:
    x = s.poly(s.linear(s.input(2, 4), 5))
    return [s.linear(x, 3), x]


def one_wire_out_twice(s: Sketch) -> list[str]:
    x = s.linear(s.input(2, 4), 3)
    return [x, x]


def nothing_but_the_input(s: Sketch) -> list[str]:
    return [s.input(2, 4)]


def affine_layer(s: Sketch) -> list[str]:
    return [s.poly(s.affine(s.conv(s.input(1, 2, 4, 4), 3)))]


def affine_of_the_last_axis(s: Sketch) -> list[str]:
    return [s.affine(s.input(2, 3, 4), axis=2)]


def a_tenth(s: Sketch) -> list[str]:
    return [s.poly(s.op("scale", s.linear(s.input(2, 5), 4), attrs={"num": "1", "den": "10"}))]


def a_negative_scale(s: Sketch) -> list[str]:
    x = s.input(2, 4)
    return [s.linear(s.op("add", s.op("scale", x, attrs={"num": "-2", "den": "3"}), s.linear(x, 4)), 3)]


def padding(s: Sketch) -> list[str]:
    padded = s.op("pad", s.input(1, 2, 3, 3), attrs={"before": [0, 0, 1, 2], "after": [0, 0, 0, 1]})
    return [s.conv(padded, 2, padding=0)]


def permutation(s: Sketch) -> list[str]:
    return [s.linear(s.op("permute", s.poly(s.linear(s.input(2, 3, 4), 4)), attrs={"order": [0, 2, 1]}), 2)]


def conv1d(s: Sketch) -> list[str]:
    return [s.flat(s.conv(s.poly(s.conv(s.input(2, 2, 1, 9), 3, (1, 3))), 2, (1, 3), padding=0))]


def depthwise(s: Sketch) -> list[str]:
    return [s.conv(s.poly(s.conv(s.input(1, 4, 5, 5), 4, groups=4)), 3, 1, padding=0)]


def groups_and_strides(s: Sketch) -> list[str]:
    return [s.conv(s.poly(s.conv(s.input(1, 4, 7, 7), 4, groups=2, stride=2)), 2, dilation=2, padding=2)]


def global_mean(s: Sketch) -> list[str]:
    x = s.poly(s.conv(s.input(2, 2, 5, 3), 3))
    return [s.linear(s.op("mean", x, attrs={"axes": [2, 3], "keepdims": False}), 4)]


def a_public_constant(s: Sketch) -> list[str]:
    return [s.poly(s.op("bias", s.linear(s.input(2, 4), 4), value=s.rng.normal(0.0, 0.3, (2, 4))))]


DRAWS = [
    conv_conv, conv_add_conv, two_consumers, two_consumers_of_a_derived_wire, two_activations_of_one_wire,
    pool_between_mask_and_conv, pool_by_nine, residual_of_other_scale, concatenation, concatenation_of_masks,
    batch_of_five, poly_on_the_input, poly_after_poly, square, two_inputs, two_outputs, one_wire_out_twice,
    nothing_but_the_input, affine_layer, affine_of_the_last_axis, a_tenth, a_negative_scale, padding, permutation,
    conv1d, depthwise, groups_and_strides, global_mean, a_public_constant,
]  # fmt: skip


def drawn(draw: Draw, seed: int = 0) -> tuple[Sketch, list[str]]:
    sketch = Sketch(seed)
    return sketch, draw(sketch)


@pytest.mark.parametrize("ring", [0, *RINGS])
@pytest.mark.parametrize("draw", DRAWS)
def test_private_equals_clear(draw: Draw, ring: int) -> None:
    sketch, outputs = drawn(draw)
    graph, xs = sketch.graph(*outputs), sketch.values()
    for protocol in ("masked", "clear"):
        plan = plan_under(protocol, graph, xs, ring)
        result = simulate(plan, *xs, seeds=SEEDS)
        check_bill(plan, result)
        assert nrmse(result.outputs, run_clear(graph, *xs)) < BOUND[ring], protocol


@pytest.mark.parametrize("degree", range(1, 7))
@pytest.mark.parametrize("ring", [0, 40, 44, 64])
def test_every_degree(degree: int, ring: int) -> None:
    sketch = Sketch(degree)
    coeffs = ["1/4", "1/2", "1/5", "-1/30", "-1/100", "1/500", "1/3000"][: degree + 1]
    graph = sketch.graph(sketch.poly(sketch.linear(sketch.input(4, 6), 5), coeffs))
    xs = sketch.values()
    for protocol in ("masked", "clear"):
        plan = plan_under(protocol, graph, xs, ring)
        assert nrmse(simulate(plan, *xs, seeds=SEEDS).outputs, run_clear(graph, *xs)) < BOUND[ring]


def planned(draw: Draw, ring: int = 0) -> Plan:
    sketch, outputs = drawn(draw)
    return plan_for(sketch.graph(*outputs), policy_for("dealer", ring), sketch.values())


def count(plan: Plan) -> Counter[str]:
    return Counter(step.op for step in plan.steps)


def test_two_consumers_share_one_mask_and_one_opening() -> None:
    ops = count(planned(two_consumers))
    assert (ops["mask"], ops["remask"], ops["open"], ops["poly"]) == (1, 0, 1, 1)


def test_two_consumers_share_one_remask() -> None:
    ops = count(planned(two_consumers_of_a_derived_wire))
    assert (ops["mask"], ops["remask"], ops["open"], ops["poly"]) == (1, 1, 0, 0)


def test_two_activations_share_one_opening() -> None:
    ops = count(planned(two_activations_of_one_wire))
    assert (ops["open"], ops["poly"]) == (1, 2)


def test_a_pool_of_a_mask_needs_no_remask() -> None:
    assert count(planned(pool_between_mask_and_conv))["remask"] == 0


def truncating(s: Sketch) -> list[str]:
    """Three layers in a row, and a second consumer of the wire between: their scales outgrow a narrow ring."""
    x = s.linear(s.input(2, 6), 6)
    return [s.op("add", s.linear(s.linear(x, 6), 5), s.linear(x, 5))]


def test_a_narrow_ring_forces_truncation_once() -> None:
    wide, narrow = count(planned(truncating, 64)), count(planned(truncating, 32))
    assert (wide["open"], wide["poly"], wide["remask"]) == (0, 0, 2)
    assert narrow["poly"] == narrow["open"] > 0
    sketch, outputs = drawn(truncating)
    graph, xs = sketch.graph(*outputs), sketch.values()
    result = simulate(planned(truncating, 32), *xs, seeds=SEEDS)
    assert nrmse(result.outputs, run_clear(graph, *xs)) < BOUND[32]


def test_both_consumers_of_a_truncated_wire_share_it() -> None:
    plan = planned(truncating, 32)
    opened = [step.inputs[0] for step in plan.steps if step.op == "open"]
    polys = [step.inputs[0] for step in plan.steps if step.op == "poly"]
    assert len(set(opened)) == len(opened)
    assert len(set(polys)) == len(polys)


def test_the_planner_picks_the_narrowest_ring() -> None:
    sketch = Sketch()
    graph = sketch.graph(sketch.poly(sketch.linear(sketch.input(2, 4), 4), QUARTIC))
    xs = sketch.values()
    rings = {plan_for(graph, policy_for("dealer", weight_bits=w), xs).wires[0].ring for w in (8, 14, 24)}
    assert rings == {28, 34, 44}
