"""The linear layer on masked input: one integer product at the server, no bytes, no step, no client work online.

    register  dealer and server: A = PRG(their seed; model, plan, layer), uniform.  server: D = W - A ------->
    client, once
    deal      dealer: u = A·r - s -------> client;  s from the server's seed
    prime     client: y_c = u + D·r = W·r - s
    online    server: y_s = W·(x - r) + s + bias,  so y_c + y_s = W·x + bias

The input's preset must be dealt: the dealer has to know r.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tacit.corr.bundle import Seeds
from tacit.corr.demand import Demand
from tacit.ring import bits, native
from tacit.secure import bilinear, labels
from tacit.secure.cost import Cost, Message
from tacit.secure.kernel import kernel
from tacit.secure.session import Session
from tacit.secure.share import CLIENT, SERVER, Share, Wire, Words

__all__ = ["Product", "product"]


@dataclass(frozen=True)
class Product(Demand):
    """The client's A·r - s for a layer whose result has shape `out` and ring `ring`; the server's s is from its
    seed.
    """

    op: str
    out: tuple[int, ...]
    ring: int
    attrs: tuple[tuple[str, Any], ...] = ()
    lasting: ClassVar[bool] = False

    @property
    def label(self) -> str:
        return f"{self.site}/product"

    def stored(self, rank: int) -> int:
        wire = Wire(self.out, self.ring, Fraction(1), "derived")
        return wire.packed if rank == CLIENT else 0

    def ideal(self, seeds: Seeds, rank: int, *given: Any, threads: int = 1) -> NDArray[np.uint8] | Words:
        r, matrix = given
        s = seeds.of(SERVER).uniform(labels.LINEAR, self.site, self.out, self.ring, threads=threads)
        image = bilinear.apply(self.op, dict(self.attrs), r, matrix, threads=threads)
        return bits.pack(native.sub(image, s, threads=threads), self.ring, threads=threads)


def _out(s: Session, x: Wire) -> Wire:
    if x.preset != "dealt":
        raise ValueError(f"{s.step.node}: a linear layer needs a dealt preset; the plan lacks a remask before it")
    shape = bilinear.out_shape(s.step.op, s.step.attrs, x.shape, s.step.weights["weight"])
    return Wire(shape, x.ring, x.scale * s.step.fraction("weight_scale"), "derived")


def _demand(s: Session, wire: Wire) -> Product:
    attrs = tuple((k, _frozen(v)) for k, v in sorted(s.step.attrs.items()))
    return Product(s.step.site, s.step.op, wire.shape, wire.ring, attrs)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _cost(s: Session, x: Wire) -> Cost:
    wire, weight = _out(s, x), s.step.weights["weight"]
    matrix = Wire(weight, x.ring, Fraction(1), "derived")
    once = Cost((Message("register", SERVER, CLIENT, matrix.packed),))
    work = Cost(macs=bilinear.macs(s.step.op, x.shape, weight, wire.shape))
    return Cost.dealt([_demand(s, wire)]) + once + work


def _deal(s: Session, x: Share) -> Share:
    wire = _out(s, x.wire)
    demand = _demand(s, wire)
    if demand.stored(s.rank):
        s.demand(demand, x.require(), s.weight())
    return Share(wire)


def _prime(s: Session, x: Share) -> Share:
    wire = _out(s, x.wire)
    if s.rank == SERVER:
        return Share(wire)
    dealt = s.unpack(s.take(f"{s.step.site}/product", wire.packed), wire)
    attrs = s.step.attrs
    return Share(wire, bilinear.apply(s.step.op, attrs, x.require(), s.weight(), dealt, threads=s.threads))


@kernel("product", out=_out, cost=_cost, deal=_deal, prime=_prime)
def product(s: Session, x: Share) -> Share:
    """W·x + bias for the server's W: [O, I], [O, C/groups, KH, KW] or per channel [C]. The result is derived."""
    wire = _out(s, x.wire)
    if s.rank == CLIENT:
        return Share(wire)
    init = s.uniform(SERVER, labels.LINEAR, wire.shape, wire.ring)
    if "bias" in s.step.weights:
        rank = len(wire.shape)
        init += bilinear.along(s.tensor("bias"), bilinear.bias_axis(s.step.op, s.step.attrs, rank), rank)
    y = bilinear.apply(s.step.op, s.step.attrs, x.require(), s.weight(), init, threads=s.threads)
    return Share(wire, y)
