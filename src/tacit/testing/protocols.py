"""The conformance suite of protocols: the bill is the truth to the byte, and every reading speaks of the same wires.

@pytest.mark.parametrize("name", protocol_names())
def test_mine(name, tmp_path): check_protocol(name, tmp_path)
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacit import ops, protocols
from tacit.corr.bundle import Seeds
from tacit.front.clear import run_clear
from tacit.ir.graph import Graph
from tacit.net.memory import pair
from tacit.net.meter import Counts, Snapshot
from tacit.plan.bill import Bill
from tacit.plan.plan import Plan
from tacit.ring.prg import SEED_BYTES, Seed
from tacit.run import material
from tacit.run.execute import encode_inputs, walk
from tacit.run.online import needs_material
from tacit.run.simulate import Simulation, simulate, together
from tacit.secure.cost import Phase
from tacit.secure.kernel import Leaf
from tacit.secure.protocol import load_protocol
from tacit.secure.session import Session, Step
from tacit.secure.share import CLIENT, SERVER, Share, Wire
from tacit.testing.graphs import Sketch, nrmse, plan_for, policy_for, residual_net
from tacit.testing.parties import House

__all__ = [
    "TOLERANCE",
    "check_bill",
    "check_protocol",
    "check_readings",
    "check_services",
    "plan_under",
    "protocol_names",
]

Doubles = NDArray[np.float64]

#: nRMSE of a net's outputs against its clear reading, at the default bits.
TOLERANCE = 1e-3


def protocol_names() -> list[str]:
    """The folders of `tacit.protocols`."""
    return sorted(module.name for module in pkgutil.iter_modules(protocols.__path__))


def plan_under(name: str, graph: Graph, xs: Sequence[Doubles], ring: int = 0, **policy: Any) -> Plan:
    """A plan of `graph` in which every step that the protocol `name` can do runs under it."""
    plan = plan_for(graph, policy_for("dealer", ring, **policy), xs)
    known = load_protocol(name).kernels

    def able(step: Step) -> bool:
        needed = getattr(ops.load(step.op), "words", ()) if step.op in ops.names() else (step.op,)
        return all(word in known for word in needed)

    steps = (replace(s, protocol=name) if able(s) else s for s in plan.steps)
    return replace(plan, steps=tuple(steps))


def check_protocol(name: str, root: Path) -> None:
    """Every check below, on a residual net and on one with re-masking; `root` is an empty folder for three homes.

    A protocol without an activation of its own is tested beside the polynomials of `masked`.
    Raises AssertionError at the first that fails, or lets through what the protocol raised.
    """
    activations = [word for word in ("poly", "relu") if word in load_protocol(name).kernels] or ["poly"]
    nets = [residual_net(activation=word) for word in activations] + [_remasking_net(activations[0])]
    for number, (graph, xs) in enumerate(nets):
        plan = plan_under(name, graph, xs)
        result = simulate(plan, *xs)
        assert nrmse(result.outputs, run_clear(graph, *xs)) < TOLERANCE, f"{name}: the answers are wrong"
        check_bill(plan, result)
        check_readings(plan, xs)
        check_services(plan, xs, root / str(number))


def _remasking_net(activation: str) -> tuple[Graph, list[Doubles]]:
    s = Sketch(5)
    x = s.input(1, 3, 5, 5)
    y = s.op("add", s.conv(s.conv(x, 4), 4), s.conv(x, 4, 1, padding=0))
    return s.graph(s.linear(s.flat(s.pool(s.activation(activation, y), 5)), 3), y), s.values()


def _expect(counts: Counts, bill: Bill, phase: Phase, rank: int, peers: Sequence[int]) -> None:
    """One party's meter of one phase on its channel to `peers` against the bill."""
    sent = [m for m in bill.messages(phase) if m.sender == rank and m.receiver in peers]
    received = [m for m in bill.messages(phase) if m.receiver == rank and m.sender in peers]
    got = (counts.bytes_sent, counts.frames_sent, counts.bytes_received, counts.frames_received)
    want = (sum(m.bytes for m in sent), len(sent), sum(m.bytes for m in received), len(received))
    assert got == want, f"{phase}, party {rank}: the meter shows {got}, the bill {want}"


