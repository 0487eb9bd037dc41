"""The protocol of `masked`, computed by one who knows every mask: Python integers and numpy objects, nothing of ours.

Written from the protocol's description (linear layers on masked input, masked openings, lifted powers) and from the
documented layouts: streams (block i of AES-128 under the seed is AES(le64(i) || le64(domain << 32 | step)), two words a
block), packed messages (k-bit little-endian stream), registration (A under HMAC-SHA-256). It reads the plan's public
JSON and the owner's float weights. For every wire it keeps the true integer and the client's part of it.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

__all__ = ["Reference", "Wire", "blocks", "pack", "uniform"]

Ints = np.ndarray  # of Python integers

MASK, OPEN_CLIENT, OPEN_SERVER, LINEAR, POWERS, MATRIX = range(1, 7)
M128 = 1 << 128


def blocks(key: bytes, nonce: int, count: int) -> list[int]:
    """The first `count` blocks of a stream, as 128-bit integers."""
    plain = b"".join(i.to_bytes(8, "little") + nonce.to_bytes(8, "little") for i in range(count))
    cipher = Cipher(algorithms.AES128(key), modes.ECB()).encryptor()  # counter mode by hand
    raw = cipher.update(plain)
    return [int.from_bytes(raw[i : i + 16], "little") for i in range(0, len(raw), 16)]


def uniform(key: bytes, domain: int, site: int, shape: Sequence[int], bits: int) -> Ints:
    """Uniform integers below 2^bits."""
    count = math.prod(shape)
    both = [half for b in blocks(key, domain << 32 | site, (count + 1) // 2) for half in (b & (1 << 64) - 1, b >> 64)]
    return np.array([w & (1 << bits) - 1 for w in both[:count]], object).reshape(shape)


def pack(values: Ints, bits: int) -> bytes:
    """The low `bits` bits of each value as one little-endian stream."""
    flat = values.reshape(-1).tolist()
    total = sum((v & (1 << bits) - 1) << (i * bits) for i, v in enumerate(flat))
    return total.to_bytes((len(flat) * bits + 7) // 8, "little")


def encode(values: Any, scale: Fraction) -> Ints:
    """Floats as the nearest integers at `scale`, halves to even."""
    array = np.asarray(values, np.float64)
    return np.array([round(Fraction(v) * scale) for v in array.reshape(-1).tolist()], object).reshape(array.shape)


def signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (value >> (bits - 1) << bits)


@dataclass
class Wire:
    """The integer on a wire mod 2^ring, the client's additive part of it, and the scale."""

    value: Ints
    client: Ints
    ring: int
    scale: Fraction


