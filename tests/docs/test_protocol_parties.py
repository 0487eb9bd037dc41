"""A client and a server written from docs/protocol.md alone, against the real dealer, server and client."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference_numbers as numbers
from reference_client import Client
from reference_server import Server, integers
from reference_splines import group
from reference_wire import NOBODY, Identity, Refused, Wire, accept, dial

import tacit
from tacit.testing.graphs import nrmse

Keep = Callable[[Any], Any]


@dataclass
class House:
    """The homes of three parties, and whether they speak TLS."""

    homes: Path
    tls: bool
    keep: Keep

    def identity(self, own: str, peer: str) -> Identity | None:
        """How `own` proves itself to `peer`; None on plain TCP."""
        return Identity(self.homes / own / "identity.pem", self.homes / peer / "certificate.pem") if self.tls else None

    def dealer(self) -> str:
        """The address of a real dealer."""
        return str(self.keep(tacit.deal(home=self.homes / "dealer", port=0, insecure_plaintext=not self.tls)).address)

    def server(self, plan: tacit.Plan, dealer: str | None) -> str:
        """The address of a real server."""
        home = self.homes / "server"
        served = tacit.serve(plan, home=home, dealer=dealer, port=0, insecure_plaintext=not self.tls)
        return str(self.keep(served).address)

    def call(self, own: str, address: str, peer: str) -> Wire:
        """A greeted connection of a reference party."""
        return self.keep(dial(address, own, peer, self.identity(own, peer)))

    def answer(self, server: Server, listener: socket.socket) -> None:
        """Serve the next caller as a reference server."""
        server.serve(self.keep(accept(listener, self.identity("server", "client"))))


@pytest.fixture(params=["plain", "tls"])
def house(homes: Path, running: Keep, request: pytest.FixtureRequest) -> House:
    return House(homes, request.param == "tls", running)


@pytest.fixture
def plain(homes: Path, running: Keep) -> House:
    return House(homes, False, running)


def prepared(house: House, plan: tacit.Plan, count: int) -> Client:
    """A reference client of a real server, with bundles dealt by a real dealer."""
    dealer = house.dealer()
    client = Client(house.call("client", house.server(plan, dealer), "server"))
    client.open()
    assert client.plan.digest == plan.digest
    client.register()
    at_dealer = house.call("client", dealer, "dealer")
    assert at_dealer.peer == client.dealer
    client.restock(at_dealer, count)
    return client


def test_the_client_gets_the_answers_of_the_residual_net(house: House, residual: Any) -> None:
    client = prepared(house, residual.plan, 2)
    client.prime()
    for _ in range(2):
        assert residual.right(client.predict(*residual.xs))


def test_the_client_gets_the_answers_of_every_other_op(plain: House, broad: Any) -> None:
    client = prepared(plain, broad.plan, 1)
    assert {step.op for step in client.plan.steps} >= {"affine", "bias", "lift", "mean", "pad", "remask", "scale"}
    client.prime()
    assert broad.right(client.predict(*broad.xs))


@pytest.mark.parametrize("name", ["residual", "broad", "gated", "exact", "windowed", "unmasked"])
def test_the_right_answers_are_right(name: str, request: pytest.FixtureRequest) -> None:
    """What the parties are held to: the plan's integers are near the floats, and this package's own runs near them."""
    model = request.getfixturevalue(name)
    assert all(nrmse([whole], [real]) < 1e-3 for whole, real in zip(model.integers, model.answers, strict=True))
    assert model.right(tacit.simulate(model.plan, *model.xs).outputs)
    off = [whole + 3 * (bound or 0.01) for whole, bound in zip(model.integers, model.noise, strict=True)]
    assert not model.right(off)


@pytest.mark.parametrize("name", ["gated", "exact", "windowed"])
def test_the_client_gets_the_answers_of_every_gate(plain: House, name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    client = prepared(plain, model.plan, 2)
    ops = {step.op for step in client.plan.steps}
    assert ops >= {"relu", "fan", "combine", "plus", "take", "step", "pairs", "ranks", "labels", "spline", "poly"}
    client.prime()
    for _ in range(2):
        assert model.right(client.predict(*model.xs))


def test_an_error_in_a_gate_s_material_would_show(plain: House, exact: Any) -> None:
    client = prepared(plain, exact.plan, 1)
    site = next(step.site for step in client.plan.steps if step.op == "relu")
    parts, level = client.bundles[0].parts[site], 16 * client.gates[site].n
    wrong = bytes(byte ^ 0x54 for byte in parts["sign"][level : 3 * level])  # the client needs none at the first level
    parts["sign"] = parts["sign"][:level] + wrong + parts["sign"][3 * level :]
    client.prime()
    assert nrmse(client.predict(*exact.xs)[:1], exact.answers[:1]) > 1e-2


def test_an_error_in_the_material_would_show(plain: House, residual: Any) -> None:
    client = prepared(plain, residual.plan, 1)
    first = client.plan.registered[0].site
    client.bundles[0].products[first][0, 0, 0, 0] += np.uint64(1 << 34)  # half a unit, at this wire's scale
    client.prime()
    assert nrmse(client.predict(*residual.xs), residual.answers) > 1e-2


def test_a_plan_in_the_clear(plain: House, unmasked: Any) -> None:
    client = Client(plain.call("client", plain.server(unmasked.plan, None), "server"))
    client.open()
    assert client.dealer == ""
    for _ in range(2):
        assert unmasked.right(client.predict(*unmasked.xs))


def test_bundles_are_primed_in_groups_and_again(plain: House, residual: Any) -> None:
    """More bundles than a group holds; those whose Primed was missed are primed once more, to the same effect."""
    client = prepared(plain, residual.plan, 66)
    assert group(client.plan) == 64
    client.prime()
    client.bundles = client.bundles[-2:]
    for bundle in client.bundles:
        bundle.presets.clear()
    assert client.sync() == []
    client.prime()
    assert residual.right(client.predict(*residual.xs))


def test_registration_in_pieces(plain: House, residual: Any) -> None:
    client = prepared(plain, residual.plan, 1)
    whole = dict(client.differences)
    client.differences = {}
    client.register(pieces=3)
    assert whole.keys() == client.differences.keys()
    assert all(np.array_equal(whole[site], d) for site, d in client.differences.items())


def test_spent_bundles(plain: House, residual: Any) -> None:
    client = prepared(plain, residual.plan, 2)
    client.prime()
    spent = client.bundles[-1]
    client.predict(*residual.xs)
    for unknown in (spent.id, bytes(16)):
        client.server.send("Claim", bundle=unknown)
        assert client.server.receive("Claimed", "Taken") == {"type": "Taken", "bundle": unknown}
    client.bundles.append(spent)
    assert client.sync() == [spent.id]
    spent.presets.clear()
    client.bundles.append(spent)
    assert client.sync() == [spent.id]
    forgotten = client.bundles.pop()
    assert client.sync() == []
    client.bundles.append(forgotten)
    assert client.sync() == [forgotten.id]


def test_refusals(plain: House, residual: Any) -> None:
    address = plain.dealer()
    dealer = plain.call("client", address, "dealer")
    dealer.send("DealRequest", plan=residual.plan.digest, server=NOBODY, count=1)
    with pytest.raises(Refused) as unknown:
        dealer.receive("Batch")
    assert unknown.value.fields["code"] == "not-permitted"
    server = plain.call("server", address, "dealer")
    server.send("Fetch", bundles=[bytes(16)])
    with pytest.raises(Refused) as spent:
        server.receive("Bundle")
    assert spent.value.fields["code"] == "bundle-spent"


def test_another_version_is_refused(plain: House) -> None:
    host, port = plain.dealer().removeprefix("tacit://").split(":")
    wire = plain.keep(Wire(socket.create_connection((host, int(port)), timeout=20), NOBODY))
    wire.send("Hello", role="client", protocol=2, plan_format=2, kernels=1)
    assert wire.receive("Hello")["protocol"] == 1
    with pytest.raises(Refused) as other:
        wire.receive("Batch")
    fields = other.value.fields
    assert (fields["code"], fields["ours"], fields["theirs"]) == ("mismatch", "1", "2")


@pytest.mark.parametrize("name", ["residual", "broad", "gated", "windowed"])
def test_the_server_answers_the_real_client(house: House, name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    dealer = house.dealer()
    plan = numbers.Plan(model.plan.canonical())
    server = Server(plan, integers(plan, model.floats()), lambda: house.call("server", dealer, "dealer"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=house.answer, args=(server, listener), daemon=True)
        serving.start()
        address = f"tacit://127.0.0.1:{listener.getsockname()[1]}"
        home = house.homes / "client"
        with tacit.connect(address, home=home, dealer=dealer, insecure_plaintext=not house.tls) as client:
            client.prepare(3)
            for _ in range(2):
                outputs = client.predict(*model.xs)
                assert model.right(outputs if isinstance(outputs, list) else [outputs])
        serving.join(20)
    assert sorted(bundle.state for bundle in server.bundles.values()) == ["erased", "erased", "primed"]


@pytest.mark.parametrize("name", ["broad", "gated", "windowed"])
def test_what_the_dealer_makes(plain: House, name: str, request: pytest.FixtureRequest) -> None:
    """u, the corrections and the parts of gates, recomputed from both seeds and A."""
    dealer = plain.dealer()
    plan = numbers.Plan(request.getfixturevalue(name).plan.canonical())
    server = Server(plan, {}, lambda: plain.call("server", dealer, "dealer"))
    client = Client(plain.keep(Wire(socket.socket(), NOBODY)))
    client.take(plan)
    client.restock(plain.call("client", dealer, "dealer"), 1)
    (mine,) = client.bundles
    server.fetch([mine.id], NOBODY)
    theirs = server.bundles[mine.id]
    presets: dict[int, Any] = {}
    for step in plan.steps:
        given = [presets.get(i) for i in step.inputs]
        if step.op in ("mask", "poly", "remask", *numbers.PRODUCTS) or step.site in server.gates:
            presets[step.site] = numbers.mask(mine.seed, 1, step.site, step.shape, step.k)
        elif step.preset == "dealt":
            moved = [g for g in given if g is not None]
            presets[step.site] = moved[0] if step.op == "plus" else numbers.local(step.op, step.attrs, moved)
        if step.op in numbers.LINEAR:
            image = numbers.product(step.op, step.attrs, given[0], plan.matrix(step, server.registration))
            u = image - numbers.mask(theirs.seed, 4, step.site, step.shape, step.k)
            assert np.array_equal(u & np.uint64((1 << step.k) - 1), mine.products[step.site])
        if step.op == "poly":
            assert theirs.corrections[step.site] == corrections(plan, step, mine.seed, theirs.seed)
        if step.op in numbers.PRODUCTS:
            masks = [opening_mask(plan, step, mine.seed, theirs.seed, number) for number in (0, 1)]
            z = numbers.times(step.op, *masks) - numbers.mask(mine.seed, 16, step.site, step.shape, step.k)
            assert np.array_equal(z & np.uint64((1 << step.k) - 1), theirs.shares[step.site])
        if step.site in server.gates:
            lam = opening_mask(plan, step, mine.seed, theirs.seed)
            parts = server.gates[step.site].deal(mine.seed, theirs.seed, lam)
            assert parts == (mine.parts[step.site], theirs.parts[step.site])


def opening_mask(plan: numbers.Plan, step: numbers.Step, client: bytes, server: bytes, number: int = 0) -> Any:
    """λ mod 2^k of an opened operand, from both seeds."""
    operand = opening = plan.steps[step.inputs[number]]
    if operand.op == "fan":
        opening = plan.steps[operand.inputs[0]]
    seeds = ((2, client), (3, server))
    halves = [numbers.mask(seed, domain, opening.site, opening.shape, opening.k) for domain, seed in seeds]
    whole = (halves[0] + halves[1]) & np.uint64((1 << opening.k) - 1)
    return np.broadcast_to(whole, operand.shape)


def corrections(plan: numbers.Plan, step: numbers.Step, client: bytes, server: bytes) -> list[int]:
    """tag^j minus the client's shares, from both seeds."""
    opening = plan.steps[step.inputs[0]]
    lam = opening_mask(plan, step, client, server).reshape(-1).tolist()
    n = len(step.attrs["coeffs"]) - 1
    powers = [tag**j for e in lam for tag in numbers.tags(e, opening.k, step.attrs["shift"]) for j in range(1, n + 1)]
    shares = numbers.numbers(client, step.site, len(powers))
    return [(power - share) % (1 << 128) for power, share in zip(powers, shares, strict=True)]
