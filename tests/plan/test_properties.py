"""Random small graphs: private equals clear, and whatever the planner made keeps the planner's promises."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from tacit.corr.bundle import Seeds
from tacit.errors import Refused
from tacit.front.clear import run_clear
from tacit.ir.graph import Graph
from tacit.plan.compile import integer_weights
from tacit.plan.plan import Plan
from tacit.plan.policy import RINGS
from tacit.ring.prg import Seed
from tacit.run.simulate import simulate
from tacit.testing.graphs import QUARTIC, Sketch, nrmse, plan_for, policy_for
from tacit.testing.protocols import check_bill, plan_under

POLYS = [
    QUARTIC,
    ("0", "0", "1/4"),
    ("1/10", "1/2", "1/8"),
    ("0", "1", "0", "-1/60"),
    ("0", "1/2", "1/6", "0", "-1/300", "0", "1/9000"),
]
STEPS = [
    "conv",
    "conv1",
    "poly",
    "poly",
    "add",
    "sub",
    "concat",
    "scale",
    "affine",
    "pool",
    "bias",
    "pad",
    "permute",
    "twice",
]


def grow(s: Sketch, wires: list[str], step: str, draw: Any) -> None:
    """Append one operation on wires drawn from those so far; those it does not fit are left as they are."""
    x = wires[draw(st.integers(0, len(wires) - 1))]
    shape = s.shape(x)
    peers = [w for w in wires if s.shape(w) == shape]
    other = peers[draw(st.integers(0, len(peers) - 1))]
    small = {
        "conv": lambda: s.conv(x, draw(st.integers(1, 3)), 3, gain=0.7),
        "conv1": lambda: s.conv(x, 2, 1, padding=0),
        "poly": lambda: s.poly(x, draw(st.sampled_from(POLYS))),
        "add": lambda: s.op("add", x, other),
        "sub": lambda: s.op("sub", x, other),
        "concat": lambda: s.op("concat", x, other, attrs={"axis": 1}) if shape[1] < 4 else x,
        "scale": lambda: s.op("scale", x, attrs={"num": draw(st.sampled_from(["1", "-1", "3"])), "den": "4"}),
        "affine": lambda: s.affine(x),
        "pool": lambda: s.pool(x) if min(shape[2:]) >= 2 else x,
        "bias": lambda: s.op("bias", x, value=s.rng.normal(0.0, 0.2, (shape[1], 1, 1))),
        "pad": lambda: (
            s.op("pad", x, attrs={"before": [0, 0, 0, 1], "after": [0, 0, 1, 0]}) if max(shape[2:]) < 6 else x
        ),
        "permute": lambda: s.op("permute", x, attrs={"order": [0, 1, 3, 2]}),
        "twice": lambda: s.op("add", x, x),
    }
    wires.append(small[step]())


@st.composite
def nets(draw: Any) -> tuple[Graph, list[np.ndarray]]:
    s = Sketch(draw(st.integers(0, 1 << 30)))
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(2, 4)), draw(st.integers(2, 4)))
    wires = [s.input(*shape) for _ in range(draw(st.integers(1, 2)))]
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=3, max_size=10)):
        grow(s, wires, step, draw)
    outputs = [wires[-1], *([wires[draw(st.integers(0, len(wires) - 1))]] if draw(st.booleans()) else [])]
    graph = s.graph(*outputs)
    xs = s.values()
    if max(float(np.abs(y).max()) for y in run_clear(graph, *xs)) < 1e-3:
        reject()
    return graph, xs


@given(nets(), st.sampled_from([0, 0, 0, 64]), st.sampled_from(["masked", "masked", "clear"]))
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_private_equals_clear(net: tuple[Graph, list[np.ndarray]], ring: int, protocol: str) -> None:
    graph, xs = net
    try:
        plan = plan_under(protocol, graph, xs, ring)
    except Refused:
        reject()
    check_plan(plan)
    result = simulate(plan, *xs, seeds=Seeds(Seed(bytes([1] * 16)), Seed(bytes([2] * 16))))  # the same coins each time
    check_bill(plan, result)
    want = run_clear(graph, *xs)
    # where terms cancel, the outputs are no larger than the units in which they are computed
    unit = 2.0 ** -int(plan.settings["input_bits"])
    furthest = max(float(np.abs(g - w).max()) for g, w in zip(result.outputs, want, strict=True))
    assert nrmse(result.outputs, want) < 5e-3 or furthest < 32 * unit


def segments(plan: Plan) -> dict[int, int]:
    """The stupid way: spread the smallest site number over neighbours until nothing changes."""
    name = {step.site: step.site for step in plan.steps}
    joined = [(i, step.site) for step in plan.steps if step.op != "poly" for i in step.inputs]
    changed = True
    while changed:
        changed = False
        for a, b in joined:
            if name[a] != name[b]:
                name[a] = name[b] = min(name[a], name[b])
                changed = True
    return name


def check_plan(plan: Plan) -> None:
    """What the planner promises of every plan."""
    wires = plan.wires
    for step in plan.steps:
        if step.protocol != "clear" and step.op in ("linear", "conv", "affine"):
            assert wires[step.inputs[0]].preset == "dealt"
    for op in ("open", "remask"):
        read = [step.inputs for step in plan.steps if step.op == op]
        assert len(set(read)) == len(read), f"one wire has two steps of {op}"
    check_rings(plan)
    check_polynomials(plan)
    for step in plan.outputs:
        assert 0 <= step.attrs["drop"] <= wires[step.site].ring - 2
    for (site, _), words in integer_weights(plan).items():
        assert words.shape in [tuple(s) for s in plan.steps[site].weights.values()]


def check_rings(plan: Plan) -> None:
    """Every range fits its ring with the headroom of an opening, and no smaller ring would do."""
    group = segments(plan)
    need: dict[int, Fraction] = {}
    for site, bound in plan.ranges.items():
        wire = plan.wires[site]
        size = Fraction(bound) * wire.scale
        assert size <= Fraction(2) ** (wire.ring - 2), f"step {site} can wrap"
        need[group[site]] = max(need.get(group[site], Fraction(0)), size)
    for step in plan.steps:
        for opened in step.inputs if "shift" in step.attrs else ():
            need[group[opened]] = max(need[group[opened]], Fraction(2) ** step.attrs["shift"])
    for site, wire in plan.wires.items():
        smaller = [k for k in RINGS if k < wire.ring]
        if smaller and not plan.settings.get("ring"):
            forced = all(w.ring == wire.ring for w in plan.wires.values())
            assert forced or need[group[site]] > Fraction(2) ** (max(smaller) - 2), f"step {site} has too wide a ring"


def check_polynomials(plan: Plan) -> None:
    """n f' + c + log2|P| is at most 128 less the failure bits, and the bill adds the failures up."""
    limit, total = 128 - int(plan.settings["failure_bits"]), 0.0
    for step in plan.steps:
        if step.op != "poly":
            continue
        opened = plan.wires[step.inputs[0]]
        tag = Fraction(plan.ranges[step.inputs[0]]) * opened.scale / (1 << step.attrs["shift"])
        largest = sum(abs(int(c)) * tag**i for i, c in enumerate(step.attrs["coeffs"]))
        assert largest <= Fraction(2) ** int(step.attrs["value_bits"]) <= Fraction(2) ** limit
        if step.protocol != "clear":
            total += opened.count * 2.0 ** (step.attrs["value_bits"] - 128)
    assert plan.bill().failure == pytest.approx(total)


