"""Numbers and plans, written from docs/protocol.md (sections 4 and 5) alone: numpy, Python's integers and AES."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

__all__ = [
    "LINEAR",
    "PRODUCTS",
    "Plan",
    "Step",
    "Words",
    "derive",
    "encode",
    "evaluate",
    "local",
    "mask",
    "numbers",
    "pack",
    "packed_size",
    "product",
    "signed",
    "stream",
    "tags",
    "times",
    "unpack",
]

Words = NDArray[np.uint64]
Floats = NDArray[np.float64]
LINEAR = ("linear", "conv", "affine")
PRODUCTS = ("mul", "matmul")
TWO_64, TWO_128 = 1 << 64, 1 << 128


# ---- 5.1 and 5.2


def packed_size(count: int, k: int) -> int:
    """Bytes of `count` elements of k bits."""
    return (count * k + 7) // 8


def pack(words: Words, k: int) -> bytes:
    """Elements of k bits each, one after the other."""
    bits = (words.reshape(-1, 1) >> np.arange(k, dtype=np.uint64)) & np.uint64(1)
    return np.packbits(bits.astype(np.uint8), bitorder="little").tobytes()


def unpack(data: bytes, k: int, shape: tuple[int, ...]) -> Words:
    """The inverse of `pack`."""
    count = math.prod(shape)
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    assert len(bits) == packed_size(count, k) * 8
    assert not bits[count * k :].any(), "the padding is not zero"
    places = np.uint64(1) << np.arange(k, dtype=np.uint64)
    return np.asarray((bits[: count * k].reshape(count, k) * places).sum(axis=1, dtype=np.uint64).reshape(shape))


def signed(words: Words, k: int) -> list[int]:
    """Elements mod 2^k as signed numbers, in a row."""
    half = 1 << (k - 1)
    return [(int(w) + half) % (1 << k) - half for w in words.reshape(-1)]


def encode(values: Floats, scale: Fraction) -> Words:
    """round(v * scale) mod 2^64, exactly."""
    exact = [round(Fraction(float(v)) * scale) % TWO_64 for v in np.asarray(values).reshape(-1)]
    return np.array(exact, np.uint64).reshape(np.shape(values))


def stream(seed: bytes, domain: int, site: int, count: int) -> Words:
    """Words 0 to count - 1 of the stream (domain, site) of a seed."""
    counters = b"".join(struct.pack("<QQ", i, (domain << 32) + site) for i in range((count + 1) // 2))
    cipher = Cipher(algorithms.AES128(seed), modes.ECB()).encryptor()
    return np.frombuffer(cipher.update(counters) + cipher.finalize(), "<u8")[:count].astype(np.uint64)


def mask(seed: bytes, domain: int, site: int, shape: tuple[int, ...], k: int) -> Words:
    """A mask mod 2^k."""
    return (stream(seed, domain, site, math.prod(shape)) & np.uint64((1 << k) - 1)).reshape(shape)


def numbers(seed: bytes, site: int, count: int) -> list[int]:
    """The client's shares of powers: `count` numbers of 128 bits."""
    words = stream(seed, 5, site, 2 * count).tolist()
    return [low + (high << 64) for low, high in zip(words[::2], words[1::2], strict=True)]


def derive(seed: bytes, *fields: bytes) -> bytes:
    """A seed derived from another."""
    text = struct.pack("<Q", len(fields)) + b"".join(struct.pack("<Q", len(f)) + f for f in fields)
    return hmac.new(seed, text, hashlib.sha256).digest()[:16]


# ---- 4


@dataclass(frozen=True)
class Step:
    """One step of a plan and the wire it makes."""

    site: int
    op: str
    protocol: str
    inputs: list[int]
    attrs: dict[str, Any]
    node: str
    weights: dict[str, list[int]]
    shape: tuple[int, ...]
    k: int
    scale: Fraction
    preset: str

    @property
    def size(self) -> int:
        """Bytes of the wire, packed."""
        return packed_size(math.prod(self.shape), self.k)


