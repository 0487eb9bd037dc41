"""Plans that a server or an owner's file could bring: refused before anything is allocated, drawn or sent for them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tacit.errors import InvalidFile
from tacit.plan.plan import Plan
from tacit.plan.save import plan_from_json
from tacit.testing.graphs import Sketch, plan_for, policy_for, residual_net
from tacit.testing.ops import CASES

Data = dict[str, Any]
Change = Callable[[Data], Any]

# The steps of the plan in conftest.py: mask, linear, open, poly, linear, reveal.
MASK, LINEAR, OPEN, POLY, REVEAL = 0, 1, 2, 3, 5


def attr(site: int, name: str, value: Any) -> Change:
    return lambda d: d["steps"][site]["attrs"].__setitem__(name, value)


def drop_attr(site: int, name: str) -> Change:
    return lambda d: d["steps"][site]["attrs"].pop(name)


def field(site: int, name: str, value: Any) -> Change:
    return lambda d: d["steps"][site].__setitem__(name, value)


def top(name: str, value: Any) -> Change:
    return lambda d: d.__setitem__(name, value)


def more(op: str, *inputs: int, attrs: Data | None = None, weights: Data | None = None) -> Change:
    step = {"op": op, "inputs": list(inputs), "attrs": attrs or {}, "node": "more"}
    return lambda d: d["steps"].append({**step, "protocol": "masked", "weights": weights or {}})


def lifts(d: Data) -> None:
    """A scale that doubles its digits again and again."""
    for _ in range(2000):
        last = len(d["steps"]) - 1
        more("lift", last if d["steps"][last]["op"] == "lift" else LINEAR, attrs={"by": "9" * 3999})(d)


CHANGES: dict[str, Change] = {
    # numbers that take for ever to read
    "exponent in a polynomial's scale": attr(POLY, "scale", "1e999999999"),
    "exponent in a weight scale": attr(LINEAR, "weight_scale", "1e999999999"),
    "exponent in an input's scale": lambda d: d["inputs"]["0"].__setitem__("scale", "1e999999999"),
    "a scale of millions of digits": lifts,
    # memory
    "a weight beside a step without any": more("reshape", 0, attrs={"shape": [6]}, weights={"weight": [1 << 32]}),
    "a tensor too large": field(LINEAR, "weights", {"weight": [1 << 17, 1 << 17]}),
    "a weight scale of zero": attr(LINEAR, "weight_scale", "0"),
    "a pool's border": more(
        "sumpool", 0, attrs={"kernel": [1 << 30] * 2, "stride": [1, 1], "padding": [1 << 30] * 2, "divisor": 1}
    ),
    "a whole number too large": attr(LINEAR, "stride", [1 << 62]),
    # numbers that would end a run in the middle, when the masked input has left
    "scale of zero": attr(POLY, "scale", "0"),
    "negative scale": attr(POLY, "scale", "-1"),
    "scale as a float": attr(POLY, "scale", 0.5),
    "more bits dropped than there are": attr(REVEAL, "drop", 63),
    "all bits dropped": attr(REVEAL, "drop", 32),
    "no drop": drop_attr(REVEAL, "drop"),
    "no truncation": drop_attr(POLY, "trunc"),
    "shift beyond the ring": attr(POLY, "shift", 31),
    "coefficients that are words": attr(POLY, "coeffs", ["a", "b"]),
    "coefficients that are nothing": attr(POLY, "coeffs", [None, []]),
    "coefficients too long": attr(POLY, "coeffs", ["1", "9" * 40]),
    "weights of another width": lambda d: d["steps"][LINEAR]["weights"].__setitem__("weight", [4, 7]),
    "weights of another rank": lambda d: d["steps"][LINEAR]["weights"].__setitem__("weight", [4, 3, 9]),
    "an unknown tensor": lambda d: d["steps"][LINEAR]["weights"].__setitem__("more", [4]),
    "a scalar input": lambda d: d["inputs"]["0"].__setitem__("shape", []),
    "commitment that is no hex": top("commitment", "zz"),
    "salt that is no hex": top("salt", "zz"),
    # steps that no planner writes
    "a mask of a value": more("mask", LINEAR),
    "a mask of what was revealed": more("mask", REVEAL),
    "a remask of what was revealed": more("remask", REVEAL),
    "a remask of what is opened": more("remask", OPEN),
    "an offset of what is opened": more("bias", OPEN, weights={"value": [1]}),
    "revealing what is opened": more("reveal", OPEN, attrs={"drop": 0}),
    "a bare kernel": more("product", MASK, attrs={"axis": 0, "weight_scale": "1"}, weights={"weight": [2]}),
    "a step that reads itself": field(LINEAR, "inputs", [LINEAR]),
    # statements to the user that are not true
    "a failure bound understated": attr(POLY, "value_bits", 20.0),
    "a failure bound of nothing": attr(POLY, "value_bits", "-inf"),
    "a range beyond the ring": lambda d: d["ranges"].__setitem__(str(MASK), 2.0**20),
    "an opening beyond the ring": lambda d: d["ranges"].__setitem__(str(OPEN), 1e300),
    "no range of an opening": lambda d: d["ranges"].pop(str(OPEN)),
    "settings without ranges": top("settings", {}),
    "a layer's name without end": field(LINEAR, "node", "x" * 1001),
}


def product_plan() -> Data:
    """mask, mask, open, open, mul, reveal."""
    s = Sketch(1)
    made = plan_for(s.graph(s.op("mul", s.input(2, 3), s.input(2, 3))), policy_for("dealer"), s.values())
    assert [step.op for step in made.steps] == ["mask", "mask", "open", "open", "mul", "reveal"]
    data: Data = json.loads(made.canonical())
    return data


PRODUCTS: dict[str, Change] = {
    "a product of what is not opened": field(4, "inputs", [0, 1]),
    "a product of one opened value and one that is not": field(4, "inputs", [2, 1]),
    "a product of one value": field(4, "inputs", [2]),
    "a product of three values": field(4, "inputs", [2, 3, 2]),
    "a product of matrices that do not fit": field(4, "op", "matmul"),
    "a product of shapes that do not fit": lambda d: d["inputs"]["1"].__setitem__("shape", [3, 3]),
    "a product of values in two rings": lambda d: (d["inputs"]["1"].__setitem__("ring", 64), attr(1, "ring", 64)(d)),
    "a product with a number of another gate's": attr(4, "ring", 40),
    "a product without a protocol for it": field(4, "protocol", "masked"),
    "an opened value revealed beside its product": field(5, "inputs", [2]),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_refused(name: str) -> None:
    data = product_plan()
    PRODUCTS[name](data)
    with pytest.raises(InvalidFile):
        plan_from_json(as_json(data), "a hostile plan")


def test_a_product_of_what_a_knot_was_taken_off_is_refused() -> None:
    """Its mask is that of an opening, but it is not an opening: nobody could say which half is whose."""
    data = product_plan()
    fan = {"op": "fan", "inputs": [2], "attrs": {"knots": ["0"]}, "protocol": "fss", "node": "x", "weights": {}}
    fans = [fan, {**fan, "inputs": [3]}]
    product, reveal = data["steps"][4:]
    data["steps"][4:] = [*fans, {**product, "inputs": [4, 5]}, {**reveal, "inputs": [6]}]
    data["ranges"].update({"7": data["ranges"].pop("5"), "4": data["ranges"]["2"], "5": data["ranges"]["3"]})
    with pytest.raises(InvalidFile, match="differences from knots"):
        plan_from_json(as_json(data), "a hostile plan")


def as_json(data: Data) -> bytes:
    return json.dumps(data).encode()


@pytest.mark.parametrize("name", CHANGES)
def test_refused(plan: Plan, name: str) -> None:
    data = copy.deepcopy(json.loads(plan.canonical()))
    CHANGES[name](data)
    with pytest.raises(InvalidFile):
        plan_from_json(as_json(data), "a hostile plan")


@pytest.mark.parametrize("trust", ["dealer", "clear"])
@pytest.mark.parametrize("op", sorted(CASES))
def test_what_the_planner_writes_is_taken(op: str, trust: str) -> None:
    for draw in CASES[op]:
        s = Sketch(1)
        outputs = draw(s)
        made = plan_for(s.graph(*outputs), policy_for(trust), s.values())
        assert plan_from_json(made.canonical(), "our own").digest == made.digest


@pytest.mark.parametrize("ring", [0, 40, 44, 64])
@pytest.mark.parametrize("ranges", ["calibrated", "proven"])
def test_whole_nets_are_taken(ring: int, ranges: str) -> None:
    graph, xs = residual_net()
    made = plan_for(graph, policy_for("dealer", ring, ranges=ranges), xs)
    assert plan_from_json(made.canonical(), "our own").digest == made.digest
    assert np.isfinite(made.bill().failure)


def test_a_bill_does_not_drive_the_terminal(plan: Plan) -> None:
    data = json.loads(plan.canonical())
    data["steps"][LINEAR]["node"] = "\x1b[2Jlayer"
    bill = str(plan_from_json(as_json(data), "a rude plan").bill())
    assert "layer" in bill
    assert "\x1b" not in bill
