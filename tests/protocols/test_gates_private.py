"""Gates in plans, in secret against in the clear: maxima over windows, intervals, slopes, comparisons, labels."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tacit import ops
from tacit.errors import InvalidInput, Refused
from tacit.front.clear import ranges, run_clear
from tacit.front.labels import with_labels
from tacit.front.order import pool_first
from tacit.ir import Graph, Node
from tacit.net.frame import Kind
from tacit.net.memory import pair
from tacit.net.record import record
from tacit.plan.compile import plan_graph
from tacit.plan.plan import Plan
from tacit.run.simulate import simulate
from tacit.testing.graphs import Sketch, plan_for, policy_for

UNIT = 2.0**-16


def grid(rng: np.random.Generator, *shape: int, most: int = 200) -> np.ndarray:
    """Values that a wire holds exactly, with ties."""
    return rng.integers(-most, most, shape) * UNIT * np.where(rng.random(shape) < 0.5, 1, 256)


def planned(graph: Graph, *xs: np.ndarray, ring: int = 0, **policy: Any) -> Plan:
    return plan_for(graph, policy_for("dealer", ring, **policy), list(xs))


@st.composite
def windows(draw: st.DrawFn) -> tuple[int, dict[str, Any]]:
    size = draw(st.integers(2, 9))
    kind = draw(st.sampled_from(["whole", "adaptive", "windows"]))
    if kind == "whole":
        return size, {"whole": True}
    if kind == "adaptive":
        return size, {"adaptive": draw(st.integers(1, size))}
    kernel = draw(st.integers(1, 5))
    return size, {
        "kernel": kernel,
        "stride": draw(st.integers(1, 3)),
        "padding": draw(st.integers(0, kernel // 2)),
        "dilation": draw(st.integers(1, 2)),
        "windows": draw(st.integers(1, 5)),
    }


@given(windows(), st.integers(1, 2), st.sampled_from([0, 32, 64]), st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_the_maximum_of_windows_is_exact(drawn: tuple[int, dict[str, Any]], axis: int, ring: int, seed: int) -> None:
    """To the last bit, since a plan's window leaves out only what is below the input's resolution."""
    size, attrs = drawn
    shape = (2, 3, size) if axis == 2 else (2, size, 3)
    s, rng = Sketch(0), np.random.default_rng(seed)
    try:
        y = s.op("max", s.input(*shape), attrs={**attrs, "axis": axis})
    except InvalidInput:
        assume(False)
    x = grid(rng, *shape) * UNIT**-1 * 2.0 ** -policy_for("dealer", ring).input_bits
    graph = s.graph(y)
    got = simulate(planned(graph, x, ring=ring), x).outputs[0]
    assert np.array_equal(got, run_clear(graph, x)[0])


def alone(op: str, count: int, **attrs: Any) -> Graph:
    s = Sketch(0)
    return s.graph(s.op(op, s.input(1, count), attrs=attrs))


def observed(graph: Graph, x: np.ndarray, bound: float, **policy: Any) -> Plan:
    """A plan for inputs up to `bound`, whatever x holds."""
    chosen = policy_for("dealer", **policy)
    seen = ranges(graph, [(np.full(x.shape, bound),)])
    return plan_graph(graph, chosen, {node.id: bound for node in graph.nodes}, seen, "0" * 64)


INTERVALS = [
    {"low": "0", "high": "6"},
    {"low": "-1", "high": "1"},
    {"low": "-7/2", "high": "-1/4"},
    {"low": "2", "high": "2"},
    {"low": "-8", "high": "3"},
    {"low": "-3", "high": "8"},
    {"low": "-100", "high": "100"},
    {"low": "1/3"},
    {"low": "0"},
    {"high": "0"},
    {"high": "-5/3"},
    {"low": "-100"},
    {"low": "-100", "high": "1/7"},
]


@pytest.mark.parametrize("attrs", INTERVALS)
@pytest.mark.parametrize("rounding", ["stochastic", "exact"])
@pytest.mark.parametrize("tie", ["negpass", "poszero"])
def test_intervals_at_and_beyond_the_range(attrs: dict[str, str], rounding: str, tie: str) -> None:
    """The range is [-8, 8]: its ends, the interval's ends and their neighbours, exactly but for rounded ends."""
    ends = [float(Fraction(e)) for e in attrs.values() if abs(Fraction(e)) <= 8]
    near = np.round(np.array([-8.0, 8.0, 0.0, *ends]) / UNIT) * UNIT
    x = np.clip(np.concatenate([near, near + UNIT, near - UNIT, np.linspace(-8, 8, 65)]), -8, 8)[None]
    graph = alone("clip", x.shape[1], **attrs)
    got = simulate(observed(graph, x, 8.0, rounding=rounding, tie=tie), x).outputs[0]
    np.testing.assert_allclose(got, run_clear(graph, x)[0], atol=UNIT / 2)


