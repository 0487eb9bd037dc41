"""The frontier lines of the co-design page: their points, how they compare, and the section that shows them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

Load = Callable[[str], ModuleType]


def _row(name: str, frontier: str, top1: float, ms: float, **more: Any) -> dict[str, Any]:
    links = {link: {"measured": ms / 1e3, "predicted": ms / 2e3} for link in ("lan", "wan")}
    latency = {"links": links, "activations": {"poly": 1, "relu": 9}}
    facts = {"frontier": frontier} if frontier else {}
    row = {"name": name, "net": "resnet18", "seed": 0, "test": {"top1": top1}, "facts": facts, "latency": latency}
    return {**row, **more}


ROWS = [
    _row("relu", "", 0.95, 100),
    _row("deepreduce S3", "deepreduce", 0.90, 60),
    _row("deepreduce S2", "deepreduce", 0.80, 70),
    _row("planner wan 1", "planner wan", 0.92, 40),
    _row("planner lan 1", "planner lan", 0.85, 30),
    _row("other net", "deepreduce", 0.99, 1, net="vgg16"),
]


def test_points_are_measured_ones_of_their_frontier(load: Load) -> None:
    frontiers = load("lib.codesign_frontiers")
    untimed = {k: v for k, v in _row("untimed", "deepreduce", 0.99, 1).items() if k != "latency"}
    found = frontiers.points_of([*ROWS[:5], untimed], "deepreduce")
    assert [point.name for point in found] == ["relu", "deepreduce S3", "deepreduce S2"]
    assert found[1].seconds == {"lan": 0.06, "wan": 0.06}
    assert found[1].activations == 10


def test_ratios_are_at_equal_accuracy(load: Load) -> None:
    frontiers = load("lib.codesign_frontiers")
    ours, theirs = (frontiers.points_of(ROWS[:5], name) for name in ("planner wan", "deepreduce"))
    found = {a.name: (b.name, factor) for a, b, factor in frontiers.ratios(ours, theirs, "wan")}
    assert found == {"deepreduce S3": ("planner wan 1", pytest.approx(1.5)), "relu": ("relu", 1.0)}


def test_the_section_shows_both_frontiers(load: Load) -> None:
    frontiers = load("lib.codesign_frontiers")
    text = "".join(frontiers.frontiers(ROWS))
    assert "| DeepReDuce | deepreduce S3 | 90.00 | 10 | 60.0 (30.0) |" in text
    assert "deepreduce S2" not in text  # beaten
    assert "other net" not in text
    assert "at best 1/1.50 (planner wan 1 against deepreduce S3)" in text
    assert not "".join(frontiers.frontiers(ROWS[:1]))


def test_the_lines_are_registered(load: Load) -> None:
    load("lib.codesign_page")
    assert {"deepreduce", "planner lan", "planner wan"} <= set(load("lib.codesign_lines").LINES)
