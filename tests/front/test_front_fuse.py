"""Polynomials of one activation become one node; whatever else happens, the computed function stays the same."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.front.build import Builder
from tacit.front.clear import run_clear
from tacit.ir import Graph
from tacit.ir.source import Constant, Value
from tacit.ops import adapters

ATEN = adapters("aten")


class Traced:
    """A value with Python's arithmetic, each operation one source call; `naive` is what it computes in numpy."""

    def __init__(self, builder: Builder, value: Value, naive: np.ndarray) -> None:
        self.builder, self.value, self.naive = builder, value, naive

    def call(self, name: str, naive: np.ndarray, *args: Any) -> Traced:
        plain = [a.value if isinstance(a, Traced) else a for a in args]
        return Traced(self.builder, self.builder.call(ATEN[name], "n", name, plain, {}, [self.value.shape])[0], naive)

    def binary(self, name: str, other: Any) -> Traced:
        numbers = other.naive if isinstance(other, Traced) else other
        operation = {"add": np.add, "sub": np.subtract, "mul": np.multiply}[name]
        return self.call(f"aten.{name}.Tensor", operation(self.naive, numbers), self, other)

    def __add__(self, other: Any) -> Traced:
        return self.binary("add", other)

    def __sub__(self, other: Any) -> Traced:
        return self.binary("sub", other)

    def __mul__(self, other: Any) -> Traced:
        return self.binary("mul", other)

    def __pow__(self, n: int) -> Traced:
        return self.call("aten.pow.Tensor_Scalar", self.naive**n, self, n)

    def permuted(self) -> Traced:
        """Something that is not element-wise, so that a new root begins."""
        (value,) = self.builder.call(
            ATEN["aten.permute.default"], "p", "permute", [self.value, [0, 2, 1]], {}, [(1, 3, 3)]
        )
        return Traced(self.builder, value, self.naive.transpose(0, 2, 1))


X = np.linspace(-1.5, 1.5, 9).reshape(1, 3, 3)


def start() -> Traced:
    builder = Builder()
    return Traced(builder, builder.input("x", X.shape), X)


def finished(*outputs: Traced) -> Graph:
    """The Graph, after comparing its outputs with the naive ones."""
    graph = outputs[0].builder.finish([o.value for o in outputs])
    for value, output in zip(run_clear(graph, X), outputs, strict=True):
        np.testing.assert_allclose(value, output.naive, rtol=1e-6, atol=1e-6)
    return graph


def only_poly(graph: Graph) -> list[Fraction]:
    """The coefficients of a graph that is one polynomial of its input."""
    (node,) = [n for n in graph.nodes if n.op != "input"]
    assert (node.op, node.inputs) == ("poly", (graph.inputs[0].id,))
    return [Fraction(c) for c in node.attrs["coeffs"]]  # type: ignore[union-attr, arg-type]


def test_power_form() -> None:
    x = start()
    y = x**3 * 0.5 - x * x * 0.314453125 + x * 2 + 1
    assert only_poly(finished(y)) == [1, 2, Fraction(-161, 512), Fraction(1, 2)]


def test_horner_form() -> None:
    x = start()
    y = ((x * 0.1 + 0.2) * x + 0.3) * x + 0.4
    assert only_poly(finished(y)) == [Fraction(4, 10), Fraction(3, 10), Fraction(2, 10), Fraction(1, 10)]


def test_a_residual_around_a_polynomial_is_a_polynomial() -> None:
    x = start()
    assert only_poly(finished(x + x * x)) == [0, 1, 1]


def test_degree_six_is_one_node_and_eight_are_two() -> None:
    x = start()
    assert only_poly(finished(x**3 * x**3)) == [0] * 6 + [1]
    x = start()
    graph = finished(((x * x) ** 2) ** 2)
    assert [n.op for n in graph.nodes] == ["input", "poly", "poly"]


def test_roots_begin_at_other_operations() -> None:
    x = start()
    y = (x * x + 1).permuted()
    graph = finished(y * y - y)
    assert [n.op for n in graph.nodes] == ["input", "poly", "permute", "poly"]


def test_sums_of_different_activations_stay_sums() -> None:
    x = start()
    y = x.permuted()
    graph = finished(x * x + y * y * 2)
    assert sorted(n.op for n in graph.nodes) == ["add", "input", "permute", "poly", "poly"]


