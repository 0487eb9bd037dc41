"""Masked bits as numbers: additive shares of d, of d·e, of ranks and of labels, from public d' = d ^ r_d. No message.

    d = d' + (1 - 2 d') r_d        d·e likewise from r_d, r_e and r_d r_e

The dealer shares the masks' bits mod 2^ring: the client's shares come from its seed, the server stores corrections.
Source: the conversion of masked bits in SIGMA (Gupta et al., PETS 2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tacit.corr.bundle import Seeds
from tacit.corr.demand import Demand
from tacit.protocols.fss.sign import sign
from tacit.ring import bits
from tacit.secure import labels
from tacit.secure.hub import mask
from tacit.secure.kernel import correlated
from tacit.secure.session import Session
from tacit.secure.share import CLIENT, SERVER, Share, Wire, Words

__all__ = ["BitWords", "both", "labels_of", "number", "pick", "ranks", "step", "tally"]


@dataclass(frozen=True)
class BitWords(Demand):
    """The server's corrections of mask bits as numbers mod 2^ring: r_d for each, or r_d, r_e and r_d·r_e."""

    count: int
    ring: int
    words: int = 1

    @property
    def label(self) -> str:
        return f"{self.site}/bits"

    def stored(self, rank: int) -> int:
        return (self.count * self.words * self.ring + 7) // 8 if rank == SERVER else 0

    def ideal(self, seeds: Seeds, rank: int, *given: Words, threads: int = 1) -> NDArray[np.uint8] | Words:
        (hidden,) = given
        drawn = seeds.of(CLIENT).uniform(labels.BITS, self.site, (self.words, self.count), self.ring, threads=threads)
        masks = hidden.reshape(1 if self.words == 1 else 2, self.count)
        values = masks if self.words == 1 else np.concatenate([masks, masks[:1] & masks[1:]])
        return bits.pack(values - drawn, self.ring, threads=threads)


def _shares(s: Session, demand: BitWords) -> Words:
    """This party's shares of the masks' bits, [words, count]."""
    if s.rank == CLIENT:
        return s.uniform(CLIENT, labels.BITS, (demand.words, demand.count), demand.ring)
    raw = np.frombuffer(s.take(demand.label, demand.stored(SERVER)), np.uint8)
    return bits.unpack(raw, demand.ring, (demand.words, demand.count), threads=s.threads)


def _unmasked(s: Session, demand: BitWords, hidden: Words) -> Words:
    """Shares of d for every bit, in the shape of `hidden`."""
    shares = _shares(s, demand).reshape(hidden.shape)
    flipped = (np.uint64(1) - np.uint64(2) * hidden) * shares
    return flipped + hidden if s.rank == SERVER else flipped


def _ring(s: Session) -> int:
    return int(s.step.attrs["ring"])


def _needs_hidden(hidden: Wire, axes: int) -> None:
    if (hidden.preset, hidden.ring) != ("opened", 1) or len(hidden.shape) < axes:
        raise ValueError("masked bits are turned into numbers, nothing else")


def _bits(s: Session, hidden: Wire) -> BitWords:
    return BitWords(s.step.site, hidden.count, _ring(s))


def _number_out(s: Session, hidden: Wire) -> Wire:
    _needs_hidden(hidden, 1)
    return Wire(hidden.shape[1:], _ring(s), Fraction(1), "raw")


@correlated("number", out=_number_out, demand=_bits)
def number(s: Session, hidden: Share) -> Share:
    """d as 0 or 1, of shape [*] for masked bits of [1, *]."""
    wire = _number_out(s, hidden.wire)
    return Share(wire, _unmasked(s, _bits(s, hidden.wire), hidden.require()).reshape(wire.shape))


def _tally_out(s: Session, hidden: Wire) -> Wire:
    _needs_hidden(hidden, 2)
    count = int(s.step.attrs["items"])
    if hidden.shape[-1] != count * (count - 1) // 2 or hidden.shape[0] != 1:
        raise ValueError(f"{s.step.node}: {hidden.shape[-1]} comparisons are not all pairs of {count}")
    return Wire((*hidden.shape[1:-1], count), _ring(s), Fraction(1), "raw")


