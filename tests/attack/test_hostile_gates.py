"""Plans whose gates test too few bits, lie about knots and sizes, or feed each other: refused before anything runs."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tacit.errors import InvalidFile
from tacit.plan.plan import Plan
from tacit.plan.save import plan_from_json
from tacit.testing.graphs import Sketch, plan_for, policy_for

Data = dict[str, Any]
Change = Callable[[Data], Any]


def gated(trust: str) -> Plan:
    """A plan with every gate: a clipped value, a bit of it, and the labels of the largest two of five."""
    s = Sketch(4)
    x = s.linear(s.input(2, 6), 5)
    y = s.op("clip", x, attrs={"low": "-1/2", "high": "1/3"})
    labels = s.op("topk", y, attrs={"k": 2})
    graph = s.graph(s.op("relu", s.linear(y, 4)), s.op("step", s.linear(y, 3)), labels)
    return plan_for(graph, policy_for(trust, rounding="exact"), s.values())


@pytest.fixture(scope="module", params=["dealer", "clear"])
def plan(request: pytest.FixtureRequest) -> Plan:
    return gated(request.param)


def site(d: Data, op: str, last: bool = False) -> int:
    """Where the first (or last) step of this kind is."""
    found = [i for i, step in enumerate(d["steps"]) if step["op"] == op]
    return found[-1 if last else 0]


def attr(op: str, name: str, value: Any, last: bool = False) -> Change:
    return lambda d: d["steps"][site(d, op, last)]["attrs"].__setitem__(name, value)


def without(op: str, name: str) -> Change:
    return lambda d: d["steps"][site(d, op)]["attrs"].pop(name)


def lower(op: str, by: int = 1) -> Change:
    """The sign test looks at so many bits fewer."""

    def change(d: Data) -> None:
        bits = d["steps"][site(d, op)]["attrs"]["bits"]
        bits[1] -= by

    return change


def reads(op: str, other: str, last: bool = False) -> Change:
    """The last step of one kind reads the first (or last) of another, if need be at its end."""

    def change(d: Data) -> None:
        step = copy.deepcopy(d["steps"][site(d, op, True)])
        d["steps"].append({**step, "inputs": [site(d, other, last)]})

    return change


def poly(other: str) -> Change:
    """A polynomial of what this step makes."""

    def change(d: Data) -> None:
        attrs = {"coeffs": ["0", "1"], "shift": 1, "trunc": 0, "value_bits": 60.0, "ring": 64, "scale": "65536"}
        protocol = "clear" if d["steps"][0]["protocol"] == "clear" else "masked"
        step = {"op": "poly", "inputs": [site(d, other)], "attrs": attrs, "node": "more", "weights": {}}
        d["steps"].append({**step, "protocol": protocol})

    return change


def smaller_range(op: str) -> Change:
    """The opening that this gate reads is stated to be larger than the gate's bits hold."""

    def change(d: Data) -> None:
        d["ranges"][str(d["steps"][site(d, op)]["inputs"][0])] *= 2
        for step in d["steps"]:  # where the ring has room, so that the gate alone is wrong
            if "ring" in step["attrs"]:
                step["attrs"]["ring"] = 64
        for wire in d["inputs"].values():
            wire["ring"] = 64

    return change