def test_a_shared_intermediate_is_read_by_both() -> None:
    x = start()
    square = x * x
    graph = finished(square.permuted(), square * square + square)
    assert [n.op for n in graph.nodes] == ["input", "poly", "permute", "poly"]
    assert graph[graph.outputs[1]].inputs == ("x",)


def test_linear_ones_are_scale_and_bias() -> None:
    x = start()
    assert [n.op for n in finished(x * 0.5 + x * 0.5).nodes] == ["input"]
    x = start()
    assert [n.op for n in finished(x * 3 - x + 1).nodes] == ["input", "scale", "bias"]
    x = start()
    graph = finished(x * 0.1 * 3)
    assert graph.nodes[1].attrs == {"num": "3", "den": "10"}
    x = start()
    assert [n.op for n in finished(x * 0 + 2).nodes] == ["input", "scale", "bias"]
    x = start()
    assert [n.op for n in finished(x - x).nodes] == ["input", "scale"]


def test_names_of_the_model_are_left_alone() -> None:
    x = start()
    first = x * 2 + 1
    key = f"{first.value.id}.value"
    second = x.call("aten.add.Tensor", X + 5, x, Constant(np.array(5.0), key))
    third = Traced(x.builder, x.builder.input(f"{first.value.id}.scale", X.shape), X)
    graph = x.builder.finish([first.value, second.value, third.value])
    assert len({n.id for n in graph.nodes}) == len(graph.nodes)
    one, five, _ = run_clear(graph, X, X)
    np.testing.assert_allclose(one, 2 * X + 1)
    np.testing.assert_allclose(five, X + 5)


def test_cancelled_powers_lower_the_degree() -> None:
    x = start()
    assert [n.op for n in finished(x * x + x - x * x).nodes] == ["input"]


def test_dead_nodes_are_left_out() -> None:
    x = start()
    x.permuted() * x
    assert [n.op for n in finished(x * 2).nodes] == ["input", "scale"]


def test_products_of_different_activations_stay() -> None:
    x = start()
    y = x.permuted()
    nodes = finished(x * y + (x * x) * y).nodes
    assert [n.op for n in nodes] == ["input", "permute", "mul", "poly", "mul", "add"]


def test_a_product_beyond_the_largest_degree_is_one_of_two_polynomials() -> None:
    x = start()
    graph = finished((x**4) * (x**3 + 1))
    assert [n.op for n in graph.nodes] == ["input", "poly", "poly", "mul"]


def test_a_product_with_trained_coefficients_stays() -> None:
    x = start()
    trained = x.call("aten.mul.Tensor", X * 2, x, Constant(np.array(2.0), "a"))
    assert [n.op for n in finished((trained + 1) * x).nodes][-1] == "mul"


LEAF = st.one_of(st.just("x"), st.integers(-2, 2), st.sampled_from([0.5, -0.25, 0.1]))
TREES = st.recursive(LEAF, lambda t: st.tuples(st.sampled_from(["add", "sub", "mul"]), t, t), max_leaves=10)


def degree(tree: Any) -> int:
    if isinstance(tree, tuple):
        a, b = degree(tree[1]), degree(tree[2])
        return a + b if tree[0] == "mul" else max(a, b)
    return 1 if tree == "x" else 0


def evaluate(tree: Any, x: Traced) -> Any:
    if not isinstance(tree, tuple):
        return x if tree == "x" else tree
    a, b = evaluate(tree[1], x), evaluate(tree[2], x)
    if isinstance(a, Traced):
        return a.binary(tree[0], b)
    if isinstance(b, Traced):
        return b + a if tree[0] == "add" else b * a if tree[0] == "mul" else b * -1 + a
    return {"add": a + b, "sub": a - b, "mul": a * b}[tree[0]]


@settings(max_examples=150, deadline=None)
@given(tree=TREES)
def test_any_expression_of_one_activation_is_one_polynomial(tree: Any) -> None:
    x = start()
    y = evaluate(tree, x)
    if not isinstance(y, Traced) or degree(tree) > 6:
        return
    graph = finished(y)
    assert sum(n.op == "poly" for n in graph.nodes) <= 1
    assert {n.op for n in graph.nodes} <= {"input", "poly", "scale", "bias"}
