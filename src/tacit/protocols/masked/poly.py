"""A public polynomial at an opened value, by shares mod 2^128 of powers of the mask.

Given C = y + λ + 2^(k-2) mod 2^k with |y| < 2^(k-2), and a shift p:

    top bit of C = 1: y + 2^(k-2) + λ did not wrap;         tag = λ >> p             (variant A)
    top bit of C = 0: C = y + 2^(k-2) + (λ as signed);      tag = signed(λ) >> p     (variant B)
    c = (C >> p) - 2^(k-2-p),   c - tag = y >> p or that plus 1

    P(c - tag) = sum_j (-1)^j t_j(c) tag^j,   t_j the Taylor coefficients of P at c

Both parties know c; the tags' powers are shared mod 2^128 by the dealer: the client's shares come from its seed, the
server
stores the corrections, 32·n bytes for degree n. The result is shifted down locally in 128 bits, which fails with
probability |P| 2^q / 2^128 only, and the client's part moves onto a fresh dealt preset. Source: the powers opening of
HoneyBadgerMPC/AsynchroMix (Lu et al., CCS 2019) and PILLAR (Diaa et al., USENIX Security 2024), lifted to 2^128 so that
truncation rides along.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tacit.corr.bundle import Seeds
from tacit.corr.demand import Demand
from tacit.ring import native
from tacit.secure import labels
from tacit.secure.cost import Cost
from tacit.secure.hub import mask
from tacit.secure.kernel import correlated
from tacit.secure.session import Session
from tacit.secure.share import CLIENT, SERVER, Share, Wire, Words

__all__ = ["Powers", "evaluate", "poly"]

WORD = (1 << 64) - 1


@dataclass(frozen=True)
class Powers(Demand):
    """Shares mod 2^128 of tag^1..tag^degree in both variants, for `count` opened values of `ring` bits."""

    count: int
    ring: int
    shift: int
    degree: int

    @property
    def label(self) -> str:
        return f"{self.site}/powers"

    def stored(self, rank: int) -> int:
        return self.count * 2 * self.degree * 16 if rank == SERVER else 0

    def ideal(self, seeds: Seeds, rank: int, *given: Words, threads: int = 1) -> NDArray[np.uint8] | Words:
        (mask_value,) = given
        key, nonce = seeds.of(CLIENT).key, (labels.POWERS << 32) | self.site
        return native.powers(mask_value.reshape(-1), self.ring, self.shift, self.degree, key, nonce, threads=threads)


def _out(s: Session, opened: Wire) -> Wire:
    if opened.preset != "opened":
        raise ValueError(f"{s.step.node}: a polynomial is evaluated at an opened value; the plan lacks an opening")
    return Wire(opened.shape, int(s.step.attrs["ring"]), Fraction(s.step.attrs["scale"]), "raw")


def _demand(s: Session, opened: Wire) -> Powers:
    degree = len(s.step.attrs["coeffs"]) - 1
    return Powers(s.step.site, opened.count, opened.ring, int(s.step.attrs["shift"]), degree)


def _cost(s: Session, opened: Wire) -> Cost:
    bits = float(s.step.attrs["value_bits"])
    failure = opened.count * 2.0 ** (bits - 128)
    return Cost.dealt([_demand(s, opened)]) + Cost(evaluations=opened.count, failure=failure)


def _words(coeffs: list[str]) -> Words:
    """128-bit two's complement coefficients as (low, high) words."""
    values = [int(c) % (1 << 128) for c in coeffs]
    return np.array([[v & WORD, v >> 64] for v in values], np.uint64)


@correlated("evaluate", out=_out, demand=_demand, cost=_cost)
def evaluate(s: Session, opened: Share) -> Share:
    """The step's polynomial at C, truncated: additive parts mod 2^64 of both parties, without a preset."""
    wire, attrs, demand = _out(s, opened.wire), s.step.attrs, _demand(s, opened.wire)
    args = (opened.require().reshape(-1), demand.ring, demand.shift, _words(attrs["coeffs"]), int(attrs["trunc"]))
    if s.rank == CLIENT:
        key, nonce = s.stream(CLIENT, labels.POWERS)
        part = native.poly_client(*args, key, nonce, threads=s.threads)
    else:
        raw = s.take(demand.label, demand.stored(SERVER))
        powers = np.frombuffer(raw, np.uint64).reshape(demand.count, 2, demand.degree, 2)
        part = native.poly_server(*args, powers, threads=s.threads)
    return Share(wire, part.reshape(wire.shape))


def poly(s: Session, opened: Share) -> Share:
    """Composite: evaluate, then move the result onto a fresh dealt preset. Works at degree 1 to 6."""
    return mask(s, evaluate(s, opened))
