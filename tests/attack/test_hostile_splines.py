"""Plans whose splines lie about their knots, sizes or bounds: refused before anything runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tacit.errors import InvalidFile
from tacit.plan.plan import Plan
from tacit.plan.save import plan_from_json
from tacit.testing.graphs import Sketch, plan_for, policy_for

Attrs = dict[str, Any]


@pytest.fixture(scope="module", params=["dealer", "clear"])
def plan(request: pytest.FixtureRequest) -> Plan:
    s = Sketch(4)
    graph = s.graph(s.op("smooth", s.linear(s.input(2, 6), 5), attrs={"function": "gelu"}))
    return plan_for(graph, policy_for(request.param), s.values())


def item(name: str, at: int, value: Any) -> Callable[[Attrs], Any]:
    return lambda a: a[name].__setitem__(at, value)


CHANGES: dict[str, Callable[[Attrs], Any]] = {
    "knots out of order": lambda a: a.update(knots=a["knots"][::-1]),
    "a knot twice": lambda a: a["knots"].__setitem__(0, a["knots"][1]),
    "a knot out of range": item("knots", -1, str(1 << 40)),
    "no knots": lambda a: a.update(knots=[], coeffs=a["coeffs"][: a["degree"] + 1]),
    "too many knots": lambda a: a.update(knots=[str(i) for i in range(65)]),
    "a knot that is a word": item("knots", 0, "one"),
    "a knot that is a number": item("knots", 0, 7),
    "a knot without end": item("knots", 0, "9" * 5000),
    "knots that are none": lambda a: a.update(knots=None),
    "a coefficient less": lambda a: a["coeffs"].pop(),
    "a coefficient more": lambda a: a["coeffs"].append("0"),
    "a coefficient without end": item("coeffs", 0, "1" + "0" * 18),
    "a coefficient that is a fraction": item("coeffs", 0, "1/2"),
    "larger values": lambda a: item("coeffs", 1, str(int(a["coeffs"][1]) + (1 << 30)))(a),
    "all pieces alike": lambda a: a.update(coeffs=["0"] * len(a["coeffs"])),
    "understated bits": lambda a: a.update(value_bits=a["value_bits"] - 1),
    "bits that are a word": lambda a: a.update(value_bits="30"),
    "words too narrow": lambda a: a.update(width=4),
    "words of nothing": lambda a: a.update(width=0),
    "words too wide": lambda a: a.update(width=17),
    "degree 0": lambda a: a.update(degree=0),
    "degree 4": lambda a: a.update(degree=4),
    "another degree": lambda a: a.update(degree=a["degree"] + 1),
    "a shift beyond the ring": lambda a: a.update(shift=62, bits=[62, 64]),
    "another shift than the tests'": lambda a: a.update(shift=a["shift"] - 1),
    "a truncation of everything": lambda a: a.update(trunc=64),
    "a truncation below zero": lambda a: a.update(trunc=-1),
    "too few bits": lambda a: item("bits", 1, a["bits"][1] - 2)(a),
    "bits beyond the ring": item("bits", 1, 65),
    "no bit to compare": lambda a: item("bits", 1, a["bits"][0] + 1)(a),
    "a domain beyond the range": item("domain", 1, str(1 << 50)),
    "a domain the wrong way": lambda a: a.update(domain=a["domain"][::-1]),
    "half a domain": lambda a: a["domain"].pop(),
    "an error below zero": lambda a: a.update(error="-1/4"),
    "an error that is a number": lambda a: a.update(error=0.5),
    "a scale of nothing": lambda a: a.update(scale="0"),
    "no error": lambda a: a.pop("error"),
    "a tie": lambda a: a.update(tie="poszero"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_hostile_spline_is_refused(plan: Plan, name: str) -> None:
    data = json.loads(plan.canonical())
    (step,) = (step for step in data["steps"] if step["op"] == "spline")
    CHANGES[name](step["attrs"])
    with pytest.raises(InvalidFile) as refused:
        plan_from_json(json.dumps(data, sort_keys=True, separators=(",", ":")).encode(), "here")
    assert len(str(refused.value)) < 500


def test_a_spline_reads_no_differences_from_knots(plan: Plan) -> None:
    data = json.loads(plan.canonical())
    (site,) = (i for i, step in enumerate(data["steps"]) if step["op"] == "spline")
    spline = data["steps"][site]
    data["ranges"][str(len(data["steps"]))] = data["ranges"][str(spline["inputs"][0])]
    data["steps"].append({**spline, "op": "fan", "attrs": {"knots": ["0"]}})
    data["steps"].append({**spline, "inputs": [len(data["steps"]) - 1]})
    with pytest.raises(InvalidFile, match="read"):
        plan_from_json(json.dumps(data, sort_keys=True, separators=(",", ":")).encode(), "here")


def test_the_plan_itself_is_taken(plan: Plan) -> None:
    assert plan_from_json(plan.canonical(), "here").digest == plan.digest
