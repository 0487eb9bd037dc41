"""The fusion of polynomials: sums, products and powers of one activation become a single `poly` of it."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tacit.ir import Node
from tacit.ops.poly import MAX_DEGREE, coefficients

__all__ = ["fuse"]

Array = NDArray[np.float64]
Coeffs = tuple[Fraction, ...]
X: Coeffs = (Fraction(0), Fraction(1))


@dataclass(frozen=True)
class _Form:
    """A node's value as the polynomial `coeffs` of the value of the node `root`."""

    root: str
    coeffs: Coeffs


def fuse(nodes: Sequence[Node], outputs: Sequence[str], weights: dict[str, Array]) -> tuple[list[Node], list[str]]:
    """The live nodes with polynomials fused, and the outputs' ids. Products that are no polynomial stay as they are.

    A polynomial of degree 1 becomes `scale` and `bias` nodes (whose constants are added to `weights`) or, when it is x
    itself, nothing. Inputs are kept even if unused.
    """
    by_id = {node.id: node for node in nodes}
    forms: dict[str, _Form] = {}
    for node in nodes:
        forms[node.id] = _form(node, forms)
    live = _live(by_id, forms, outputs)
    ends: dict[str, str] = {}
    fused: list[Node] = []
    for node in nodes:
        if node.id in live or node.op == "input":
            written = list(_written(node, forms[node.id], ends, weights, by_id))
            ends[node.id] = written[-1].id if written else ends[forms[node.id].root]
            fused += written
    return fused, [ends[output] for output in outputs]


def _form(node: Node, forms: Mapping[str, _Form]) -> _Form:
    """The node as a polynomial of the earliest possible root; of itself when it is none."""
    itself = _Form(node.id, X)
    if node.op == "poly":
        inner, outer = forms[node.inputs[0]], coefficients(node.attrs)
        composed = _trimmed(_compose(outer, inner.coeffs))
        return _Form(inner.root, composed) if len(composed) <= MAX_DEGREE + 1 else _Form(node.inputs[0], outer)
    if node.op not in ("add", "sub", "mul"):
        return itself
    left, right = node.inputs
    for a in (forms[left], _Form(left, X)):
        for b in (forms[right], _Form(right, X)):
            combined = _trimmed(_combine(node.op, a.coeffs, b.coeffs))
            if a.root == b.root and 2 <= len(combined) <= MAX_DEGREE + 1:
                return _Form(a.root, combined)
    return itself


def _combine(op: str, a: Coeffs, b: Coeffs) -> Coeffs:
    if op == "mul":
        return _product(a, b)
    size, sign = max(len(a), len(b)), 1 if op == "add" else -1
    wide = [p + (Fraction(0),) * (size - len(p)) for p in (a, b)]
    return tuple(x + sign * y for x, y in zip(*wide, strict=True))


def _product(a: Coeffs, b: Coeffs) -> Coeffs:
    total = [Fraction(0)] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            total[i + j] += x * y
    return tuple(total)


def _compose(outer: Coeffs, inner: Coeffs) -> Coeffs:
    """outer(inner(x)), by Horner's rule."""
    total: Coeffs = (outer[-1],)
    for c in reversed(outer[:-1]):
        total = _combine("add", _product(total, inner), (c,))
    return total


def _trimmed(p: Coeffs) -> Coeffs:
    """p without leading zeros, of degree 1 at least where it had one."""
    size = len(p)
    while size > 2 and p[size - 1] == 0:
        size -= 1
    return p[:size]


def _live(by_id: Mapping[str, Node], forms: Mapping[str, _Form], outputs: Sequence[str]) -> set[str]:
    """The nodes whose values are needed once polynomials read their roots."""
    live: set[str] = set()
    pending = list(outputs)
    while pending:
        node_id = pending.pop()
        if node_id in live:
            continue
        live.add(node_id)
        root = forms[node_id].root
        pending += by_id[node_id].inputs if root == node_id else (root,)
    return live


def _free(name: str, taken: Container[str]) -> str:
    """`name`, or the first lengthening of it that is not taken."""
    while name in taken:
        name += "_"
    return name


def _written(
    node: Node, form: _Form, ends: Mapping[str, str], weights: dict[str, Array], taken: Container[str]
) -> Iterator[Node]:
    """The final nodes for one node; none when it equals its root."""
    if form.root == node.id:
        yield replace(node, inputs=tuple(ends[i] for i in node.inputs))
        return
    root, coeffs = ends[form.root], form.coeffs
    if len(coeffs) > 2:
        texts = [str(c) for c in coeffs]
        yield replace(node, op="poly", inputs=(root,), attrs={"coeffs": list(texts)})
        return
    constant, factor = coeffs
    if factor != 1:
        name = _free(f"{node.id}.scale", taken) if constant else node.id
        attrs = {"num": str(factor.numerator), "den": str(factor.denominator)}
        yield replace(node, id=name, op="scale", inputs=(root,), attrs=attrs)
        root = name
    if constant:
        key = _free(f"{node.id}.value", weights)
        weights[key] = np.array(float(constant))
        yield replace(node, op="bias", inputs=(root,), attrs={}, weights={"value": key})
