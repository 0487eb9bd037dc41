"""The numpy executor: inputs checked, ranges as calibration needs them."""

from __future__ import annotations

import numpy as np
import pytest

from tacit.errors import InvalidInput
from tacit.front.clear import ranges, run_clear
from tacit.ir import Graph, Node

WEIGHT = np.array([[1.0, -2.0], [0.5, 0.25]], np.float32)


def small(inputs: int = 1) -> Graph:
    """x [2, 2] -> linear -> square (and + y when there are two inputs)."""
    nodes = [
        Node("x", "input", (), (2, 2)),
        Node("l", "linear", ("x",), (2, 2), {}, {"weight": "w"}),
        Node("q", "poly", ("l",), (2, 2), {"coeffs": ["0", "0", "1"]}),
    ]
    if inputs == 2:
        nodes = [*nodes[:1], Node("y", "input", (), (2, 2)), *nodes[1:], Node("s", "add", ("q", "y"), (2, 2))]
    return Graph(tuple(nodes), (nodes[-1].id, "l"), {"w": WEIGHT})


def test_values_and_record() -> None:
    x = np.array([[1.0, 2.0], [3.0, -1.0]])
    seen: dict[str, np.ndarray] = {}
    square, linear = run_clear(small(), x, record=lambda node, value: seen.update({node.id: value}))
    np.testing.assert_array_equal(linear, x @ WEIGHT.T)
    np.testing.assert_array_equal(square, (x @ WEIGHT.T) ** 2)
    assert list(seen) == ["x", "l", "q"]


def test_ranges_are_the_largest_over_all_batches() -> None:
    batches = [np.full((2, 2), 1.0), np.concatenate([np.full((2, 2), 0.5), np.array([[4.0, -4.0], [0, 0]])])]
    found = ranges(small(), batches)
    assert found == {"x": 4.0, "l": 12.0, "q": 144.0}


def test_ranges_of_two_inputs() -> None:
    found = ranges(small(2), [(np.ones((4, 2)), -9 * np.ones((4, 2)))])
    assert (found["y"], found["s"]) == (9.0, 8.4375)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "takes 1 inputs"), ([np.ones((2, 2))] * 2, "takes 1 inputs"), ([np.ones((1, 2))], "shape"),
        ([np.array([["a", "b"], ["c", "d"]])], "numbers"), ([np.full((2, 2), np.nan)], "NaN"),
        ([np.ones((2, 2), complex)], "numbers"),
    ],
)  # fmt: skip
def test_wrong_inputs(inputs: list[np.ndarray], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        run_clear(small(), *inputs)


@pytest.mark.parametrize("batches", [[], [np.ones((3, 2))], [np.ones((0, 2))], [np.float64(1.0)]])
def test_wrong_batches(batches: list[np.ndarray]) -> None:
    with pytest.raises(InvalidInput):
        ranges(small(), batches)
