"""Clients that race for bundles, use each other's, replay their own, or come back with a store restored from a copy."""

from __future__ import annotations

import runpy
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tacit.corr.disk import DiskStore
from tacit.errors import BundleSpent, ChannelError, Exhausted, RolledBack, TacitError
from tacit.net.frame import Kind
from tacit.run.handshake import Claim, Claimed, Prime, Ready, Run, Taken

kill_house = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("kill_house.py"))))

CROWD = tuple(f"client{number}" for number in range(8))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Any]:
    """A dealer and a server over TLS that run, and the homes of clients."""
    with kill_house.House(tmp_path, ("alice", "bob", *CROWD)) as made:
        made.host("dealer")
        made.host("server")
        yield made


def restored(house: Any, name: str, between: Callable[[], None]) -> None:
    """Copy a store, do something, put the copy back."""
    folder, copy = house.root / name / "store", house.root / f"{name}.copy"
    shutil.copytree(folder, copy)
    between()
    shutil.rmtree(folder)
    copy.rename(folder)


# Races


def test_two_processes_of_one_client_race_for_bundles(house: Any) -> None:
    with house.connect("alice") as client:
        client.prepare(12)
    for name in ("alice", "twin"):
        house.start(name, home="alice")
    for name in ("alice", "twin"):
        kill_house.until(f"{name} got answers: {house.errors(name)}", lambda: house.answers(name) >= 8)  # noqa: B023
    for name in ("alice", "twin"):
        house.ended(name)
    used = house.check_single_use()
    assert len(used) >= 16
    met = [line for name in ("alice", "twin") for line in house.lines(name, "error")]
    assert {line[0] for line in met} <= {"BundleSpent", "Exhausted", "ChannelClosed", "PeerRefused", "StoreError"}, met
    house.check_store("alice")
    with house.connect("alice") as client:
        assert house.right(client.predict(house.x))


def test_eight_clients_at_once(house: Any) -> None:
    start = threading.Barrier(len(CROWD))

    def ask(name: str) -> list[bool]:
        start.wait()
        with house.connect(name) as client:
            client.prepare(2)
            return [house.right(client.predict(house.x)) for _ in range(3)]

    with ThreadPoolExecutor(len(CROWD)) as pool:
        assert all(all(right) for right in pool.map(ask, CROWD))
    assert len(house.check_single_use()) == 3 * len(CROWD)


class Interrupted:
    """A tap that interrupts its thread once, right after the first masked input left; it counts those that leave."""

    def __init__(self) -> None:
        self.inputs: list[bytes] = []
        self._running = False

    def sent(self, kind: Kind, header: bytes, payload: Any) -> None:
        """See `Tap.sent`."""
        if kind is Kind.DATA and self._running:
            self._running = False
            self.inputs.append(b"".join(payload))
            if len(self.inputs) == 1:
                raise KeyboardInterrupt
        elif kind is Kind.MESSAGE:
            self._running = b"Run" in b"".join(payload)[:12]

    def received(self, kind: Kind, header: bytes, payload: memoryview) -> None:
        """See `Tap.received`."""


def test_after_an_interrupt_the_same_masks_meet_no_second_input(house: Any) -> None:
    with house.connect("alice") as client:
        client.prepare(2)
        tap = client.channel.tap = Interrupted()
        with pytest.raises(KeyboardInterrupt):
            client.predict(house.x)
        with pytest.raises(ChannelError):
            client.predict(house.x)
        assert len(tap.inputs) == 1
        assert client._store.count()["claimed"] == 0
    with house.connect("alice") as client:
        assert house.right(client.predict(house.x, prepare=False))


# Other clients' bundles, and used ones


def test_another_clients_primed_bundle_is_taken_and_stays_good(house: Any) -> None:
    with house.connect("alice") as alice, house.connect("bob") as bob:
        alice.prepare(1)
        bundle = alice._store.ids(state="primed")[0]
        bob.channel.send_message(Claim(bundle=bundle))
        assert isinstance(bob.channel.recv_message(Claimed, Taken), Taken)
        assert house.right(bob.predict(house.x))
        assert house.right(alice.predict(house.x, prepare=False))
    assert bundle.hex() in house.check_single_use()