def check_bill(plan: Plan, result: Simulation) -> None:
    """The dry bill of `plan` equals what a simulated run sent and kept, to the byte, per party and phase."""
    bill = plan.bill()
    for rank, meter in enumerate(result.meters):
        for phase in ("prime", "online"):
            _expect(meter[phase], bill, phase, rank, (1 - rank,))
        seed = SEED_BYTES if needs_material(plan) else 0
        assert result.stored[rank] + seed == bill.stored(rank), f"party {rank} keeps other bytes than the bill says"
    turns = sum(meter["online"].turns for meter in result.meters)
    assert turns == bill.turns, f"the run took {turns} one-way steps, the bill says {bill.turns}"


@dataclass
class _Watched(Session):
    """A session that notes the wire of every leaf, and checks each payload against it."""

    seen: list[tuple[int, str, Wire]] = field(default_factory=list)

    def read(self, leaf: Leaf, operands: tuple[Share, ...]) -> Share:
        share = super().read(leaf, operands)
        self.seen.append((self.step.site, leaf.name, share.wire))
        if share.data is not None:
            assert share.data.shape == share.wire.shape, f"{leaf.name}: a part has another shape than its wire"
            assert share.data.dtype == np.uint64, f"{leaf.name}: a part is not in words"
        return share


def check_readings(plan: Plan, xs: Sequence[Doubles]) -> None:
    """Deal, prime and online, at both parties, pass through the same wires as the dry reading, leaf by leaf."""
    public, seeds, registration = plan.public(), Seeds.fresh(), Seed.fresh()
    dry = _Watched("dry", CLIENT)
    walk(public, dry)
    weights = material.server_tensors(plan)
    sites = material.masked_sites(plan)
    halves = material.halves(plan, ((i, material.difference(plan, weights, registration, i)) for i in sites))
    own = (Seeds(client=seeds.client), Seeds(server=seeds.server))
    kept: list[dict[str, Any]] = []
    for rank in (CLIENT, SERVER):
        s = _Watched("deal", rank, seeds=seeds, tensors=material.matrices(public, registration))
        walk(public, s)
        assert s.seen == dry.seen, f"deal, party {rank}: other wires than in the dry reading"
        sizes = {label: memoryview(part).nbytes for label, part in s.made.items()}
        assert sizes == dict(material.dealt_parts(public)[rank]), f"deal, party {rank}: other parts than announced"
        kept.append(dict(s.made))
    channels = pair()

    def both(reading: Any, tensors: Sequence[Mapping[tuple[int, str], Any]], words: Any) -> None:
        sessions = [
            _Watched(reading, rank, channels[rank], own[rank], kept[rank], tensors=tensors[rank]) for rank in (0, 1)
        ]
        together(lambda: walk(public, sessions[0], words), lambda: walk(public, sessions[1]), channels)
        for s in sessions:
            assert s.seen == dry.seen, f"{reading}, party {s.rank}: other wires than in the dry reading"
            kept[s.rank].update(s.made)

    both("prime", (halves, {}), None)
    both("online", ({}, weights), encode_inputs(plan, xs))


def check_services(plan: Plan, xs: Sequence[Doubles], root: Path) -> None:
    """Registration, dealing, priming and a run between the real parties send and store what the bill says."""
    bill = plan.bill()
    with House(root, [plan]) as house, house.client() as client:
        client.prepare()
        _check_phases(house, bill, needs_material(plan))
        client.ready()
        for rank, store in ((CLIENT, client._store), (SERVER, house.server.store)):
            claimed = [store.parts(bundle) for bundle in store.ids(state="claimed")]
            size = sum(part.nbytes for parts in claimed for part in parts.values())
            assert size == bill.stored(rank), f"party {rank} keeps {size} bytes, the bill says {bill.stored(rank)}"
        outputs = client.predict(*xs)
        call = house.last("client", "server")
        for rank, channel in ((CLIENT, call.here), (SERVER, call.there)):
            _expect(channel.meter.snapshot()["online"], bill, "online", rank, (1 - rank,))
        assert not house.faults, house.faults
    outputs = outputs if isinstance(outputs, list) else [outputs]
    assert plan.graph is not None
    assert nrmse(outputs, run_clear(plan.graph, *xs)) < TOLERANCE, "the answers over the wire are wrong"


def _check_phases(house: House, bill: Bill, dealt: bool) -> None:
    call = house.last("client", "server")
    for rank, channel in ((CLIENT, call.here), (SERVER, call.there)):
        meter: Snapshot = channel.meter.snapshot()
        for phase in ("register", "prime"):
            _expect(meter[phase], bill, phase, rank, (1 - rank,))
    if dealt:
        for rank, name in ((CLIENT, "client"), (SERVER, "server")):
            _expect(house.last(name, "dealer").here.meter.snapshot()["deal"], bill, "deal", rank, (2,))
