"""Compile: a Graph, a Policy and ranges become a Plan, with a commitment to the integer weights."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np

from tacit import ops
from tacit.ir.graph import Graph
from tacit.plan.fixed import quantise
from tacit.plan.place import place
from tacit.plan.plan import Plan
from tacit.plan.policy import Policy
from tacit.secure.share import Words

__all__ = ["commit", "integer_weights", "plan_graph", "proven_bounds"]

_RENAMED = {"weight": "gain", "bias": "offset"}
#: Operations whose results are at the resolution whatever they read, and those that change the scale in one step.
_FRESH = frozenset({"poly", "relu", "abs", "clip", "step", "topk"})
_FINER = frozenset({"scale", "sumpool", "mean", "lift", "combine"})


def proven_bounds(graph: Graph, input_bound: float, policy: Policy) -> dict[str, float]:
    """Worst-case magnitude of every node for inputs within ±input_bound, by interval arithmetic on magnitudes.

    The integers that a run computes with count, not the floats: inputs and weights may be rounded up by half a unit of
    their precision, a gate or polynomial is evaluated a little beside its input, and what is finer than the resolution
    may be truncated before it is read.
    """
    half_x, half_w = 2.0 ** -(policy.input_bits + 1), 2.0 ** -(policy.weight_bits + 1)
    bounds: dict[str, float] = {}
    grown: set[str] = set()
    for node in graph.nodes:
        if node.op == "input":
            bounds[node.id] = input_bound
            continue
        operation = ops.load(node.op)
        weights = {name: np.abs(graph.weights[key].astype(np.float64)) + half_w for name, key in node.weights.items()}
        operands = [bounds[i] + (2 * half_x if i in grown else 0.0) for i in node.inputs]
        placed = hasattr(operation, "place")
        evaluated = getattr(operation, "evaluates", False) or (placed and not node.weights)
        if evaluated:
            operands = [x * (1 + 2.0**-8) + 2 * half_x for x in operands]
        bound = operation.bound(node.attrs, weights, *operands)
        bounds[node.id] = bound + 4 * half_x if evaluated else bound
        finer = placed or node.weights or node.op in _FINER or grown.intersection(node.inputs)
        if finer and node.op not in _FRESH:
            grown.add(node.id)
    return bounds


def integer_weights(plan: Plan) -> dict[tuple[int, str], Words]:
    """The owner's tensors as words mod 2^64, by (site, name). Needs the owner's plan."""
    if plan.graph is None:
        raise LookupError("the public half of a plan has no weights")
    nodes = {node.id: node for node in plan.graph.nodes}
    out: dict[tuple[int, str], Words] = {}
    for step in plan.steps:
        if not step.weights:
            continue
        keys = nodes[step.node].weights
        floats = {name: plan.graph.weights[keys[name if name in keys else _RENAMED[name]]] for name in step.weights}
        for name, words in quantise(step, floats, plan.wires[step.site].scale).items():
            out[step.site, name] = words
    return out


def commit(weights: Mapping[tuple[int, str], Words], opening: bytes) -> str:
    """SHA-256 (hex) of a 32-byte secret salt and every integer tensor with its place and shape."""
    digest = hashlib.sha256(b"tacit weights 1" + opening)
    for (site, name), words in sorted(weights.items()):
        head = f"{site}/{name}/{words.shape}".encode()
        digest.update(len(head).to_bytes(4, "little") + head)
        digest.update(np.ascontiguousarray(words).data)
    return digest.hexdigest()


def plan_graph(
    graph: Graph,
    policy: Policy,
    bounds: Mapping[str, float],
    seen: Mapping[str, float],
    data_hash: str,
    measured: Mapping[str, Any] | None = None,
) -> Plan:
    """The Plan of `graph`; `bounds` and `seen` are magnitudes by node id, `data_hash` names the calibration data and
    `measured` says how the precision was chosen; a policy that leaves it open is settled without a measurement.
    """
    policy = policy.settled()
    placed = place(graph, policy, bounds, seen)
    settings = {
        "trust": policy.trust,
        "input_bits": policy.input_bits,
        "weight_bits": policy.weight_bits,
        "ranges": policy.ranges,
        "margin": policy.margin,
        "smooth_bits": policy.smooth_bits,
        "failure_bits": policy.failure_bits,
        "window": policy.window,
        "tie": policy.tie,
        "rounding": policy.rounding,
        "reveal": policy.reveal,
        "network": policy.network,
        "calibration": data_hash,
        "measured": dict(measured or {}),
    }
    opening, salt = secrets.token_bytes(32), secrets.token_hex(16)
    steps, inputs = tuple(placed.steps), dict(placed.inputs)
    draft = Plan(steps, inputs, dict(placed.limits), settings, "", salt, graph, opening)
    commitment = commit(integer_weights(draft), opening)
    return Plan(steps, inputs, dict(placed.limits), settings, commitment, salt, graph, opening)
