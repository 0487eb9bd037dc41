"""The reveal of `rounded`: the server sends four bits less of its part than the plan would let it send.

input      priming                   online                                    output
y derived  client keeps y_c          server: top = (y_s mod 2^k) >> t          client: y_c + 2^t·top + 2^(t-1)

t is the plan's "drop" and four more. The client's own part y_c is as good as random, so that the answer is y rounded at
a random offset: within 2^(t-1) + 1 integer units. Where the plan drops nothing the output is a whole number, such as a
label, and is sent whole.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tacit.secure.cost import Cost, Message
from tacit.secure.kernel import kernel
from tacit.secure.session import Session
from tacit.secure.share import CLIENT, SERVER, Share, Wire

__all__ = ["COARSER", "reveal"]

#: Bits that the client gets less.
COARSER = 4


def _sent(s: Session, y: Wire) -> tuple[int, Wire]:
    """Bits dropped, and the wire of what the server sends."""
    planned = int(s.step.attrs["drop"])
    drop = min(planned + COARSER, y.ring - 1) if planned else 0
    return drop, replace(y, ring=y.ring - drop)


def _out(s: Session, y: Wire) -> Wire:
    return replace(y, preset="revealed")


def _cost(s: Session, y: Wire) -> Cost:
    _, sent = _sent(s, y)
    return Cost((Message("online", SERVER, CLIENT, sent.packed),), kept=((CLIENT, y.packed),))


def _deal(s: Session, y: Share) -> Share:
    """Nothing is dealt for a reveal."""
    return Share(_out(s, y.wire))


def _prime(s: Session, y: Share) -> Share:
    """The client knows its part before it asks; it keeps it."""
    if s.rank == CLIENT:
        s.put(f"{s.step.site}/output", s.pack(y.require(), y.wire.ring))
    return Share(_out(s, y.wire))


@kernel("reveal", out=_out, cost=_cost, deal=_deal, prime=_prime)
def reveal(s: Session, y: Share) -> Share:
    """The value to the client alone, rounded."""
    drop, sent = _sent(s, y.wire)
    if s.rank == SERVER:
        inside = np.uint64((1 << y.wire.ring) - 1)
        s.send((y.require() & inside) >> np.uint64(drop), sent.ring)
        return Share(_out(s, y.wire))
    top = s.receive(sent) << np.uint64(drop)
    mine = s.unpack(s.take(f"{s.step.site}/output", y.wire.packed), y.wire)
    return Share(_out(s, y.wire), top + np.uint64((1 << drop) >> 1) + mine)
