"""What each party sees: uniform bytes, whatever the input and the weights; and the same tests catch a constant mask.

The tests are deterministic: seeds are injected. Statistics are chi-square over bytes at a significance of about 1e-6
(Wilson and Hilferty's approximation of the quantile).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tacit.corr.bundle import Seeds
from tacit.ir.graph import Graph
from tacit.net.memory import pair
from tacit.net.record import record
from tacit.plan.compile import integer_weights
from tacit.plan.plan import Plan
from tacit.ring import bits
from tacit.ring.prg import Seed
from tacit.run import material
from tacit.run.simulate import simulate
from tacit.secure import labels
from tacit.secure.share import CLIENT, SERVER
from tacit.testing.graphs import Sketch, pinned, plan_for, policy_for

RUNS, Z = 24, 4.75
Views = dict[str, bytes]


def net() -> Graph:
    s = Sketch(1)
    x = s.conv(s.poly(s.conv(s.input(4, 2, 6, 6), 4)), 3)
    return s.graph(s.poly(s.conv(x, 2)))


def seed(*parts: object) -> Seed:
    return Seed(hashlib.sha256(repr(parts).encode()).digest()[:16])


def planned(ring: int) -> Plan:
    graph = net()
    edge = [np.full((4, 2, 6, 6), 3.0)]
    return pinned(
        plan_for(graph, policy_for("dealer", ring), [np.random.default_rng(0).normal(size=(4, 2, 6, 6)) + edge[0]])
    )


def views(plan: Plan, x: np.ndarray, name: str) -> Views:
    """The bytes of every kind of message and stored part over RUNS runs on the same input."""
    seen: dict[str, list[bytes]] = defaultdict(list)
    weights = integer_weights(plan)
    for run in range(RUNS):
        seeds = Seeds(seed(name, run, "client"), seed(name, run, "server"))
        registration = seed(name, run, "registration")
        channels = pair()
        tap = record(channels[0], keep=True)
        simulate(plan, x, seeds=seeds, registration=registration, channels=channels)
        collect(seen, plan, tap.frames)
        for site in material.masked_sites(plan):
            d = material.difference(plan, weights, registration, site)
            seen["D"].append(bits.pack(d, plan.wires[site].ring).tobytes())
        matrices = material.matrices(plan, registration)
        for rank, kind in ((CLIENT, "A r - s"), (SERVER, "powers")):
            parts = material.deal(plan, seeds, rank, matrices)
            seen[kind].extend(np.asarray(part).tobytes() for part in parts.values())
    return {kind: b"".join(parts) for kind, parts in seen.items()}


def collect(seen: Mapping[str, list[bytes]], plan: Plan, frames: Any) -> None:
    """Sort the frames of a run by what the protocol calls them; the plan has neither two openings nor remasks alike."""
    sent = [f.payload for f in frames if f.direction == "sent"]
    received = [f.payload for f in frames if f.direction == "received"]
    primed = [s.op for s in plan.steps if s.op in ("open", "remask")]
    for kind, payload in zip(primed, sent, strict=False):
        seen["m" if kind == "open" else "y - r"].append(payload)
    first, *rest = sent[len(primed) :]
    seen["x - r"].append(first)
    seen["out - r"].extend(rest)
    seen["C"].extend(received[:-1])


def histogram(data: bytes) -> np.ndarray:
    return np.bincount(np.frombuffer(data, np.uint8), minlength=256).astype(float)


def score(chi: float, freedom: int) -> float:
    """How many standard deviations a chi-square statistic lies above its mean."""
    spread = 2 / (9 * freedom)
    return float(((chi / freedom) ** (1 / 3) - (1 - spread)) / np.sqrt(spread))


def uniformity(data: bytes) -> float:
    count = histogram(data)
    expected = count.sum() / 256
    assert expected > 20, "too little data for the test"
    return score(float(((count - expected) ** 2 / expected).sum()), 255)


def difference(a: bytes, b: bytes) -> float:
    """The two-sample chi-square of byte histograms."""
    p, q = histogram(a), histogram(b)
    ratio = np.sqrt(q.sum() / p.sum())
    total = p + q
    return score(float((((p * ratio - q / ratio) ** 2) / np.where(total, total, 1)).sum()), 255)


def inputs(plan: Plan) -> dict[str, np.ndarray]:
    shape = plan.inputs[0].shape
    return {"zeros": np.zeros(shape), "threes": np.full(shape, 3.0)}


def other_weights(plan: Plan) -> Plan:
    """The same public plan with all weights zero."""
    assert plan.graph is not None
    empty = {key: np.zeros_like(value) for key, value in plan.graph.weights.items()}
    return pinned(replace(plan, graph=replace(plan.graph, weights=empty)))


KINDS = {"x - r", "m", "y - r", "out - r", "C", "D", "A r - s", "powers"}


@pytest.mark.parametrize("ring", [32, 40, 44, 64])
def test_uniform_and_independent(ring: int) -> None:
    plan = planned(ring)
    x = inputs(plan)
    seen = {name: views(plan, value, name) for name, value in x.items()}
    seen["no weights"] = views(other_weights(plan), x["threes"], "no weights")
    for name, kinds in seen.items():
        assert set(kinds) == KINDS
        for kind, data in kinds.items():
            assert abs(uniformity(data)) < Z, f"{kind} is not uniform for {name}"
    for kind in KINDS:
        for name in ("zeros", "no weights"):
            assert difference(seen["threes"][kind], seen[name][kind]) < Z, f"{kind} tells threes from {name}"


CONTROLS = [
    ("x - r", {labels.MASK}),
    ("C", {labels.OPEN_CLIENT, labels.OPEN_SERVER}),
    ("m", {labels.MASK, labels.LINEAR, labels.OPEN_CLIENT}),
]


@pytest.mark.parametrize(("kind", "domains"), CONTROLS)
def test_a_constant_mask_is_found_out(kind: str, domains: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same statistics with every mask that hides a message constant: far beyond the threshold."""
    plain = Seed.uniform

    def constant(
        self: Seed, domain: int, site: int, shape: tuple[int, ...], ring: int, *, threads: int = 1
    ) -> np.ndarray:
        words = plain(self, domain, site, shape, ring, threads=threads)
        return np.full(shape, 12345, np.uint64) if domain in domains else words

    plan = planned(40)
    monkeypatch.setattr(Seed, "uniform", constant)
    seen = {name: views(plan, value, name) for name, value in inputs(plan).items()}
    assert uniformity(seen["threes"][kind]) > 2 * Z
    if kind != "m":
        assert difference(seen["threes"][kind], seen["zeros"][kind]) > 2 * Z


def test_weights_without_their_mask_are_found_out() -> None:
    """Were A constant, D would be the weights, and the two-sample test would tell two sets apart."""
    plan = planned(40)

    def bare(which: Plan) -> bytes:
        words = integer_weights(which)
        return b"".join(bits.pack(words[site, "weight"], 40).tobytes() * 20 for site in material.masked_sites(which))

    assert uniformity(bare(plan)) > 2 * Z
    assert difference(bare(plan), bare(other_weights(plan))) > 2 * Z