@pytest.mark.parametrize("attrs", [{"low": "8"}, {"low": "9", "high": "10"}, {"high": "-8"}])
def test_an_interval_beyond_the_range_is_refused(attrs: dict[str, str]) -> None:
    x = np.zeros((1, 4))
    with pytest.raises(Refused, match="lies outside of the range"):
        observed(alone("clip", 4, **attrs), x, 8.0)


@pytest.mark.parametrize("slope", ["0", "1/4", "-1/4", "1/100", "-3/2", "2", "-64", "64"])
@pytest.mark.parametrize("ring", [0, 44, 64])
@pytest.mark.parametrize("rounding", ["stochastic", "exact"])
def test_slopes(slope: str, ring: int, rounding: str) -> None:
    policy = policy_for("dealer", ring, rounding=rounding)
    unit = 2.0**-policy.input_bits
    x = np.array([[-8.0, -1.0, -unit, 0.0, unit, 1.0, 7.5, -3.25]])
    graph = alone("leaky", 8, slope=slope)
    plan = plan_for(graph, policy, [x])
    got = simulate(plan, x).outputs[0]
    rounded = 8 * 2.0**-13 if Fraction(slope).denominator == 100 else 0  # the slope has 12 bits
    np.testing.assert_allclose(got, run_clear(graph, x)[0], atol=rounded + unit)
    if plan.outputs[0].attrs["drop"] == 0:
        assert np.array_equal(got[x >= 0], x[x >= 0])


@pytest.mark.parametrize("op", ["step", "abs", "relu"])
def test_zero_and_its_neighbours(op: str) -> None:
    x = np.array([[0.0, -0.0, UNIT, -UNIT, 4.0, -4.0]])
    graph = alone(op, 6)
    for ring in (32, 44, 64):
        policy = policy_for("dealer", ring)
        scaled = x / UNIT * 2.0**-policy.input_bits
        scaled[0, 4:] = 4.0, -4.0
        for _ in range(5):
            assert np.array_equal(
                simulate(plan_for(graph, policy, [scaled]), scaled).outputs[0], run_clear(graph, scaled)[0]
            )


def test_comparisons_are_exact_behind_a_layer() -> None:
    """A step is tested on all bits, those below the resolution too, whatever the policy's window and tie."""
    s = Sketch(0)
    x = s.input(1, 6)
    y = s.op("step", s.op("linear", x, weight=np.eye(6) * 0.5))
    graph = s.graph(y)
    values = np.array([[UNIT, -UNIT, 0.0, 1.0, -1.0, 0.5]])
    for window, tie in (("auto", "poszero"), (8, "negpass"), (8, "poszero"), ("exact", "poszero")):
        plan = planned(graph, values, window=window, tie=tie)
        for _ in range(10):
            assert np.array_equal(simulate(plan, values).outputs[0], values >= 0)


@pytest.mark.parametrize("reveal", ["argmax", "top2", "top5"])
def test_labels_are_all_that_the_client_gets(reveal: str) -> None:
    """The last frame holds one small number a label, whatever the logits; and the labels are right, ties in order."""
    policy, items, rows = policy_for("dealer", reveal=reveal), 7, 16
    rng = np.random.default_rng(1)
    sizes = set()
    for spread in (1, 3, 4000):
        s = Sketch(0)
        x = s.input(rows, items)
        plain = s.graph(s.op("linear", x, weight=np.eye(items)))
        graph = with_labels(plain, policy.labels)
        values = rng.integers(-spread, spread, (rows, items)) * UNIT
        plan = plan_for(graph, policy, [np.full((rows, items), 4000 * UNIT)])
        channels = pair()
        tap = record(channels[0], keep=True)
        got = simulate(plan, values, channels=channels).outputs
        want = np.argsort(-values, axis=-1, kind="stable")[:, : policy.labels]
        assert len(got) == 1
        assert np.array_equal(got[0], want)
        frames = [f for f in tap.frames if f.kind is Kind.DATA]
        sizes.add(tuple((f.direction, len(f.payload)) for f in frames))
        last = plan.outputs[0]
        assert frames[-1].direction == "received"
        assert len(frames[-1].payload) == plan.wires[last.site].packed
        assert [step.op for step in plan.steps].count("reveal") == 1
    assert len(sizes) == 1


