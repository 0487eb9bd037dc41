"""Simulate: every party in one process, each with only what it would hold, talking over in-memory channels."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tacit.corr.bundle import Seeds
from tacit.errors import InvalidInput
from tacit.net.channel import Channel
from tacit.net.memory import pair
from tacit.net.meter import Snapshot
from tacit.plan.plan import Plan
from tacit.ring.prg import Seed
from tacit.run import material
from tacit.run.execute import Record, decode_outputs, encode_inputs, walk
from tacit.secure.session import Session, Step
from tacit.secure.share import CLIENT, SERVER, Share, Words

__all__ = ["Simulation", "simulate", "together"]

T = TypeVar("T")


@dataclass(frozen=True)
class Simulation:
    """What a simulated run gave: outputs at the client, both meters, and each party's stored bytes after priming."""

    outputs: list[NDArray[np.float64]] = field(repr=False)
    meters: tuple[Snapshot, Snapshot]
    stored: tuple[int, int]
    words: list[NDArray[np.uint64]] = field(repr=False)


def together(
    client: Callable[[], T], server: Callable[[], T], channels: tuple[Channel, Channel] | None = None
) -> tuple[T, T]:
    """Run both parties at once, each in a thread; the first error of either is raised after both have stopped."""
    results: dict[int, T] = {}
    errors: list[BaseException] = []

    def run(rank: int, body: Callable[[], T]) -> None:
        try:
            results[rank] = body()
        except BaseException as error:
            errors.append(error)
            for channel in channels or ():
                channel.close()

    threads = [threading.Thread(target=run, args=a, daemon=True) for a in ((CLIENT, client), (SERVER, server))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results[CLIENT], results[SERVER]


def simulate(
    plan: Plan,
    *xs: Any,
    seeds: Seeds | None = None,
    registration: Seed | None = None,
    channels: tuple[Channel, Channel] | None = None,
    threads: int = 1,
    record: Record | None = None,
) -> Simulation:
    """Register, deal, prime and run one batch. `plan` is the owner's; `xs` one array per input, batch first.

    Seeds are fresh unless given (tests). `record` is told of every value that both parties share, put together again,
    in the order of the steps: only a process that plays both of them can, and no party's own run has it. Raises
    InvalidInput for wrong inputs.
    """
    if plan.graph is None:
        raise InvalidInput("simulating needs the owner's plan, with weights; this is the public half")
    words = encode_inputs(plan, xs)
    weights, public = material.server_tensors(plan), plan.public()
    registration, seeds = registration or Seed.fresh(), seeds or Seeds.fresh()
    sites = material.masked_sites(plan)
    halves = material.halves(plan, ((i, material.difference(plan, weights, registration, i)) for i in sites))
    matrix = material.matrices(public, registration, threads=threads)
    dealt = [material.deal(public, seeds, rank, matrix, threads=threads) for rank in (CLIENT, SERVER)]
    channels = channels or pair()
    own = (Seeds(client=seeds.client), Seeds(server=seeds.server))
    joined = None if record is None else _Joined(record)

    def primed(rank: int) -> dict[str, Any]:
        tensors, noted = (halves, joined.client if joined else None) if rank == CLIENT else (None, None)
        return material.prime(
            public, rank, own[rank], channels[rank], dealt[rank], tensors, threads=threads, record=noted
        )

    made = together(lambda: primed(CLIENT), lambda: primed(SERVER), channels)
    spent = material.spent_parts(public)
    waiting = {label: part for label, part in dealt[CLIENT].items() if label not in spent}
    kept: Sequence[dict[str, Any]] = ({**waiting, **made[CLIENT]}, {**dealt[SERVER], **made[SERVER]})

    def run(rank: int) -> list[Any]:
        channels[rank].meter.phase("online")
        tensors = weights if rank == SERVER else {}
        s = Session("online", rank, channels[rank], own[rank], kept[rank], tensors=tensors, threads=threads)
        noted = joined.server if joined is not None and rank == SERVER else None
        return walk(public, s, words if rank == CLIENT else None, record=noted)

    shares, _ = together(lambda: run(CLIENT), lambda: run(SERVER), channels)
    stored = tuple(sum(memoryview(p).nbytes for p in part.values()) for part in kept)
    return Simulation(
        decode_outputs(shares),
        (channels[CLIENT].meter.snapshot(), channels[SERVER].meter.snapshot()),
        (stored[CLIENT], stored[SERVER]),
        [share.require() for share in shares],
    )


class _Joined:
    """Both parties' parts of every shared value, added up: the client's is known from its priming."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._presets: dict[int, Words] = {}

    def client(self, step: Step, value: Share) -> None:
        if value.data is not None and value.wire.preset in ("dealt", "derived"):
            self._presets[step.site] = value.data

    def server(self, step: Step, value: Share) -> None:
        if value.wire.preset not in ("dealt", "derived"):
            return
        preset = self._presets.pop(step.site, None)
        data = value.require()
        self._record(step, Share(value.wire, data if preset is None else data + preset))
