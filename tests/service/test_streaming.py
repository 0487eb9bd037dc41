"""Material that streams through the real parties: what progress says, what loads ahead, and what a fault leaves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tacit.errors import StoreError
from tacit.net.memory import pair
from tacit.plan.plan import Plan
from tacit.run import material
from tacit.run.dealing import bundle_bytes
from tacit.secure.share import CLIENT
from tacit.testing.graphs import Sketch, plan_for, policy_for
from tacit.testing.parties import House

X = np.linspace(-1, 1, 12).reshape(2, 6)


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Linear layers, ReLUs, quartics and a reshape, which has no kernel, on [2, 6]."""
    s = Sketch(1)
    x = s.op("relu", s.linear(s.input(2, 6), 8))
    x = s.poly(s.linear(s.flat(s.op("reshape", x, attrs={"shape": [2, 2, 4]})), 5))
    return plan_for(s.graph(s.linear(x, 3)), policy_for("dealer"), [X])


@pytest.fixture
def house(tmp_path: Path, plan: Plan) -> Iterator[House]:
    with House(tmp_path, [plan]) as parties:
        yield parties
        assert not parties.faults, parties.faults


def test_progress_counts_bytes_to_the_end(house: House, plan: Plan) -> None:
    told: dict[str, list[tuple[int, int]]] = {}
    dealt: list[tuple[int, int]] = []
    house.dealer._progress = lambda _label, done, total: dealt.append((done, total))
    with house.client() as client:
        client.prepare(3, lambda stage, done, total: told.setdefault(stage, []).append((done, total)))
        assert client.predict(X).shape == (2, 3)
    want = {"dealing": 3 * bundle_bytes(plan, CLIENT), "priming": 3 * sum(material.primed_bytes(plan).values())}
    for stage, total in want.items():
        assert told[stage][-1] == (total, total)
        done = [count for count, _ in told[stage]]
        assert done == sorted(done)
        assert len(set(done)) > 6, "part by part, not bundle by bundle"
    assert (want["dealing"], want["dealing"]) in dealt
    assert all(done <= total for done, total in dealt)


def test_what_is_loaded_ahead_is_shared_by_the_clients(house: House) -> None:
    """And given back when a visit ends, however it ends."""
    with house.client("one") as one, house.client("two") as two:
        for client in (one, two):
            client.prepare(2)
        whole = house.server._warmth
        one.ready()
        taken = whole - house.server._warmth
        assert taken > 100
        house.server._warmth = 10
        two.ready()
        assert house.server._warmth == 0
        assert two.predict(X, prepare=False).shape == (2, 3), "the rest is read during the run"
    for call in house.calls:
        call.thread.join(20)
    assert house.server._warmth == 10 + taken


@pytest.mark.parametrize("warm", [0, 1 << 30])
def test_a_part_that_fails_ends_the_run_and_the_bundle(
    house: House, warm: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the run or in the middle: the bundle is erased on both sides, and the next run is right."""
    with house.client() as client:
        client.prepare(2)
        client.warm_bytes = warm
        store: Any = client._store
        bundle = store.oldest_primed(client.plan.digest, client.server)
        read = store._segments.read

        def failing(file: str, bundle: bytes, key: bytes, place: Any) -> memoryview:
            if "sign" in place.name:
                raise StoreError("the disk is gone")
            return read(file, bundle, key, place)  # type: ignore[no-any-return]

        with monkeypatch.context() as patch:
            patch.setattr(store._segments, "read", failing)
            with pytest.raises(StoreError, match="the disk is gone"):
                client.predict(X)
        assert store.row(bundle).state == "erased"
    assert not [thread for thread in threading.enumerate() if thread.name == "tacit-ahead"]
    for call in house.calls:
        call.thread.join(20)
    assert house.server.store.row(bundle).state == "erased"  # type: ignore[union-attr]
    with house.client() as client:
        assert client.predict(X).shape == (2, 3)


def test_patience_is_for_its_block_alone() -> None:
    here, there = pair()
    with here, there:
        here.set_timeout(5.0)
        with here.patient(60.0):
            assert here._timeout == 60.0
        assert here._timeout == 5.0
        with here.patient(1.0):
            assert here._timeout == 5.0
        here.set_timeout(None)
        with here.patient(1.0):
            assert here._timeout is None
