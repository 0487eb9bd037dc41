"""A server written from docs/protocol.md alone: it enlists a plan, fetches its parts, and answers one client."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reference_client import answer_whole
from reference_gates import Parts, fanned
from reference_numbers import (
    LINEAR,
    PRODUCTS,
    Plan,
    Words,
    along,
    correction_bytes,
    encode,
    evaluate,
    local,
    mask,
    pack,
    product,
    unpack,
)
from reference_products import crossed
from reference_splines import gates, group
from reference_wire import Wire

__all__ = ["Bundle", "Server", "integers"]

#: Tensors of a site by name, as integers mod 2^64.
Tensors = Mapping[tuple[int, str], Words]


@dataclass
class Bundle:
    """The server's material of one run: the corrections of each `poly` and product, the parts of each gate, and once
    it is primed, the client's frames.
    """

    seed: bytes = field(repr=False)
    corrections: dict[int, list[int]] = field(default_factory=dict, repr=False)
    shares: dict[int, Words] = field(default_factory=dict, repr=False)
    parts: dict[int, Parts] = field(default_factory=dict, repr=False)
    frames: dict[int, Words] = field(default_factory=dict, repr=False)
    state: str = "dealt"


def integers(plan: Plan, floats: Mapping[tuple[str, str], NDArray[np.float64]]) -> dict[tuple[int, str], Words]:
    """The tensors of a model, by (node, name), as the integers of a plan."""
    out = {}
    for step in plan.steps:
        for name in step.weights:
            scale = Fraction(step.attrs["weight_scale"]) if name == "weight" else step.scale
            out[step.site, name] = encode(floats[step.node, name], scale)
    return out


class Server:
    """One plan, served to one client, with everything in memory. `call` opens a greeted connection to the dealer."""

    def __init__(self, plan: Plan, weights: Tensors, call: Callable[[], Wire]) -> None:
        self.plan, self.weights, self.call = plan, weights, call
        self.gates = gates(plan)
        self.bundles: dict[bytes, Bundle] = {}
        self.epoch = 0
        dealer = call()
        self.dealer = dealer.peer
        dealer.send("Enlist", plan=plan.digest, size=len(plan.text))
        dealer.send_data(plan.text)
        assert dealer.receive("Enlisted")["plan"] == plan.digest
        self.registration = dealer.receive_data(16)
        dealer.close()

    def serve(self, client: Wire) -> None:
        """Answer a greeted client until it says bye."""
        answers = {
            "Ask": self._ask,
            "PlanText": lambda client, _: client.send_data(self.plan.text),
            "Sync": self._sync,
            "Register": self._register,
            "Prime": self._prime,
            "Claim": self._claim,
            "Run": self._run,
        }
        while True:
            try:
                request = client.receive(*answers)
            except EOFError:
                return
            answers[request["type"]](client, request)

    def fetch(self, bundles: list[bytes], client: str) -> None:
        """Get this server's parts of bundles from the dealer."""
        dealer = self.call()
        dealer.send("Fetch", bundles=bundles)
        for bundle in bundles:
            told = dealer.receive("Bundle")
            assert told == {"type": "Bundle", "bundle": bundle, "plan": self.plan.digest, "peer": client}
            held = self.bundles[bundle] = Bundle(dealer.receive_data(16))
            for step in self.plan.steps:
                if step.op == "poly":
                    held.corrections[step.site] = _numbers(dealer.receive_data(correction_bytes(step)))
                elif step.op in PRODUCTS:
                    held.shares[step.site] = unpack(dealer.receive_data(step.size), step.k, step.shape)
                elif step.site in self.gates:
                    sizes = self.gates[step.site].sizes(1)
                    held.parts[step.site] = {name: dealer.receive_data(size) for name, size in sizes.items()}
        dealer.send("Done")
        dealer.close()

    def _ask(self, client: Wire, request: dict[str, Any]) -> None:
        assert request["plan"] in ("", self.plan.digest)
        client.send("Opened", plan=self.plan.digest, size=len(self.plan.text), dealer=self.dealer, epoch=self.epoch)

    def _sync(self, client: Wire, request: dict[str, Any]) -> None:
        state = {bundle: held.state for bundle, held in self.bundles.items()}
        spent = [b for b in request["primed"] if state.get(b) != "primed"]
        spent += [b for b in request["dealt"] if state.get(b) in ("claimed", "erased")]
        client.send("Synced", spent=spent)
        for bundle in set(state) - set(request["dealt"]) - set(request["primed"]):
            self._erase(bundle)

    def _register(self, client: Wire, request: dict[str, Any]) -> None:
        packed = {
            step.site: pack(self.weights[step.site, "weight"] - self.plan.matrix(step, self.registration), step.k)
            for step in self.plan.registered
        }
        digests = {site: hashlib.sha256(data).hexdigest() for site, data in packed.items()}
        whole = answer_whole(self.plan.registered, list(digests.values()))
        client.send("Registered", whole=whole, digests=[digests[site] for site in request["sites"]])
        for site in request["sites"]:
            client.send_data(packed[site])

    def _prime(self, client: Wire, request: dict[str, Any]) -> None:
        bundles = request["bundles"]
        self.fetch([bundle for bundle in bundles if bundle not in self.bundles], client.peer)
        client.send("Ready")
        size = group(self.plan)
        for first in range(0, len(bundles), size):
            together = bundles[first : first + size]
            for bundle in together:
                held = self.bundles[bundle]
                held.frames = self._primed(client)
                held.state = "primed"
            for bundle in together:
                client.send("Primed", bundle=bundle)

    def _primed(self, client: Wire) -> dict[int, Words]:
        """The priming frames of one bundle, by site."""
        steps = [step for step in self.plan.steps if step.op in ("open", "remask")]
        return {step.site: unpack(client.receive_data(step.size), step.k, step.shape) for step in steps}

    def _claim(self, client: Wire, request: dict[str, Any]) -> None:
        bundle = request["bundle"]
        held = self.bundles.get(bundle)
        if held is None or held.state != "primed":
            client.send("Taken", bundle=bundle)
            return
        held.state = "claimed"
        self.epoch += 1
        client.send("Claimed", bundle=bundle, epoch=self.epoch)

    def _run(self, client: Wire, request: dict[str, Any]) -> None:
        held = self.bundles[request["bundle"]]
        assert held.state == "claimed"
        self._online(client, held)
        self._erase(request["bundle"])

    def _erase(self, bundle: bytes) -> None:
        self.bundles[bundle] = Bundle(b"", state="erased")

    def _gated(self, client: Wire, held: Bundle, site: int, opened: Words) -> Words:
        """The server's part of a gate."""
        gate, parts = self.gates[site], held.parts[site]
        mine = gate.tested(1, held.seed, parts, opened)
        client.send_data(pack(mine, 1))
        theirs = unpack(client.receive_data(gate.message), 1, mine.shape)
        return gate.evaluated(1, held.seed, parts, opened, mine ^ theirs)

    def _online(self, client: Wire, held: Bundle) -> None:
        part: dict[int, Words] = {}
        for step in self.plan.steps:
            given = [part[i] for i in step.inputs]
            if step.op == "mask":
                part[step.site] = unpack(client.receive_data(step.size), step.k, step.shape)
            elif step.op in LINEAR:
                y = product(step.op, step.attrs, given[0], self.weights[step.site, "weight"])
                part[step.site] = y + mask(held.seed, 4, step.site, step.shape, step.k) + self._bias(step.site)
            elif step.op == "bias":
                part[step.site] = given[0] + self.weights[step.site, "value"]
            elif step.op == "remask":
                part[step.site] = given[0] + held.frames[step.site]
            elif step.op == "open":
                lam = mask(held.seed, 3, step.site, step.shape, step.k)
                opened = given[0] + held.frames[step.site] + lam + np.uint64(1 << (step.k - 2))
                part[step.site] = opened & np.uint64((1 << step.k) - 1)
                client.send_data(pack(opened, step.k))
            elif step.op == "fan":
                part[step.site] = fanned(step, given[0], step.k)
            elif step.op == "plus":
                part[step.site] = given[0] + np.uint64(round(Fraction(step.attrs["value"]) * step.scale) % (1 << 64))
            elif step.site in self.gates:
                out = self._gated(client, held, step.site, given[0])
                part[step.site] = out + unpack(client.receive_data(step.size), step.k, step.shape)
            elif step.op in PRODUCTS:
                out = crossed(self.plan, step, 1, held.seed, given, held.shares[step.site])
                part[step.site] = out + unpack(client.receive_data(step.size), step.k, step.shape)
            elif step.op == "poly":
                k = self.plan.steps[step.inputs[0]].k
                out = evaluate(step, given[0], k, held.corrections[step.site], server=True)
                part[step.site] = out + unpack(client.receive_data(step.size), step.k, step.shape)
            elif step.op == "reveal":
                drop = step.attrs["drop"]
                top = (given[0] & np.uint64((1 << step.k) - 1)) >> np.uint64(drop)
                client.send_data(pack(top, step.k - drop))
            else:
                part[step.site] = local(step.op, step.attrs, given)

    def _bias(self, site: int) -> Words:
        step = self.plan.steps[site]
        if "bias" not in step.weights:
            return np.zeros(1, np.uint64)
        rank = len(step.shape)
        axis = {"linear": rank - 1, "conv": 1, "affine": step.attrs.get("axis")}[step.op]
        return along(self.weights[site, "bias"], axis, rank)


def _numbers(data: bytes) -> list[int]:
    """Numbers of 128 bits, low word first."""
    return [int.from_bytes(data[i : i + 16], "little") for i in range(0, len(data), 16)]
