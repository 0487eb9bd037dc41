"""Priming over the wire: the client tells the server its masked presets, once per bundle, before the query.

client -> server   Prime(ids)
server -> client   Ready, once it holds its dealt parts of all of them
both               per bundle: the priming reading of the plan
server -> client   Primed(id), once its new parts are durable; then the client's become durable
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tacit.corr.bundle import Seeds
from tacit.corr.store import Priming, Store
from tacit.errors import BundleSpent, PeerError, StoreError
from tacit.net.channel import Channel
from tacit.plan.plan import Plan
from tacit.ring.prg import Seed
from tacit.run import material
from tacit.run.dealing import SEED_PART, peer_id
from tacit.run.handshake import Prime, Primed, Ready
from tacit.secure.share import CLIENT, SERVER

__all__ = ["GROUP_BYTES", "group_size", "prime_as_client", "prime_as_server", "seeds_of"]

#: Bundles are primed in groups of about this many bytes, each made durable at once.
GROUP_BYTES = 256 << 20


def seeds_of(rank: int, parts: Mapping[str, Any]) -> Seeds:
    """This party's seed out of its stored parts."""
    seed = Seed(bytes(parts[SEED_PART]))
    return Seeds(client=seed) if rank == CLIENT else Seeds(server=seed)


def group_size(plan: Plan) -> int:
    """How many bundles are primed between two synchronisations: both parties derive the same number from the plan."""
    added = sum(material.primed_parts(plan).values())
    dealt = sum(size for parts in material.dealt_parts(plan).values() for _, size in parts)
    return max(1, min(64, GROUP_BYTES // max(1, added + dealt)))


def _keep(store: Store, plan: Plan, made: list[Priming]) -> None:
    """Make a group durable, without those that another session has primed or ended meanwhile (to the same effect)."""
    tried: list[Priming] | None = None
    while True:
        waiting = set(store.ids(plan.digest, state="dealt"))
        left = [priming for priming in made if priming.bundle in waiting]
        try:
            return store.prime_many(left)
        except StoreError:  # a session that was faster is no failure; one that keeps failing is
            if left == tried:
                raise
            tried = left


def _groups(bundles: Sequence[bytes], size: int) -> list[Sequence[bytes]]:
    return [bundles[i : i + size] for i in range(0, len(bundles), size)]


def prime_as_client(
    channel: Channel,
    plan: Plan,
    store: Store,
    bundles: Sequence[bytes],
    halves: material.Tensors,
    *,
    threads: int,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Prime `bundles`, which are dealt here. `halves` are the differences D. Each group is durable before the next.

    Raises BundleSpent, and erases `bundles`, if one of them has no other half any more; ChannelError, StoreError.
    """
    channel.meter.phase("handshake")
    channel.send_message(Prime(bundles=list(bundles)))
    try:
        channel.recv_message(Ready)
    except BundleSpent:  # neither the server nor the dealer has its part of one of them: without this, never again
        waiting = set(store.ids(plan.digest, state="dealt"))
        store.reconcile(peer_id(channel), waiting.intersection(bundles))
        raise
    spent_parts = material.spent_parts(plan)
    for group in _groups(bundles, group_size(plan)):
        made = []
        for bundle in group:
            parts = store.parts(bundle)
            kept = material.prime(plan, CLIENT, seeds_of(CLIENT, parts), channel, parts, halves, threads=threads)
            made.append(Priming(bundle, kept, spent_parts))
        channel.meter.phase("handshake")
        for bundle in group:
            if channel.recv_message(Primed).bundle != bundle:
                raise PeerError("the server primed another bundle than the one asked for")
        _keep(store, plan, made)
        if progress is not None:
            progress(len(group))


def prime_as_server(
    channel: Channel, plan: Plan, store: Store, bundles: Sequence[bytes], fresh: frozenset[bytes], *, threads: int
) -> None:
    """The server's side; its dealt parts are in the store. Bundles not in `fresh` were primed before the client knew.

    For those the client repeats itself, since everything it sends comes from the bundle's seed, and nothing is kept.
    """
    channel.meter.phase("handshake")
    channel.send_message(Ready())
    for group in _groups(bundles, group_size(plan)):
        made = []
        for bundle in group:
            if bundle in fresh:
                seeds = seeds_of(SERVER, store.parts(bundle))
                made.append(Priming(bundle, material.prime(plan, SERVER, seeds, channel, {}, threads=threads)))
            else:
                material.prime(plan, SERVER, Seeds(server=Seed.fresh()), channel, {}, threads=threads)
        channel.meter.phase("handshake")
        _keep(store, plan, made)
        for bundle in group:
            channel.send_message(Primed(bundle=bundle))