@dataclass
class Reference:
    """One run. `plan` is the public JSON, `nodes` maps a node to its float weights, keys are the 16 bytes of seeds."""

    plan: bytes
    nodes: Mapping[str, Mapping[str, Any]]
    client_key: bytes
    server_key: bytes
    registration_key: bytes
    primed: list[bytes] = field(default_factory=list)
    from_client: list[bytes] = field(default_factory=list)
    from_server: list[bytes] = field(default_factory=list)
    differences: list[bytes] = field(default_factory=list)
    outputs: list[Ints] = field(default_factory=list)
    wires: dict[int, Wire] = field(default_factory=dict)

    def run(self, *xs: Any) -> list[Ints]:
        """All messages of the run in order, and what the client reads: integers mod 2^ring."""
        public = json.loads(self.plan)
        key = hmac.new(self.registration_key, digestmod=hashlib.sha256)
        fields = [b"matrix", hashlib.sha256(self.plan).digest(), bytes.fromhex(public["commitment"])]
        key.update(len(fields).to_bytes(8, "little"))
        for part in fields:
            key.update(len(part).to_bytes(8, "little") + part)
        self.matrix_key = key.digest()[:16]
        given = iter(xs)
        for site, step in enumerate(public["steps"]):
            if not step["inputs"]:
                wire = public["inputs"][str(site)]
                scale = Fraction(wire["scale"])
                value = encode(next(given), scale)
                self.wires[site] = self.masked(site, value, np.zeros_like(value), wire["ring"], scale)
                continue
            operands = [self.wires[i] for i in step["inputs"]]
            made = getattr(self, f"do_{step['op']}")(site, step, *operands)
            if made is not None:
                self.wires[site] = made
        return self.outputs

    def masked(self, site: int, value: Ints, client: Ints, ring: int, scale: Fraction) -> Wire:
        """The client's part moves onto fresh r; what it sends is the rest of its part (all of it, at the input)."""
        r = uniform(self.client_key, MASK, site, value.shape, ring)
        part = value if not self.from_client else client
        self.from_client.append(pack(part - r, ring))
        return Wire(value, r, ring, scale)

    def linear_layer(self, site: int, step: Any, x: Wire, product: Callable[[Ints, Ints], Ints], axis: int) -> Wire:
        weights = {{"gain": "weight", "offset": "bias"}.get(k, k): w for k, w in self.nodes[step["node"]].items()}
        weight_scale = Fraction(step["attrs"]["weight_scale"])
        W = encode(weights["weight"], weight_scale)
        A = uniform(self.matrix_key, MATRIX, site, W.shape, x.ring)
        self.differences.append(pack(W - A, x.ring))
        value = product(W, x.value)
        scale = x.scale * weight_scale
        if "bias" in weights:
            bias = encode(weights["bias"], scale)
            value = value + bias.reshape([-1 if i == axis % value.ndim else 1 for i in range(value.ndim)])
        s = uniform(self.server_key, LINEAR, site, value.shape, x.ring)
        return Wire(value, product(W, x.client) - s, x.ring, scale)

    def do_linear(self, site: int, step: Any, x: Wire) -> Wire:
        return self.linear_layer(site, step, x, lambda W, v: v.dot(W.T), -1)

    def do_affine(self, site: int, step: Any, x: Wire) -> Wire:
        axis = step["attrs"]["axis"]
        across = (-1, *(1,) * (x.value.ndim - axis - 1))
        return self.linear_layer(site, step, x, lambda W, v: v * W.reshape(across), axis)

    def do_conv(self, site: int, step: Any, x: Wire) -> Wire:
        attrs = step["attrs"]
        assert attrs["stride"] == [1, 1]
        assert attrs["dilation"] == [1, 1]
        assert attrs["groups"] == 1
        ph, pw = attrs["padding"]

        def product(W: Ints, v: Ints) -> Ints:
            n, c, h, w = v.shape
            padded = np.zeros((n, c, h + 2 * ph, w + 2 * pw), object)
            padded[:, :, ph : ph + h, pw : pw + w] = v
            height, width = padded.shape[2] - W.shape[2] + 1, padded.shape[3] - W.shape[3] + 1
            out = np.zeros((n, len(W), height, width), object)
            for dy, dx in itertools.product(range(W.shape[2]), range(W.shape[3])):
                window = padded[:, :, dy : dy + height, dx : dx + width]
                out = out + np.tensordot(window, W[:, :, dy, dx], ((1,), (1,))).transpose(0, 3, 1, 2)
            return out

        return self.linear_layer(site, step, x, product, 1)

    def do_remask(self, site: int, step: Any, y: Wire) -> Wire:
        r = uniform(self.client_key, MASK, site, y.value.shape, y.ring)
        self.primed.append(pack(y.client - r, y.ring))
        return Wire(y.value, r, y.ring, y.scale)

    def do_open(self, site: int, step: Any, y: Wire) -> Wire:
        mine = uniform(self.client_key, OPEN_CLIENT, site, y.value.shape, y.ring)
        theirs = uniform(self.server_key, OPEN_SERVER, site, y.value.shape, y.ring)
        self.primed.append(pack(y.client + mine, y.ring))
        C = y.value + mine + theirs + (1 << (y.ring - 2))
        self.from_server.append(pack(C, y.ring))
        half = 1 << (y.ring - 2)
        assert all(abs(signed(v, y.ring)) < half for v in y.value.reshape(-1)), "a value is too large to be opened"
        return Wire(C % (1 << y.ring), (mine + theirs) % (1 << y.ring), y.ring, y.scale)

    def do_poly(self, site: int, step: Any, opened: Wire) -> Wire:
        attrs = step["attrs"]
        coeffs, shift, trunc = [int(c) for c in attrs["coeffs"]], attrs["shift"], attrs["trunc"]
        degree, k = len(coeffs) - 1, opened.ring
        stream = blocks(self.client_key, POWERS << 32 | site, 2 * degree * opened.value.size)
        mine, both = [], []
        for i, (C, mask) in enumerate(zip(opened.value.reshape(-1), opened.client.reshape(-1), strict=True)):
            variant = 1 - (C >> (k - 1))
            tag = (signed(mask, k) if variant else mask) >> shift
            c = (C >> shift) - (1 << (k - 2 - shift))
            taylor = [
                sum(a * math.comb(m, j) * c ** (m - j) for m, a in enumerate(coeffs) if m >= j)
                for j in range(degree + 1)
            ]
            shares = stream[(2 * i + variant) * degree : (2 * i + variant + 1) * degree]
            client = sum((-1) ** j * taylor[j] * share for j, share in enumerate(shares, 1)) % M128
            server = (sum(a * (c - tag) ** m for m, a in enumerate(coeffs)) - client) % M128
            mine.append(client >> trunc)
            both.append((client >> trunc) - ((-server % M128) >> trunc))
        shape = opened.value.shape
        value, client_part = (np.array(v, object).reshape(shape) for v in (both, mine))
        return self.masked(site, value, client_part, attrs["ring"], Fraction(attrs["scale"]))

    def do_lift(self, site: int, step: Any, x: Wire) -> Wire:
        by = int(step["attrs"]["by"])
        return Wire(x.value * by, x.client * by, x.ring, x.scale * by)

    def do_add(self, site: int, step: Any, x: Wire, y: Wire) -> Wire:
        assert (x.scale, x.ring) == (y.scale, y.ring)
        return Wire(x.value + y.value, x.client + y.client, x.ring, x.scale)

    def do_sumpool(self, site: int, step: Any, x: Wire) -> Wire:
        attrs = step["attrs"]
        size = attrs["kernel"][0]
        assert attrs["kernel"] == attrs["stride"] == [size, size]
        assert attrs["padding"] == [0, 0]

        def sums(v: Ints) -> Ints:
            n, c, h, w = v.shape
            return v.reshape(n, c, h // size, size, w // size, size).sum((3, 5))

        return Wire(sums(x.value), sums(x.client), x.ring, x.scale * attrs["divisor"])

    def do_reshape(self, site: int, step: Any, x: Wire) -> Wire:
        shape = step["attrs"]["shape"]
        return Wire(x.value.reshape(shape), x.client.reshape(shape), x.ring, x.scale)

    def do_reveal(self, site: int, step: Any, y: Wire) -> None:
        drop = step["attrs"]["drop"]
        top = ((y.value - y.client) % (1 << y.ring)) >> drop
        self.from_server.append(pack(top, y.ring - drop))
        self.outputs.append(((top << drop) + ((1 << drop) >> 1) + y.client) % (1 << y.ring))
