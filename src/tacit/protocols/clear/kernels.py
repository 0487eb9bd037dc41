"""The clear kernels: the server holds every value as an integer mod 2^k; only the input and the output travel.

A value that has a preset in other protocols is simply at the server here. Truncation rounds down exactly.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from tacit.ring.piecewise import piecewise
from tacit.ring.tensor import centered
from tacit.secure import bilinear
from tacit.secure.cost import Cost, Message
from tacit.secure.kernel import kernel
from tacit.secure.multiply import macs, multiply, out_shape
from tacit.secure.session import Session
from tacit.secure.share import CLIENT, SERVER, Share, Wire, Words

__all__ = [
    "choose",
    "fan",
    "keep",
    "labels",
    "mask",
    "offset",
    "open_clear",
    "plus",
    "poly",
    "product",
    "ranks",
    "relu",
    "reveal",
    "sign",
    "spline",
    "step",
    "times",
]


def _same(s: Session, x: Wire) -> Wire:
    return replace(x, preset="dealt")


def _same_ahead(s: Session, x: Share) -> Share:
    return Share(_same(s, x.wire))


def _free(s: Session, x: Wire) -> Cost:
    return Cost()


def _mask_cost(s: Session, x: Wire) -> Cost:
    return Cost((Message("online", CLIENT, SERVER, x.packed),))


@kernel("mask", out=_same, cost=_mask_cost, deal=_same_ahead, prime=_same_ahead)
def mask(s: Session, x: Share) -> Share:
    """The client sends its input as it is."""
    wire = _same(s, x.wire)
    if s.rank == CLIENT:
        s.send(x.require(), wire.ring)
        return Share(wire)
    return Share(wire, s.receive(wire))


@kernel("keep", out=_same, cost=_free, deal=_same_ahead, prime=_same_ahead)
def keep(s: Session, x: Share) -> Share:
    """Nothing to do: the server has the value already."""
    return Share(_same(s, x.wire), x.data)


@kernel("offset", out=_same, cost=_free, deal=_same_ahead, prime=_same_ahead)
def offset(s: Session, x: Share) -> Share:
    """x plus the server's constant."""
    wire = _same(s, x.wire)
    return Share(wire) if s.rank == CLIENT else Share(wire, x.require() + s.tensor("value"))


def _product_out(s: Session, x: Wire) -> Wire:
    shape = bilinear.out_shape(s.step.op, s.step.attrs, x.shape, s.step.weights["weight"])
    return Wire(shape, x.ring, x.scale * s.step.fraction("weight_scale"), "dealt")


def _product_ahead(s: Session, x: Share) -> Share:
    return Share(_product_out(s, x.wire))


def _product_cost(s: Session, x: Wire) -> Cost:
    return Cost(macs=bilinear.macs(s.step.op, x.shape, s.step.weights["weight"], _product_out(s, x).shape))


@kernel("product", out=_product_out, cost=_product_cost, deal=_product_ahead, prime=_product_ahead)
def product(s: Session, x: Share) -> Share:
    """W·x + bias at the server."""
    wire = _product_out(s, x.wire)
    if s.rank == CLIENT:
        return Share(wire)
    y = bilinear.apply(s.step.op, s.step.attrs, x.require(), s.weight(), threads=s.threads)
    if "bias" in s.step.weights:
        y += bilinear.along(s.tensor("bias"), bilinear.bias_axis(s.step.op, s.step.attrs, y.ndim), y.ndim)
    return Share(wire, y)


def _open_out(s: Session, x: Wire) -> Wire:
    return replace(x, preset="opened")


def _open_ahead(s: Session, x: Share) -> Share:
    return Share(_open_out(s, x.wire))


@kernel("open", out=_open_out, cost=_free, deal=_open_ahead, prime=_open_ahead)
def open_clear(s: Session, x: Share) -> Share:
    """Nothing travels: the server has the value."""
    return Share(_open_out(s, x.wire), x.data)


def _poly_out(s: Session, opened: Wire) -> Wire:
    return Wire(opened.shape, int(s.step.attrs["ring"]), Fraction(s.step.attrs["scale"]), "dealt")


def _poly_ahead(s: Session, opened: Share) -> Share:
    return Share(_poly_out(s, opened.wire))


def _poly_cost(s: Session, opened: Wire) -> Cost:
    return Cost(evaluations=opened.count)


