"""Lowest arguments: functions with a pole at zero get the end of their domain from calibration."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from tacit.front.clear import observe
from tacit.ir.attrs import Doubles
from tacit.ir.curves import curve
from tacit.ir.graph import Graph, Node

__all__ = ["with_domains"]


def with_domains(graph: Graph, batches: Iterable[Any], margin: float) -> Graph:
    """`graph` where every function of positive numbers states the lowest that it takes, as the attribute `low`: the
    power of two below the least one observed over `margin`. Those that state it, and those that saw others, stay.
    """
    poles = {n.inputs[0] for n in graph.nodes if n.op == "smooth" and _open(n)}
    if not poles:
        return graph
    least: dict[str, float] = {}

    def record(node: Node, value: Doubles) -> None:
        if node.id in poles:
            least[node.id] = min(least.get(node.id, math.inf), float(np.min(value, initial=math.inf)))

    observe(graph, batches, record)
    known = {node: low / margin for node, low in least.items() if low > 0}
    return replace(graph, nodes=tuple(_stated(n, known) if _open(n) else n for n in graph.nodes))


def _open(node: Node) -> bool:
    return node.op == "smooth" and curve(node.attrs.get("function")).positive and "low" not in node.attrs


def _stated(node: Node, known: dict[str, float]) -> Node:
    low = known.get(node.inputs[0])
    if low is None:
        return node
    power = math.floor(math.log2(low))
    text = str(2**power) if power >= 0 else f"1/{2**-power}"
    return replace(node, attrs={**node.attrs, "low": text})
