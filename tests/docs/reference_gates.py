"""Gates, written from docs/protocol.md (sections 5.8 to 5.10) alone: point functions, tests, selections, bits."""

from __future__ import annotations

import hashlib
import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray
from reference_numbers import Step, Words, mask, pack, packed_size, stream, unpack

__all__ = ["CLIENT", "SERVER", "Bits", "Gate", "Keys", "Parts", "fanned", "roots"]

CLIENT, SERVER = 0, 1
Blocks = NDArray[np.uint8]
Bits = NDArray[np.bool_]


def fanned(step: Step, opened: Words, k: int) -> Words:
    """What a `fan` makes of an opened value."""
    knots = np.array([int(t) % (1 << 64) for t in step.attrs["knots"]], np.uint64)
    return (opened - knots.reshape(-1, *[1] * opened.ndim)) & np.uint64((1 << k) - 1)


# ---- 5.8


def _expanded(side: str, seeds: Blocks) -> Blocks:
    """AES of each seed under a public key, xored with the seed."""
    key = hashlib.sha256(f"tacit fss {side}".encode()).digest()[:16]
    cipher = Cipher(algorithms.AES128(key), modes.ECB()).encryptor()
    out = np.frombuffer(cipher.update(seeds.tobytes()) + cipher.finalize(), np.uint8)
    return out.reshape(seeds.shape) ^ seeds


def _split(nodes: Blocks) -> tuple[Blocks, Bits]:
    """Seeds and control bits."""
    seeds = nodes.copy()
    seeds[:, 0] &= 0xFE
    return seeds, (nodes[:, 0] & 1).astype(bool)


def roots(seed: bytes, domain: int, site: int, count: int, rank: int) -> Blocks:
    """One block a key, its lowest bit the party's rank."""
    blocks = np.frombuffer(stream(seed, domain, site, 2 * count).astype("<u8").tobytes(), np.uint8).reshape(-1, 16)
    roots = blocks & np.array([0xFE] + [0xFF] * 15, np.uint8)
    roots[:, 0] |= rank
    return roots


def _bit(values: Words, place: int) -> Bits:
    return (values >> np.uint64(place) & np.uint64(1)).astype(bool)


@dataclass
class Keys:
    """The corrections of n keys of m bits."""

    m: int
    seeds: list[Blocks]
    leaf: Blocks
    sides: list[Blocks]  # [level][n, 2]: 0 or 1, left and right

    @staticmethod
    def size(m: int, count: int) -> int:
        """Bytes of the corrections."""
        levels = max(m - 7, 0)
        return 16 * count * (levels + 1) + (2 * levels * count + 7) // 8

    @classmethod
    def read(cls, data: bytes, m: int, count: int) -> Keys:
        """The corrections out of their bytes."""
        assert len(data) == cls.size(m, count)
        levels, row = max(m - 7, 0), 16 * count
        rows = [np.frombuffer(data[i * row : (i + 1) * row], np.uint8).reshape(count, 16) for i in range(levels + 1)]
        sides = unpack(data[(levels + 1) * row :], 1, (levels, count, 2)).astype(np.uint8)
        return cls(m, rows[:-1], rows[-1], list(sides))

    def written(self) -> bytes:
        """The bytes of the corrections."""
        blocks = b"".join(row.tobytes() for row in [*self.seeds, self.leaf])
        return blocks + (pack(np.stack(self.sides).astype(np.uint64), 1) if self.sides else b"")

    @classmethod
    def made(cls, m: int, alpha: Words, roots: tuple[Blocks, Blocks]) -> Keys:
        """The dealer's corrections for both parties' roots."""
        keys, nodes = cls(m, [], roots[0], []), list(roots)
        for level in range(max(m - 7, 0)):
            right = _bit(alpha, m - 1 - level)
            raw = [[_split(_expanded(side, _split(node)[0])) for side in ("left", "right")] for node in nodes]
            off = [np.where(right[:, None], left_child[0], right_child[0]) for left_child, right_child in raw]
            keys.seeds.append(off[0] ^ off[1])
            bits = [raw[0][side][1] ^ raw[1][side][1] ^ (right == bool(side)) for side in (0, 1)]
            keys.sides.append(np.stack(bits, 1).astype(np.uint8))
            nodes = [np.where(right[:, None], *reversed(keys._children(level, node))) for node in nodes]
        leaves = [_expanded("leaf", _split(node)[0]) for node in nodes]
        unit = np.zeros((len(alpha), 128), np.uint8)
        unit[np.arange(len(alpha)), (alpha & np.uint64((1 << min(m, 7)) - 1)).astype(np.int64)] = 1
        keys.leaf = leaves[0] ^ leaves[1] ^ np.packbits(unit, axis=1, bitorder="little")
        return keys

    def less(self, x: Words, roots: Blocks) -> Bits:
        """A party's shares of [x < alpha]."""
        node, share = roots, np.zeros(len(x), bool)
        for level in range(len(self.seeds)):
            left, right = self._children(level, node)
            goes_left = ~_bit(x, self.m - 1 - level)
            share ^= goes_left & (_split(node)[1] ^ _split(left)[1])
            node = np.where(goes_left[:, None], left, right)
        seeds, control = _split(node)
        leaves = _expanded("leaf", seeds) ^ (self.leaf * control[:, None])
        places = np.unpackbits(leaves, axis=1, bitorder="little")
        low = (x & np.uint64((1 << min(self.m, 7)) - 1)).astype(np.int64)
        above = (places * (np.arange(128) > low[:, None])).sum(1) % 2 == 1
        return np.asarray(share ^ above)

    def _children(self, level: int, node: Blocks) -> tuple[Blocks, Blocks]:
        """The corrected children."""
        seeds, control = _split(node)
        out = []
        for number, side in enumerate(("left", "right")):
            correction = self.seeds[level].copy()
            correction[:, 0] |= self.sides[level][:, number]
            out.append(_expanded(side, seeds) ^ (correction * control[:, None]))
        return out[0], out[1]


