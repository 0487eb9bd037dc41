"""Measuring this machine's Rates: kernels by themselves, and a small plan run by two parties over loopback TLS."""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tacit.corr.bundle import Seeds
from tacit.ir.graph import Attr, Graph, Node
from tacit.net import keys, tls
from tacit.net.channel import Channel
from tacit.plan.compile import plan_graph
from tacit.plan.cost import Rates
from tacit.plan.plan import Plan
from tacit.plan.policy import Policy
from tacit.ring import bits, native
from tacit.ring.prg import Seed
from tacit.run import material
from tacit.run.execute import encode_inputs, walk
from tacit.run.simulate import together
from tacit.secure.session import Session
from tacit.secure.share import CLIENT, SERVER

__all__ = ["cores", "measure_rates"]

Pair = tuple[Channel, Channel]

_RING = 40
#: How many times, and which convolutions: channels and rows from the first to the last part of a residual net.
_COPIES = 4
_CONVOLUTIONS = ((64, 32), (128, 16), (256, 8), (512, 4))
#: PILLAR's quartic (Diaa et al., USENIX Security 2024).
_QUARTIC = ["161/512", "1/2", "5/32", "0", "-3/1024"]
#: The nets that are run: layers, channels, rows of the small and of the wide one.
_LAYERS, _CHANNELS, _SMALL, _WIDE = 8, 16, 2, 64
#: Values in the frames whose cost is taken for that of bytes.
_FRAME = 1 << 16


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def measure_rates(*, threads: int = 2, progress: Callable[[str, int, int], None] | None = None) -> Rates:
    """Rates of this machine with `threads` threads a party, in some ten seconds; the fewer others use it, the truer.

    `per_step` and `evaluations` come from runs of a small residual net on small and wide images, less what the other
    rates explain, so that they hold everything that steps and activations cost.
    """
    stages = 5

    def done(number: int) -> None:
        if progress is not None:
            progress("measuring", number, stages)

    macs = _macs(threads)
    done(1)
    draws = (1 << 20) / _median(lambda: native.prg(bytes(16), 1, 0, 1 << 20, threads=threads))
    done(2)
    small, wide = _block_net(_SMALL), _block_net(_WIDE)
    with _channels() as pair:
        per_message, wire_bytes = _wire(pair, threads)
        done(3)
        little = _run_seconds(pair, small, threads)
        done(4)
        much = _run_seconds(pair, wide, threads)
        done(5)
    bill = wide.bill()
    messages, carried = bill.messages("online"), sum(bill.sent("online", rank) for rank in (CLIENT, SERVER))
    activations = sum(row.evaluations for row in bill.rows)
    products = sum(row.macs for row in bill.rows) / macs
    per_step = max((little - len(messages) * per_message) / len(small.steps), 1e-6)
    return Rates(
        macs=macs,
        evaluations=2 * activations / max(much - little - carried / wire_bytes - products, 1e-4),
        wire_bytes=wire_bytes,
        draws=draws,
        per_message=per_message,
        per_step=per_step,
    )


def _median(run: Callable[[], object], repeats: int = 9) -> float:
    """Median seconds of `repeats` calls after one that does not count."""
    run()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _words(*shape: int) -> native.Words:
    """Arbitrary words, the same every time."""
    return native.prg(bytes(16), 2, 0, int(np.prod(shape))).reshape(shape)


def _macs(threads: int) -> float:
    """A pass over all the convolutions, several times each with weights of their own, so that no cache holds them."""
    layers = [(_words(1, c, rows, rows), _words(c, c, 3, 3)) for c, rows in _CONVOLUTIONS for _ in range(_COPIES)]

    def forward() -> None:
        for x, w in layers:
            native.conv2d(x, w, None, padding=(1, 1), threads=threads)

    work = _COPIES * sum(9 * channels**2 * rows**2 for channels, rows in _CONVOLUTIONS)
    return work / _median(forward)


@contextmanager
def _channels() -> Iterator[Pair]:
    """Both ends of a TLS connection over loopback, with certificates that exist only for it."""
    with tempfile.TemporaryDirectory(prefix="tacit-bench-") as folder:
        homes = [Path(folder) / name for name in ("client", "server")]
        for home in homes:
            keys.make_identity(home, home.name)
        for home, peer in (homes, homes[::-1]):
            keys.enrol(home, peer / "certificate.pem", peer.name)
        with tls.Listener(homes[1], port=0) as listener, ThreadPoolExecutor(1) as pool:
            accepting = pool.submit(listener.accept, 10.0)
            with tls.connect(listener.address, homes[0], expect="server") as near, accepting.result() as far:
                yield near, far


