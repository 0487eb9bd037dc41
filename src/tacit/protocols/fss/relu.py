"""ReLU fused with truncation: the masked sign selects between two multiples of the opened value, zero and one for ReLU.

The tag is that of `protocols.masked.poly`: c - tag is y >> p or that plus 1. With d = [y >= 0] and d' = d ^ r_d public:

    d' = 0:  (c - tag) d = c r_d - tag r_d
    d' = 1:  (c - tag) d = c - tag - c r_d + tag r_d

Both parties hold shares of r_d, tag and tag·r_d in the tag's two variants, picked by the top bit of C: five words, the
client's from its seed; other slopes than 0 and 1 are public combinations of the same. The truncation rounds down or up
by a coin that C and y determine together (P[up] is the fraction cut off); it is part of the functionality. Where the
step says "rounding": "exact", the carry is found by a second comparison and taken off again. One message each way for
the bits, then the mask of the result. Source: the select of Orca and SIGMA (Jawalkar et al., S&P 2024; Gupta et al.,
PETS 2024), truncation by two tags.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tacit.corr.bundle import Seeds
from tacit.corr.demand import Demand
from tacit.protocols.fss.bit import both
from tacit.protocols.fss.sign import rounds_exactly, sign
from tacit.ring import bits, native
from tacit.secure import labels
from tacit.secure.cost import Cost
from tacit.secure.hub import mask
from tacit.secure.kernel import correlated, kernel
from tacit.secure.session import Session
from tacit.secure.share import CLIENT, SERVER, Share, Wire, Words

__all__ = ["SelectWords", "choose", "fan", "relu", "rounded", "select"]

_WORDS = 5


@dataclass(frozen=True)
class SelectWords(Demand):
    """The server's corrections of r_d, tag and tag·r_d (both variants), mod 2^out."""

    count: int
    ring: int
    shift: int
    out: int

    @property
    def label(self) -> str:
        return f"{self.site}/select"

    def stored(self, rank: int) -> int:
        return (self.count * _WORDS * self.out + 7) // 8 if rank == SERVER else 0

    def ideal(self, seeds: Seeds, rank: int, *given: Words, threads: int = 1) -> NDArray[np.uint8] | Words:
        mask_value, hidden = given[0].reshape(-1), given[1][0].reshape(-1)
        key, nonce = seeds.of(CLIENT).key, (labels.SELECT << 32) | self.site
        packed = bits.pack(hidden, 1, threads=threads)
        return native.relu_deal(mask_value, self.ring, self.shift, self.out, packed, key, nonce, threads=threads)


def _out(s: Session, opened: Wire, hidden: Wire) -> Wire:
    if (opened.preset, hidden.preset, hidden.ring) != ("opened", "opened", 1) or hidden.shape[1:] != opened.shape:
        raise ValueError(f"{s.step.node}: a selection needs an opened value and its masked sign")
    return Wire(opened.shape, int(s.step.attrs["ring"]), Fraction(s.step.attrs["scale"]), "raw")


def _demand(s: Session, opened: Wire, hidden: Wire) -> SelectWords:
    return SelectWords(s.step.site, opened.count, opened.ring, int(s.step.attrs["shift"]), int(s.step.attrs["ring"]))


@correlated("select", out=_out, demand=_demand)
def select(s: Session, opened: Share, hidden: Share) -> Share:
    """y >> p, times one slope where y >= 0 and the other elsewhere: additive parts mod 2^64 of both parties, without a
    preset. No message.
    """
    wire, demand = _out(s, opened.wire, hidden.wire), _demand(s, opened.wire, hidden.wire)
    picked = bits.pack(hidden.require()[0], 1, threads=s.threads)
    below, above = _slopes(s)
    args = (opened.require().reshape(-1), demand.ring, demand.shift, picked)
    if s.rank == CLIENT:
        key, nonce = s.stream(CLIENT, labels.SELECT)
        part = native.relu_client(*args, key, nonce, below, above, threads=s.threads)
    else:
        words = np.frombuffer(s.take(demand.label, demand.stored(SERVER)), np.uint8)
        part = native.relu_server(*args, words, demand.out, below, above, threads=s.threads)
    return Share(wire, part.reshape(wire.shape))


def _slopes(s: Session) -> tuple[int, int]:
    below, above = s.step.attrs.get("slopes", (0, 1))
    return int(below), int(above)


def _rounded_out(s: Session, parts: Wire, carries: Wire) -> Wire:
    return parts


def _rounded_cost(s: Session, parts: Wire, carries: Wire) -> Cost:
    return Cost()


def _rounded_ahead(s: Session, parts: Share, carries: Share) -> Share:
    return Share(parts.wire)


@kernel("rounded", out=_rounded_out, cost=_rounded_cost, deal=_rounded_ahead, prime=_rounded_ahead)
def rounded(s: Session, parts: Share, carries: Share) -> Share:
    """The selection without its carry: what was rounded up comes down by one unit of its slope."""
    below, above = _slopes(s)
    base, more = (np.uint64(slope % (1 << 64)) for slope in (below, above - below))
    carry, positive = carries.require()
    return Share(parts.wire, parts.require() - base * carry - more * positive)


def _fan_out(s: Session, opened: Wire) -> Wire:
    if opened.preset != "opened":
        raise ValueError(f"{s.step.node}: knots are taken off an opened value")
    return Wire((len(s.step.attrs["knots"]), *opened.shape), opened.ring, opened.scale, "opened")


def _fan_cost(s: Session, opened: Wire) -> Cost:
    return Cost()


def _fan_deal(s: Session, opened: Share) -> Share:
    wire = _fan_out(s, opened.wire)
    return Share(wire, np.ascontiguousarray(np.broadcast_to(opened.require(), wire.shape)))


@kernel("fan", out=_fan_out, cost=_fan_cost, deal=_fan_deal)
def fan(s: Session, opened: Share) -> Share:
    """The opened values of y - t for the step's public knots t (integers), stacked: one opening serves them all, since
    only what is computed from them is masked anew. No message.
    """
    wire = _fan_out(s, opened.wire)
    knots = np.array([int(t) % (1 << 64) for t in s.step.attrs["knots"]], np.uint64)
    return Share(wire, opened.require() - knots.reshape(-1, *[1] * len(opened.wire.shape)))


def choose(s: Session, opened: Share, hidden: Share) -> Share:
    """Composite: an opened value where the masked sign of another says so, else zero, on a fresh dealt preset."""
    return mask(s, select(s, opened, hidden))


def relu(s: Session, opened: Share) -> Share:
    """Composite: the masked sign, the selection, and the result on a fresh dealt preset. Two one-way steps."""
    hidden = sign(s, opened)
    parts = select(s, opened, hidden)
    if rounds_exactly(s):
        parts = rounded(s, parts, both(s, hidden))
    return mask(s, parts)