CHANGES: dict[str, Change] = {
    # signs that are wrong for values in range
    **{f"too few bits of a {op}": lower(op) for op in ("relu", "step", "ranks", "labels")},
    **{f"a range beyond the bits of a {op}": smaller_range(op) for op in ("relu", "step", "ranks", "labels")},
    "no range of differences": lambda d: d["ranges"].pop(str(site(d, "fan"))),
    "a knot out of range": attr("fan", "knots", ["0", str(1 << 60)]),
    "a label's knot out of range": attr("fan", "knots", ["1", "1000000"], True),
    # bits that are none
    "one bit": attr("relu", "bits", [4]),
    "bits beyond the ring": attr("relu", "bits", [0, 65]),
    "bits without number": attr("relu", "bits", [0, 1 << 30]),
    "bits below zero": attr("relu", "bits", [-1, 40]),
    "bits the wrong way": attr("relu", "bits", [30, 20]),
    "no bit to compare": lambda d: attr(
        "relu", "bits", [(b := d["steps"][site(d, "relu")]["attrs"]["bits"][1]) - 1, b]
    )(d),
    "bits that are words": attr("relu", "bits", ["0", "40"]),
    "bits that are true": attr("step", "bits", [False, 40]),
    "bits that are nothing": attr("labels", "bits", None),
    "no bits": without("ranks", "bits"),
    # other numbers
    "slopes that are one": attr("relu", "slopes", [1]),
    "slopes that are fractions": attr("relu", "slopes", [0.5, 1]),
    "slopes without number": attr("relu", "slopes", [0, 1 << 40]),
    "slopes that are words": attr("relu", "slopes", ["0", "1"]),
    "no slopes": without("relu", "slopes"),
    "an unknown tie": attr("relu", "tie", "coin"),
    "an unknown rounding": attr("relu", "rounding", "up"),
    "a shift beyond the ring": attr("relu", "shift", 62),
    "a shift below zero": attr("relu", "shift", -1),
    "a scale of nothing": attr("relu", "scale", "0"),
    "a bit of another scale": attr("step", "scale", "65536"),
    "ranks of another scale": attr("ranks", "scale", "2"),
    "no knots": attr("fan", "knots", []),
    "too many knots": attr("fan", "knots", ["0"] * 65),
    "a knot that is a word": attr("fan", "knots", ["a", "0"]),
    "a knot that is a number": attr("fan", "knots", [0, 1]),
    "a knot in another spelling": attr("fan", "knots", ["+0", "1_0"]),
    "a knot without end": attr("fan", "knots", ["9" * 5000]),
    "a ring of nothing": attr("labels", "ring", 7),
    # attributes of one gate at another
    "a bit that rounds": lambda d: d["steps"][site(d, "step")]["attrs"].update(rounding="exact", shift=4),
    "ranks with a tie": attr("ranks", "tie", "poszero"),
    "labels that round": lambda d: d["steps"][site(d, "labels")]["attrs"].update(rounding="exact", shift=4),
    # sizes
    "ranks of more": attr("ranks", "items", 6),
    "ranks of nobody": attr("ranks", "items", 0),
    "ranks without number": attr("ranks", "items", 1 << 30),
    "ranks of words": attr("ranks", "items", "5"),
    "ranks without items": without("ranks", "items"),
    "a label more than values": attr("fan", "knots", ["1", "2", "3", "4", "5"], True),
    "labels of other ranks": attr("fan", "knots", ["1", "3"], True),
    "labels of values": reads("labels", "fan"),
    "labels of ranks alone": reads("labels", "open", True),
    "ranks of a fan": reads("ranks", "fan"),
    "a fan of a fan": reads("fan", "fan"),
    "a fan of a value": reads("fan", "linear"),
    "a gate of a value": reads("relu", "linear"),
    "a gate of a gate": reads("step", "relu"),
    "a polynomial of a fan": poly("fan"),
    "a polynomial of a gate": poly("relu"),
    "revealing a fan": reads("reveal", "fan"),
    "opening a fan": reads("open", "fan"),
    "summing a fan": reads("combine", "fan"),
    # what surrounds them
    "factors that do not fit": attr("combine", "factors", [1]),
    "factors without number": attr("combine", "factors", [1, 1 << 30]),
    "factors that are fractions": attr("combine", "factors", [1, 0.5]),
    "something added that is no number": attr("plus", "value", "one"),
    "something added that is a float": attr("plus", "value", 0.5),
    "something added over zero": attr("plus", "value", "1/0"),
    "nothing added": without("plus", "value"),
}


def as_json(data: Data) -> bytes:
    return json.dumps(data).encode()


def test_the_plan_itself_is_taken(plan: Plan) -> None:
    assert plan_from_json(plan.canonical(), "our own").digest == plan.digest
    ops = {step.op for step in plan.steps}
    assert ops >= {"fan", "relu", "step", "ranks", "labels", "pairs", "combine", "plus"}


@pytest.mark.parametrize("name", CHANGES)
def test_refused(plan: Plan, name: str) -> None:
    data = copy.deepcopy(json.loads(plan.canonical()))
    CHANGES[name](data)
    assert as_json(data) != as_json(json.loads(plan.canonical()))
    with pytest.raises(InvalidFile) as refused:
        plan_from_json(as_json(data), "a hostile plan")
    assert len(str(refused.value)) < 2000


@pytest.mark.parametrize(
    ("index", "why"),
    [([], "one at least"), ([5], "below 5"), ([-1], "at least 0"), ([0.5], "integer"), ("0", "list"), (None, "list")],
)
def test_entries_that_are_not_there(index: Any, why: str) -> None:
    s = Sketch(1)
    made = plan_for(
        s.graph(s.op("take", s.input(1, 5), attrs={"axis": 1, "index": [0, 4]})), policy_for("dealer"), s.values()
    )
    data = json.loads(made.canonical())
    attr("take", "index", index)(data)
    with pytest.raises(InvalidFile, match=why):
        plan_from_json(as_json(data), "a hostile plan")