# ---- 5.9


@dataclass(frozen=True)
class Test:
    """A test of n elements: of signs, or of carries."""

    __test__ = False
    name: str
    low: int
    high: int
    roots: int
    share: int

    @property
    def m(self) -> int:
        """Bits that are compared."""
        return self.high - self.low - (1 if self.name == "sign" else 0)

    def point(self, values: Words) -> Words:
        """The bits that are compared."""
        return values >> np.uint64(self.low) & np.uint64((1 << self.m) - 1)

    def top(self, values: Words) -> Bits:
        """The bit above them, for signs."""
        return _bit(values, self.high - 1) if self.name == "sign" else np.zeros(len(values), bool)


#: What a party is dealt for a gate, by name.
Parts = dict[str, bytes]


class Gate:
    """A `relu`, `step`, `ranks` or `labels` of an operand of ring k and so many elements."""

    def __init__(self, step: Step, shape: tuple[int, ...], k: int) -> None:
        self.step, self.shape, self.k = step, shape, k
        self.n, self.ring = math.prod(shape), step.k
        low, high = step.attrs["bits"]
        self.tests = [Test("sign", low, high, 7, 10)]
        self.exact = step.op == "relu" and step.attrs["rounding"] == "exact" and step.attrs["shift"] > 0
        if self.exact:
            self.tests.append(Test("carry", 0, step.attrs["shift"], 12, 13))

    @property
    def message(self) -> int:
        """Bytes of the bits that each party sends."""
        return packed_size(len(self.tests) * self.n, 1)

    def sizes(self, rank: int) -> dict[str, int]:
        """Bytes of each part that a party is dealt, in order."""
        bits = packed_size(self.n, 1) if rank == SERVER else 0
        sizes = {test.name: Keys.size(test.m, self.n) + bits for test in self.tests}
        if rank == SERVER:
            sizes |= {name: packed_size(math.prod(shape), self.ring) for name, shape in self._words().items()}
        return sizes

    def _words(self) -> dict[str, tuple[int, ...]]:
        """What is shared as numbers."""
        if self.step.op != "relu":
            return {"bits": (1, self.n)}
        return {"select": (self.n, 5), **({"bits": (3, self.n)} if self.exact else {})}

    def tested(self, rank: int, seed: bytes, parts: Parts, opened: Words) -> Words:
        """A party's bits, signs before carries."""
        out = []
        for test in self.tests:
            c = opened.reshape(-1)
            if test.name == "sign" and self.step.attrs.get("tie") == "poszero":
                c = c - np.uint64(1 << test.low)
            size = Keys.size(test.m, self.n)
            keys = Keys.read(parts[test.name][:size], test.m, self.n)
            share = keys.less(test.point(c), roots(seed, test.roots, self.step.site, self.n, rank))
            if rank == CLIENT:
                share ^= self._drawn(seed, test.share)[: self.n]
            else:
                share ^= test.top(c) ^ unpack(parts[test.name][size:], 1, (self.n,)).astype(bool)
            out.append(share)
        return np.concatenate(out).astype(np.uint64)

    def evaluated(self, rank: int, seed: bytes, parts: Parts, opened: Words, bits: Words) -> Words:
        """A party's part of the result, from the bits that both know."""
        signs, *carries = bits.reshape(-1, self.n)
        shares = {name: self._shares(name, shape, seed, rank, parts) for name, shape in self._words().items()}
        server = np.uint64(rank)
        if self.step.op != "relu":
            (r,) = shares["bits"]
            known = (signs + (np.uint64(1) - np.uint64(2) * signs) * r) if rank else _turn(signs) * r
            return self._counted(known.reshape(self.shape), rank)
        out = self._selected(server, opened.reshape(-1), signs, shares["select"])
        if carries:
            out -= self._carried(server, signs, carries[0], shares["bits"])
        return out.reshape(self.shape)

    def deal(self, client: bytes, server: bytes, lam: Words) -> tuple[Parts, Parts]:
        """The parts of both, from both seeds and λ of every element."""
        site, lam = self.step.site, lam.reshape(-1)
        mu = lam + np.uint64(1 << (self.k - 2))
        count = len(self.tests) * self.n
        hidden = mask(client, 8, site, (count,), 1) ^ mask(server, 9, site, (count,), 1)
        mine: Parts = {}
        theirs: Parts = {}
        for test, r in zip(self.tests, hidden.astype(bool).reshape(-1, self.n), strict=True):
            value = mu if test.name == "sign" else lam
            own = [roots(s, test.roots, site, self.n, rank) for rank, s in enumerate((client, server))]
            mine[test.name] = Keys.made(test.m, test.point(value), (own[0], own[1])).written()
            w = test.top(value) ^ r ^ self._drawn(client, test.share) ^ (test.name == "sign")
            theirs[test.name] = mine[test.name] + pack(w.astype(np.uint64), 1)
        values = self._values(hidden.reshape(-1, self.n), lam)
        for name, shape in self._words().items():
            share = self._shares(name, shape, client, CLIENT, {})
            theirs[name] = pack(values[name].reshape(shape) - share, self.ring)
        return mine, theirs

    def _values(self, hidden: Words, lam: Words) -> dict[str, Any]:
        """What is shared as numbers, in the clear."""
        if self.step.op != "relu":
            return {"bits": hidden}
        p, half = self.step.attrs["shift"], 1 << (self.k - 1)
        whole = [int(v) % (2 * half) for v in lam]
        tags = [[v >> p for v in whole], [((v + half) % (2 * half) - half) >> p for v in whole]]
        a, b = (np.array([v % (1 << 64) for v in row], np.uint64) for row in tags)
        values = {"select": np.stack([hidden[0], a, a * hidden[0], b, b * hidden[0]], 1)}
        return {**values, "bits": np.stack([*hidden, hidden[0] * hidden[1]])} if self.exact else values

    def _drawn(self, seed: bytes, domain: int) -> Bits:
        return mask(seed, domain, self.step.site, (self.n,), 1).astype(bool)

    def _shares(self, name: str, shape: tuple[int, ...], seed: bytes, rank: int, parts: Parts) -> Words:
        """A party's shares of numbers."""
        if rank == SERVER:
            return unpack(parts[name], self.ring, shape)
        if name == "bits":
            return mask(seed, 14, self.step.site, shape, self.ring)
        return stream(seed, 11, self.step.site, 8 * self.n).reshape(self.n, 8)[:, :5]

    # ---- 5.10

    def _selected(self, server: np.uint64, opened: Words, signs: Words, shares: Words) -> Words:
        p = self.step.attrs["shift"]
        c = (opened >> np.uint64(p)) - np.uint64(1 << (self.k - 2 - p))
        variant_a = _bit(opened, self.k - 1)
        r, tag = shares[:, 0], np.where(variant_a, shares[:, 1], shares[:, 3])
        flat = c * server - tag
        product = c * r - np.where(variant_a, shares[:, 2], shares[:, 4])
        positive = np.where(signs == 0, product, flat - product)
        below, rise = self._slopes()
        return np.asarray(rise * positive + below * flat)

    def _carried(self, server: np.uint64, d: Words, e: Words, shares: Words) -> Words:
        r_d, r_e, r_de = shares
        carry = _turn(e) * r_e
        both = d * carry + e * _turn(d) * r_d + _turn(d) * _turn(e) * r_de
        carry, both = carry + server * e, both + server * d * e
        below, rise = self._slopes()
        return below * carry + rise * both

    def _slopes(self) -> tuple[np.uint64, np.uint64]:
        """The slope below zero, and how much larger the other is."""
        below, above = self.step.attrs["slopes"]
        return np.uint64(below % (1 << 64)), np.uint64((above - below) % (1 << 64))

    def _counted(self, d: Words, rank: int) -> Words:
        """A `step`, `ranks` or `labels` of shares of bits."""
        if self.step.op == "step":
            return d
        if self.step.op == "ranks":
            n = self.step.attrs["items"]
            out = np.zeros((*d.shape[:-1], n), np.uint64)
            for at, (i, j) in enumerate(itertools.combinations(range(n), 2)):
                out[..., j] += d[..., at]
                out[..., i] += np.uint64(rank) - d[..., at]
            return out
        before = np.concatenate([np.full_like(d[:1], rank), d[:-1]])
        found = ((before - d) * np.arange(d.shape[-1], dtype=np.uint64)).sum(-1, dtype=np.uint64)
        return np.moveaxis(found, 0, -1)


def _turn(bits: Words) -> Words:
    """1 - 2 bit."""
    return np.uint64(1) - np.uint64(2) * bits
