"""What every store must do: `check_store(make)` runs the whole contract of `tacit.corr.store.Store` on fresh stores."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import Final, TypeAlias

import numpy as np

from tacit.corr.store import Dealing, Priming, Store
from tacit.errors import BundleSpent, Exhausted, InvalidInput, QuotaExceeded, RolledBack, StoreError, TacitError

__all__ = ["CHECKS", "Make", "check_store"]

Make: TypeAlias = Callable[[int | None], AbstractContextManager[Store]]

_PLAN: Final = "1f" * 32
_PEER: Final = "ab" * 32
_THREADS: Final = 8


def check_store(make: Make) -> None:
    """Run every check; `make(quota_bytes)` gives an empty store. Raises AssertionError at the first that fails."""
    for check in CHECKS:
        with make(None) as store:
            check(store)
    with make(10_000) as store:
        _quota_refuses_before_it_writes(store)


def _raised(kind: type[TacitError], call: Callable[[], object]) -> str:
    """The message of the error that a call must raise: of this type and no finer one."""
    try:
        call()
    except TacitError as caught:
        error: TacitError | None = caught
    else:
        error = None
    assert type(error) is kind, f"expected {kind.__name__}, got {type(error).__name__}: {error}"
    return str(error)


def _primed(store: Store, plan: str = _PLAN, peer: str = _PEER) -> bytes:
    """A fresh primed bundle with parts r (dealt) and m (primed)."""
    bundle = os.urandom(16)
    store.put(bundle, plan, peer, {"r": b"dealt", "gone": b"dropped"})
    store.prime(bundle, {"m": b"primed"}, drop=["gone"])
    return bundle


def _life_of_a_bundle(store: Store) -> None:
    """Each state allows its own steps, and the parts come back as they went in."""
    bundle = os.urandom(16)
    words = np.arange(1000, dtype=np.uint64)
    store.put(bundle, _PLAN, _PEER, {"words": words, "empty": b"", "text": bytearray(b"abc")})
    dealt = store.parts(bundle)
    assert sorted(dealt) == ["empty", "text", "words"]
    assert np.array_equal(np.frombuffer(dealt["words"], np.uint64), words)
    assert dealt["empty"].nbytes == 0
    _raised(StoreError, lambda: store.claim(bundle, _PLAN, _PEER))
    store.prime(bundle, {"text": memoryview(b"new"), "m": b"m"}, drop=["empty"])
    _raised(BundleSpent, lambda: store.parts(bundle))
    _raised(StoreError, lambda: store.prime(bundle, {}))
    store.claim(bundle, _PLAN, _PEER)
    parts = store.parts(bundle)
    assert {name: bytes(parts[name]) for name in parts} == {"words": words.tobytes(), "text": b"new", "m": b"m"}
    assert all(part.readonly for part in parts.values())
    _raised(BundleSpent, lambda: store.claim(bundle, _PLAN, _PEER))
    store.erase(bundle)
    store.erase(bundle)
    for call in (
        lambda: store.claim(bundle, _PLAN, _PEER),
        lambda: store.parts(bundle),
        lambda: store.prime(bundle, {}),
    ):
        _raised(BundleSpent, call)
    _raised(StoreError, lambda: store.put(bundle, _PLAN, _PEER, {}))
    assert store.bytes_used == 0
    assert [(row.bundle, row.state) for row in store.list()] == [(bundle, "erased")]


def _claims_name_plan_and_peer(store: Store) -> None:
    """A bundle serves its own plan and peer only, and a stranger's bundle looks like one that never was."""
    bundle, unknown = _primed(store), os.urandom(16)
    texts = [
        _raised(BundleSpent, lambda: store.claim(bundle, _PLAN, "other")),
        _raised(BundleSpent, lambda: store.claim(bundle, "other", _PEER)),
        _raised(BundleSpent, lambda: store.claim(unknown, _PLAN, _PEER)).replace(unknown.hex(), bundle.hex()),
    ]
    assert len(set(texts)) == 1, texts
    store.claim(bundle, _PLAN, _PEER)


def _one_thread_wins(store: Store) -> None:
    """Of threads racing for one bundle exactly one gets it, and the epoch counts exactly that."""
    for _ in range(3):
        bundle, before = _primed(store), store.epoch
        start = threading.Barrier(_THREADS)
        with ThreadPoolExecutor(_THREADS) as threads:
            epochs = list(threads.map(partial(_race, store, bundle), [start] * _THREADS))
        assert sorted(filter(None, epochs)) == [before + 1] == [store.epoch]


