"""Splines, written from docs/protocol.md (sections 5.9 and 5.10) alone, and the gates of a plan."""

from __future__ import annotations

import math

import numpy as np
from reference_gates import CLIENT, SERVER, Bits, Gate, Keys, Parts, roots
from reference_numbers import Plan, Step, Words, correction_bytes, mask, pack, packed_size, stream, unpack
from reference_products import products

__all__ = ["Spline", "gates", "group"]


class Spline(Gate):
    """A `spline`."""

    def __init__(self, step: Step, shape: tuple[int, ...], k: int) -> None:
        super().__init__(step, shape, k)
        (self.side,), attrs, self.exact = self.tests, step.attrs, False
        self.knots = [int(t) for t in attrs["knots"]]
        self.degree, self.shift, self.width = attrs["degree"], attrs["shift"], attrs["width"]
        numbers = [int(c) for c in attrs["coeffs"]]
        self.pieces = [numbers[i : i + self.degree + 1] for i in range(0, len(numbers), self.degree + 1)]
        self.words = 2 * self.degree + len(self.knots) * (1 + 2 * self.degree)

    @property
    def message(self) -> int:
        """Bytes of the bits that each party sends."""
        return packed_size(len(self.knots) * self.n, 1)

    def sizes(self, rank: int) -> dict[str, int]:
        """Bytes of each part that a party is dealt, in order."""
        keys, rows = Keys.size(self.side.m, self.n), len(self.knots) * packed_size(self.n, 1)
        if rank == CLIENT:
            return {"sides": keys}
        return {"sides": keys + rows, "words": self.n * self.words * self.width}

    def tested(self, rank: int, seed: bytes, parts: Parts, opened: Words) -> Words:
        """A party's bits, knot after knot."""
        size, row = Keys.size(self.side.m, self.n), packed_size(self.n, 1)
        keys, rest = Keys.read(parts["sides"][:size], self.side.m, self.n), parts["sides"][size:]
        own_roots = roots(seed, self.side.roots, self.step.site, self.n, rank)
        drawn = self._masks(seed, self.side.share)
        out = []
        for i, knot in enumerate(self.knots):
            c = opened.reshape(-1) - np.uint64((knot << self.shift) % (1 << 64))
            share = keys.less(self.side.point(c), own_roots)
            own = (
                self.side.top(c) ^ unpack(rest[i * row : (i + 1) * row], 1, (self.n,)).astype(bool)
                if rank
                else drawn[i]
            )
            out.append(share ^ own)
        return np.concatenate(out).astype(np.uint64)

    def evaluated(self, rank: int, seed: bytes, parts: Parts, opened: Words, bits: Words) -> Words:
        """A party's part of the result, from the bits that both know."""
        modulus = 1 << (8 * self.width)
        shares, d, out = self._words_of(rank, seed, parts), bits.reshape(-1, self.n), []
        for e, word in enumerate(opened.reshape(-1).tolist()):
            variant = 0 if word >> (self.k - 1) & 1 else 1
            c = (word >> self.shift) - (1 << (self.k - 2 - self.shift))
            taylor = [self._taylor(piece, c) for piece in self.pieces]
            own = shares[e * self.words : (e + 1) * self.words]
            flipped = [int(d[i, e]) for i in range(len(self.knots))]
            acc = 0
            for j in range(self.degree + 1):
                tag = own[variant * self.degree + j - 1] if j else rank
                known = taylor[0][j] + sum(q[j] for q, f in zip(taylor[1:], flipped, strict=True) if f)
                acc += (-1) ** j * known * tag
                for i, f in enumerate(flipped):
                    first = 2 * self.degree + i * (1 + 2 * self.degree)
                    r = own[first + variant * self.degree + j] if j else own[first]
                    acc += (-1) ** j * (1 - 2 * f) * taylor[i + 1][j] * r
            trunc = self.step.attrs["trunc"]
            out.append((-((-acc % modulus) >> trunc) if rank else (acc % modulus) >> trunc) % (1 << 64))
        return np.array(out, np.uint64).reshape(self.shape)

    def deal(self, client: bytes, server: bytes, lam: Words) -> tuple[Parts, Parts]:
        """The parts of both, from both seeds and λ of every element."""
        site, lam, test = self.step.site, lam.reshape(-1), self.side
        mu = lam + np.uint64(1 << (self.k - 2))
        r = self._masks(client, 8) ^ self._masks(server, 9)
        both = [roots(s, test.roots, site, self.n, rank) for rank, s in enumerate((client, server))]
        keys = Keys.made(test.m, test.point(mu), (both[0], both[1])).written()
        w = ~(test.top(mu) ^ r ^ self._masks(client, test.share))
        rows = b"".join(pack(row.astype(np.uint64), 1) for row in w)
        words = bytearray()
        drawn = iter(self._words_of(CLIENT, client, {}))
        for e, value in enumerate(lam.tolist()):
            tags = value >> self.shift, (value - (value >> (self.k - 1) << self.k)) >> self.shift
            powers = [tag ** (j + 1) for tag in tags for j in range(self.degree)]
            numbers = powers + [v * int(r[i, e]) for i in range(len(self.knots)) for v in (1, *powers)]
            for number in numbers:
                words += ((number - next(drawn)) % (1 << (8 * self.width))).to_bytes(self.width, "little")
        return {"sides": keys}, {"sides": keys + rows, "words": bytes(words)}

    def _masks(self, seed: bytes, domain: int) -> Bits:
        return mask(seed, domain, self.step.site, (len(self.knots), self.n), 1).astype(bool)

    def _words_of(self, rank: int, seed: bytes, parts: Parts) -> list[int]:
        """A party's shares of all words."""
        count = self.n * self.words
        data = parts["words"] if rank else stream(seed, 15, self.step.site, 2 * count).astype("<u8").tobytes()
        size = self.width if rank else 16
        return [int.from_bytes(data[i * size : i * size + self.width], "little") for i in range(count)]

    def _taylor(self, piece: list[int], c: int) -> list[int]:
        return [
            sum(piece[i] * math.comb(i, j) * c ** (i - j) for i in range(j, self.degree + 1))
            for j in range(self.degree + 1)
        ]


def gates(plan: Plan) -> dict[int, Gate]:
    """The gates of a plan, by site."""
    operands = {step.site: plan.steps[step.inputs[0]] for step in plan.steps if step.inputs}
    return {
        step.site: (Spline if step.op == "spline" else Gate)(step, operands[step.site].shape, operands[step.site].k)
        for step in plan.steps
        if step.op in ("relu", "step", "ranks", "labels", "spline") and plan.protocol != "clear"
    }


def group(plan: Plan) -> int:
    """How many bundles are primed together."""
    material = sum(step.size for step in plan.registered)
    material += sum(step.size for step in plan.steps if step.op in ("open", "remask", "reveal"))
    material += sum(correction_bytes(step) for step in plan.steps if step.op == "poly")
    material += sum(sum(gate.sizes(rank).values()) for gate in gates(plan).values() for rank in (CLIENT, SERVER))
    material += sum(step.size for step in products(plan).values())
    return max(1, min(64, (1 << 28) // material))
