"""The sign of an opened value, masked: a distributed point function evaluated at C says which side of zero y is on.

With C = y + μ mod 2^k, μ = λ + 2^(k-2), and the bits [l, h) of them, C' = (C >> l) mod 2^w, μ' likewise, w = h - l,
m = w - 1 and low(v) = v mod 2^m:

    [v < 0] = msb(C') ^ msb(μ') ^ [low(C') < low(μ')]     for v = (y >> l) + [y mod 2^l + μ mod 2^l >= 2^l]

    deal      keys of a point function at low(μ'), for prefix parity; a mask bit r_d = r_c ^ r_s, each a seed's half
              server also gets w = 1 ^ msb(μ') ^ r_d ^ u, with u from the client's seed
    online    server  b_s = less_s(low(C')) ^ msb(C') ^ w -------> client
              client  b_c = less_c(low(C')) ^ u           -------> server
              both    d' = b_c ^ b_s = [v >= 0] ^ r_d

d' is uniform: neither party knows r_d. One AES per level and party, m - 7 levels. With l = 0 it is the exact sign. With
l > 0 values of 2^l and more in magnitude keep theirs; for the others the carry above is a coin that μ determines, up
with probability (y mod 2^l) / 2^l: a negative y passes as positive with that probability ("negpass"), or, testing v - 1
instead, a positive y counts as negative with one minus it ("poszero"). Those are the tie laws of Circa (Ghodsi et al.,
NeurIPS 2021) without its other faults, as long as |y| < 2^(h-1) - 2^l.

The same test on the bits below a shift p, [C mod 2^p < λ mod 2^p], is the carry that exact rounding takes off; both are
asked in the same two messages. Source: the comparison of Boyle, Gilboa and Ishai (TCC 2019) by prefix parity with early
termination (SIGMA: Gupta et al., PETS 2024; key generation: Boyle, Gilboa, Ishai, CCS 2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

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

__all__ = ["Carry", "SignKeys", "rounds_exactly", "sign"]


@dataclass(frozen=True)
class SignKeys(Demand):
    """The point function's corrections for both parties, and the server's bits w; for bits [low, high) of C."""

    count: int
    low: int
    high: int

    @property
    def label(self) -> str:
        return f"{self.site}/sign"

    @property
    def compared(self) -> int:
        """m: bits that the point function takes."""
        return self.high - self.low - 1

    @property
    def domains(self) -> tuple[int, int]:
        """Labels of the roots and of the client's share u."""
        return labels.SIGN_KEYS, labels.SIGN_SHARE

    @property
    def keys(self) -> int:
        """Bytes of the corrections alone."""
        return native.dpf_size(self.compared, self.count)

    def stored(self, rank: int) -> int:
        return self.keys + ((self.count + 7) // 8 if rank == SERVER else 0)

    def ideal(self, seeds: Seeds, rank: int, *given: Words, threads: int = 1) -> NDArray[np.uint8] | Words:
        mu, hidden = (words.reshape(-1) for words in given)
        roots, share = self.domains
        nonce = (roots << 32) | self.site
        keys = (seeds.of(CLIENT).key, nonce, seeds.of(SERVER).key, nonce)
        corrections = native.dpf_keygen(self.point(mu), self.compared, *keys, threads=threads)
        if rank == CLIENT:
            return corrections
        drawn = seeds.of(CLIENT).uniform(share, self.site, (self.count,), 1, threads=threads)
        w = (self.fixed(mu) ^ hidden ^ drawn) & np.uint64(1)
        return np.concatenate([corrections, bits.pack(w, 1, threads=threads)])

    def pair(self, seeds: Seeds, *given: Words, threads: int = 1) -> dict[int, NDArray[Any]]:
        """The corrections are the same for both: the server's part begins with the client's."""
        server = np.asarray(self.ideal(seeds, SERVER, *given, threads=threads))
        return {CLIENT: server[: self.keys], SERVER: server}

    def point(self, value: Words) -> Words:
        """The bits that the point function compares, with others above them, which it does not look at."""
        return value >> np.uint64(self.low) if self.low else value

    def fixed(self, mu: Words) -> Words:
        """What the dealer adds to the comparison: the mask's top bit, turned over since the test is for [y >= 0]."""
        return self.public(mu) ^ np.uint64(1)

    def public(self, value: Words) -> Words:
        """What a value adds to the comparison: its top bit."""
        return (value >> np.uint64(self.high - 1)) & np.uint64(1)


@dataclass(frozen=True)
class Carry(SignKeys):
    """The same for the carry [C mod 2^high < λ mod 2^high]; low is 0."""

    @property
    def label(self) -> str:
        return f"{self.site}/carry"

    @property
    def compared(self) -> int:
        """All bits below `high`."""
        return self.high

    @property
    def domains(self) -> tuple[int, int]:
        """Labels of the roots and of the client's share u."""
        return labels.CARRY_KEYS, labels.CARRY_SHARE

    def fixed(self, mu: Words) -> Words:
        """Nothing."""
        return np.zeros_like(mu)

    def public(self, value: Words) -> Words:
        """Nothing."""
        return np.zeros_like(value)


def rounds_exactly(s: Session) -> bool:
    """Whether this step takes the carry off, for which it asks for a second bit."""
    return s.step.attrs.get("rounding") == "exact" and int(s.step.attrs["shift"]) > 0


def _out(s: Session, opened: Wire) -> Wire:
    if opened.preset != "opened":
        raise ValueError(f"{s.step.node}: a sign is tested at an opened value; the plan lacks an opening")
    return Wire((2 if rounds_exactly(s) else 1, *opened.shape), 1, Fraction(1), "opened")


def _tests(s: Session, opened: Wire) -> list[SignKeys]:
    low, high = s.step.attrs["bits"]
    sign_keys = SignKeys(s.step.site, opened.count, int(low), int(high))
    if not rounds_exactly(s):
        return [sign_keys]
    return [sign_keys, Carry(s.step.site, opened.count, 0, int(s.step.attrs["shift"]))]


def _cost(s: Session, opened: Wire) -> Cost:
    wire = _out(s, opened)
    messages = (Message("online", SERVER, CLIENT, wire.packed), Message("online", CLIENT, SERVER, wire.packed))
    return Cost.dealt(_tests(s, opened)) + Cost(messages, evaluations=opened.count)


def _deal(s: Session, opened: Share) -> Share:
    wire = _out(s, opened.wire)
    hidden = s.uniform(CLIENT, labels.SIGN_CLIENT, wire.shape, 1) ^ s.uniform(SERVER, labels.SIGN_SERVER, wire.shape, 1)
    # The offset 2^(k-2) has no bits below the shift, so that it does not matter to the carry.
    mu = opened.require() + np.uint64(1 << (opened.wire.ring - 2))
    for keys, bit in zip(_tests(s, opened.wire), hidden, strict=True):
        s.demand(keys, mu, bit)
    return Share(wire, hidden)


def _test(s: Session, keys: SignKeys, opened: Words) -> Words:
    """This party's shares of one masked bit an element."""
    roots, share = keys.domains
    part = np.frombuffer(s.take(keys.label, keys.stored(s.rank)), np.uint8)
    key, nonce = s.stream(s.rank, roots)
    packed = native.dpf_less(
        keys.point(opened).reshape(-1), keys.compared, s.rank, key, nonce, part[: keys.keys], threads=s.threads
    )
    mine = bits.unpack(packed, 1, opened.shape, threads=s.threads)
    if s.rank == CLIENT:
        mine ^= s.uniform(CLIENT, share, opened.shape, 1)
        return mine
    mine ^= keys.public(opened) ^ bits.unpack(part[keys.keys :], 1, opened.shape, threads=s.threads)
    return mine


@kernel("sign", out=_out, cost=_cost, deal=_deal)
def sign(s: Session, opened: Share) -> Share:
    """d' = [y >= 0] ^ r_d at both parties, as words of 0 or 1 of shape [1 or 2, *opened]: one message each way.

    The second, where the step rounds exactly, is the masked carry.
    """
    wire, value = _out(s, opened.wire), opened.require()
    tests = _tests(s, opened.wire)
    shifted = value - np.uint64(1 << tests[0].low) if s.step.attrs.get("tie") == "poszero" else value
    bits_of_tests = [_test(s, keys, at) for keys, at in zip(tests, (shifted, value), strict=False)]
    mine = bits_of_tests[0][None] if len(bits_of_tests) == 1 else np.stack(bits_of_tests)
    if s.rank == CLIENT:
        theirs = s.receive(wire)
        s.send(mine, 1)
        return Share(wire, mine ^ theirs)
    s.send(mine, 1)
    return Share(wire, mine ^ s.receive(wire))
