"""The wire and the bill, pinned: a changed byte fails until the baseline is changed on purpose.

tests/wire.baseline holds, per plan, the SHA-256 of all frames of each direction of a run with fixed seeds, of what is
dealt to each party and of the registered weights; tests/bill.baseline the bill as JSON. After a wanted change:

    python -m pytest tests/plan/test_baselines.py --update-baselines

and the version numbers (`run.handshake.PROTOCOL`, `plan.plan.FORMAT`) must rise with any change that old parties would
misread.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
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
from tacit.secure.share import CLIENT, SERVER
from tacit.testing.graphs import Sketch, pinned, plan_for, policy_for

FOLDER = Path(__file__).parents[1]
SEEDS = Seeds(Seed(bytes(range(16))), Seed(bytes(range(16, 32))))
REGISTRATION = Seed(bytes(range(32, 48)))


def ramp(*shape: int) -> np.ndarray:
    """Values that no generator's version changes: multiples of 1/64 from -1 to 1."""
    count = int(np.prod(shape))
    return ((np.arange(count) * 37 % 129) - 64).reshape(shape) / 64


def small_weights(graph: Graph) -> Graph:
    """The graph with ramps for weights."""
    return Graph(graph.nodes, graph.outputs, {k: ramp(*w.shape) / 4 for k, w in graph.weights.items()})


def residual() -> Graph:
    s = Sketch()
    x = s.poly(s.conv(s.input(1, 2, 4, 4), 3))
    y = s.poly(s.op("add", s.conv(x, 3), x))
    return s.graph(s.linear(s.flat(s.pool(y)), 3))


def chained() -> Graph:
    s = Sketch()
    x = s.input(2, 6)
    return s.graph(s.poly(s.affine(s.linear(s.linear(x, 5), 4)), ("0", "1/2", "1/3")), s.op("bias", x, value=ramp(6)))


def concatenated() -> Graph:
    s = Sketch()
    x, y = s.input(1, 2, 3, 3), s.input(1, 1, 3, 3)
    both = s.op("concat", s.conv(x, 2), y, attrs={"axis": 1})
    return s.graph(s.conv(s.op("scale", both, attrs={"num": "-1", "den": "10"}), 2, (1, 3)))


CASES: dict[str, tuple[Callable[[], Graph], str, int]] = {
    "residual, masked": (residual, "dealer", 0),
    "residual, masked, 64 bits": (residual, "dealer", 64),
    "residual, clear": (residual, "clear", 0),
    "chained, masked": (chained, "dealer", 0),
    "concatenated, masked": (concatenated, "dealer", 44),
}


def planned(name: str) -> tuple[Plan, list[np.ndarray]]:
    make, trust, ring = CASES[name]
    graph = small_weights(make())
    xs = [ramp(*node.shape) for node in graph.inputs]
    return pinned(plan_for(graph, policy_for(trust, ring), xs)), xs


def digest(*parts: Any) -> str:
    return hashlib.sha256(b"".join(np.asarray(part).tobytes() for part in parts)).hexdigest()


def wire(name: str) -> dict[str, str]:
    """Digests of everything that would cross a wire for this plan."""
    plan, xs = planned(name)
    channels = pair()
    taps = [record(channel) for channel in channels]
    simulate(plan, *xs, seeds=SEEDS, registration=REGISTRATION, channels=channels)
    assert taps[CLIENT].sent_digest == taps[SERVER].received_digest
    assert taps[SERVER].sent_digest == taps[CLIENT].received_digest
    matrices, weights = material.matrices(plan, REGISTRATION), integer_weights(plan)
    halves = [
        bits.pack(material.difference(plan, weights, REGISTRATION, site), plan.wires[site].ring)
        for site in material.masked_sites(plan)
    ]
    dealt = [material.deal(plan, SEEDS, rank, matrices) for rank in (CLIENT, SERVER)]
    return {
        "plan": plan.digest,
        "client to server": taps[CLIENT].sent_digest,
        "server to client": taps[SERVER].sent_digest,
        "registered": digest(*halves),
        "dealt to client": digest(*dealt[CLIENT].values()),
        "dealt to server": digest(*dealt[SERVER].values()),
    }


def bill(name: str) -> dict[str, Any]:
    """The bill without predicted times, which follow the machine."""

    def timeless(data: Any) -> Any:
        if isinstance(data, dict):
            return {k: timeless(v) for k, v in data.items() if k != "predicted_seconds"}
        return [timeless(v) for v in data] if isinstance(data, list) else data

    plan, _ = planned(name)
    exact: dict[str, Any] = timeless(plan.bill().data())
    return exact


@pytest.mark.parametrize(("file", "make"), [("wire.baseline", wire), ("bill.baseline", bill)])
def test_baseline(file: str, make: Callable[[str], dict[str, Any]], request: pytest.FixtureRequest) -> None:
    found = {name: make(name) for name in CASES}
    path = FOLDER / file
    if request.config.getoption("--update-baselines"):
        path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    kept = json.loads(path.read_text("utf-8"))
    assert json.loads(json.dumps(found)) == kept, f"{file} differs; see this module's first lines if that is wanted"


def test_one_byte_of_input_changes_the_digest() -> None:
    """The recorder's digest follows every byte: another input, another digest."""
    plan, xs = planned("residual, masked")
    seen = set()
    for nudge in (0.0, 2.0**-16):
        channels = pair()
        tap = record(channels[0])
        x = xs[0].copy()
        x.flat[0] += nudge
        simulate(plan, x, seeds=SEEDS, registration=REGISTRATION, channels=channels)
        seen.add((tap.sent_digest, tap.received_digest))
    assert len(seen) == 2


def test_the_dealt_parts_follow_their_seeds() -> None:
    plan, _ = planned("chained, masked")
    matrices = material.matrices(plan, REGISTRATION)
    parts = [
        material.deal(plan, Seeds(SEEDS.client, server), CLIENT, matrices) for server in (SEEDS.server, Seed(bytes(16)))
    ]
    assert digest(*parts[0].values()) != digest(*parts[1].values())
