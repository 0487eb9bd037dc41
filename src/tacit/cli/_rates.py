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
from itertools import pairwise
from pathlib import Path

import numpy as np

from tacit.corr.bundle import Seeds
from tacit.ir.graph import Graph, Node
from tacit.net import keys, tls
from tacit.net.channel import Channel
from tacit.plan.compile import plan_graph
from tacit.plan.cost import Rates
from tacit.plan.plan import Plan
from tacit.plan.policy import Policy
from tacit.ring import bits, native
from tacit.run import material
from tacit.run.execute import encode_inputs, walk
from tacit.run.simulate import together
from tacit.secure.session import Session
from tacit.secure.share import CLIENT, SERVER

__all__ = ["cores", "measure_rates"]

Pair = tuple[Channel, Channel]

_RING = 40
#: One convolution each of the early, middle and late part of a residual net: channels and rows; alike in work.
_CONVOLUTIONS = ((64, 32), (128, 16), (256, 8), (512, 4))
#: PILLAR's quartic (Diaa et al., USENIX Security 2024).
_QUARTIC = ["161/512", "1/2", "5/32", "0", "-3/1024"]
_LAYERS, _SMALL, _WIDE = 8, 16, 1 << 16


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def measure_rates(*, threads: int = 2, progress: Callable[[str, int, int], None] | None = None) -> Rates:
    """Rates of this machine with `threads` threads a party, in some ten seconds; the fewer others use it, the truer.

    `per_step` and `evaluations` come from runs of a chain of activations, small and wide, less what their messages
    cost, so that they hold everything a step and an activation cost.
    """
    stages = 5

    def done(number: int) -> None:
        if progress is not None:
            progress("measuring", number, stages)

    macs = _macs(threads)
    done(1)
    draws = (1 << 20) / _median(lambda: native.prg(bytes(16), 1, 0, 1 << 20, threads=threads))
    done(2)
    with _channels() as pair:
        per_message, wire_bytes = _wire(pair, threads)
        done(3)
        small = _run_seconds(pair, _SMALL, threads)
        done(4)
        wide = _run_seconds(pair, _WIDE, threads)
        done(5)
    steps, messages = len(_chain(_SMALL).steps), 2 * _LAYERS + 2
    per_step = max((small - messages * per_message) / steps, 1e-6)
    carried = messages * (_WIDE * _RING // 8) / wire_bytes
    activations = max(wide - small - carried, 1e-5)
    return Rates(
        macs=macs,
        evaluations=2 * _LAYERS * _WIDE / activations,
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
    work, seconds = 0, 0.0
    for channels, rows in _CONVOLUTIONS:
        x, w = _words(1, channels, rows, rows), _words(channels, channels, 3, 3)
        seconds += _median(lambda x=x, w=w: native.conv2d(x, w, None, padding=(1, 1), threads=threads))  # type: ignore[misc]
        work += 9 * channels**2 * rows**2
    return work / seconds


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

    least, most = trip(1), trip(_WIDE)
    return least, (_WIDE * _RING / 8) / max(most - least, 1e-6)


def _chain(width: int) -> Plan:
    """A plan of one input and quartics one after the other, all of `width` values within 8."""
    names = ["x", *(f"p{i}" for i in range(_LAYERS))]
    nodes = [Node("x", "input", (), (1, width))]
    nodes += [Node(b, "poly", (a,), (1, width), {"coeffs": list(_QUARTIC)}) for a, b in pairwise(names)]
    bounds = dict.fromkeys(names, 8.0)
    return plan_graph(Graph(tuple(nodes), (names[-1],)), Policy(ring=_RING), bounds, bounds, "")


def _run_seconds(pair: Pair, width: int, threads: int) -> float:
    """Median seconds of the online phase of `_chain(width)` over `pair`, with fresh material each time."""
    plan = _chain(width).public()
    words = encode_inputs(plan, [np.linspace(-4.0, 4.0, width).reshape(1, width)])
    return statistics.median(_run(plan, words, pair, threads) for _ in range(7))


def _run(plan: Plan, words: dict[int, native.Words], pair: Pair, threads: int) -> float:
    seeds = Seeds.fresh()
    own = (Seeds(client=seeds.client), Seeds(server=seeds.server))
    dealt = [material.deal(plan, seeds, rank, {}, threads=threads) for rank in (CLIENT, SERVER)]

    def primed(rank: int) -> dict[str, object]:
        made = material.prime(plan, rank, own[rank], pair[rank], dealt[rank], threads=threads)
        return made if rank == CLIENT else {**dealt[SERVER], **made}

    parts = together(lambda: primed(CLIENT), lambda: primed(SERVER), pair)
    ready = threading.Barrier(2)

    def run(rank: int) -> float:
        pair[rank].meter.phase("online")
        session = Session("online", rank, pair[rank], own[rank], parts[rank], threads=threads)
        ready.wait()
        started = time.perf_counter()
        walk(plan, session, words if rank == CLIENT else None)
        return time.perf_counter() - started

    return together(lambda: run(CLIENT), lambda: run(SERVER), pair)[CLIENT]
