"""The sign of an opened value, masked: a distributed point function evaluated at C says which side of zero y is on.

With C = y + μ mod 2^k, μ = λ + 2^(k-2), m = k - 1 and low(v) = v mod 2^m:

    [y < 0] = msb(C) ^ msb(μ) ^ [low(C) < low(μ)]

    deal      keys of a point function at low(μ), for prefix parity; a mask bit r_d = r_c ^ r_s, one half a party's seed
              server also gets w = 1 ^ msb(μ) ^ r_d ^ u, with u from the client's seed
    online    server  b_s = less_s(low(C)) ^ msb(C) ^ w -------> client
              client  b_c = less_c(low(C)) ^ u          -------> server
              both    d' = b_c ^ b_s = [y >= 0] ^ r_d

d' is uniform: neither party knows r_d. One AES per level and party, m - 7 levels. Source: the comparison of
Boyle, Gilboa
and Ishai (TCC 2019) by prefix parity with early termination (SIGMA: Gupta et al., PETS 2024; key generation: Boyle,
Gilboa, Ishai, CCS 2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tacit.corr.bundle import Seeds
from tacit.corr.demand import Demand
from tacit.ring import bits, native
from tacit.secure import labels
from tacit.secure.cost import Cost, Message
from tacit.secure.kernel import kernel
from tacit.secure.session import Session
from tacit.secure.share import CLIENT, SERVER, Share, Wire, Words

__all__ = ["SignKeys", "sign"]


@dataclass(frozen=True)
class SignKeys(Demand):
    """The point function's corrections for both parties, and the server's bits w."""

    count: int
    ring: int

    @property
    def label(self) -> str:
        return f"{self.site}/sign"

    @property
    def keys(self) -> int:
        """Bytes of the corrections alone."""
        return native.dpf_size(self.ring - 1, self.count)

    def stored(self, rank: int) -> int:
        return self.keys + ((self.count + 7) // 8 if rank == SERVER else 0)

    def ideal(self, seeds: Seeds, rank: int, *given: Words, threads: int = 1) -> NDArray[np.uint8] | Words:
        mu, hidden = (words.reshape(-1) for words in given)
        low, nonce = self.ring - 1, (labels.SIGN_KEYS << 32) | self.site
        keys = (seeds.of(CLIENT).key, nonce, seeds.of(SERVER).key, nonce)
        corrections = native.dpf_keygen(mu & np.uint64((1 << low) - 1), low, *keys, threads=threads)
        if rank == CLIENT:
            return corrections
        share = seeds.of(CLIENT).uniform(labels.SIGN_SHARE, self.site, (self.count,), 1, threads=threads)
        w = ((mu >> np.uint64(low)) ^ hidden ^ share ^ np.uint64(1)) & np.uint64(1)
        return np.concatenate([corrections, bits.pack(w, 1, threads=threads)])


def _out(s: Session, opened: Wire) -> Wire:
    if opened.preset != "opened":
        raise ValueError(f"{s.step.node}: a sign is tested at an opened value; the plan lacks an opening")
    return Wire(opened.shape, 1, Fraction(1), "opened")


def _demand(s: Session, opened: Wire) -> SignKeys:
    return SignKeys(s.step.site, opened.count, opened.ring)


def _cost(s: Session, opened: Wire) -> Cost:
    wire = _out(s, opened)
    messages = (Message("online", SERVER, CLIENT, wire.packed), Message("online", CLIENT, SERVER, wire.packed))
    return Cost.dealt([_demand(s, opened)]) + Cost(messages, evaluations=opened.count)


def _deal(s: Session, opened: Share) -> Share:
    wire = _out(s, opened.wire)
    hidden = s.uniform(CLIENT, labels.SIGN_CLIENT, wire.shape, 1) ^ s.uniform(SERVER, labels.SIGN_SERVER, wire.shape, 1)
    mu = opened.require() + np.uint64(1 << (opened.wire.ring - 2))
    s.demand(_demand(s, opened.wire), mu, hidden)
    return Share(wire, hidden)


def _prime(s: Session, opened: Share) -> Share:
    return Share(_out(s, opened.wire))


def _less(s: Session, opened: Share, corrections: NDArray[np.uint8]) -> Words:
    """This party's shares of [low(C) < low(μ)]."""
    demand, wire = _demand(s, opened.wire), _out(s, opened.wire)
    key, nonce = s.stream(s.rank, labels.SIGN_KEYS)
    x = opened.require().reshape(-1) & np.uint64((1 << (demand.ring - 1)) - 1)
    packed = native.dpf_less(x, demand.ring - 1, s.rank, key, nonce, corrections, threads=s.threads)
    return bits.unpack(packed, 1, wire.shape, threads=s.threads)


@kernel("sign", out=_out, cost=_cost, deal=_deal, prime=_prime)
def sign(s: Session, opened: Share) -> Share:
    """d' = [y >= 0] ^ r_d at both parties, a word of 0 or 1 an element: one message each way."""
    demand, wire = _demand(s, opened.wire), _out(s, opened.wire)
    part = np.frombuffer(s.take(demand.label, demand.stored(s.rank)), np.uint8)
    mine = _less(s, opened, part[: demand.keys])
    if s.rank == CLIENT:
        mine ^= s.uniform(CLIENT, labels.SIGN_SHARE, wire.shape, 1)
        theirs = s.receive(wire)
        s.send(mine, 1)
        return Share(wire, mine ^ theirs)
    top = (opened.require() >> np.uint64(demand.ring - 1)) & np.uint64(1)
    mine ^= top ^ bits.unpack(part[demand.keys :], 1, wire.shape, threads=s.threads)
    s.send(mine, 1)
    return Share(wire, mine ^ s.receive(wire))