class Plan:
    """A public plan, read from its text."""

    def __init__(self, text: bytes) -> None:
        raw = json.loads(text)
        assert raw["format"] == 2
        self.text = text
        self.digest = hashlib.sha256(text).hexdigest()
        self.commitment = bytes.fromhex(raw["commitment"])
        self.ranges: dict[int, float] = {int(site): bound for site, bound in raw["ranges"].items()}
        self.steps: list[Step] = []
        for site, step in enumerate(raw["steps"]):
            self.steps.append(Step(site=site, **step, **self._wire(site, step, raw["inputs"])))
        self.protocol = "clear" if self.steps[0].protocol == "clear" else "private"
        assert all((step.protocol == "clear") == (self.protocol == "clear") for step in self.steps)

    @property
    def registered(self) -> list[Step]:
        """The steps with a tensor "weight"."""
        return [step for step in self.steps if "weight" in step.weights]

    def matrix(self, step: Step, registration: bytes) -> Words:
        """A of a step."""
        seed = derive(registration, b"matrix", bytes.fromhex(self.digest), self.commitment)
        return mask(seed, 6, step.site, tuple(step.weights["weight"]), step.k)

    def _wire(self, site: int, step: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
        op, attrs = step["op"], step["attrs"]
        if op == "mask":
            wire = inputs[str(site)]
            shape, k, scale = tuple(wire["shape"]), wire["ring"], Fraction(wire["scale"])
            assert k == attrs["ring"]
            return {"shape": shape, "k": k, "scale": scale, "preset": "dealt"}
        operands = [self.steps[i] for i in step["inputs"]]
        x = operands[0]
        result = {"shape": x.shape, "k": x.k, "scale": x.scale, "preset": x.preset}
        if op == "poly":
            return {**result, "k": attrs["ring"], "scale": Fraction(attrs["scale"]), "preset": "dealt"}
        if op in _SAME:
            return {**result, "preset": _SAME[op] or x.preset}
        if op in ("fan", "relu", "step", "ranks", "labels", "spline"):
            return {**result, **_gated(op, attrs, x)}
        zeros = [np.zeros(operand.shape, np.uint64) for operand in operands]
        if op in PRODUCTS:
            x, y = operands
            assert (x.preset, y.preset, y.k) == ("opened", "opened", x.k)
            return {**result, "shape": times(op, *zeros).shape, "scale": x.scale * y.scale, "preset": "dealt"}
        if op in LINEAR:
            out = product(op, attrs, zeros[0], np.zeros(step["weights"]["weight"], np.uint64))
            scale = x.scale * Fraction(attrs["weight_scale"])
            return {**result, "shape": out.shape, "scale": scale, "preset": "derived"}
        assert all((operand.k, operand.scale) == (x.k, x.scale) for operand in operands)
        dealt = all(operand.preset == "dealt" for operand in operands)
        shape = local(op, attrs, zeros).shape
        return {**result, "shape": shape, "scale": x.scale * _factor(op, attrs, x.shape), "preset": _named(dealt)}


#: The presets of what has the shape and scale of its operand; "" is that of the operand.
_SAME = {"bias": "", "plus": "", "remask": "dealt", "open": "opened", "reveal": "none"}


def _gated(op: str, attrs: dict[str, Any], x: Step) -> dict[str, Any]:
    """The wire of a gate or fan, without what it has in common with its operand."""
    assert x.preset == "opened"
    if op == "fan":
        return {"shape": (len(attrs["knots"]), *x.shape)}
    shape = {
        "ranks": (*x.shape[:-1], attrs.get("items")),
        "labels": (*x.shape[1:-1], x.shape[0]),
    }.get(op, x.shape)
    return {"shape": shape, "k": attrs["ring"], "scale": Fraction(attrs["scale"]), "preset": "dealt"}


def _named(dealt: bool) -> str:
    return "dealt" if dealt else "derived"


def _factor(op: str, attrs: dict[str, Any], shape: tuple[int, ...]) -> Fraction:
    """By how much a local op multiplies the scale."""
    if op in ("sumpool", "resample"):
        return Fraction(attrs["divisor"])
    if op == "mean":
        return Fraction(math.prod(shape[axis] for axis in attrs["axes"]))
    if op == "lift":
        return Fraction(attrs["by"])
    if op == "scale":
        return 1 / abs(Fraction(attrs["num"]) / Fraction(attrs["den"]))
    return Fraction(1)


# ---- 5.3


def product(op: str, attrs: dict[str, Any], x: Words, weight: Words) -> Words:
    """The product of a weight and x, mod 2^64."""
    if op == "linear":
        return np.asarray(np.einsum("...i,oi->...o", x, weight))
    if op == "affine":
        return x * along(weight, attrs["axis"], x.ndim)
    return _conv(attrs, x, weight)


def times(op: str, x: Words, y: Words) -> Words:
    """The product of two values, mod 2^64."""
    return x * y if op == "mul" else np.matmul(x, y)


def along(values: Words, axis: int, rank: int) -> Words:
    """A vector shaped to broadcast along an axis."""
    return values.reshape([-1 if i == axis else 1 for i in range(rank)])


def _conv(attrs: dict[str, Any], x: Words, weight: Words) -> Words:
    """A cross-correlation, by one product a tap."""
    outputs, depth, *kernel = weight.shape
    groups = attrs["groups"]
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in attrs["padding"])])
    spans = [d * (size - 1) + 1 for d, size in zip(attrs["dilation"], kernel, strict=True)]
    sizes = [(n - span) // s + 1 for n, span, s in zip(x.shape[2:], spans, attrs["stride"], strict=True)]
    x = x.reshape(x.shape[0], groups, depth, *x.shape[2:])
    weight = weight.reshape(groups, outputs // groups, depth, *kernel)
    result = np.zeros((x.shape[0], groups, outputs // groups, *sizes), np.uint64)
    for tap in np.ndindex(*kernel):
        window = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, attrs["dilation"], sizes, attrs["stride"], strict=True)
        )
        result += np.einsum("bgihw,goi->bgohw", x[(slice(None),) * 3 + window], weight[(..., *tap)])
    return result.reshape(result.shape[0], outputs, *sizes)


def _sumpool(attrs: dict[str, Any], parts: Sequence[Words]) -> Words:
    depth = parts[0].shape[1]
    ones = np.ones((depth, 1, *attrs["kernel"]), np.uint64)
    return _conv({**attrs, "dilation": [1, 1], "groups": depth}, parts[0], ones)


def _times(x: Words, number: int) -> Words:
    return x * np.uint64(number % TWO_64)


def _pairs(x: Words) -> Words:
    n = x.shape[-1]
    return np.stack([x[..., i] - x[..., j] for i in range(n) for j in range(i + 1, n)], -1)


def _kept(attrs: dict[str, Any], x: Words) -> Words:
    count = math.prod(attrs["mask_shape"])
    text = bytes.fromhex(attrs["mask"])
    bits = [text[i // 8] >> (7 - i % 8) & 1 for i in range(count)]
    return x * np.array(bits, np.uint64).reshape(attrs["mask_shape"])


def _resampled(attrs: dict[str, Any], x: Words) -> Words:
    moved = np.moveaxis(x, attrs["axis"], 0)
    rows = [
        sum(_times(moved[i[o]], f[o]) for i, f in zip(attrs["index"], attrs["factors"], strict=True))
        for o in range(len(attrs["index"][0]))
    ]
    return np.moveaxis(np.stack(rows), 0, attrs["axis"])


_LOCAL: dict[str, Callable[[dict[str, Any], Sequence[Words]], Words]] = {
    "add": lambda attrs, parts: parts[0] + parts[1],
    "sub": lambda attrs, parts: parts[0] - parts[1],
    "reshape": lambda attrs, parts: parts[0].reshape(attrs["shape"]),
    "permute": lambda attrs, parts: parts[0].transpose(attrs["order"]),
    "expand": lambda attrs, parts: np.broadcast_to(parts[0], attrs["shape"]),
    "pad": lambda attrs, parts: np.pad(parts[0], list(zip(attrs["before"], attrs["after"], strict=True))),
    "concat": lambda attrs, parts: np.concatenate(parts, attrs["axis"]),
    "take": lambda attrs, parts: parts[0].take(attrs["index"], attrs["axis"]),
    "keep": lambda attrs, parts: _kept(attrs, parts[0]),
    "resample": lambda attrs, parts: _resampled(attrs, parts[0]),
    "pairs": lambda attrs, parts: _pairs(parts[0]),
    "combine": lambda attrs, parts: sum(_times(x, f) for x, f in zip(parts[0], attrs["factors"], strict=True)),
    "sumpool": _sumpool,
    "mean": lambda attrs, parts: parts[0].sum(tuple(attrs["axes"]), keepdims=attrs["keepdims"], dtype=np.uint64),
    "lift": lambda attrs, parts: _times(parts[0], int(attrs["by"])),
    "scale": lambda attrs, parts: _times(parts[0], 1 if int(attrs["num"]) > 0 else -1),
}


def local(op: str, attrs: dict[str, Any], parts: Sequence[Words]) -> Words:
    """A local op on one party's parts. KeyError for any other op."""
    return np.asarray(_LOCAL[op](attrs, parts))


# ---- 5.5


def correction_bytes(step: Step) -> int:
    """Bytes of the corrections of a `poly`."""
    return 32 * (len(step.attrs["coeffs"]) - 1) * math.prod(step.shape)


def tags(lam: int, k: int, p: int) -> tuple[int, int]:
    """The tag in variants A and B, for λ mod 2^k."""
    return lam >> p, (lam - (1 << k) if lam >> (k - 1) else lam) >> p


def evaluate(step: Step, opened: Words, k: int, shares: Sequence[int], *, server: bool) -> Words:
    """One party's part of a polynomial at the opened C; `shares` in the order of e, v, j."""
    coeffs = [int(a) for a in step.attrs["coeffs"]]
    n, p, shift = len(coeffs) - 1, step.attrs["shift"], step.attrs["trunc"]
    out = []
    for e, word in enumerate(opened.reshape(-1).tolist()):
        v = 0 if word >> (k - 1) & 1 else 1
        c = (word >> p) - (1 << (k - 2 - p))
        taylor = [sum(coeffs[i] * math.comb(i, j) * c ** (i - j) for i in range(j, n + 1)) for j in range(n + 1)]
        acc = taylor[0] if server else 0
        for j in range(1, n + 1):
            acc += (-1) ** j * taylor[j] * shares[(2 * e + v) * n + j - 1]
        part = -((-acc % TWO_128) >> shift) if server else (acc % TWO_128) >> shift
        out.append(part % TWO_64)
    return np.array(out, np.uint64).reshape(opened.shape)