def _race(store: Store, bundle: bytes, start: threading.Barrier) -> int | None:
    """The epoch that a claim made at the common start gives, or None if it came too late."""
    start.wait()
    try:
        return store.claim(bundle, _PLAN, _PEER)
    except BundleSpent:
        return None


def _oldest_first_then_exhausted(store: Store) -> None:
    """Stocks are used in the order they came, per plan and peer, and their end is told."""
    first, other, second = _primed(store), _primed(store, peer="other"), _primed(store)
    store.put(os.urandom(16), _PLAN, _PEER, {})
    for bundle in (first, second):
        assert store.oldest_primed(_PLAN, _PEER) == bundle
        store.claim(bundle, _PLAN, _PEER)
    _raised(Exhausted, lambda: store.oldest_primed(_PLAN, _PEER))
    assert store.oldest_primed(_PLAN, "other") == other


def _counts_and_lists(store: Store) -> None:
    """Counts, ids and rows agree, whole and filtered."""
    bundles = [_primed(store), _primed(store, plan="other"), _primed(store, peer="other")]
    store.claim(bundles[0], _PLAN, _PEER)
    store.erase(bundles[2])
    assert store.count() == {"dealt": 0, "primed": 1, "claimed": 1, "erased": 1}
    assert store.count(plan="other") == {"dealt": 0, "primed": 1, "claimed": 0, "erased": 0}
    assert store.count(_PLAN, "other")["erased"] == 1
    assert store.ids() == tuple(bundles) == tuple(row.bundle for row in store.list())
    assert store.ids(peer=_PEER, state="primed") == (bundles[1],)
    assert store.bytes_used == sum(row.bytes for row in store.list()) > 0
    assert tuple(store.row(bundle) for bundle in bundles) == store.list()
    assert store.row(bytes(16)) is None


def _batches_are_all_or_none(store: Store) -> None:
    """One bad member of a batch leaves the store as it was."""
    ids = [os.urandom(16) for _ in range(70)]
    batch = [Dealing(bundle, _PLAN, _PEER, {"r": bundle}) for bundle in ids]
    _raised(StoreError, lambda: store.put_many([*batch, batch[0]]))
    _raised(InvalidInput, lambda: store.put_many([*batch, Dealing(b"short", _PLAN, _PEER, {})]))
    assert (store.list(), store.bytes_used) == ((), 0)
    store.put_many(batch)
    bad = [Priming(ids[0], {"m": b"1"}), Priming(ids[0], {"m": b"2"})]
    _raised(StoreError, lambda: store.prime_many(bad))
    _raised(InvalidInput, lambda: store.prime_many([bad[0], Priming(ids[1], {}, ("nothing",))]))
    assert list(store.parts(ids[0])) == ["r"]
    store.prime_many([Priming(bundle, {"m": b"m"}, ("r",)) for bundle in ids])
    assert store.count()["primed"] == len(ids)


def _parts_come_one_by_one(store: Store) -> None:
    """What an intake wrote is nothing until it commits, and nothing ever if it is left before."""
    bundle, other, late = os.urandom(16), os.urandom(16), os.urandom(16)
    with store.intake() as intake:
        intake.deal(bundle, _PLAN, _PEER)
        intake.add("r", b"lost")
    assert (store.list(), store.bytes_used) == ((), 0)
    with store.intake() as intake:
        for name in (bundle, other):
            intake.deal(name, _PLAN, _PEER)
            for part in ("r", "s"):
                intake.add(part, np.frombuffer(name, np.uint8))
        _raised(StoreError, lambda: intake.deal(other, _PLAN, _PEER))
        assert store.ids() == ()
        assert intake.commit() == (bundle, other)
        intake.deal(late, _PLAN, _PEER)
    assert store.ids(state="dealt") == (bundle, other)
    assert bytes(store.parts(other)["s"]) == other
    with store.intake() as intake:
        for name in (bundle, other):
            intake.prime(name, ["s"])
            intake.add("m", name)
        _raised(StoreError, lambda: intake.prime(bundle))
        store.prime(bundle, {"m": b"faster"})
        _raised(StoreError, intake.commit)
        assert store.ids(state="dealt") == (other,)
        assert intake.commit(lenient=True) == (other,)
    for name, want in ((bundle, {"r": bundle, "s": bundle, "m": b"faster"}), (other, {"r": other, "m": other})):
        store.claim(name, _PLAN, _PEER)
        assert {part: bytes(data) for part, data in store.parts(name).items()} == want


