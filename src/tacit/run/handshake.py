"""The conversation around a run: every control message, and the greeting that names the side and field that differ."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from tacit.errors import Mismatch
from tacit.net.channel import Channel
from tacit.net.message import Message
from tacit.plan.plan import FORMAT
from tacit.ring import native

__all__ = [
    "EPOCH_ATTEMPTS",
    "PROTOCOL",
    "Again",
    "Ask",
    "Batch",
    "Bundle",
    "Claim",
    "Claimed",
    "DealRequest",
    "Done",
    "Enlist",
    "Enlisted",
    "Fetch",
    "Hello",
    "Opened",
    "PlanText",
    "Prime",
    "Primed",
    "Ready",
    "Register",
    "Registered",
    "Role",
    "Run",
    "Sync",
    "Synced",
    "Taken",
    "greet",
]

#: Version of the conversation; parties with different ones refuse each other.
PROTOCOL = 1
#: How often an epoch that seems behind is asked for anew: processes of one client overtake each other, while a store
#: restored from a copy stays behind.
EPOCH_ATTEMPTS = 8

Role = Literal["client", "server", "dealer"]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Id = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Ids = Annotated[list[Id], msgspec.Meta(max_length=20_000)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Hello(Message, frozen=True, kw_only=True):
    """First on every connection, from both sides."""

    role: Role
    protocol: int
    plan_format: int
    kernels: int


class Ask(Message, frozen=True, kw_only=True):
    """Client to server: open the plan of this digest, or "" for the one the server offers; with the client's epoch."""

    plan: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")]
    epoch: Count


class Opened(Message, frozen=True, kw_only=True):
    """Server to client: the plan that is open, the size of its text in bytes, the dealer, the epoch."""

    plan: Digest
    size: Count
    dealer: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")]
    epoch: Count


class Again(Message, frozen=True, kw_only=True):
    """Server to client: your epoch is behind one you showed before; show it again.

    Another process of the client may have overtaken this one; a store restored from a copy stays behind.
    """


class PlanText(Message, frozen=True, kw_only=True):
    """Client to server: send the public plan, as one data frame of `Opened.size` bytes."""


class Sync(Message, frozen=True, kw_only=True):
    """Client to server: the bundles of this plan that the client still has; the server forgets all others."""

    dealt: Ids
    primed: Ids


class Synced(Message, frozen=True, kw_only=True):
    """Server to client: which of those are spent or out of step here; the client erases them."""

    spent: Ids


class Register(Message, frozen=True, kw_only=True):
    """Client to server: send D for these steps, one data frame each, in this order."""

    sites: Annotated[list[Count], msgspec.Meta(max_length=100_000)]


class Registered(Message, frozen=True, kw_only=True):
    """Server to client, before the frames: the SHA-256 of each, and that of the whole registration."""

    whole: Digest
    digests: Annotated[list[Digest], msgspec.Meta(max_length=100_000)]


class Prime(Message, frozen=True, kw_only=True):
    """Client to server: prime these bundles, one after the other."""

    bundles: Ids


class Ready(Message, frozen=True, kw_only=True):
    """Server to client: it holds its dealt parts of them; priming can begin."""


class Primed(Message, frozen=True, kw_only=True):
    """Server to client: its parts of the bundle are durable."""

    bundle: Id


class Claim(Message, frozen=True, kw_only=True):
    """Client to server: this bundle is to be used now."""

    bundle: Id


class Claimed(Message, frozen=True, kw_only=True):
    """Server to client: it is claimed here, durably; with the server's epoch."""

    bundle: Id
    epoch: Count


class Taken(Message, frozen=True, kw_only=True):
    """Server to client: this bundle is spent here; propose another."""

    bundle: Id


class Run(Message, frozen=True, kw_only=True):
    """Client to server: the masked input follows."""

    bundle: Id


class Enlist(Message, frozen=True, kw_only=True):
    """Server to dealer: a public plan of `size` bytes follows as a data frame; the dealer is to serve it."""

    plan: Digest
    size: Count


class Enlisted(Message, frozen=True, kw_only=True):
    """Dealer to server: the registration seed follows as a data frame of 16 bytes."""

    plan: Digest


class DealRequest(Message, frozen=True, kw_only=True):
    """Client to dealer: make `count` bundles of this plan for me and the server with this fingerprint."""

    plan: Digest
    server: Digest
    count: Annotated[int, msgspec.Meta(ge=1, le=20_000)]


class Batch(Message, frozen=True, kw_only=True):
    """Dealer to client: how many bundles follow."""

    count: Count


class Fetch(Message, frozen=True, kw_only=True):
    """Server to dealer: send my parts of these bundles."""

    bundles: Ids


class Bundle(Message, frozen=True, kw_only=True):
    """Dealer to a party: the party's seed and its parts of this bundle follow as data frames, in the plan's order.

    `plan` is what it was dealt for: plans of equal shapes have parts of equal sizes.
    """

    bundle: Id
    plan: Digest
    peer: Digest


class Done(Message, frozen=True, kw_only=True):
    """The last step of an exchange is complete and durable at the sender."""


def greet(channel: Channel, role: Role, expect: tuple[Role, ...]) -> Role:
    """Exchange Hello and compare. Raises Mismatch naming the side and the field; the other side raises its own."""
    channel.meter.phase("handshake")
    ours = Hello(role=role, protocol=PROTOCOL, plan_format=FORMAT, kernels=native.version())
    channel.send_message(ours)
    theirs = channel.recv_message(Hello)
    compared = {
        "protocol version": (ours.protocol, theirs.protocol),
        "plan format": (ours.plan_format, theirs.plan_format),
        "kernel version": (ours.kernels, theirs.kernels),
    }
    for name, (mine, other) in compared.items():
        if mine != other:
            raise Mismatch(theirs.role, name, mine, other)
    if theirs.role not in expect:
        raise Mismatch("peer", "role", " or ".join(expect), theirs.role)
    return theirs.role