@kernel("poly", out=_poly_out, cost=_poly_cost, deal=_poly_ahead, prime=_poly_ahead)
def poly(s: Session, opened: Share) -> Share:
    """The step's polynomial in exact integers, rounded down."""
    wire, attrs = _poly_out(s, opened.wire), s.step.attrs
    if s.rank == CLIENT:
        return Share(wire)
    x = (centered(opened.require(), opened.wire.ring) >> int(attrs["shift"])).astype(object)
    total = np.full(x.shape, 0, dtype=object)
    for coeff in reversed(attrs["coeffs"]):
        total = total * x + int(coeff)
    low = (total >> int(attrs["trunc"])) & ((1 << 64) - 1)
    return Share(wire, low.astype(np.uint64))


@kernel("relu", out=_poly_out, cost=_poly_cost, deal=_poly_ahead, prime=_poly_ahead)
def relu(s: Session, opened: Share) -> Share:
    """y times one of two slopes, by its sign, in exact integers, rounded down before."""
    wire = _poly_out(s, opened.wire)
    if s.rank == CLIENT:
        return Share(wire)
    y = centered(opened.require(), opened.wire.ring) >> int(s.step.attrs["shift"])
    below, above = s.step.attrs.get("slopes", (0, 1))
    return Share(wire, np.where(y < 0, y * below, y * above).view(np.uint64))


@kernel("spline", out=_poly_out, cost=_poly_cost, deal=_poly_ahead, prime=_poly_ahead)
def spline(s: Session, opened: Share) -> Share:
    """The piecewise polynomial of y >> p in exact integers, rounded down."""
    wire, attrs = _poly_out(s, opened.wire), s.step.attrs
    if s.rank == CLIENT:
        return Share(wire)
    u = centered(opened.require(), opened.wire.ring) >> int(attrs["shift"])
    numbers, terms = [int(c) for c in attrs["coeffs"]], int(attrs["degree"]) + 1
    coeffs = [numbers[i : i + terms] for i in range(0, len(numbers), terms)]
    value = piecewise([int(t) for t in attrs["knots"]], coeffs, u) >> int(attrs["trunc"])
    return Share(wire, value.view(np.uint64))


def _fan_out(s: Session, opened: Wire) -> Wire:
    return replace(opened, shape=(len(s.step.attrs["knots"]), *opened.shape))


def _fan_ahead(s: Session, opened: Share) -> Share:
    return Share(_fan_out(s, opened.wire))


@kernel("fan", out=_fan_out, cost=_free, deal=_fan_ahead, prime=_fan_ahead)
def fan(s: Session, opened: Share) -> Share:
    """y - t for each of the step's knots t, stacked."""
    wire = _fan_out(s, opened.wire)
    if s.rank == CLIENT:
        return Share(wire)
    return Share(wire, np.stack([opened.require() - np.uint64(int(t) % (1 << 64)) for t in s.step.attrs["knots"]]))


@kernel("plus", out=_same, cost=_free, deal=_same_ahead, prime=_same_ahead)
def plus(s: Session, x: Share) -> Share:
    """x plus the step's public number."""
    wire = _same(s, x.wire)
    number = round(s.step.fraction("value") * x.wire.scale) % (1 << 64)
    return Share(wire) if s.rank == CLIENT else Share(wire, x.require() + np.uint64(number))


def _number(s: Session, shape: tuple[int, ...]) -> Wire:
    return Wire(shape, int(s.step.attrs["ring"]), Fraction(1), "dealt")


def _step_out(s: Session, opened: Wire) -> Wire:
    return _number(s, opened.shape)


def _step_ahead(s: Session, opened: Share) -> Share:
    return Share(_step_out(s, opened.wire))


@kernel("step", out=_step_out, cost=_poly_cost, deal=_step_ahead, prime=_step_ahead)
def step(s: Session, opened: Share) -> Share:
    """[y >= 0]."""
    wire = _step_out(s, opened.wire)
    return Share(wire) if s.rank == CLIENT else Share(wire, _positive(opened))


def _positive(opened: Share) -> Words:
    return np.asarray(centered(opened.require(), opened.wire.ring) >= 0).astype(np.uint64)


def _sign_out(s: Session, opened: Wire) -> Wire:
    return Wire((1, *opened.shape), 1, Fraction(1), "opened")


def _sign_ahead(s: Session, opened: Share) -> Share:
    return Share(_sign_out(s, opened.wire))


@kernel("sign", out=_sign_out, cost=_poly_cost, deal=_sign_ahead, prime=_sign_ahead)
def sign(s: Session, opened: Share) -> Share:
    """[y >= 0], which nothing masks here."""
    wire = _sign_out(s, opened.wire)
    return Share(wire) if s.rank == CLIENT else Share(wire, _positive(opened)[None])