def test_an_input_too_large_for_a_forced_ring_is_refused() -> None:
    s = Sketch()
    graph = s.graph(s.op("linear", s.input(1, 2), weight=np.full((1, 2), 1e-7)))
    with pytest.raises(Refused, match="ring of 32 bits"):
        plan_for(graph, policy_for("dealer", 32), [np.array([[1e7, 1.0]])])


def test_outputs_below_the_resolution_still_leave_bits_to_send() -> None:
    """A net whose outputs are tiny next to its scale: fewer bits are dropped than the ring has."""
    s = Sketch()
    x = s.input(1, 2)
    for _ in range(3):
        x = s.op("linear", x, weight=np.full((2, 2), 1e-3))
    graph, xs = s.graph(x), s.values()
    plan = plan_for(graph, policy_for("dealer", input_bits=8, weight_bits=14), xs)
    check_plan(plan)
    assert float(np.abs(simulate(plan, *xs).outputs[0] - run_clear(graph, *xs)[0]).max()) < 2.0**-8


@pytest.mark.parametrize("inputs", [1.0, -1.0])
def test_a_value_at_the_very_edge_of_its_range(inputs: float) -> None:
    """With a margin of one the calibrated extreme itself is opened at the edge of the ring, and must not wrap."""
    s = Sketch()
    graph = s.graph(s.poly(s.op("linear", s.input(400, 1), weight=np.ones((1, 1))), ("0", "1")))
    xs = [np.full((400, 1), inputs)]
    plan = plan_for(graph, policy_for("dealer", margin=1.0), xs)
    opened = next(step for step in plan.steps if step.op == "open")
    wire = plan.wires[opened.site]
    assert plan.ranges[opened.site] * wire.scale == 2.0 ** (wire.ring - 2), "the test no longer reaches the edge"
    assert float(np.abs(simulate(plan, *xs).outputs[0] - inputs).max()) < 1e-4
