"""Each bundle serves once: replays, thieves, races, restored stores; and the dealer knows whose material is whose."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from tacit.corr.bundle import fresh_bundle_id
from tacit.corr.memory import MemoryStore
from tacit.errors import BundleSpent, Exhausted, NotPermitted, PeerRefused, RolledBack, TacitError
from tacit.net.channel import Channel
from tacit.net.frame import Kind
from tacit.plan.plan import Plan
from tacit.run.dealing import request_bundles
from tacit.run.handshake import (
    Ask,
    Bundle,
    Claim,
    Claimed,
    DealRequest,
    Enlist,
    Enlisted,
    Fetch,
    Opened,
    Run,
    Sync,
    Synced,
    Taken,
    greet,
)
from tacit.service.listen import Limits
from tacit.testing.parties import House, identity

X = np.linspace(-1, 1, 6).reshape(2, 3)


def visit(house: House, name: str = "client", plan: str = "") -> Channel:
    """A connection of a client that speaks for itself."""
    channel = house.dial(name, "server")
    greet(channel, "client", ("server",))
    channel.send_message(Ask(plan=plan, epoch=1 << 40))
    channel.recv_message(Opened)
    return channel


def prepared(house: House, count: int = 1, name: str = "client") -> list[bytes]:
    """Ids of `count` bundles primed at both sides for a client."""
    with house.client(name) as client:
        client.prepare(count)
        return list(client._store.ids(state="primed"))


def claims(house: House) -> list[bytes]:
    """The bundle of every run that any client began, in order."""
    frames = [frame for call in house.calls for frame in call.tap.frames]
    sent = [f.payload for f in frames if f.kind is Kind.MESSAGE and f.direction == "sent"]
    messages = [msgspec.msgpack.decode(payload) for payload in sent]
    return [message["bundle"] for message in messages if message["type"] == "Run"]


def test_a_replayed_bundle_is_dead(house: House) -> None:
    with house.client() as client:
        client.predict(X)
    (used,) = claims(house)
    with visit(house) as channel:
        channel.send_message(Claim(bundle=used))
        assert channel.recv_message(Claimed, Taken) == Taken(bundle=used)
        channel.send_message(Run(bundle=used))
        with pytest.raises(PeerRefused, match="has not claimed"):
            channel.recv_data(10)


def test_a_bundle_runs_once_per_claim(house: House) -> None:
    """The very connection that used a bundle cannot run with it again."""
    (bundle,) = prepared(house)
    plan = next(iter(house.server.plans.values())).plan
    with visit(house) as channel:
        channel.send_message(Claim(bundle=bundle))
        assert channel.recv_message(Claimed, Taken).bundle == bundle
        channel.send_message(Run(bundle=bundle))
        for message in plan.bill().messages("online"):
            if message.sender == 0:
                channel.send_data(bytes(message.payload))
            else:
                channel.recv_data(message.payload)
        channel.send_message(Run(bundle=bundle))
        with pytest.raises(PeerRefused, match="has not claimed"):
            channel.recv_data(1)


def test_another_clients_bundle(house: House) -> None:
    (bundle,) = prepared(house)
    with visit(house, "thief") as channel:
        channel.send_message(Claim(bundle=bundle))
        assert isinstance(channel.recv_message(Claimed, Taken), Taken)
        channel.send_message(Sync(dealt=[bundle], primed=[bundle]))
        assert bundle in channel.recv_message(Synced).spent, "and it looks like one that never was"
    with house.client(deal=False) as client:
        assert client.predict(X).shape == (2, 2), "its owner still has it"


def test_a_bundle_of_another_plan(house: House, other_plan: Plan) -> None:
    (bundle,) = prepared(house)
    with visit(house, plan=other_plan.digest) as channel:
        channel.send_message(Claim(bundle=bundle))
        assert isinstance(channel.recv_message(Claimed, Taken), Taken)


def test_a_claim_ends_when_another_plan_is_opened(house: House, other_plan: Plan) -> None:
    (bundle,) = prepared(house)
    with visit(house) as channel:
        channel.send_message(Claim(bundle=bundle))
        channel.recv_message(Claimed, Taken)
        channel.send_message(Ask(plan=other_plan.digest, epoch=1 << 40))
        channel.recv_message(Opened)
        channel.send_message(Run(bundle=bundle))
        with pytest.raises(PeerRefused, match="has not claimed"):
            channel.recv_data(10)
    assert house.server.store.count()["claimed"] == 0


def test_an_unknown_bundle(house: House) -> None:
    prepared(house)
    with visit(house) as channel:
        channel.send_message(Claim(bundle=fresh_bundle_id()))
        assert isinstance(channel.recv_message(Claimed, Taken), Taken)
        channel.send_message(Run(bundle=bytes(16)))
        with pytest.raises(PeerRefused, match="has not claimed"):
            channel.recv_data(10)


def at_once(bodies: list[Callable[[], object]]) -> list[object]:
    """What each body gave or raised, all started together."""
    barrier, results = threading.Barrier(len(bodies)), [None] * len(bodies)

    def run(number: int) -> None:
        barrier.wait()
        try:
            results[number] = bodies[number]()  # type: ignore[call-overload]
        except TacitError as error:
            results[number] = error  # type: ignore[call-overload]

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return list(results)


def test_two_connections_race_for_one_bundle(house: House) -> None:
    for bundle in prepared(house, 6):
        channels = [visit(house) for _ in range(3)]

        def claim(channel: Channel, bundle: bytes = bundle) -> object:
            channel.send_message(Claim(bundle=bundle))
            return type(channel.recv_message(Claimed, Taken))

        won = at_once([lambda c=c: claim(c) for c in channels])  # type: ignore[misc]
        assert sorted(kind.__name__ for kind in won) == ["Claimed", "Taken", "Taken"]  # type: ignore[attr-defined]
        for channel in channels:
            channel.close()


def test_two_clients_of_one_home_race(house: House, plan: Plan) -> None:
    """Two programs of one user share a stock: every run has a bundle of its own and a right answer."""
    prepared(house, 8)
    with house.client() as one, house.client() as two:
        answers = at_once([lambda c=c: [c.predict(X, prepare=False) for _ in range(4)] for c in (one, two)])  # type: ignore[misc]
    used = claims(house)
    for answer in answers:
        assert not isinstance(answer, TacitError), answer
    assert len(set(used)) == len(used) == 8
    for answer in answers:
        assert np.allclose(answer, answer[0], atol=1e-3)  # type: ignore[index]


def test_a_restored_server_store_is_refused(house: House, plan: Plan, other_plan: Plan) -> None:
    prepared(house, 2)
    house.server.close()
    kept = house.root / "server"
    shutil.copytree(kept, house.root / "copy")
    house.server = house.serve([plan, other_plan])
    with house.client() as client:
        client.predict(X)
    house.server.close()
    shutil.rmtree(kept)
    shutil.copytree(house.root / "copy", kept)
    house.server = house.serve([plan, other_plan])
    with pytest.raises(RolledBack, match="restored from a copy"):
        house.client()


def test_a_restored_client_store_is_refused(house: House) -> None:
    prepared(house, 3)
    shutil.copytree(house.root / "client", house.root / "copy")
    with house.client() as client:
        client.predict(X)
    with house.client():
        pass  # its epoch after the claim is known to the server now
    with pytest.raises(RolledBack, match="restored from a copy"):
        house.client(home="copy")


def test_a_restored_client_cannot_use_a_bundle_twice(house: House) -> None:
    """Restored before the server could hear of the claim: the server itself remembers it."""
    prepared(house, 1)
    shutil.copytree(house.root / "client", house.root / "copy")
    with house.client() as client:
        client.predict(X)
    with house.client(home="copy", deal=False) as client:
        assert client.stock == 0, "what is spent at the server was erased"
        with pytest.raises(Exhausted):
            client.predict(X)
    assert len(claims(house)) == 1


def dealer(house: House, name: str, role: str) -> Channel:
    channel = house.dial(name, "dealer")
    greet(channel, role, ("dealer",))  # type: ignore[arg-type]
    return channel


def test_the_dealer_knows_enlisted_plans_only(house: House) -> None:
    for digest, server, reason in [
        ("ab" * 32, identity("server"), "does not know that plan"),
        (next(iter(house.server.plans)), identity("another"), "does not know that plan of that server"),
    ]:
        with dealer(house, "client", "client") as channel:
            channel.send_message(DealRequest(plan=digest, server=server, count=1))
            with pytest.raises(NotPermitted, match=reason):
                channel.recv_data(10)


def enlisted(house: House, name: str, plan: Plan) -> bytes:
    """The registration seed that the dealer gives to whoever enlists a plan."""
    with dealer(house, name, "server") as channel:
        text = plan.canonical()
        channel.send_message(Enlist(plan=plan.digest, size=len(text)))
        channel.send_data(text)
        assert channel.recv_message(Enlisted).plan == plan.digest
        return bytes(channel.recv_data(16))


def test_each_server_has_a_seed_of_its_own(house: House, plan: Plan) -> None:
    """Nobody gets another server's half of the weights, or locks it out, by naming the plan, which is public."""
    names = ("client", "another server", "server")
    seeds = [enlisted(house, name, plan) for name in names]
    assert len(set(seeds)) == len(names)
    assert seeds == [enlisted(house, name, plan) for name in names]
    assert house.server.plans[plan.digest].enlisted().key == seeds[-1]


