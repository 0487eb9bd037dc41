"""A material store in the memory of one process, for simulations: the states and errors of the one on disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tacit.corr.store import (
    STATES,
    Buffer,
    Intake,
    Recovery,
    Row,
    State,
    Store,
    check_claim,
    check_drop,
    check_epoch,
    check_fresh,
    check_id,
    check_owner,
    check_primable,
    check_quota,
    check_readable,
    check_room,
    flat,
)
from tacit.errors import Exhausted, StoreError

__all__ = ["MemoryIntake", "MemoryStore"]


@dataclass
class _Held:
    """One bundle; its parts are copies, read-only."""

    plan: str
    peer: str
    state: State
    time: int
    parts: dict[str, memoryview] = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes in its parts."""
        return sum(map(len, self.parts.values()))

    def erase(self) -> None:
        """Forget the parts, keep the row."""
        self.state, self.parts = "erased", {}


@dataclass
class _Coming:
    """A bundle that is coming in: a new one of `owner` (plan, peer), or one that is being primed."""

    owner: tuple[str, str] | None
    drop: frozenset[str] = frozenset()
    parts: dict[str, memoryview] = field(default_factory=dict, repr=False)

    @property
    def size(self) -> int:
        """Bytes in its parts."""
        return sum(map(len, self.parts.values()))


class MemoryStore(Store):
    """The store of a party that lives and dies with its process; `quota_bytes` limits the material (None: memory does).

    Views handed out before an erasure stay readable as long as their holder keeps them.
    """

    def __init__(self, quota_bytes: int | None = None) -> None:
        check_quota(quota_bytes)
        self._quota = quota_bytes
        self._lock = threading.RLock()
        self._held: dict[bytes, _Held] = {}
        self._epoch = 0
        self._peer_epochs: dict[str, int] = {}
        self._open = True

    def __repr__(self) -> str:
        return f"MemoryStore(quota_bytes={self._quota})"

    @contextmanager
    def _use(self) -> Iterator[None]:
        """One thread at a time, and none after `close`."""
        with self._lock:
            if not self._open:
                raise StoreError("the store in memory is closed; make a new one")
            yield

    def _state(self, bundle: bytes) -> State | None:
        """A bundle's state, None if unknown. Raises InvalidInput for a malformed id."""
        check_id(bundle)
        held = self._held.get(bundle)
        return held.state if held else None

    def _kept(self, peer: str | None = None) -> list[bytes]:
        """The ids of bundles not erased, of a peer if given."""
        held = self._held.items()
        return [bundle for bundle, row in held if row.state != "erased" and peer in (None, row.peer)]

    def intake(self) -> MemoryIntake:
        """See `Store.intake`; here the parts do have to fit in memory."""
        with self._use():
            return MemoryIntake(self)

    def claim(self, bundle: bytes, plan: str, peer: str) -> int:
        """See `Store.claim`."""
        check_owner(plan, peer)
        with self._use():
            state = self._state(bundle)
            held = self._held.get(bundle)
            check_claim(bundle, (held.plan, held.peer, held.state) if held and state else None, plan, peer)
            self._held[bundle].state = "claimed"
            self._epoch += 1
            return self._epoch

    def parts(self, bundle: bytes) -> Mapping[str, memoryview]:
        """See `Store.parts`; nothing is copied."""
        with self._use():
            check_readable(bundle, self._state(bundle), ours=True)
            return dict(self._held[bundle].parts)

    def erase(self, bundle: bytes) -> None:
        """See `Store.erase`."""
        with self._use():
            if self._state(bundle):
                self._held[bundle].erase()

    def oldest_primed(self, plan: str, peer: str) -> bytes:
        """See `Store.oldest_primed`."""
        check_owner(plan, peer)
        found = self.ids(plan, peer, "primed")
        if not found:
            raise Exhausted(f"no primed bundle is left for plan {plan:.16} and peer {peer:.16}; deal and prime more")
        return found[0]

    def count(self, plan: str | None = None, peer: str | None = None) -> dict[State, int]:
        """See `Store.count`."""
        return {state: len(self.ids(plan, peer, state)) for state in STATES}

    def list(self) -> tuple[Row, ...]:
        """See `Store.list`."""
        with self._use():
            held = self._held.items()
            return tuple(Row(name, row.plan, row.peer, row.state, row.size, row.time) for name, row in held)

    def row(self, bundle: bytes) -> Row | None:
        """See `Store.row`."""
        check_id(bundle)
        with self._use():
            row = self._held.get(bundle)
            return None if row is None else Row(bundle, row.plan, row.peer, row.state, row.size, row.time)

    def ids(self, plan: str | None = None, peer: str | None = None, state: State | None = None) -> tuple[bytes, ...]:
        """See `Store.ids`."""
        with self._use():
            return tuple(
                bundle
                for bundle, row in self._held.items()
                if plan in (None, row.plan) and peer in (None, row.peer) and state in (None, row.state)
            )

    @property
    def bytes_used(self) -> int:
        """See `Store.bytes_used`."""
        with self._use():
            return sum(row.size for row in self._held.values())

    @property
    def quota(self) -> int | None:
        """See `Store.quota`."""
        return self._quota

    @property
    def epoch(self) -> int:
        """See `Store.epoch`."""
        with self._use():
            return self._epoch

    def note_peer_epoch(self, peer: str, epoch: int) -> None:
        """See `Store.note_peer_epoch`."""
        with self._use():
            check_epoch(peer, epoch, self._peer_epochs.get(peer, 0))
            self._peer_epochs[peer] = epoch

    def reset_peer_epoch(self, peer: str) -> int:
        """See `Store.reset_peer_epoch`."""
        with self._use():
            kept = self._kept(peer)
            for bundle in kept:
                self._held[bundle].erase()
            self._peer_epochs.pop(peer, None)
            return len(kept)

    def purge(self) -> int:
        """See `Store.purge`."""
        with self._use():
            kept = self._kept()
            for bundle in kept:
                self._held[bundle].erase()
            self._epoch += 1
            return len(kept)

    def recover(self) -> Recovery:
        """See `Store.recover`; there is never anything to repair."""
        with self._use():
            return Recovery()

    def reconcile(self, peer: str, spent: Iterable[bytes]) -> tuple[bytes, ...]:
        """See `Store.reconcile`."""
        names = set(spent)
        for bundle in names:
            check_id(bundle)
        with self._use():
            found = [b for b in self._kept(peer) if b in names and self._held[b].state != "claimed"]
            for bundle in found:
                self._held[bundle].erase()
            return tuple(found)

    def close(self) -> None:
        """See `Store.close`; everything is forgotten."""
        with self._lock:
            self._open = False
            self._held.clear()


