"""The parts of a claimed bundle: in the order in which runs take them, each once, gone with the bundle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tacit.corr.disk import DiskStore
from tacit.corr.store import Store
from tacit.errors import BundleSpent, StoreError
from tacit.plan.plan import Plan
from tacit.run import material
from tacit.run.ahead import AHEAD_BYTES
from tacit.run.dealing import SEED_PART
from tacit.run.stream import PartStream, end_bundle
from tacit.secure.share import CLIENT, SERVER
from tacit.testing.graphs import Sketch, plan_for, policy_for


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Three ReLUs and a quartic, so that labels do not sort as text."""
    s = Sketch(3)
    x = s.op("relu", s.linear(s.input(1, 6), 5))
    for _ in range(2):
        x = s.poly(s.linear(s.op("relu", s.linear(x, 5)), 5))
    graph, xs = s.graph(s.linear(x, 3)), s.values()
    return plan_for(graph, policy_for("dealer"), xs)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with DiskStore(tmp_path) as opened:
        yield opened


def claimed(store: Store, parts: dict[str, bytes]) -> bytes:
    """A bundle of these parts, claimed."""
    bundle = os.urandom(16)
    store.put(bundle, "plan", "peer", parts)
    store.prime(bundle, {})
    store.claim(bundle, "plan", "peer")
    return bundle


def dealt(plan: Plan, rank: int) -> dict[str, bytes]:
    return {SEED_PART: bytes(16)} | {label: os.urandom(size) for label, size in material.dealt_parts(plan)[rank]}


@pytest.mark.parametrize("rank", [CLIENT, SERVER])
@pytest.mark.parametrize("warm", [0, 1, 1 << 30])
def test_every_part_comes_once(store: Store, plan: Plan, rank: int, warm: int) -> None:
    want = dealt(plan, rank)
    bundle = claimed(store, want)
    stream = PartStream(store, bundle, plan, rank, warm)
    stream.warm()
    assert next(iter(stream)) == SEED_PART
    assert set(stream) == set(want)
    for label in material.online_parts(plan, rank, want):
        assert label in stream
        assert bytes(stream[label]) == want[label]
        assert label not in stream
        with pytest.raises(KeyError):
            stream[label]
    assert len(stream) == 0
    end_bundle(store, bundle, stream)
    assert store.row(bundle).state == "erased"  # type: ignore[union-attr]


def test_the_order_is_that_of_the_steps(plan: Plan) -> None:
    labels = [label for label, _ in material.dealt_parts(plan)[SERVER]]
    added = [f"{step.site}/opening" for step in plan.steps if step.op == "open"]
    ordered = material.online_parts(plan, SERVER, sorted([*labels, *added, SEED_PART]))
    assert ordered[0] == SEED_PART
    sites = [int(label.partition("/")[0]) for label in ordered[1:]]
    assert sites == sorted(sites)
    assert [label for label in ordered if label in labels] == labels
    assert max(sites) >= 10, "sorting as text would go unnoticed"


def test_parts_asked_for_out_of_order_come_too(store: Store, plan: Plan) -> None:
    want = dealt(plan, SERVER)
    stream = PartStream(store, claimed(store, want), plan, SERVER, 0)
    for label in reversed(list(want)):
        assert bytes(stream[label]) == want[label]
    stream.close()


def test_an_altered_part_fails_the_warming_and_the_look_up(store: Store, plan: Plan, tmp_path: Path) -> None:
    bundle = claimed(store, dealt(plan, SERVER))
    path = max((tmp_path / "segments").iterdir(), key=lambda file: file.stat().st_size)
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    stream = PartStream(store, bundle, plan, SERVER)
    with pytest.raises(StoreError, match="altered"):
        stream.warm()
    last = list(stream)[-1]
    with pytest.raises(StoreError, match="altered"):
        stream[last]
    end_bundle(store, bundle, stream)


def test_a_bundle_that_is_erased_meanwhile_is_read_no_further(store: Store, plan: Plan) -> None:
    bundle = claimed(store, dealt(plan, SERVER))
    stream = PartStream(store, bundle, plan, SERVER, 0)
    store.erase(bundle)
    with pytest.raises(BundleSpent):
        stream[SEED_PART]
    stream.close()


def test_no_more_than_the_bound_is_read_ahead(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are as large as the bound in the store's words, but take no memory here."""
    read: list[str] = []
    zeros = np.broadcast_to(np.zeros(1, np.uint8), (AHEAD_BYTES,))
    with DiskStore(tmp_path) as store:
        bundle = claimed(store, dealt(plan, SERVER))
        whole = dict(store.parts(bundle))

        class Huge(dict[str, bytes]):
            def __getitem__(self, label: str) -> object:  # type: ignore[override]
                read.append(label)
                return zeros

        monkeypatch.setattr(store, "parts", lambda _: Huge(whole))
        stream = PartStream(store, bundle, plan, SERVER, 2 * AHEAD_BYTES)
        stream.warm()
        assert len(read) == 2
        stream[SEED_PART]
        stream.close()
        assert len(read) <= 3