def test_a_foreign_server_gets_no_parts(house: House, plan: Plan) -> None:
    with dealer(house, "client", "client") as channel:
        got = request_bundles(channel, plan, identity("server"), 1, MemoryStore())
    with dealer(house, "another server", "server") as channel:
        channel.send_message(Fetch(bundles=got))
        with pytest.raises(BundleSpent):
            channel.recv_data(16)
    for _ in range(2):
        with dealer(house, "server", "server") as channel:
            channel.send_message(Fetch(bundles=[fresh_bundle_id()]))
            with pytest.raises(BundleSpent):
                channel.recv_message(Bundle)


def test_the_dealer_forgets_a_bundle_that_both_have(house: House) -> None:
    prepared(house, 2)
    house.last("server", "dealer").thread.join(10)
    assert house.dealer.store.count() == {"dealt": 0, "primed": 0, "claimed": 0, "erased": 2}


class Stop(Exception):
    """An interruption from outside."""


def test_an_interrupted_registration_goes_on(house: House, plan: Plan) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if done == 1:
            raise Stop

    def received() -> int:
        frames = house.last("client", "server").tap.frames
        return sum(f.kind is Kind.DATA and f.direction == "received" for f in frames)

    with house.client() as client:
        before = received()
        with pytest.raises(Stop):
            client.register(stop)
    assert received() - before >= 1
    with house.client() as client:
        before = received()
        client.register()
        layers = sum("weight" in step.weights for step in plan.steps)
        assert received() - before == layers - 1, "what was there already was fetched again"
        client.register()
        assert received() - before == layers - 1
        assert client.predict(X).shape == (2, 2)


