"""Smooth functions at an opened value: piecewise polynomials of its tag, picked by the masked sides of their knots.

With u = c - tag, which is y >> p or that plus 1 (see `protocols.masked.poly`), knots t_1 < ... < t_n and whole
polynomials P_0 ... P_n of degree D,

    P(u) = P_0(u) + sum_i d_i (P_i - P_(i-1))(u),    d_i = [u >= t_i],    result P(u) >> T

The sides d_i are those of u itself: a sign test of C - t_i 2^p that leaves out the p bits that the tag leaves out has
the tag's own carry, so the result is a function of u and no knot is ever mistaken. All knots of a value ask one point
function, at n public points: key bytes do not grow with n. With d'_i = d_i ^ r_i public, d_i = d'_i + (1 - 2 d'_i) r_i,
and everything is linear in shares of tag^e, r_i and r_i tag^e, e = 1 ... D, in the tag's two variants.

Words are of W bits, W - log2|P| of them to spare: that makes the truncation, local as that of `poly`, fail with
probability |P| / 2^W only, and the next layer's ring need not hold the coefficients' bits. Those words are fewer bytes
than untruncated ones in the ring that would hold them (64 bits nearly always), a degree-1 opening for the truncation
included. One message each way for the sides, then the mask of the result. Source: splines by function secret sharing
(Boyle et al., EUROCRYPT 2021), here by selection (SIGMA: Gupta et al., PETS 2024) and with truncation by two tags.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tacit.corr.bundle import Seeds
from tacit.corr.demand import Demand
from tacit.protocols.fss.sign import SignKeys
from tacit.ring import native
from tacit.ring.native import Bytes
from tacit.secure import labels
from tacit.secure.cost import Cost, Message
from tacit.secure.hub import mask
from tacit.secure.kernel import correlated, kernel
from tacit.secure.session import Session
from tacit.secure.share import CLIENT, SERVER, Share, Wire, Words

__all__ = ["SideKeys", "SplineWords", "evaluate", "sides", "spline"]


def _rows(values: Words) -> Bytes:
    """Words of 0 or 1, [n, count], as n rows of packed bits, each of whole bytes."""
    return np.packbits(values.astype(np.uint8), axis=1, bitorder="little").reshape(-1)


def _unrows(data: Bytes, shape: tuple[int, int]) -> Words:
    """What `_rows` packed, of `shape`."""
    rows = data.reshape(shape[0], -1)
    return np.unpackbits(rows, axis=1, count=shape[1], bitorder="little").astype(np.uint64)


@dataclass(frozen=True)
class SideKeys(SignKeys):
    """One point function a value, and the server's bits w for its `points` knots, a row of whole bytes a knot."""

    points: int = 1

    def stored(self, rank: int) -> int:
        return self.keys + (self.points * ((self.count + 7) // 8) if rank == SERVER else 0)

    def ideal(self, seeds: Seeds, rank: int, *given: Words, threads: int = 1) -> NDArray[np.uint8] | Words:
        mu, hidden = given[0].reshape(-1), given[1].reshape(self.points, self.count)
        roots, share = self.domains
        nonce = (roots << 32) | self.site
        keys = (seeds.of(CLIENT).key, nonce, seeds.of(SERVER).key, nonce)
        corrections = native.dpf_keygen(self.point(mu), self.compared, *keys, threads=threads)
        if rank == CLIENT:
            return corrections
        drawn = seeds.of(CLIENT).uniform(share, self.site, hidden.shape, 1, threads=threads)
        return np.concatenate([corrections, _rows((self.fixed(mu) ^ hidden ^ drawn) & np.uint64(1))])


@dataclass(frozen=True)
class SplineWords(Demand):
    """The server's corrections of tag^e, r_i and r_i·tag^e (both variants), in words of `width` bytes."""

    count: int
    ring: int
    shift: int
    degree: int
    knots: int
    width: int

    @property
    def label(self) -> str:
        return f"{self.site}/spline"

    @property
    def words(self) -> int:
        """Words of one value."""
        return 2 * self.degree + self.knots * (1 + 2 * self.degree)

    def stored(self, rank: int) -> int:
        return self.count * self.words * self.width if rank == SERVER else 0

    def ideal(self, seeds: Seeds, rank: int, *given: Words, threads: int = 1) -> NDArray[np.uint8] | Words:
        lam, flips = given[0].reshape(-1), _rows(given[1].reshape(self.knots, self.count))
        key, nonce = seeds.of(CLIENT).key, (labels.SPLINE << 32) | self.site
        sizes = (self.ring, self.shift, self.degree, self.knots, self.width)
        return native.spline_deal(lam, *sizes, flips, key, nonce, threads=threads)


def _knots(s: Session) -> list[int]:
    return [int(t) for t in s.step.attrs["knots"]]


def _keys(s: Session, opened: Wire) -> SideKeys:
    low, high = s.step.attrs["bits"]
    return SideKeys(s.step.site, opened.count, int(low), int(high), len(s.step.attrs["knots"]))


def _sides_out(s: Session, opened: Wire) -> Wire:
    if opened.preset != "opened":
        raise ValueError(f"{s.step.node}: sides are tested at an opened value; the plan lacks an opening")
    return Wire((len(s.step.attrs["knots"]), *opened.shape), 1, Fraction(1), "opened")


def _sides_cost(s: Session, opened: Wire) -> Cost:
    wire = _sides_out(s, opened)
    messages = (Message("online", SERVER, CLIENT, wire.packed), Message("online", CLIENT, SERVER, wire.packed))
    return Cost.dealt([_keys(s, opened)]) + Cost(messages, evaluations=opened.count)


def _sides_deal(s: Session, opened: Share) -> Share:
    wire = _sides_out(s, opened.wire)
    hidden = s.uniform(CLIENT, labels.SIGN_CLIENT, wire.shape, 1) ^ s.uniform(SERVER, labels.SIGN_SERVER, wire.shape, 1)
    s.demand(_keys(s, opened.wire), opened.require() + np.uint64(1 << (opened.wire.ring - 2)), hidden)
    return Share(wire, hidden)


@kernel("sides", out=_sides_out, cost=_sides_cost, deal=_sides_deal)
def sides(s: Session, opened: Share) -> Share:
    """d'_i = [u >= t_i] ^ r_i for every knot at both parties, words of 0 or 1, [n, *opened]: one message each way."""
    wire, keys = _sides_out(s, opened.wire), _keys(s, opened.wire)
    roots, share = keys.domains
    part = np.frombuffer(s.take(keys.label, keys.stored(s.rank)), np.uint8)
    x = opened.require().reshape(-1) >> np.uint64(keys.low)
    knots = np.array([t % (1 << 64) for t in _knots(s)], np.uint64)
    at = (x, knots, keys.compared, s.rank, *s.stream(s.rank, roots), part[: keys.keys])
    bits, shape = native.dpf_sides(*at, threads=s.threads), (keys.points, keys.count)
    if s.rank == CLIENT:
        mine = (_unrows(bits, shape) ^ s.uniform(CLIENT, share, shape, 1)).reshape(wire.shape)
        theirs = s.receive(wire)
        s.send(mine, 1)
        return Share(wire, mine ^ theirs)
    mine = _unrows(bits ^ part[keys.keys :], shape).reshape(wire.shape)
    s.send(mine, 1)
    return Share(wire, mine ^ s.receive(wire))


def _out(s: Session, opened: Wire, hidden: Wire) -> Wire:
    if (opened.preset, hidden.preset, hidden.ring) != ("opened", "opened", 1) or hidden.shape[1:] != opened.shape:
        raise ValueError(f"{s.step.node}: a spline needs an opened value and the masked sides of its knots")
    return Wire(opened.shape, int(s.step.attrs["ring"]), Fraction(s.step.attrs["scale"]), "raw")


def _demand(s: Session, opened: Wire, hidden: Wire) -> SplineWords:
    attrs = s.step.attrs
    sizes = (int(attrs["degree"]), len(attrs["knots"]), int(attrs["width"]))
    return SplineWords(s.step.site, opened.count, opened.ring, int(attrs["shift"]), *sizes)


def _cost(s: Session, opened: Wire, hidden: Wire) -> Cost:
    failure = opened.count * 2.0 ** (float(s.step.attrs["value_bits"]) - 8 * int(s.step.attrs["width"]))
    return Cost.dealt([_demand(s, opened, hidden)]) + Cost(failure=failure)


@correlated("pieces", out=_out, demand=_demand, cost=_cost)
def evaluate(s: Session, opened: Share, hidden: Share) -> Share:
    """P(u) >> T: additive parts mod 2^64 of both parties, without a preset. No message."""
    wire, demand = _out(s, opened.wire, hidden.wire), _demand(s, opened.wire, hidden.wire)
    coeffs = np.array([int(c) % (1 << 64) for c in s.step.attrs["coeffs"]], np.uint64).reshape(-1, demand.degree + 1)
    bits = _rows(hidden.require().reshape(demand.knots, demand.count))
    trunc = int(s.step.attrs["trunc"])
    args = (opened.require().reshape(-1), demand.ring, demand.shift, coeffs, trunc, demand.width, bits)
    if s.rank == CLIENT:
        part = native.spline_client(*args, *s.stream(CLIENT, labels.SPLINE), threads=s.threads)
    else:
        words = np.frombuffer(s.take(demand.label, demand.stored(SERVER)), np.uint8)
        part = native.spline_server(*args, words, threads=s.threads)
    return Share(wire, part.reshape(wire.shape))


def spline(s: Session, opened: Share) -> Share:
    """Composite: the sides, the pieces, and the result on a fresh dealt preset. Two one-way steps."""
    return mask(s, evaluate(s, opened, sides(s, opened)))
