"""The dealer's stock: the same parts as made alone, at most so many bytes, and nothing left behind."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tacit.corr.bundle import Seeds
from tacit.plan.plan import Plan
from tacit.ring.prg import Seed
from tacit.run import material
from tacit.secure.share import CLIENT, SERVER
from tacit.service.stock import STALE_S, Stock
from tacit.testing.graphs import Sketch, plan_for, policy_for
from tacit.testing.parties import House

X = np.linspace(-1, 1, 12).reshape(2, 6)


@pytest.fixture(scope="module")
def plan() -> Plan:
    """ReLUs that round exactly, a quartic, a clip and labels on [2, 6]: every demand there is."""
    s = Sketch(1)
    x = s.op("clip", s.linear(s.input(2, 6), 8), attrs={"low": "-1/2", "high": "3/4"})
    x = s.poly(s.linear(s.op("relu", s.linear(x, 8)), 5))
    return plan_for(s.graph(s.op("topk", x, attrs={"k": 2})), policy_for("dealer", rounding="exact"), [X])


def test_parts_made_together_are_those_made_alone(plan: Plan) -> None:
    seeds, matrices = Seeds.fresh(), material.matrices(plan, Seed.fresh())
    alone = [material.deal(plan, seeds, rank, matrices) for rank in (CLIENT, SERVER)]
    other: dict[str, Any] = {}
    mine = dict(material.dealing(plan, seeds, CLIENT, matrices, other=other.__setitem__))
    for got, want in ((mine, alone[CLIENT]), (other, alone[SERVER])):
        assert got.keys() == want.keys()
        assert all(bytes(memoryview(got[label])) == bytes(memoryview(want[label])) for label in want)


def test_a_stock_keeps_whole_bundles_within_its_limit() -> None:
    stock = Stock(100)
    assert stock.reserve(b"a", 60)
    assert not stock.reserve(b"b", 60), "there is no room for a second one"
    assert not stock.reserve(b"a", 1), "and none for the same again"
    stock.add(b"a", "1/sign", bytes(40))
    stock.add(b"b", "1/sign", bytes(40))
    assert "1/sign" not in repr(stock)
    assert stock.take(b"a") is None, "a part is missing"
    assert stock.take(b"b") is None
    assert stock.reserve(b"b", 100), "what was taken makes room"
    stock.add(b"b", "1/sign", bytes(100))
    taken = stock.take(b"b")
    assert taken is not None
    assert set(taken) == {"1/sign"}
    assert stock.take(b"b") is None, "once"


def test_what_nobody_fetches_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stock = Stock(100)
    assert stock.reserve(b"a", 60)
    now[0] = STALE_S
    assert not stock.reserve(b"b", 60)
    now[0] += 1.0
    assert stock.reserve(b"b", 60)
    assert stock.take(b"a") is None


def test_a_client_that_leaves_leaves_nothing_in_the_stock(tmp_path: Path, plan: Plan) -> None:
    with House(tmp_path, [plan]) as house, house.client() as client:

        def leave(stage: str, done: int, total: int) -> None:
            if stage == "dealing" and done:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            client.prepare(3, leave)
        for call in house.calls:
            call.here.close()
            call.thread.join(10)
        assert house.dealer._stock._promised == 0


@pytest.mark.parametrize("room", [0, 1 << 20])
def test_servers_get_their_parts_from_the_stock_or_anew(
    tmp_path: Path, plan: Plan, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    real = material.dealing

    def dealing(plan: Plan, seeds: Seeds, rank: int, *args: Any, **more: Any) -> Any:
        made.append(rank)
        return real(plan, seeds, rank, *args, **more)

    monkeypatch.setattr(material, "dealing", dealing)
    with House(tmp_path, [plan]) as house, house.client() as client:
        house.dealer._stock = Stock(room)
        client.prepare(3)
        for _ in range(3):
            assert client.predict(X).shape == (2, 2)
        assert not house.faults, house.faults
        assert made.count(CLIENT) == 3
        assert made.count(SERVER) == (0 if room else 3)
        assert not house.dealer._stock._parts
        assert house.dealer._stock._promised == 0
