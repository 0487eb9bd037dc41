"""How bundles enter a store on disk: parts are sealed and written as they come, and become visible together.

Order of writing: segment files and their folder are synced, then keys, then the rows are committed; a bundle that can
be seen is whole. A crash before that leaves files without rows, which opening the store removes.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final

from tacit.corr.index import Entry, Index
from tacit.corr.seal import KEY_BYTES, OVERHEAD
from tacit.corr.segments import Draft, Segments
from tacit.corr.slots import Slots
from tacit.corr.store import (
    Buffer,
    Intake,
    check_drop,
    check_fresh,
    check_id,
    check_owner,
    check_primable,
    check_room,
    flat,
)
from tacit.errors import BundleSpent

__all__ = ["DiskIntake", "Room", "Shelves", "key_of", "primable"]

#: Files open at once while a batch is written; all of a group are written before the first is waited for.
_GROUP: Final = 64


class Room:
    """How much a store may still take: its quota in bytes (None: no limit), less what intakes have announced."""

    def __init__(self, quota: int | None) -> None:
        self.quota = quota
        self._lock = threading.Lock()
        self._announced = 0

    def take(self, need: int, used: int) -> None:
        """Announce `need` bytes on top of `used`. Raises QuotaExceeded if they do not fit."""
        with self._lock:
            check_room(need, used + self._announced, self.quota)
            self._announced += need

    def free(self, count: int) -> None:
        """Take back an announcement of `count` bytes: they came, or never will."""
        with self._lock:
            self._announced -= count


@dataclass(frozen=True)
class Shelves:
    """What the intakes of a store on disk share; `use` guards every operation."""

    index: Index
    slots: Slots
    segments: Segments
    room: Room
    use: Callable[[], AbstractContextManager[None]]


@dataclass(eq=False)
class _Coming:
    """A bundle of which parts are being written: a new one of `owner` (plan, peer), or one that is being primed."""

    bundle: bytes
    draft: Draft = field(repr=False)
    key: bytes = field(repr=False)
    owner: tuple[str, str] | None
    drop: frozenset[str] = frozenset()


def primable(index: Index, bundle: bytes) -> Entry:
    """The row of a bundle that may be primed; raises as `Store.prime_many` says."""
    entry = index.find(bundle)
    check_primable(bundle, entry.state if entry else None)
    assert entry is not None
    return entry


def key_of(slots: Slots, entry: Entry) -> bytes:
    """A bundle's key. Raises BundleSpent if it was destroyed."""
    key = slots.read(entry.slot)
    if key is None:
        raise BundleSpent(f"the key of bundle {entry.bundle.hex()} is destroyed; take another bundle")
    return key


class DiskIntake(Intake):
    """The way into a store on disk; see `Intake`. Made by `DiskStore.intake`."""

    def __init__(self, shelves: Shelves) -> None:
        self._shelves = shelves
        self._coming: dict[bytes, _Coming] = {}
        self._open: list[Draft] = []
        self._announced = 0

    def __repr__(self) -> str:
        return f"<intake of {len(self._coming)} bundles>"

    def reserve(self, sizes: Iterable[int]) -> None:
        """See `Intake.reserve`."""
        need = sum(size + OVERHEAD for size in sizes)
        with self._shelves.use():
            self._shelves.room.take(need, self._shelves.index.bytes_used())
        self._announced += need

    def deal(self, bundle: bytes, plan: str, peer: str) -> None:
        """See `Intake.deal`."""
        check_id(bundle)
        check_owner(plan, peer)
        with self._shelves.use():
            check_fresh(bundle, known=bundle in self._coming or self._shelves.index.find(bundle) is not None)
            self._begin(bundle, os.urandom(KEY_BYTES), (plan, peer))

    def prime(self, bundle: bytes, drop: Iterable[str] = ()) -> None:
        """See `Intake.prime`; new parts go to a new file under the same key, so a crash leaves the old state."""
        check_id(bundle)
        gone, shelves = frozenset(drop), self._shelves
        with shelves.use():
            with shelves.index.reading():
                entry = primable(shelves.index, bundle)
                check_primable(bundle, "primed" if bundle in self._coming else "dealt")
                check_drop(bundle, gone, shelves.index.places(entry.slot))
                key = key_of(shelves.slots, entry)
            self._begin(bundle, key, None, gone)

    def _begin(
        self, bundle: bytes, key: bytes, owner: tuple[str, str] | None, drop: frozenset[str] = frozenset()
    ) -> None:
        if len(self._open) == _GROUP:
            self._settle()
        draft = self._shelves.segments.draft(bundle, key)
        self._coming[bundle] = _Coming(bundle, draft, key, owner, drop)
        self._open.append(draft)

    def add(self, name: str, data: Buffer) -> None:
        """See `Intake.add`."""
        view = flat(name, data)
        with self._shelves.use():
            self._open[-1].add(name, view)

    def _settle(self) -> None:
        """Wait for all files written so far: the first wait pays for most of the rest."""
        self._shelves.segments.settle(self._open)
        self._open = []

    def commit(self, *, lenient: bool = False) -> tuple[bytes, ...]:
        """See `Intake.commit`."""
        shelves = self._shelves
        with shelves.use():
            self._settle()
            # Others may have written meanwhile: what counts is checked again in the transaction.
            with shelves.index.writing():
                kept = [c for c in self._coming.values() if c.owner or not lenient or self._waits(c.bundle)]
                unused = [c.draft.name for c in self._coming.values() if c not in kept]
                need = sum(coming.draft.segment.size for coming in kept)
                check_room(need, shelves.index.bytes_used(), shelves.room.quota)
                for coming in kept:
                    unused += self._enter(coming)
                if any(coming.owner for coming in kept):
                    shelves.slots.sync()
            self._forget()
            shelves.segments.remove(unused)
        return tuple(coming.bundle for coming in kept)

    def _waits(self, bundle: bytes) -> bool:
        """Whether a bundle is still dealt."""
        entry = self._shelves.index.find(bundle)
        return entry is not None and entry.state == "dealt"

    def _enter(self, coming: _Coming) -> list[str]:
        """Give a bundle its rows, and its key if it is new; returns files that hold nothing any more."""
        index, segment = self._shelves.index, coming.draft.segment
        if coming.owner is not None:
            check_fresh(coming.bundle, known=index.find(coming.bundle) is not None)
            slot = index.add(coming.bundle, *coming.owner, int(time.time()))
            index.add_segment(slot, segment)
            self._shelves.slots.write(slot, coming.key)
            return []
        slot = primable(index, coming.bundle).slot
        unused = index.drop_parts(slot, {*coming.drop, *(place.name for place in segment.places)})
        index.add_segment(slot, segment)
        index.set_state(slot, "primed")
        return unused

    def _forget(self) -> None:
        """Start over with nothing."""
        self._shelves.room.free(self._announced)
        self._coming, self._open, self._announced = {}, [], 0

    def abort(self) -> None:
        """See `Intake.abort`; files that got their row in a commit whose outcome is unknown stay."""
        coming = list(self._coming.values())
        self._forget()
        for one in coming:
            one.draft.close()
        if coming:
            with self._shelves.use():
                self._shelves.segments.remove(
                    {one.draft.name for one in coming}.difference(self._shelves.index.files())
                )
