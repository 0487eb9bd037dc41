"""Dealing over the wire: the dealer makes each party's parts of a bundle from one pair of seeds and sends them.

client -> dealer   DealRequest(plan, server, count)
dealer -> client   Batch(count), then per bundle: Bundle(id, plan, server), seed, parts in the plan's order
server -> dealer   Fetch(ids)
dealer -> server   per bundle: Bundle(id, plan, client), seed, parts in the plan's order
both   -> dealer   Done, when everything is durable at them
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tacit.corr.bundle import Seeds
from tacit.errors import PeerError
from tacit.net.channel import Channel
from tacit.plan.plan import Plan
from tacit.ring.prg import SEED_BYTES, Seed
from tacit.run import material
from tacit.run.handshake import Batch, Bundle, DealRequest, Done, Fetch
from tacit.secure.share import CLIENT, SERVER

__all__ = ["NOBODY", "SEED_PART", "Received", "fetch_parts", "peer_id", "request_bundles", "send_bundle"]

#: The name under which a party stores its seed of a bundle.
SEED_PART = "seed"
#: Stands for the other party on transports without certificates.
NOBODY = "0" * 64

Received = tuple[bytes, str, dict[str, Any]]
Keep = Callable[[list[Received]], None]


def peer_id(channel: Channel) -> str:
    """The fingerprint of the party at the other end; NOBODY on a plain transport."""
    return channel.peer.fingerprint or NOBODY


def send_bundle(
    channel: Channel,
    plan: Plan,
    bundle: bytes,
    peer: str,
    seeds: Seeds,
    rank: int,
    matrices: material.Tensors,
    threads: int,
) -> None:
    """The dealer's side of one bundle for party `rank`; `peer` is the other party's fingerprint."""
    parts = material.deal(plan, seeds, rank, matrices, threads=threads)
    channel.meter.phase("handshake")
    channel.send_message(Bundle(bundle=bundle, plan=plan.digest, peer=peer))
    channel.meter.phase("deal")
    channel.send_data(seeds.of(rank).key)
    for label, _ in material.dealt_parts(plan)[rank]:
        channel.send_data(parts.pop(label))
    channel.meter.phase("handshake")


def _receive(channel: Channel, plan: str, parts: Sequence[tuple[str, int]]) -> Received:
    channel.meter.phase("handshake")
    head = channel.recv_message(Bundle)
    if head.plan != plan:
        raise PeerError("the dealer sent a bundle of another plan")
    channel.meter.phase("deal")
    seed = bytes(channel.recv_data(SEED_BYTES))
    Seed(seed)  # its form is checked here
    received: dict[str, Any] = {SEED_PART: seed}
    for label, size in parts:
        received[label] = channel.recv_data(size)
    channel.meter.phase("handshake")
    return head.bundle, head.peer, received


def _grouped(items: Iterator[Received], limit: int, most: int) -> Iterator[list[Received]]:
    """Groups that are stored together: at most `most` bundles or `limit` bytes, to save synchronisations."""
    group: list[Received] = []
    size = 0
    for item in items:
        group.append(item)
        size += sum(memoryview(p).nbytes for p in item[2].values())
        if size >= limit or len(group) >= most:
            yield group
            group, size = [], 0
    if group:
        yield group


def _keep_all(items: Iterator[Received], keep: Keep) -> None:
    for group in _grouped(items, limit=256 << 20, most=64):
        keep(group)


def request_bundles(channel: Channel, plan: Plan, server: str, count: int, keep: Keep) -> None:
    """The client's side: get `count` bundles for the server with this fingerprint and hand them to `keep` in groups.

    PeerError if the dealer sends other bundles than were asked for.
    """
    channel.send_message(DealRequest(plan=plan.digest, server=server, count=count))
    promised = channel.recv_message(Batch).count
    if promised != count:
        raise PeerError(f"the dealer promises {promised} bundles instead of {count}")
    parts = material.dealt_parts(plan)[CLIENT]

    def receive() -> Iterator[Received]:
        for _ in range(count):
            item = _receive(channel, plan.digest, parts)
            if item[1] != server:
                raise PeerError("the dealer sent a bundle for another server")
            yield item

    _keep_all(receive(), keep)
    channel.send_message(Done())


def fetch_parts(channel: Channel, plan: Plan, bundles: Sequence[bytes], client: str, keep: Keep) -> None:
    """The server's side: get its parts of `bundles`, dealt for `plan` and for the client with this fingerprint.

    PeerError if the dealer sends any other.
    """
    parts = material.dealt_parts(plan)[SERVER]
    channel.send_message(Fetch(bundles=list(bundles)))

    def receive() -> Iterator[Received]:
        for wanted in bundles:
            bundle, peer, received = _receive(channel, plan.digest, parts)
            if bundle != wanted or peer != client:
                raise PeerError("the dealer sent a bundle that was not asked for, or another client's")
            yield bundle, peer, received

    _keep_all(receive(), keep)
    channel.send_message(Done())