def _wire(pair: Pair, threads: int) -> tuple[float, float]:
    """Seconds a message costs, and bytes a second when values are packed, sent, received and unpacked."""

    def trip(count: int) -> float:
        values = _words(count)

        def bounce(channel: Channel, first: bool) -> None:
            for turn in (first, not first):
                if turn:
                    channel.send_data(bits.pack(values, _RING, threads=threads))
                else:
                    raw = channel.recv_data(-(-count * _RING // 8))
                    bits.unpack(np.frombuffer(raw, np.uint8), _RING, (count,), threads=threads)

        def many(rank: int) -> float:
            return _median(lambda: bounce(pair[rank], rank == CLIENT), 25)

        return together(lambda: many(CLIENT), lambda: many(SERVER), pair)[CLIENT] / 2

    least, most = trip(1), trip(_FRAME)
    return least, (_FRAME * _RING / 8) / max(most - least, 1e-6)


def _block_net(rows: int) -> Plan:
    """A plan of convolutions and quartics on images of `rows` rows, every second one with a shortcut around two."""
    shape = (1, _CHANNELS, rows, rows)
    nodes = [Node("y0", "input", (), shape)]
    conv: dict[str, Attr] = {"stride": [1, 1], "padding": [1, 1], "dilation": [1, 1], "groups": 1}
    for i in range(1, _LAYERS + 1):
        nodes.append(Node(f"c{i}", "conv", (f"y{i - 1}",), shape, dict(conv), {"weight": "w"}))
        if i % 2 == 0:
            nodes.append(Node(f"a{i}", "add", (f"c{i}", f"y{i - 2}"), shape))
        nodes.append(Node(f"y{i}", "poly", (nodes[-1].id,), shape, {"coeffs": list(_QUARTIC)}))
    weights = np.linspace(-1 / 32, 1 / 32, 9 * _CHANNELS**2).reshape(_CHANNELS, _CHANNELS, 3, 3)
    bounds = {node.id: 32.0 for node in nodes}
    graph = Graph(tuple(nodes), (nodes[-1].id,), {"w": weights})
    return plan_graph(graph, Policy(ring=_RING), bounds, bounds, "")


def _run_seconds(pair: Pair, plan: Plan, threads: int) -> float:
    """Median seconds of the online phase of `plan` over `pair`, with fresh material each time."""
    shape = plan.inputs[0].shape
    words = encode_inputs(plan, [np.linspace(-1.0, 1.0, int(np.prod(shape))).reshape(shape)])
    return statistics.median(_run(plan, words, pair, threads) for _ in range(7))


def _run(plan: Plan, words: dict[int, native.Words], pair: Pair, threads: int) -> float:
    seeds, registration, public = Seeds.fresh(), Seed.fresh(), plan.public()
    own = (Seeds(client=seeds.client), Seeds(server=seeds.server))
    weights = material.server_tensors(plan)
    sites = material.masked_sites(plan)
    owned = ((i, material.difference(plan, weights, registration, i, threads=threads)) for i in sites)
    halves = material.halves(plan, owned)
    matrices = material.matrices(public, registration, threads=threads)
    dealt = [material.deal(public, seeds, rank, matrices, threads=threads) for rank in (CLIENT, SERVER)]

    def primed(rank: int) -> dict[str, Any]:
        tensors = halves if rank == CLIENT else None
        made = material.prime(public, rank, own[rank], pair[rank], dealt[rank], tensors, threads=threads)
        return made if rank == CLIENT else {**dealt[SERVER], **made}

    parts = together(lambda: primed(CLIENT), lambda: primed(SERVER), pair)
    ready = threading.Barrier(2)

    def run(rank: int) -> float:
        pair[rank].meter.phase("online")
        tensors = weights if rank == SERVER else {}
        session = Session("online", rank, pair[rank], own[rank], parts[rank], tensors=tensors, threads=threads)
        ready.wait()
        started = time.perf_counter()
        walk(public, session, words if rank == CLIENT else None)
        return time.perf_counter() - started

    return together(lambda: run(CLIENT), lambda: run(SERVER), pair)[CLIENT]
