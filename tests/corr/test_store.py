"""Stores against their contract, and against a dictionary under random use."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from tacit.corr.disk import DiskStore
from tacit.corr.memory import MemoryStore
from tacit.corr.store import Store
from tacit.errors import BundleSpent, Exhausted, StoreError
from tacit.testing.stores import check_store

PLANS, PEERS = ("a" * 64, "b" * 64), ("client one", "client two")


def test_memory_store_keeps_the_contract() -> None:
    check_store(MemoryStore)


def test_disk_store_keeps_the_contract(tmp_path: Path) -> None:
    number = itertools.count()
    check_store(lambda quota: DiskStore(tmp_path / str(next(number)), quota))


class Model:
    """The stupid store: dictionaries, no files, no threads."""

    def __init__(self) -> None:
        self.state: dict[bytes, str] = {}
        self.owner: dict[bytes, tuple[str, str]] = {}
        self.parts: dict[bytes, dict[str, bytes]] = {}
        self.epoch = 0

    def allowed(self, verb: str, bundle: bytes, plan: str, peer: str) -> bool:
        state = self.state.get(bundle)
        return {
            "put": state is None,
            "prime": state == "dealt",
            "claim": state == "primed" and self.owner[bundle] == (plan, peer),
            "parts": state in ("dealt", "claimed"),
            "erase": True,
        }[verb]

    def apply(self, verb: str, bundle: bytes, plan: str, peer: str, parts: dict[str, bytes], drop: list[str]) -> None:
        if verb == "put":
            self.state[bundle], self.owner[bundle], self.parts[bundle] = "dealt", (plan, peer), dict(parts)
        elif verb == "prime":
            kept = {name: data for name, data in self.parts[bundle].items() if name not in drop}
            self.state[bundle], self.parts[bundle] = "primed", kept | parts
        elif verb == "claim":
            self.state[bundle] = "claimed"
            self.epoch += 1
        elif verb == "erase" and bundle in self.state:
            self.state[bundle], self.parts[bundle] = "erased", {}

    def reopen(self) -> None:
        for bundle, state in self.state.items():
            if state == "claimed":
                self.state[bundle], self.parts[bundle] = "erased", {}


def perform(
    store: Store, verb: str, bundle: bytes, plan: str, peer: str, parts: dict[str, bytes], drop: list[str]
) -> object:
    """Do one verb on a store; parts are read whole."""
    if verb == "put":
        return store.put(bundle, plan, peer, parts)
    if verb == "prime":
        return store.prime(bundle, parts, drop)
    if verb == "claim":
        return store.claim(bundle, plan, peer)
    if verb == "parts":
        return {name: bytes(data) for name, data in store.parts(bundle).items()}
    return store.erase(bundle)


def compare(store: Store, model: Model) -> None:
    """Everything that can be asked must be as in the model."""
    rows = [(row.bundle, row.state, (row.plan, row.peer)) for row in store.list()]
    assert rows == [(bundle, state, model.owner[bundle]) for bundle, state in model.state.items()]
    assert store.epoch == model.epoch
    for plan, peer in itertools.product((None, *PLANS), (None, *PEERS)):
        mine = [b for b, owner in model.owner.items() if plan in (None, owner[0]) and peer in (None, owner[1])]
        assert store.ids(plan, peer) == tuple(mine)
        assert store.count(plan, peer) == {
            state: sum(model.state[b] == state for b in mine) for state in ("dealt", "primed", "claimed", "erased")
        }
    for plan, peer in itertools.product(PLANS, PEERS):
        primed = [b for b, s in model.state.items() if s == "primed" and model.owner[b] == (plan, peer)]
        try:
            assert store.oldest_primed(plan, peer) == primed[0]
        except Exhausted:
            assert not primed


@pytest.mark.parametrize("kind", ["memory", "disk"])
@pytest.mark.parametrize("seed", range(4))
def test_random_use_agrees_with_a_dictionary(kind: str, seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    model = Model()
    store: Store = MemoryStore() if kind == "memory" else DiskStore(tmp_path)
    ids = [rng.bytes(16) for _ in range(12)]
    refused = 0
    for step in range(250):
        verb = str(rng.choice(["put", "put", "prime", "prime", "claim", "claim", "parts", "parts", "erase", "reopen"]))
        bundle = ids[rng.integers(min(len(ids), 3 + step // 12))]
        owner = model.owner.get(bundle, (PLANS[rng.integers(2)], PEERS[rng.integers(2)]))
        plan, peer = owner if rng.random() < 0.8 else (PLANS[rng.integers(2)], PEERS[rng.integers(2)])
        parts = {f"p{rng.integers(4)}": rng.bytes(int(rng.integers(40))) for _ in range(rng.integers(4))}
        drop = [name for name in model.parts.get(bundle, {}) if rng.random() < 0.4] if verb == "prime" else []
        if verb == "reopen":
            if isinstance(store, DiskStore):
                store.close()
                store = DiskStore(tmp_path)
                assert store.recovered.damaged == ()
                model.reopen()
        elif model.allowed(verb, bundle, plan, peer):
            model.apply(verb, bundle, plan, peer, parts, drop)
            result = perform(store, verb, bundle, plan, peer, parts, drop)
            assert verb != "parts" or result == model.parts[bundle]
            assert verb != "claim" or result == model.epoch
        else:
            refused += 1
            with pytest.raises(StoreError) as error:
                perform(store, verb, bundle, plan, peer, parts, drop)
            assert verb != "claim" or isinstance(error.value, BundleSpent) or model.state[bundle] == "dealt"
        compare(store, model)
    assert refused > 20
    store.close()
