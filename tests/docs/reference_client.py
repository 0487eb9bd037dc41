"""A client written from docs/protocol.md alone: it registers, has bundles dealt, primes, claims and predicts."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from reference_gates import Gate, Parts, fanned
from reference_numbers import (
    PRODUCTS,
    Plan,
    Step,
    Words,
    encode,
    evaluate,
    local,
    mask,
    numbers,
    pack,
    product,
    signed,
    unpack,
)
from reference_products import crossed
from reference_splines import gates, group
from reference_wire import Wire

__all__ = ["Bundle", "Client"]

Floats = NDArray[np.float64]


@dataclass
class Bundle:
    """The client's material of one run: u of each linear step, the parts of each gate, and once it is primed, the
    presets of all steps.
    """

    id: bytes
    seed: bytes = field(repr=False)
    products: dict[int, Words] = field(repr=False)
    parts: dict[int, Parts] = field(default_factory=dict, repr=False)
    presets: dict[int, Words] = field(default_factory=dict, repr=False)


class Client:
    """One client of one server, with everything in memory."""

    def __init__(self, server: Wire) -> None:
        self.server = server
        self.plan: Plan
        self.gates: dict[int, Gate] = {}
        self.dealer = ""
        self.epoch = 0
        self.differences: dict[int, Words] = {}
        self.bundles: list[Bundle] = []

    def open(self, plan: str = "") -> None:
        """Ask for a plan and read it."""
        self.server.send("Ask", plan=plan, epoch=0)
        opened = self.server.receive("Opened")
        self.dealer, self.epoch = opened["dealer"], opened["epoch"]
        self.server.send("PlanText")
        text = self.server.receive_data(opened["size"])
        assert hashlib.sha256(text).hexdigest() == opened["plan"]
        self.take(Plan(text))

    def take(self, plan: Plan) -> None:
        """Have this plan from now on."""
        self.plan, self.gates = plan, gates(plan)

    def register(self, pieces: int = 1) -> None:
        """Get D of every site, in so many requests."""
        steps, digests = self.plan.registered, []
        size = math.ceil(len(steps) / pieces)
        for first in range(0, len(steps), size):
            piece = steps[first : first + size]
            self.server.send("Register", sites=[step.site for step in piece])
            answer = self.server.receive("Registered")
            digests += answer["digests"]
            for step, digest in zip(piece, answer["digests"], strict=True):
                shape = tuple(step.weights["weight"])
                data = self.server.receive_data((math.prod(shape) * step.k + 7) // 8)
                assert hashlib.sha256(data).hexdigest() == digest
                self.differences[step.site] = unpack(data, step.k, shape)
            assert answer["whole"] == answer_whole(steps, digests) or len(digests) < len(steps)

    def restock(self, dealer: Wire, count: int) -> None:
        """Have bundles dealt."""
        dealer.send("DealRequest", plan=self.plan.digest, server=self.server.peer, count=count)
        assert dealer.receive("Batch")["count"] == count
        for _ in range(count):
            told = dealer.receive("Bundle")
            assert (told["peer"], told["plan"]) == (self.server.peer, self.plan.digest)
            seed = dealer.receive_data(16)
            bundle = Bundle(told["bundle"], seed, {})
            for step in self.plan.steps:
                if "weight" in step.weights:
                    bundle.products[step.site] = unpack(dealer.receive_data(step.size), step.k, step.shape)
                elif step.site in self.gates:
                    sizes = self.gates[step.site].sizes(0)
                    bundle.parts[step.site] = {name: dealer.receive_data(size) for name, size in sizes.items()}
            self.bundles.append(bundle)
        dealer.send("Done")

    def sync(self) -> list[bytes]:
        """Tell the server what is here, and drop what it names as spent."""
        dealt = [b.id for b in self.bundles if not b.presets]
        primed = [b.id for b in self.bundles if b.presets]
        self.server.send("Sync", dealt=dealt, primed=primed)
        spent = self.server.receive("Synced")["spent"]
        self.bundles = [b for b in self.bundles if b.id not in spent]
        return list(spent)

    def prime(self) -> None:
        """Prime every bundle that is not."""
        waiting = [b for b in self.bundles if not b.presets]
        self.server.send("Prime", bundles=[b.id for b in waiting])
        self.server.receive("Ready")
        size = group(self.plan)
        for first in range(0, len(waiting), size):
            together = waiting[first : first + size]
            for bundle in together:
                for frame in self._frames(bundle):
                    self.server.send_data(frame)
            for bundle in together:
                assert self.server.receive("Primed")["bundle"] == bundle.id

    def _frames(self, bundle: Bundle) -> Iterator[bytes]:
        """The presets of a bundle, and the frames that priming sends of them."""
        part = bundle.presets
        for step in self.plan.steps:
            given = [part[i] for i in step.inputs]
            if step.op in ("mask", "poly", "remask", *PRODUCTS) or step.site in self.gates:
                part[step.site] = mask(bundle.seed, 1, step.site, step.shape, step.k)
            elif step.site in bundle.products:
                answer = product(step.op, step.attrs, given[0], self.differences[step.site])
                part[step.site] = bundle.products[step.site] + answer
            elif step.op in ("open", "fan", "bias", "plus", "reveal"):
                part[step.site] = given[0]
            else:
                part[step.site] = local(step.op, step.attrs, given)
            if step.op == "open":
                yield pack(given[0] + mask(bundle.seed, 2, step.site, step.shape, step.k), step.k)
            elif step.op == "remask":
                yield pack(given[0] - part[step.site], step.k)

    def predict(self, *xs: Floats) -> list[Floats]:
        """Spend a bundle on one batch."""
        if self.plan.protocol == "clear":
            return self._predict_in_the_clear(*xs)
        bundle = self.bundles.pop()
        self.server.send("Claim", bundle=bundle.id)
        claimed = self.server.receive("Claimed", "Taken")
        assert claimed["type"] == "Claimed", "the bundle is taken"
        assert claimed["epoch"] > self.epoch, "the server's store does not go forward"
        self.epoch = claimed["epoch"]
        self.server.send("Run", bundle=bundle.id)
        return self._online(bundle, *xs)

    def _online(self, bundle: Bundle, *xs: Floats) -> list[Floats]:
        values, outputs, opened = iter(xs), [], {}
        for step in self.plan.steps:
            preset = bundle.presets[step.site]
            if step.op == "mask":
                self.server.send_data(pack(self._encoded(step, next(values)) - preset, step.k))
            elif step.op == "open":
                opened[step.site] = unpack(self.server.receive_data(step.size), step.k, step.shape)
            elif step.op == "fan":
                opened[step.site] = fanned(step, opened[step.inputs[0]], step.k)
            elif step.site in self.gates:
                out = self._gated(bundle, step, opened[step.inputs[0]])
                self.server.send_data(pack(out - preset, step.k))
            elif step.op == "poly":
                n, k = len(step.attrs["coeffs"]) - 1, self.plan.steps[step.inputs[0]].k
                shares = numbers(bundle.seed, step.site, preset.size * 2 * n)
                out = evaluate(step, opened[step.inputs[0]], k, shares, server=False)
                self.server.send_data(pack(out - preset, step.k))
            elif step.op in PRODUCTS:
                share = mask(bundle.seed, 16, step.site, step.shape, step.k)
                out = crossed(self.plan, step, 0, bundle.seed, [opened[i] for i in step.inputs], share)
                self.server.send_data(pack(out - preset, step.k))
            elif step.op == "reveal":
                outputs.append(self._revealed(step, step.attrs["drop"], preset))
        return outputs

    def _gated(self, bundle: Bundle, step: Step, opened: Words) -> Words:
        """The client's part of a gate."""
        gate, parts = self.gates[step.site], bundle.parts[step.site]
        mine = gate.tested(0, bundle.seed, parts, opened)
        theirs = unpack(self.server.receive_data(gate.message), 1, mine.shape)
        self.server.send_data(pack(mine, 1))
        return gate.evaluated(0, bundle.seed, parts, opened, mine ^ theirs)

    def _predict_in_the_clear(self, *xs: Floats) -> list[Floats]:
        self.server.send("Run", bundle=bytes(16))
        values, outputs = iter(xs), []
        for step in self.plan.steps:
            if step.op == "mask":
                self.server.send_data(pack(self._encoded(step, next(values)), step.k))
            elif step.op == "reveal":
                outputs.append(self._revealed(step, 0, np.zeros(step.shape, np.uint64)))
        return outputs

    def _encoded(self, step: Step, x: Floats) -> Words:
        assert x.shape == step.shape
        assert np.abs(x).max() <= self.plan.ranges[step.site]
        return encode(x, step.scale)

    def _revealed(self, step: Step, drop: int, preset: Words) -> Floats:
        size = (math.prod(step.shape) * (step.k - drop) + 7) // 8
        top = unpack(self.server.receive_data(size), step.k - drop, step.shape)
        word = preset + (top << np.uint64(drop)) + np.uint64((1 << drop) >> 1)
        return np.array([float(v / step.scale) for v in signed(word, step.k)]).reshape(step.shape)


def answer_whole(steps: list[Step], digests: list[str]) -> str:
    """The digest of a whole registration; of as many sites as there are digests."""
    whole = hashlib.sha256(b"tacit registration 1")
    for step, digest in zip(steps, digests, strict=False):
        name = f"{step.site}/difference".encode()
        whole.update(struct.pack("<H", len(name)) + name + bytes.fromhex(digest))
    return whole.hexdigest()