def _epochs(store: Store) -> None:
    """Claims and purges raise the epoch; a peer's may never fall, until it is reset, which costs its bundles."""
    before = store.epoch
    kept, lost = _primed(store, peer="other"), _primed(store)
    store.claim(_primed(store, peer="third"), _PLAN, "third")
    assert store.epoch == before + 1
    for epoch in (0, 5, 5, 7):
        store.note_peer_epoch(_PEER, epoch)
    _raised(RolledBack, lambda: store.note_peer_epoch(_PEER, 6))
    _raised(InvalidInput, lambda: store.note_peer_epoch(_PEER, 1 << 70))
    store.note_peer_epoch("other", 6)
    assert store.reset_peer_epoch(_PEER) == 1
    store.note_peer_epoch(_PEER, 1)
    assert (store.ids(state="erased"), store.ids(state="primed")) == ((lost,), (kept,))
    assert store.purge() == 2
    assert store.count() == {"dealt": 0, "primed": 0, "claimed": 0, "erased": 3}
    assert store.epoch == before + 2


def _reconciles(store: Store) -> None:
    """What a peer says is spent is erased, if it is shared with that peer and not in use here."""
    dealt, used, primed, other = os.urandom(16), _primed(store), _primed(store), _primed(store, peer="other")
    store.put(dealt, _PLAN, _PEER, {})
    store.claim(used, _PLAN, _PEER)
    assert set(store.reconcile(_PEER, [dealt, used, other, os.urandom(16)])) == {dealt}
    assert store.reconcile(_PEER, [primed]) == (primed,)
    assert store.reconcile(_PEER, [primed]) == ()
    assert store.ids(state="erased") == tuple(b for b in store.ids() if b in (dealt, primed))
    assert store.parts(used)


def _refuses_malformed_input(store: Store) -> None:
    """Ids, names, digests and arrays are checked before anything happens."""
    good = os.urandom(16)
    holes = np.zeros((4, 4))[:, ::2]
    for bundle, plan, peer, parts in (
        (b"short", _PLAN, _PEER, {}),
        (good, "", _PEER, {}),
        (good, _PLAN, "x" * 300, {}),
        (good, _PLAN, _PEER, {"": b""}),
        (good, _PLAN, _PEER, {"holes": holes}),
        (good, _PLAN, _PEER, {"objects": np.array([None])}),
    ):
        _raised(InvalidInput, lambda b=bundle, p=plan, q=peer, x=parts: store.put(b, p, q, x))  # type: ignore[misc]
    _raised(InvalidInput, lambda: store.erase(b"short"))
    _raised(BundleSpent, lambda: store.parts(good))
    _raised(BundleSpent, lambda: store.prime(good, {}))
    store.erase(good)
    assert store.list() == ()


def _closes(store: Store) -> None:
    """Closing twice is fine, using a closed store is not."""
    bundle = _primed(store)
    store.close()
    store.close()
    for call in (store.list, lambda: store.claim(bundle, _PLAN, _PEER), lambda: store.put(bundle, _PLAN, _PEER, {})):
        _raised(StoreError, call)


def _quota_refuses_before_it_writes(store: Store) -> None:
    """A store with a quota of 10,000 bytes takes what fits, refuses what does not, and erasing makes room."""
    first, second = os.urandom(16), os.urandom(16)
    store.put(first, _PLAN, _PEER, {"r": bytes(6000)})
    used = store.bytes_used
    _raised(QuotaExceeded, lambda: store.put(second, _PLAN, _PEER, {"r": bytes(6000)}))
    _raised(QuotaExceeded, lambda: store.prime(first, {"m": bytes(6000)}))
    assert (store.bytes_used, store.ids(), store.quota) == (used, (first,), 10_000)
    assert bytes(store.parts(first)["r"]) == bytes(6000)
    with store.intake() as intake:
        intake.reserve([3000])
        _raised(QuotaExceeded, lambda: intake.reserve([3000]))
    store.erase(first)
    store.put(second, _PLAN, _PEER, {"r": bytes(6000)})


CHECKS: Final[tuple[Callable[[Store], None], ...]] = (
    _life_of_a_bundle,
    _claims_name_plan_and_peer,
    _one_thread_wins,
    _oldest_first_then_exhausted,
    _counts_and_lists,
    _batches_are_all_or_none,
    _parts_come_one_by_one,
    _epochs,
    _reconciles,
    _refuses_malformed_input,
    _closes,
)