def _choose_out(s: Session, opened: Wire, hidden: Wire) -> Wire:
    return _poly_out(s, opened)


def _choose_cost(s: Session, opened: Wire, hidden: Wire) -> Cost:
    return Cost()


def _choose_ahead(s: Session, opened: Share, hidden: Share) -> Share:
    return Share(_poly_out(s, opened.wire))


@kernel("choose", out=_choose_out, cost=_choose_cost, deal=_choose_ahead, prime=_choose_ahead)
def choose(s: Session, opened: Share, hidden: Share) -> Share:
    """An opened value where the bit is set, else zero."""
    wire = _poly_out(s, opened.wire)
    if s.rank == CLIENT:
        return Share(wire)
    y = centered(opened.require(), opened.wire.ring).view(np.uint64)
    return Share(wire, y * hidden.require()[0])


def _ranks_out(s: Session, opened: Wire) -> Wire:
    return _number(s, (*opened.shape[:-1], int(s.step.attrs["items"])))


def _ranks_ahead(s: Session, opened: Share) -> Share:
    return Share(_ranks_out(s, opened.wire))


@kernel("ranks", out=_ranks_out, cost=_poly_cost, deal=_ranks_ahead, prime=_ranks_ahead)
def ranks(s: Session, opened: Share) -> Share:
    """How many of n values come before each, from the differences of all pairs: the larger first, then the earlier."""
    wire = _ranks_out(s, opened.wire)
    if s.rank == CLIENT:
        return Share(wire)
    rank = np.zeros(wire.shape, np.uint64)
    pairs = zip(*np.triu_indices(wire.shape[-1], 1), strict=True)
    for won, (i, j) in zip(np.moveaxis(_positive(opened), -1, 0), pairs, strict=True):
        rank[..., j] += won
        rank[..., i] += np.uint64(1) - won
    return Share(wire, rank)


def _labels_out(s: Session, opened: Wire) -> Wire:
    return _number(s, (*opened.shape[1:-1], opened.shape[0]))


def _labels_ahead(s: Session, opened: Share) -> Share:
    return Share(_labels_out(s, opened.wire))


@kernel("labels", out=_labels_out, cost=_poly_cost, deal=_labels_ahead, prime=_labels_ahead)
def labels(s: Session, opened: Share) -> Share:
    """The indices of the ranks 0, 1, ... k - 1, from the ranks less 1, 2, ... k."""
    wire = _labels_out(s, opened.wire)
    if s.rank == CLIENT:
        return Share(wire)
    first = centered(opened.require(), opened.wire.ring)[0] + 1
    order = np.argsort(first, axis=-1, kind="stable")[..., : wire.shape[-1]]
    return Share(wire, np.ascontiguousarray(order.astype(np.uint64)))


def _times_out(s: Session, x: Wire, y: Wire) -> Wire:
    return Wire(out_shape(s.step.op, x.shape, y.shape), x.ring, x.scale * y.scale, "dealt")


def _times_cost(s: Session, x: Wire, y: Wire) -> Cost:
    return Cost(macs=macs(s.step.op, x.shape, y.shape))


def _times_ahead(s: Session, x: Share, y: Share) -> Share:
    return Share(_times_out(s, x.wire, y.wire))


@kernel("times", out=_times_out, cost=_times_cost, deal=_times_ahead, prime=_times_ahead)
def times(s: Session, x: Share, y: Share) -> Share:
    """x·y, elementwise or of matrices."""
    wire = _times_out(s, x.wire, y.wire)
    if s.rank == CLIENT:
        return Share(wire)
    return Share(wire, multiply(s.step.op, x.require(), y.require(), wire.ring, threads=s.threads))


def _reveal_out(s: Session, y: Wire) -> Wire:
    return replace(y, preset="revealed")


def _reveal_ahead(s: Session, y: Share) -> Share:
    return Share(_reveal_out(s, y.wire))


def _reveal_cost(s: Session, y: Wire) -> Cost:
    return Cost((Message("online", SERVER, CLIENT, y.packed),))


@kernel("reveal", out=_reveal_out, cost=_reveal_cost, deal=_reveal_ahead, prime=_reveal_ahead)
def reveal(s: Session, y: Share) -> Share:
    """The server sends the result."""
    wire = _reveal_out(s, y.wire)
    if s.rank == SERVER:
        s.send(y.require(), wire.ring)
        return Share(wire)
    return Share(wire, s.receive(wire))
