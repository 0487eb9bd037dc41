"""Registration over the wire: the client gets D = W - A, once per plan and server, layer by layer, resumably.

client -> server   Register(sites that are still missing)
server -> client   Registered(SHA-256 of each), then each D packed to k bits, in that order
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from tacit.corr.registration import whole_digest
from tacit.errors import PeerError
from tacit.net.channel import Channel
from tacit.plan.plan import Plan
from tacit.ring import bits
from tacit.ring.prg import Seed
from tacit.run import material
from tacit.run.handshake import Register, Registered
from tacit.secure.share import Wire

__all__ = ["difference_wire", "packed_difference", "part_name", "receive_differences", "send_differences"]


def difference_wire(plan: Plan, site: int) -> Wire:
    """Shape and ring of the D of step `site`."""
    wire = plan.wires[site]
    return Wire(plan.steps[site].weights["weight"], wire.ring, wire.scale, "derived")


def part_name(site: int) -> str:
    """The name under which the D of step `site` is kept."""
    return f"{site}/difference"


def packed_difference(
    plan: Plan, weights: material.Tensors, registration: Seed, site: int, *, threads: int
) -> memoryview:
    """The D of step `site` as it travels."""
    d = material.difference(plan, weights, registration, site, threads=threads)
    return memoryview(bits.pack(d, plan.wires[site].ring, threads=threads).data)


def send_differences(
    channel: Channel,
    sites: Sequence[int],
    digests: Mapping[int, bytes],
    packed: Callable[[int], memoryview],
) -> None:
    """The server's side. `digests` has the SHA-256 of every D of the plan, in order; `packed` gives one D.

    PeerError if the client asks for steps that have no D, or for one of them twice.
    """
    if not set(sites) <= set(digests) or len(set(sites)) < len(sites):
        raise PeerError("the client asks to register steps that have no weights, or one step twice")
    whole = whole_digest({part_name(site): digest for site, digest in digests.items()})
    channel.meter.phase("handshake")
    channel.send_message(Registered(whole=whole.hex(), digests=[digests[site].hex() for site in sites]))
    channel.meter.phase("register")
    for site in sites:
        channel.send_data(packed(site))
    channel.meter.phase("handshake")


def receive_differences(
    channel: Channel, plan: Plan, sites: Sequence[int], keep: Callable[[int, memoryview, bytes], None]
) -> bytes:
    """The client's side: hands each D, packed, with its digest to `keep` as it arrives; returns the whole digest."""
    channel.meter.phase("handshake")
    channel.send_message(Register(sites=list(sites)))
    answer = channel.recv_message(Registered)
    if len(answer.digests) != len(sites):
        raise PeerError("the server announces another number of layers than was asked for")
    channel.meter.phase("register")
    for site, digest in zip(sites, answer.digests, strict=True):
        part = channel.recv_data(difference_wire(plan, site).packed)
        if hashlib.sha256(part).hexdigest() != digest:
            raise PeerError(f"the weights of step {site} arrived damaged")
        keep(site, part, bytes.fromhex(digest))
    channel.meter.phase("handshake")
    return bytes.fromhex(answer.whole)
