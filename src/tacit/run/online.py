"""The online phase over the wire: claim on both sides, then the masked input, then one message each way per activation.

client -> server   Claim(id)
server -> client   Claimed(id, epoch): durable at the server; then the client claims, durably
client -> server   Run(id), x - r, ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tacit.net.channel import Channel
from tacit.plan.plan import Plan
from tacit.run.dealing import SEED_PART
from tacit.run.execute import walk
from tacit.run.handshake import Run
from tacit.run.material import Tensors
from tacit.run.priming import seeds_of
from tacit.secure.session import Session
from tacit.secure.share import CLIENT, SERVER, Share, Words

__all__ = ["needs_material", "run_as_client", "run_as_server"]


def needs_material(plan: Plan) -> bool:
    """Whether a run of this plan uses up a bundle."""
    return any(step.protocol != "clear" for step in plan.steps)


def run_as_client(
    channel: Channel, plan: Plan, bundle: bytes, parts: Mapping[str, Any], inputs: Mapping[int, Words], *, threads: int
) -> Sequence[Share]:
    """The client's online reading; `bundle` is claimed on both sides and used by this run alone."""
    channel.meter.phase("handshake")
    channel.send_message(Run(bundle=bundle))
    channel.meter.phase("online")
    try:
        s = _session(CLIENT, channel, parts, {}, threads)
        return walk(plan, s, inputs)
    finally:
        channel.meter.phase("handshake")


def run_as_server(channel: Channel, plan: Plan, parts: Mapping[str, Any], weights: Tensors, *, threads: int) -> None:
    """The server's online reading, after `Run` arrived."""
    channel.meter.phase("online")
    try:
        walk(plan, _session(SERVER, channel, parts, weights, threads))
    finally:
        channel.meter.phase("handshake")


def _session(rank: int, channel: Channel, parts: Mapping[str, Any], tensors: Tensors, threads: int) -> Session:
    session = Session("online", rank, channel, taken=parts, tensors=tensors, threads=threads)
    if SEED_PART in parts:
        session.seeds = seeds_of(rank, parts)
    return session
