"""Pricing: a trained net becomes a point, with its accuracy, its activations and its predicted seconds on each link."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tacit.codesign.data.sets import Data
from tacit.codesign.frontier import Point
from tacit.codesign.precision import Compiled, compile_precise, fastest
from tacit.front.load import load_model
from tacit.ir.graph import Graph
from tacit.plan.cost import Rates
from tacit.plan.policy import Policy
from tacit.secure.share import CLIENT, DEALER, SERVER

__all__ = ["calibration", "compiled", "evaluated", "point_of"]

#: Operations that compare, and so cost keys of a point function.
_EXACT = frozenset({"relu", "leaky", "clip", "smooth", "abs", "step"})


def calibration(data: Data, count: int) -> list[torch.Tensor]:
    """The first `count` training examples, normalised, one at a time: what a plan for single inputs is compiled on."""
    x, _ = data.train.batch(range(min(count, len(data.train))))
    return list(data.normalise(x).split(1))


def compiled(model: nn.Module, data: Data, *, policy: Policy | None = None, count: int = 16) -> tuple[Compiled, ...]:
    """The plans of `model` for one input that are precise enough (see `precision`), for `fastest` to choose from.

    Ranges are observed on `count` training examples. Raises Refused.
    """
    batches = calibration(data, count)
    graph = load_model(model.cpu(), batches[0])
    return compile_precise(graph, [x.numpy().astype("float64") for x in batches], policy or Policy())


def evaluated(graph: Graph) -> dict[str, int]:
    """Values that one inference evaluates an activation on: {"exact": comparisons, "poly": polynomials}."""
    out = {"exact": 0, "poly": 0}
    for node in graph.nodes:
        kind = "exact" if node.op in _EXACT else node.op
        if kind in out:
            out[kind] += math.prod(node.shape[1:])
    return out


def point_of(
    name: str,
    model: nn.Module,
    accuracy: float,
    data: Data,
    links: Sequence[str],
    *,
    policy: Policy | None = None,
    rates: Rates | None = None,
    file: Path | None = None,
    **detail: Any,
) -> Point:
    """The point of a trained model: compiled for each link and billed there; the first link's plan goes to `file`.

    `detail` is kept, beside, for the first link's plan, `exact` and `poly` (values evaluated), `turns` (one-way steps
    online), `online_bytes`, `material_bytes` (kept by both parties for one run), `ahead_bytes` (dealt and primed),
    `rings`, and `precision` by link: [ring, input_bits, weight_bits, error]. Raises Refused.
    """
    plans = compiled(model, data, policy=policy)
    made = {link: fastest(plans, link, rates) for link in links}
    plan = made[links[0]].plan
    assert plan.graph is not None
    kinds = evaluated(plan.graph)
    bill = plan.bill(rates=rates)
    if file is not None:
        plan.save(file)
        plan.save_public(file.with_name(f"{file.stem}.public.tacit"))
        detail["file"] = str(file)
    facts = {
        "turns": bill.turns,
        "online_bytes": sum(bill.sent("online", rank) for rank in (CLIENT, SERVER)),
        "material_bytes": bill.stored(CLIENT) + bill.stored(SERVER),
        "ahead_bytes": sum(bill.sent(p, rank) for p in ("deal", "prime") for rank in (CLIENT, SERVER, DEALER)),
        "rings": sorted({wire.ring for wire in plan.wires.values() if wire.ring > 1}),
        "precision": {k: [c.policy.ring, c.policy.input_bits, c.policy.weight_bits, c.error] for k, c in made.items()},
    }
    seconds = {link: found.plan.bill(link, rates=rates).seconds() for link, found in made.items()}
    return Point(name, accuracy, sum(kinds.values()), seconds, {**kinds, **facts, **detail})