@pytest.mark.parametrize("fetched", [False, True])
def test_another_clients_dealt_bundle_is_refused_and_stays_good(house: Any, fetched: bool) -> None:
    with house.connect("alice") as alice:
        alice.register()
        bundle = alice._deal(1, None)[0]
        if fetched:
            alice.channel.send_message(Prime(bundles=[bundle]))
            alice.channel.recv_message(Ready)
    with house.connect("bob") as bob:
        bob.channel.send_message(Prime(bundles=[bundle]))
        with pytest.raises(BundleSpent if fetched else Exhausted):
            bob.channel.recv_message(Ready)
    with house.connect("alice", dealer=False) as alice:
        assert house.right(alice.predict(house.x))
    assert bundle.hex() in house.check_single_use()


def test_a_used_bundle_is_taken_and_cannot_be_run(house: Any) -> None:
    with house.connect("alice") as client:
        assert house.right(client.predict(house.x))
        used = client._store.ids()[0]
        client.channel.send_message(Claim(bundle=used))
        assert isinstance(client.channel.recv_message(Claimed, Taken), Taken)
        client.channel.send_message(Run(bundle=used))
        with pytest.raises(ChannelError, match="has not claimed"):
            client.channel.recv_message(Claimed)
    with house.connect("alice") as client:
        assert house.right(client.predict(house.x))


def test_a_bundle_that_the_dealer_lost_does_not_block_its_client(house: Any) -> None:
    with house.connect("alice") as client:
        client.register()
        lost = client._deal(2, None)
        with DiskStore(house.root / "dealer" / "store") as store:
            store.purge()
        with pytest.raises(BundleSpent):
            client.predict(house.x)
        assert client._store.ids(state="erased") == tuple(lost)
    with house.connect("alice") as client:
        assert house.right(client.predict(house.x))


# Stores restored from a copy


def test_a_restored_server_store_is_refused_until_it_is_purged_and_reset(house: Any) -> None:
    def use() -> None:
        house.host("server")
        with house.connect("alice", dealer=False) as client:
            assert all(house.right(client.predict(house.x)) for _ in range(3))
        house.dismiss("server")

    for name in ("alice", "bob"):
        with house.connect(name) as client:
            client.prepare(4)
    house.dismiss("server")
    restored(house, "server", use)
    house.host("server")
    for _ in range(2):
        with pytest.raises(RolledBack, match="restored from a copy"):
            house.connect("alice")
    with house.connect("bob") as client:  # it saw nothing that the copy does not know
        assert house.right(client.predict(house.x, prepare=False))
    house.dismiss("server")
    with DiskStore(house.root / "server" / "store") as store:
        assert store.purge() == 7
    house.host("server")
    with pytest.raises(RolledBack):
        house.connect("alice")
    with DiskStore(house.root / "alice" / "store") as store:
        assert store.reset_peer_epoch(house.identity["server"].fingerprint) == 1
    for name in ("alice", "bob"):
        with house.connect(name) as client:
            assert client.stock == 0
            assert house.right(client.predict(house.x))
    house.check_single_use()


def test_a_server_store_restored_while_it_runs_is_refused(house: Any) -> None:
    with house.connect("alice") as client:
        client.prepare(2)
        assert house.right(client.predict(house.x))
        index = house.hosted["server"].party.store._index
        with index.writing():
            index._db.execute("UPDATE epoch SET value = 0")
        with pytest.raises(RolledBack, match="while it runs"):
            client.predict(house.x)


def test_a_restored_client_store_is_refused_until_it_is_purged_and_reset(house: Any) -> None:
    def use() -> None:
        with house.connect("alice", dealer=False) as client:
            assert all(house.right(client.predict(house.x)) for _ in range(3))
        house.connect("alice").close()

    with house.connect("alice") as client:
        client.prepare(4)
    restored(house, "alice", use)
    with pytest.raises(RolledBack, match="restored from a copy"):
        house.connect("alice")
    with DiskStore(house.root / "alice" / "store") as store:
        assert store.purge() == 4
    with pytest.raises(RolledBack):
        house.connect("alice")
    with DiskStore(house.root / "server" / "store") as store:
        assert store.reset_peer_epoch(house.identity["alice"].fingerprint) == 1
    with house.connect("alice") as client:
        assert house.right(client.predict(house.x))
    house.check_single_use()


def test_a_copy_that_no_one_noticed_brings_no_bundle_back(house: Any) -> None:
    """A client restored before the server heard of its later epoch: what the copy still has is spent at the server."""

    def use() -> None:
        with house.connect("alice", dealer=False) as client:
            assert house.right(client.predict(house.x))

    with house.connect("alice") as client:
        client.prepare(2)
    restored(house, "alice", use)
    with house.connect("alice", dealer=False) as client:
        assert client.stock == 1
        assert house.right(client.predict(house.x))
        with pytest.raises(TacitError):
            client.predict(house.x)
    assert len(house.check_single_use()) == 2
