"""The hub: two-party additive sharing mod 2^k whose shares know presets; `mask`, `remask`, `local`, `offset`, `reveal`.

    input            client                               server
    mask             r <- client seed                     .
                     x_c - r                 ------->     x_s + (x_c - r)          (then x_c = r)
    remask           priming: y_c - r        ------->     keeps it, adds it online (then y_c = r)
    reveal           y_c + 2^t·top + 2^(t-1) <-------     top = (y_s mod 2^k) >> t

Every protocol reaches every other through this sharing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacit.ring import native
from tacit.secure import labels
from tacit.secure.cost import Cost, Message
from tacit.secure.kernel import kernel
from tacit.secure.session import Session
from tacit.secure.share import CLIENT, SERVER, Preset, Share, Wire, Words

__all__ = ["iota", "local", "mask", "offset", "plus", "remask", "reveal", "scaled"]


def _mask_out(s: Session, x: Wire) -> Wire:
    return replace(x, preset="dealt")


def _mask_cost(s: Session, x: Wire) -> Cost:
    return Cost((Message("online", CLIENT, SERVER, x.packed),))


def _mask_preset(s: Session, x: Share) -> Share:
    wire = _mask_out(s, x.wire)
    if s.rank == SERVER and s.reading == "prime":
        return Share(wire)
    return Share(wire, s.uniform(CLIENT, labels.MASK, wire.shape, wire.ring))


@kernel("mask", out=_mask_out, cost=_mask_cost, deal=_mask_preset, prime=_mask_preset)
def mask(s: Session, x: Share) -> Share:
    """Move a value onto a fresh dealt preset r: one message, client to server.

    `x` holds the additive parts of both parties; at the input the server has none. r is drawn from the client's
    seed at this step and used once; all consumers of the wire share it.
    """
    wire = _mask_out(s, x.wire)
    if s.rank == CLIENT:
        r = s.uniform(CLIENT, labels.MASK, wire.shape, wire.ring)
        s.send(native.sub(x.require(), r, threads=s.threads), wire.ring)
        return Share(wire)
    received = s.receive(wire)
    return Share(wire, received if x.data is None else native.add(x.data, received, threads=s.threads))


def _remask_out(s: Session, y: Wire) -> Wire:
    return replace(y, preset="dealt")


def _remask_cost(s: Session, y: Wire) -> Cost:
    return Cost((Message("prime", CLIENT, SERVER, y.packed),), kept=((SERVER, y.packed),))


def _remask_deal(s: Session, y: Share) -> Share:
    wire = _remask_out(s, y.wire)
    return Share(wire, s.uniform(CLIENT, labels.MASK, wire.shape, wire.ring))


def _remask_prime(s: Session, y: Share) -> Share:
    wire = _remask_out(s, y.wire)
    if s.rank == CLIENT:
        r = s.uniform(CLIENT, labels.MASK, wire.shape, wire.ring)
        s.send(native.sub(y.require(), r, threads=s.threads), wire.ring)
        return Share(wire, r)
    s.put(f"{s.step.site}/remask", s.receive_packed(wire))
    return Share(wire)


@kernel("remask", out=_remask_out, cost=_remask_cost, deal=_remask_deal, prime=_remask_prime)
def remask(s: Session, y: Share) -> Share:
    """Turn a derived preset into a dealt one: costs bytes while priming and none online."""
    wire = _remask_out(s, y.wire)
    if s.rank == CLIENT:
        return Share(wire)
    step = s.unpack(s.take(f"{s.step.site}/remask", wire.packed), wire)
    return Share(wire, native.add(y.require(), step, threads=s.threads))


def local(
    s: Session, apply: Callable[..., NDArray[Any]], *xs: Share, shape: tuple[int, ...], divisor: Fraction | int = 1
) -> Share:
    """A public integer-linear map that each party applies to its own part: no bytes, no step.

    `apply` maps the parts (any of them may be a preset) to a part of shape `shape`; the real value is the integer
    result
    over `divisor` as well, which goes into the scale. The result is dealt if every operand is, derived otherwise.
    """
    first = xs[0].wire
    preset: Preset = "dealt" if all(x.wire.preset == "dealt" for x in xs) else "derived"
    if any(x.wire.preset not in ("dealt", "derived") for x in xs):
        raise ValueError("only shares with a preset can enter a local operation")
    if any((x.wire.ring, x.wire.scale) != (first.ring, first.scale) for x in xs):
        raise ValueError("the operands of a local operation must agree in ring and scale")
    wire = Wire(shape, first.ring, first.scale * divisor, preset)
    parts = [x.data for x in xs if x.data is not None]
    if len(parts) < len(xs):
        return Share(wire)
    return Share(wire, np.ascontiguousarray(apply(*parts)))


def scaled(s: Session, x: Share, factor: int, relabel: Fraction | int = 1) -> Share:
    """Multiply the integers by `factor` and read them at scale · `relabel`: value · factor / relabel, exactly."""

    def times(part: Words) -> Words:
        return part if factor == 1 else native.scale(part, factor, threads=s.threads)

    return local(s, times, x, shape=x.wire.shape, divisor=relabel)


def _offset_out(s: Session, x: Wire) -> Wire:
    return x


def _offset_cost(s: Session, x: Wire) -> Cost:
    return Cost()


def _offset_same(s: Session, x: Share) -> Share:
    return x


@kernel("offset", out=_offset_out, cost=_offset_cost, deal=_offset_same, prime=_offset_same)
def offset(s: Session, x: Share) -> Share:
    """Add a constant that only the server knows (tensor "value", broadcast): the preset stays as it is."""
    if s.rank == CLIENT:
        return x
    value = np.ascontiguousarray(np.broadcast_to(s.tensor("value"), x.wire.shape))
    return Share(x.wire, native.add(x.require(), value, threads=s.threads))


def _plus_out(s: Session, x: Wire) -> Wire:
    return x


def _plus_cost(s: Session, x: Wire) -> Cost:
    return Cost()


def _plus_same(s: Session, x: Share) -> Share:
    return x


@kernel("plus", out=_plus_out, cost=_plus_cost, deal=_plus_same, prime=_plus_same)
def plus(s: Session, x: Share) -> Share:
    """Add the step's public number "value" (a rational), rounded to the wire's scale: the preset stays as it is."""
    if s.rank == CLIENT:
        return x
    number = round(s.step.fraction("value") * x.wire.scale)
    return Share(x.wire, x.require() + np.uint64(number % (1 << 64)))


def _iota_out(s: Session, x: Wire) -> Wire:
    return Wire(x.shape, int(s.step.attrs["ring"]), Fraction(1), "dealt")


def _iota_cost(s: Session, x: Wire) -> Cost:
    return Cost()


def _iota_preset(s: Session, x: Share) -> Share:
    wire = _iota_out(s, x.wire)
    return Share(wire, np.zeros(wire.shape, np.uint64))


@kernel("iota", out=_iota_out, cost=_iota_cost, deal=_iota_preset, prime=_iota_preset)
def iota(s: Session, x: Share) -> Share:
    """The positions 0, 1, ... along the last axis, in the shape of x: public numbers, so that the preset is zero."""
    wire = _iota_out(s, x.wire)
    numbers = np.arange(wire.shape[-1] if s.rank == SERVER else 0, dtype=np.uint64)
    shape = wire.shape
    return Share(wire, np.array(np.broadcast_to(numbers, shape)) if s.rank == SERVER else np.zeros(shape, np.uint64))


def _reveal_wires(s: Session, y: Wire) -> tuple[int, Wire]:
    """Bits dropped, and the wire of what the server sends: the k - t top bits of its part."""
    drop = int(s.step.attrs["drop"])
    return drop, replace(y, ring=y.ring - drop)


def _reveal_out(s: Session, y: Wire) -> Wire:
    return replace(y, preset="revealed")


def _reveal_cost(s: Session, y: Wire) -> Cost:
    _, sent = _reveal_wires(s, y)
    return Cost((Message("online", SERVER, CLIENT, sent.packed),), kept=((CLIENT, y.packed),))


def _reveal_deal(s: Session, y: Share) -> Share:
    return Share(_reveal_out(s, y.wire))


def _reveal_prime(s: Session, y: Share) -> Share:
    if s.rank == CLIENT:
        s.put(f"{s.step.site}/output", s.pack(y.require(), y.wire.ring))
    return Share(_reveal_out(s, y.wire))


@kernel("reveal", out=_reveal_out, cost=_reveal_cost, deal=_reveal_deal, prime=_reveal_prime)
def reveal(s: Session, y: Share) -> Share:
    """The value to the client alone, within 2^(t-1) + 1 integer units: the server sends no bit that is not needed."""
    drop, sent = _reveal_wires(s, y.wire)
    if s.rank == SERVER:
        ring_mask = np.uint64((1 << y.wire.ring) - 1)
        s.send((y.require() & ring_mask) >> np.uint64(drop), sent.ring)
        return Share(_reveal_out(s, y.wire))
    top = s.receive(sent) << np.uint64(drop)
    middle = np.uint64((1 << drop) >> 1)
    mine = s.unpack(s.take(f"{s.step.site}/output", y.wire.packed), y.wire)
    return Share(_reveal_out(s, y.wire), top + middle + mine)