class MemoryIntake(Intake):
    """The way into a store in memory; see `Intake`. Made by `MemoryStore.intake`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._coming: dict[bytes, _Coming] = {}
        self._announced = 0

    def __repr__(self) -> str:
        return f"<intake of {len(self._coming)} bundles>"

    def reserve(self, sizes: Iterable[int]) -> None:
        """See `Intake.reserve`."""
        need = self._announced + sum(sizes)
        check_room(need, self._store.bytes_used, self._store.quota)
        self._announced = need

    def deal(self, bundle: bytes, plan: str, peer: str) -> None:
        """See `Intake.deal`."""
        check_owner(plan, peer)
        with self._store._use():
            check_fresh(bundle, known=self._store._state(bundle) is not None or bundle in self._coming)
            self._coming[bundle] = _Coming((plan, peer))

    def prime(self, bundle: bytes, drop: Iterable[str] = ()) -> None:
        """See `Intake.prime`."""
        gone = frozenset(drop)
        with self._store._use():
            check_primable(bundle, self._store._state(bundle))
            check_primable(bundle, "primed" if bundle in self._coming else "dealt")
            check_drop(bundle, gone, self._store._held[bundle].parts)
            self._coming[bundle] = _Coming(None, gone)

    def add(self, name: str, data: Buffer) -> None:
        """See `Intake.add`; copies the part."""
        view = flat(name, data)
        with self._store._use():
            next(reversed(self._coming.values())).parts[name] = memoryview(bytes(view))

    def commit(self, *, lenient: bool = False) -> tuple[bytes, ...]:
        """See `Intake.commit`."""
        held = self._store._held
        with self._store._use():
            kept = [b for b, one in self._coming.items() if one.owner or not lenient or self._waits(b)]
            check_room(sum(self._coming[b].size for b in kept), self._store.bytes_used, self._store.quota)
            for bundle in kept:
                if self._coming[bundle].owner is None:
                    check_primable(bundle, self._store._state(bundle))
                else:
                    check_fresh(bundle, known=bundle in held)
            for bundle in kept:
                self._enter(bundle, self._coming[bundle])
        self.abort()
        return tuple(kept)

    def _waits(self, bundle: bytes) -> bool:
        return self._store._state(bundle) == "dealt"

    def _enter(self, bundle: bytes, coming: _Coming) -> None:
        held = self._store._held
        if coming.owner is not None:
            held[bundle] = _Held(*coming.owner, "dealt", int(time.time()), coming.parts)
            return
        left = {name: data for name, data in held[bundle].parts.items() if name not in coming.drop}
        held[bundle].parts = left | coming.parts
        held[bundle].state = "primed"

    def abort(self) -> None:
        """See `Intake.abort`."""
        self._coming, self._announced = {}, 0