def test_interrupted_priming_leaves_bundles_usable(house: House) -> None:
    """Dealt but not primed: the next connection primes what is there and asks the dealer for nothing."""
    with house.client() as client:
        client.register()
        client._deal(2, None)
    with house.client(deal=False) as client:
        client.prepare(2)
        assert client.stock == 2
        assert client.predict(X).shape == (2, 2)


def test_orphans_are_reconciled(house: House) -> None:
    """What a client lost (a new disk) the server forgets at the next greeting."""
    prepared(house, 3)
    shutil.rmtree(house.root / "client" / "store")
    assert house.server.store.count()["primed"] == 3
    with house.client() as client:
        assert client.stock == 0
        assert house.server.store.count()["primed"] == 0
        assert client.predict(X).shape == (2, 2)


def test_stock_that_is_spent_at_the_server_is_replaced(house: House) -> None:
    """What counted as stock turns out to be taken: with a dealer the prediction goes on."""
    prepared(house, 2)
    with house.client() as client, house.client("client", deal=False) as other:
        for bundle in house.server.store.ids(state="primed"):
            house.server.store.erase(bundle)
        assert other.stock == 2
        with pytest.raises(Exhausted):
            other.predict(X)
        assert client.predict(X).shape == (2, 2)
        client.prepare(2)
        for bundle in house.server.store.ids(state="primed"):
            house.server.store.erase(bundle)
        assert client.stock == 2, "it does not know yet"
        assert client.predict(X).shape == (2, 2)


def test_seeds_that_no_server_fetches_expire(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dealer that starts forgets what has waited too long, and only that."""
    with house.client() as client:
        client.register()
        client._deal(1, None)
    (waiting,) = house.dealer.store.ids(state="dealt")
    house.dealer._expire()
    assert house.dealer.store.ids(state="dealt") == (waiting,)
    monkeypatch.setattr("tacit.service.dealer.WAIT_S", -1)
    house.dealer._expire()
    assert house.dealer.store.ids(state="dealt") == ()


def test_a_client_cannot_fill_the_dealer(house: House) -> None:
    house.dealer._limits = Limits(bundles=2)
    with house.client() as client:
        client.register()
        client._deal(2, None)
        with pytest.raises(NotPermitted, match="more bundles waiting"):
            client._deal(1, None)


def test_a_client_cannot_fill_the_server(house: House) -> None:
    house.server._limits = Limits(bundles=2)
    with house.client() as client, pytest.raises(NotPermitted, match="more bundles waiting"):
        client.prepare(3)
    with house.client() as client:
        client._store.reconcile(client.server, client._store.ids(state="dealt"))
        client.prepare(2)
        assert client.predict(X, prepare=False) is not None
