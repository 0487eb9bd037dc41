"""Priming over the wire: the client tells the server its masked presets, once per bundle, before the query.

client -> server   Prime(ids)
server -> client   Ready, once it holds its dealt parts of all of them
both               per bundle: the priming reading of the plan
server -> client   Primed(id), once its new parts are durable; then the client's become durable
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tacit.corr.bundle import Seeds
from tacit.corr.store import Intake, Store
from tacit.errors import BundleSpent, PeerError
from tacit.net.channel import Channel
from tacit.plan.plan import Plan
from tacit.ring.prg import Seed
from tacit.run import material
from tacit.run.dealing import SEED_PART, bundle_bytes, peer_id
from tacit.run.handshake import Prime, Primed, Ready
from tacit.secure.share import CLIENT, SERVER

__all__ = ["GROUP_BYTES", "group_size", "prime_as_client", "prime_as_server", "seeds_of"]

#: Bundles are primed in groups of about this many bytes, each made durable at once.
GROUP_BYTES = 256 << 20
#: What a server's line to its dealer moves at least, in bytes a second: how long a client bears its silence.
_SLOWEST = 1 << 20


def seeds_of(rank: int, parts: Mapping[str, Any]) -> Seeds:
    """This party's seed out of its stored parts."""
    seed = Seed(bytes(parts[SEED_PART]))
    return Seeds(client=seed) if rank == CLIENT else Seeds(server=seed)


def group_size(plan: Plan) -> int:
    """How many bundles are primed between two synchronisations: both parties derive the same number from the plan."""
    added = sum(material.primed_parts(plan).values())
    dealt = sum(size for parts in material.dealt_parts(plan).values() for _, size in parts)
    return max(1, min(64, GROUP_BYTES // max(1, added + dealt)))


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

    `progress` is told the bytes of each frame that went. Raises BundleSpent, and erases `bundles`, if one of them has
    no other half any more; ChannelError, StoreError.
    """
    channel.meter.phase("handshake")
    channel.send_message(Prime(bundles=list(bundles)))
    try:
        with channel.patient(len(bundles) * bundle_bytes(plan, SERVER) / _SLOWEST):
            channel.recv_message(Ready)
    except BundleSpent:  # neither the server nor the dealer has its part of one of them: without this, never again
        waiting = set(store.ids(plan.digest, state="dealt"))
        store.reconcile(peer_id(channel), waiting.intersection(bundles))
        raise
    sizes, came = material.primed_bytes(plan), progress or (lambda _: None)
    spent = material.spent_parts(plan)

    def tell(site: int) -> None:
        came(sizes[site])

    for group in _groups(bundles, group_size(plan)):
        with store.intake() as intake:
            for bundle in group:
                parts = store.parts(bundle)
                seeds = seeds_of(CLIENT, parts)
                intake.prime(bundle, spent)
                kept = material.priming(plan, CLIENT, seeds, channel, parts, halves, threads=threads, progress=tell)
                _add(intake, kept)
            _await_primed(channel, group)
            intake.commit(lenient=True)  # another session may have primed one of them meanwhile, to the same effect


def _add(intake: Intake, parts: Iterable[tuple[str, Any]]) -> None:
    for label, part in parts:
        intake.add(label, part)


def _await_primed(channel: Channel, group: Sequence[bytes]) -> None:
    channel.meter.phase("handshake")
    for bundle in group:
        if channel.recv_message(Primed).bundle != bundle:
            raise PeerError("the server primed another bundle than the one asked for")


def prime_as_server(
    channel: Channel, plan: Plan, store: Store, bundles: Sequence[bytes], fresh: frozenset[bytes], *, threads: int
) -> None:
    """The server's side; its dealt parts are in the store. Bundles not in `fresh` were primed before the client knew.

    For those the client repeats itself, since everything it sends comes from the bundle's seed, and nothing is kept.
    """
    channel.meter.phase("handshake")
    channel.send_message(Ready())
    for group in _groups(bundles, group_size(plan)):
        with store.intake() as intake:
            for bundle in group:
                prime = _prime_fresh if bundle in fresh else _prime_again
                prime(channel, plan, store, bundle, intake, threads)
            channel.meter.phase("handshake")
            intake.commit(lenient=True)
        for bundle in group:
            channel.send_message(Primed(bundle=bundle))


def _prime_fresh(channel: Channel, plan: Plan, store: Store, bundle: bytes, intake: Intake, threads: int) -> None:
    """Keep what the client sends, with the server's own masks taken in."""
    seeds = seeds_of(SERVER, store.parts(bundle))
    intake.prime(bundle)
    _add(intake, material.priming(plan, SERVER, seeds, channel, {}, threads=threads))


def _prime_again(channel: Channel, plan: Plan, store: Store, bundle: bytes, intake: Intake, threads: int) -> None:
    """Hear the client out and keep nothing."""
    for _ in material.priming(plan, SERVER, Seeds(server=Seed.fresh()), channel, {}, threads=threads):
        pass
