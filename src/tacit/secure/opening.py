"""The opening: a shared value becomes public under a fresh mask, towards both parties, in one message online.

    deal      λ = λ_c + λ_s, each half from its party's seed: nothing is stored
    prime     client: m = y_c + λ_c ------->  server keeps m + λ_s + 2^(k-2)
    online    client  <------- C = y_s + (m + λ_s + 2^(k-2)) = y + λ + 2^(k-2) mod 2^k

C is uniform, whatever y is. With |y| < 2^(k-2) its top bit says which reading of λ is free of wrap-around (see
`protocols.masked.poly`): truncation after an opening cannot fail. Source: masked opening with lifted powers,
worked out for PILLAR's polynomials (Diaa et al., USENIX Security 2024), there without the case split.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tacit.ring import native
from tacit.secure import labels
from tacit.secure.cost import Cost, Message
from tacit.secure.kernel import kernel
from tacit.secure.session import Session
from tacit.secure.share import CLIENT, SERVER, Share, Wire

__all__ = ["open_masked"]


def _out(s: Session, y: Wire) -> Wire:
    if y.preset not in ("dealt", "derived"):
        raise ValueError("only a share with a preset can be opened")
    return replace(y, preset="opened")


def _cost(s: Session, y: Wire) -> Cost:
    messages = (Message("prime", CLIENT, SERVER, y.packed), Message("online", SERVER, CLIENT, y.packed))
    return Cost(messages, kept=((SERVER, y.packed),))


def _deal(s: Session, y: Share) -> Share:
    wire = _out(s, y.wire)
    client = s.uniform(CLIENT, labels.OPEN_CLIENT, wire.shape, wire.ring)
    server = s.uniform(SERVER, labels.OPEN_SERVER, wire.shape, wire.ring)
    return Share(wire, native.add(client, server, threads=s.threads))


def _prime(s: Session, y: Share) -> Share:
    wire = _out(s, y.wire)
    if s.rank == CLIENT:
        client = s.uniform(CLIENT, labels.OPEN_CLIENT, wire.shape, wire.ring)
        s.send(native.add(y.require(), client, threads=s.threads), wire.ring)
        return Share(wire)
    server = s.uniform(SERVER, labels.OPEN_SERVER, wire.shape, wire.ring)
    server += np.uint64(1 << (wire.ring - 2))
    addend = native.add(s.receive(wire), server, threads=s.threads)
    s.put(f"{s.step.site}/opening", s.pack(addend, wire.ring))
    return Share(wire)


@kernel("open", out=_out, cost=_cost, deal=_deal, prime=_prime)
def open_masked(s: Session, y: Share) -> Share:
    """Open y to both parties as C = y + λ + 2^(k-2) mod 2^k; one message, server to client. Needs |y| < 2^(k-2)."""
    wire = _out(s, y.wire)
    if s.rank == CLIENT:
        return Share(wire, s.receive(wire))
    addend = s.unpack(s.take(f"{s.step.site}/opening", wire.packed), wire)
    opened = native.add(y.require(), addend, threads=s.threads)
    s.send(opened, wire.ring)
    return Share(wire, opened)
