"""`tacit.compile`: from a model people have to a Plan, with ranges observed on data or proven."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.front.clear import ranges
from tacit.front.domains import with_domains
from tacit.front.labels import with_labels
from tacit.front.load import load_model
from tacit.front.precision import choose, pieces, shown
from tacit.ir.graph import Graph
from tacit.ir.onehot import from_indices
from tacit.plan.compile import plan_graph, proven_bounds
from tacit.plan.fixed import ceil_log2
from tacit.plan.measure import noise
from tacit.plan.plan import Plan
from tacit.plan.policy import Policy

__all__ = ["compile_model"]

#: Inputs of the calibration data that the noise of truncation is measured on, at most.
_NOISY = 2


def compile_model(
    model: Any, example: Any = None, *, policy: Policy | None = None, calibration: Iterable[Any] | None = None
) -> Plan:
    """The owner's Plan of a model.

    model        a torch.nn.Module, the path of an .onnx or .pt2 file, or a Graph
    example      an input (or tuple of inputs) with the shapes to run, batch first
    policy       what the owner permits; the default trusts a dealer and calibrates ranges
    calibration  batches of real inputs, each like `example`, on which ranges are observed; the example alone if absent

    Raises Refused with every problem of the model at once, InvalidInput for wrong arguments.
    """
    policy = policy or Policy()
    graph = load_model(model, example)
    batches = [_batch(b, graph) for b in (calibration if calibration is not None else [example])]
    if not batches:
        raise InvalidInput("calibration holds no batch; give at least one")
    if policy.ranges == "calibrated":
        graph = with_domains(graph, batches, policy.margin)
    seen = ranges(graph, batches)
    if policy.ranges == "proven":  # what is proven holds for the roundings of one precision
        policy = policy.settled()
        largest = max(seen[node.id] for node in graph.inputs)
        bounds = proven_bounds(graph, 2.0 ** ceil_log2(max(largest, 2.0**-20)), policy)
    else:
        bounds = {node: value * policy.margin for node, value in seen.items()}
    choice = choose(graph, policy, bounds, seen, batches)
    if policy.labels:
        graph = with_labels(graph, policy.labels)
        bounds, seen = ({**known, **dict.fromkeys(graph.outputs, 1.0)} for known in (bounds, seen))
    measured: dict[str, Any] = {}
    if choice.error is not None:
        within = policy.tolerance if choice.error <= policy.tolerance else math.inf
        measured = {"error": float(min(shown(choice.error), within)), "tolerance": policy.tolerance}
    if choice.tried:
        measured["tried"] = list(choice.tried)
    plan = plan_graph(graph, choice.policy, bounds, seen, _hash(batches), measured)
    samples = pieces(graph, batches, _NOISY)
    if policy.trust == "clear" or not samples:  # no coins, or less than one batch
        return plan
    measured["noise"] = noise(plan, samples)
    return replace(plan, settings={**plan.settings, "measured": measured})


def _batch(batch: Any, graph: Graph) -> tuple[np.ndarray[Any, Any], ...]:
    arrays = batch if isinstance(batch, tuple) or (isinstance(batch, list) and len(graph.inputs) > 1) else (batch,)
    if batch is None:
        raise InvalidInput("ranges need data: give `calibration`, or an example that is a real input")
    out = []
    for array, node in zip(arrays, graph.inputs, strict=False):
        array = from_indices(array, node.shape)
        value = np.asarray(array.detach().cpu().numpy() if hasattr(array, "detach") else array, np.float64)
        if value.shape[1:] != node.shape[1:]:
            raise InvalidInput(f"a calibration batch has shape {value.shape}, the model takes {node.shape}")
        if not np.isfinite(value).all():
            raise InvalidInput("a calibration batch contains a NaN or an infinity")
        out.append(value)
    if len(out) != len(graph.inputs):
        raise InvalidInput(f"a calibration batch has {len(out)} inputs, the model takes {len(graph.inputs)}")
    return tuple(out)


def _hash(batches: Sequence[tuple[np.ndarray[Any, Any], ...]]) -> str:
    digest = hashlib.sha256()
    for batch in batches:
        for array in batch:
            digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