def test_the_revealed_words_are_labels_and_nothing_else() -> None:
    """Not only their rounded values: every bit that the client can compute of the output is the label's."""
    s = Sketch(3)
    plain = s.graph(s.linear(s.input(8, 5), 6))
    graph, xs = with_labels(plain, 2), s.values()
    plan = plan_for(graph, policy_for("dealer", reveal="top2"), xs)
    wire = plan.wires[plan.outputs[0].site]
    words = simulate(plan, *xs).words[0] & np.uint64((1 << wire.ring) - 1)
    order = np.argsort(-run_clear(plain, *xs)[0], axis=-1, kind="stable")[:, :2]
    assert (wire.scale, plan.outputs[0].attrs["drop"]) == (1, 0)
    assert np.array_equal(words, order.astype(np.uint64))


def test_every_output_is_replaced_by_labels() -> None:
    s = Sketch(0)
    x = s.input(2, 4)
    graph = with_labels(s.graph(s.linear(x, 5), s.linear(x, 3)), 2)
    assert [next(n for n in graph.nodes if n.id == out).op for out in graph.outputs] == ["topk", "topk"]
    with pytest.raises(InvalidInput, match=r"policy\.reveal"):
        with_labels(s.graph(s.linear(x, 2)), 2)


# The order of pools and activations


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Chains and forks of ReLUs, maxima, slopes and sums on [2, 2, 8], some nodes read twice, some revealed."""
    s = Sketch(draw(st.integers(0, 99)))
    made = [s.input(2, 2, 8)]
    for _ in range(draw(st.integers(1, 8))):
        x = draw(st.sampled_from(made[-3:]))
        kind = draw(st.sampled_from(["relu", "relu", "max", "max", "leaky", "add", "scale"]))
        size = s.shape(x)[2]
        if kind == "max":
            kernel = draw(st.integers(1, min(3, size)))
            attrs = {"axis": 2, "kernel": kernel, "stride": 1, "padding": 0, "dilation": 1}
            made.append(s.op("max", x, attrs={**attrs, "windows": size - kernel + 1}))
        elif kind == "add":
            made.append(s.op("add", x, draw(st.sampled_from([m for m in made if s.shape(m) == s.shape(x)]))))
        elif kind == "scale":
            made.append(
                s.op("scale", x, attrs={"num": draw(st.sampled_from(["-1", "1/2"]).map(str)).split("/")[0], "den": "2"})
            )
        else:
            made.append(s.op(kind, x, attrs={"slope": "-1/3"} if kind == "leaky" else {}))
    outputs = draw(st.lists(st.sampled_from(made[1:]), min_size=1, max_size=2, unique=True))
    return s.graph(*outputs)


def reordered(graph: Graph) -> Graph:
    nodes, outputs = pool_first(graph.nodes, graph.outputs)
    return Graph(tuple(nodes), tuple(outputs), graph.weights)


@given(graphs(), st.integers(0, 999))
@settings(max_examples=150, deadline=None)
def test_pools_first_keep_the_function(graph: Graph, seed: int) -> None:
    """The same outputs to the bit, in the same order; every node still reads only what comes before it."""
    x, after = np.random.default_rng(seed).normal(size=(2, 2, 8)), reordered(graph)
    for got, want in zip(run_clear(after, x), run_clear(graph, x), strict=True):
        assert np.array_equal(got, want)
    seen: dict[str, Node] = {}
    for node in after.nodes:
        assert all(i in seen for i in node.inputs)
        assert node.id not in seen
        shapes = tuple(seen[i].shape for i in node.inputs)
        assert node.op == "input" or node.shape == ops.infer(node.op, node.attrs, shapes)
        seen[node.id] = node
    uses = [i for node in after.nodes for i in node.inputs] + list(after.outputs)
    for node in after.nodes:
        inner = seen[node.inputs[0]] if node.op == "max" else None
        assert inner is None or inner.op != "relu" or uses.count(inner.id) > 1


def test_pools_first_test_fewer_values() -> None:
    s = Sketch(0)
    attrs = {"axis": 2, "kernel": 2, "stride": 2, "padding": 0, "dilation": 1, "windows": 4}
    graph = s.graph(s.op("max", s.op("relu", s.input(1, 2, 8)), attrs=attrs))
    x = np.random.default_rng(0).normal(size=(1, 2, 8))
    counts = []
    for g in (graph, reordered(graph)):
        plan = plan_for(g, policy_for("dealer"), [x])
        counts.append(sum(plan.wires[step.site].count for step in plan.steps if step.op == "relu"))
        assert np.allclose(simulate(plan, x).outputs[0], run_clear(graph, x)[0], atol=4 * UNIT)
    assert counts == [16 + 8, 8 + 8]