@correlated("tally", out=_tally_out, demand=_bits)
def tally(s: Session, hidden: Share) -> Share:
    """The rank of each of n values, 0 for the largest and the first of equals before the others, from the masked
    [x_i >= x_j] of all pairs i < j in lexicographic order, [1, *, n (n - 1) / 2]; gives [*, n].
    """
    wire = _tally_out(s, hidden.wire)
    won = _unmasked(s, _bits(s, hidden.wire), hidden.require())[0]
    count = wire.shape[-1]
    table = np.zeros((*wire.shape, count), np.uint64)
    table[(..., *np.triu_indices(count, 1))] = won
    rank = table.sum(-2) - table.sum(-1)
    if s.rank == SERVER:
        rank += np.arange(count - 1, -1, -1, dtype=np.uint64)
    return Share(wire, rank)


def _pick_out(s: Session, hidden: Wire) -> Wire:
    _needs_hidden(hidden, 3)
    if hidden.shape[0] != 1:
        raise ValueError(f"{s.step.node}: labels are picked by one test a rank")
    return Wire((*hidden.shape[2:-1], hidden.shape[1]), _ring(s), Fraction(1), "raw")


@correlated("pick", out=_pick_out, demand=_bits)
def pick(s: Session, hidden: Share) -> Share:
    """The index of the value of rank 0, 1, ... k - 1, from the masked [rank_i >= t], t = 1 ... k, [1, k, *, n]; gives
    [*, k].
    """
    wire = _pick_out(s, hidden.wire)
    beyond = _unmasked(s, _bits(s, hidden.wire), hidden.require())[0]
    reached = np.full((1, *beyond.shape[1:]), 1 if s.rank == SERVER else 0, np.uint64)
    equal = np.concatenate([reached, beyond[:-1]]) - beyond
    found = (equal * np.arange(beyond.shape[-1], dtype=np.uint64)).sum(-1)
    return Share(wire, np.ascontiguousarray(np.moveaxis(found, 0, -1)))


def _both_out(s: Session, hidden: Wire) -> Wire:
    _needs_hidden(hidden, 1)
    return Wire((2, *hidden.shape[1:]), _ring(s), Fraction(1), "raw")


def _both_words(s: Session, hidden: Wire) -> BitWords:
    return BitWords(s.step.site, hidden.count // 2, _ring(s), 3)


@correlated("both", out=_both_out, demand=_both_words)
def both(s: Session, hidden: Share) -> Share:
    """e and d·e of masked bits d and e, stacked: [2, *] for [2, *]."""
    wire = _both_out(s, hidden.wire)
    first, second = (part.reshape(-1) for part in hidden.require())
    r_d, r_e, r_de = _shares(s, _both_words(s, hidden.wire))
    two, one = np.uint64(2), np.uint64(1)
    turn_d, turn_e = one - two * first, one - two * second
    e = turn_e * r_e
    product = first * e + second * (turn_d * r_d) + turn_d * turn_e * r_de
    if s.rank == SERVER:
        e, product = e + second, product + first * second
    return Share(wire, np.stack([e, product]).reshape(wire.shape))


def step(s: Session, opened: Share) -> Share:
    """Composite: [y >= 0] as 0 or 1 on a fresh dealt preset. Two one-way steps."""
    return mask(s, number(s, sign(s, opened)))


def ranks(s: Session, opened: Share) -> Share:
    """Composite: the ranks of n values from their opened differences. Two one-way steps."""
    return mask(s, tally(s, sign(s, opened)))


def labels_of(s: Session, opened: Share) -> Share:
    """Composite: the indices of the first k ranks from opened ranks less 1 ... k. Two one-way steps."""
    return mask(s, pick(s, sign(s, opened)))
