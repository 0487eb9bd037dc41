"""The product of two secrets at their opened values: elementwise or of matrices, with one word of material an output.

An opening makes c = C - 2^(k-2) = x + λ public. Mod 2^k, with · elementwise or a matrix product,

    x·y = c_x·c_y - c_x·λ_y - λ_x·c_y + λ_x·λ_y

Each party knows its own half of λ_x and λ_y from its seed, so that all terms but the last are local; of the last the
dealer deals shares, z_c from the client's seed and z_s = λ_x·λ_y - z_c, which the server stores:

    client   z_c - c_x·λ_y,c - λ_x,c·c_y
    server   z_s + c_x·(c_y - λ_y,s) - λ_x,s·c_y

No message beyond the two openings, and then the mask of the result. An opening serves any number of products: every
one has shares z of its own. The result is exact mod 2^k at the product of both scales. Source: multiplication triples
(Beaver, CRYPTO 1991) whose masks are those of the wires, as in ABY2.0 (Patra et al., USENIX Security 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tacit.corr.bundle import Seeds
from tacit.corr.demand import Demand
from tacit.ring import bits, native
from tacit.secure import labels
from tacit.secure.cost import Cost
from tacit.secure.hub import mask
from tacit.secure.kernel import correlated
from tacit.secure.multiply import macs, multiply, out_shape
from tacit.secure.session import Session
from tacit.secure.share import CLIENT, SERVER, Share, Wire, Words

__all__ = ["CrossTerms", "cross", "times"]


@dataclass(frozen=True)
class CrossTerms(Demand):
    """The server's corrections λ_x·λ_y - z_c mod 2^ring, of shape `out`, for a product `op` of two masks."""

    op: str
    out: tuple[int, ...]
    ring: int

    @property
    def label(self) -> str:
        return f"{self.site}/cross"

    def stored(self, rank: int) -> int:
        return bits.packed_size(math.prod(self.out), self.ring) if rank == SERVER else 0

    def ideal(self, seeds: Seeds, rank: int, *given: Words, threads: int = 1) -> NDArray[np.uint8] | Words:
        mask_x, mask_y = given
        whole = multiply(self.op, mask_x, mask_y, self.ring, threads=threads)
        drawn = seeds.of(CLIENT).uniform(labels.CROSS, self.site, self.out, self.ring, threads=threads)
        return bits.pack(native.sub(whole, drawn, threads=threads), self.ring, threads=threads)


def _out(s: Session, x: Wire, y: Wire) -> Wire:
    if (x.preset, y.preset) != ("opened", "opened") or x.ring != y.ring:
        raise ValueError(f"{s.step.node}: a product takes two opened values of one ring")
    return Wire(out_shape(s.step.op, x.shape, y.shape), x.ring, x.scale * y.scale, "raw")


def _demand(s: Session, x: Wire, y: Wire) -> CrossTerms:
    wire = _out(s, x, y)
    return CrossTerms(s.step.site, s.step.op, wire.shape, wire.ring)


def _cost(s: Session, x: Wire, y: Wire) -> Cost:
    work = 2 * macs(s.step.op, x.shape, y.shape)
    return Cost.dealt([_demand(s, x, y)]) + Cost(macs=work, client_macs=work, evaluations=_out(s, x, y).count)


@correlated("cross", out=_out, demand=_demand, cost=_cost)
def cross(s: Session, x: Share, y: Share) -> Share:
    """x·y from the opened values of both: additive parts mod 2^k of both parties, without a preset. No message."""
    wire, demand, op, ring = _out(s, x.wire, y.wire), _demand(s, x.wire, y.wire), s.step.op, x.wire.ring
    middle = np.uint64(1 << (ring - 2))
    c_x, c_y = x.require() - middle, y.require() - middle
    half_x, half_y = (s.recall_opening(site, at) for site, at in zip(s.step.inputs, (x.wire, y.wire), strict=True))
    if s.rank == CLIENT:
        part = s.uniform(CLIENT, labels.CROSS, wire.shape, ring)
        part -= multiply(op, c_x, half_y, ring, threads=s.threads)
    else:
        part = s.unpack(s.take(demand.label, demand.stored(SERVER)), wire)
        part += multiply(op, c_x, native.sub(c_y, half_y, threads=s.threads), ring, threads=s.threads)
    part -= multiply(op, half_x, c_y, ring, threads=s.threads)
    return Share(wire, part)


def times(s: Session, x: Share, y: Share) -> Share:
    """Composite: the product of two opened values on a fresh dealt preset. One one-way step after the openings."""
    return mask(s, cross(s, x, y))
