"""Simulated runs against the reference that knows every mask: every message and every output, to the bit."""

from __future__ import annotations

import hashlib
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tacit.corr.bundle import Seeds
from tacit.front.clear import run_clear
from tacit.ir.graph import Graph
from tacit.net.memory import pair
from tacit.net.record import Recorder, record
from tacit.plan.compile import integer_weights
from tacit.plan.plan import Plan
from tacit.ring import bits
from tacit.ring.prg import Seed
from tacit.run import material
from tacit.run.simulate import Simulation, simulate
from tacit.testing.graphs import Sketch, nrmse, pinned, plan_for, policy_for, residual_net

#: Even and odd, below and above the words of 32 bits.
RINGS = (16, 27, 32, 40, 51, 64)
CLIENT, SERVER, REGISTRATION = bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 48))


def remasking_net(seed: int = 3) -> tuple[Graph, list[Any]]:
    """Two convolutions in a row, a sum of unequal scales, per-channel gains and two outputs."""
    s = Sketch(seed)
    x = s.input(1, 2, 4, 4)
    y = s.conv(s.conv(x, 3, gain=0.7), 3)
    z = s.op("add", s.affine(y), s.conv(x, 3, 1, padding=0))
    return s.graph(s.linear(s.flat(s.poly(z, (0, "1/3", "1/7"))), 4), y), s.values()


def setup(graph: Graph, xs: list[Any], ring: int, reference: ModuleType) -> tuple[Plan, Any]:
    plan = plan_for(graph, policy_for("dealer", ring), xs)
    floats = {n.id: {name: graph.weights[key] for name, key in n.weights.items()} for n in graph.nodes}
    oracle = reference.Reference(plan.canonical(), floats, CLIENT, SERVER, REGISTRATION)
    oracle.run(*xs)
    return plan, oracle


def run(plan: Plan, xs: list[Any]) -> tuple[Simulation, Recorder]:
    channels = pair()
    tap = record(channels[0], keep=True)
    seeds = Seeds(Seed(CLIENT), Seed(SERVER))
    return simulate(plan, *xs, seeds=seeds, registration=Seed(REGISTRATION), channels=channels), tap


@pytest.mark.parametrize("ring", [0, *RINGS])
@pytest.mark.parametrize("make", [residual_net, remasking_net])
def test_every_message_and_output(make: Any, ring: int, reference: ModuleType) -> None:
    graph, xs = make()
    plan, oracle = setup(graph, xs, ring, reference)
    result, tap = run(plan, xs)
    for mine, word, step in zip(oracle.outputs, result.words, plan.outputs, strict=True):
        k = plan.wires[step.inputs[0]].ring
        assert np.array_equal(mine, (word & np.uint64((1 << k) - 1)).astype(object))
    sent = [f.payload for f in tap.frames if f.direction == "sent"]
    received = [f.payload for f in tap.frames if f.direction == "received"]
    assert sent == oracle.primed + oracle.from_client
    assert received == oracle.from_server
    bound = {0: 1e-3, 64: 1e-3, 27: 0.2, 16: 1.0}.get(ring, 3e-2)
    assert nrmse(result.outputs, run_clear(graph, *xs)) < bound


def test_threads_change_nothing() -> None:
    """A run on several threads sends the same bytes."""
    graph, xs = residual_net()
    plan = pinned(plan_for(graph, policy_for("dealer"), xs))
    digests = set()
    for threads in (1, 2, 3):
        channels = pair()
        tap, seeds = record(channels[0]), Seeds(Seed(CLIENT), Seed(SERVER))
        simulate(plan, *xs, seeds=seeds, registration=Seed(REGISTRATION), channels=channels, threads=threads)
        digests.add((tap.sent_digest, tap.received_digest))
    assert len(digests) == 1


def test_the_registration(reference: ModuleType) -> None:
    """The differences D that a client is given are W - A with A from the registration seed."""
    graph, xs = remasking_net()
    plan, oracle = setup(graph, xs, 0, reference)
    weights = integer_weights(plan)
    packed = [
        bits.pack(material.difference(plan, weights, Seed(REGISTRATION), site), plan.wires[site].ring).tobytes()
        for site in material.masked_sites(plan)
    ]
    assert packed == oracle.differences


def test_the_reference_can_disagree(reference: ModuleType) -> None:
    """A single flipped bit of a seed changes the messages: equality above is no accident."""
    graph, xs = residual_net()
    plan, oracle = setup(graph, xs, 0, reference)
    other = reference.Reference(plan.canonical(), oracle.nodes, bytes([1, *CLIENT[1:]]), SERVER, REGISTRATION)
    other.run(*xs)
    assert hashlib.sha256(b"".join(other.from_client)).digest() != hashlib.sha256(b"".join(oracle.from_client)).digest()


def test_the_stream(reference: ModuleType) -> None:
    """The reference's stream is the one the kernels expand."""
    words = Seed(CLIENT).uniform(3, 7, (5,), 40)
    assert reference.uniform(CLIENT, 3, 7, (5,), 40).tolist() == words.tolist()
