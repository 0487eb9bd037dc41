"""A material store in a folder: crash-safe, shared by the threads and processes of one party, each bundle used once.

    folder/
      index.sqlite   states, places, epochs (index.py); no keys
      keys           one 32-byte key per bundle, zeroed in place when the bundle is erased (slots.py)
      segments/      sealed parts (segments.py)
      alive/         one locked file per open store object (presence.py)

How bundles come in: intake.py. Order of erasing: key, files, row; a crash between leaves a row without key, which
`recover` buries. The folder must be on a local file system: network ones keep neither locks nor syncs as this needs
them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tacit.corr.faults import storage_faults
from tacit.corr.index import Entry, Index
from tacit.corr.intake import DiskIntake, Room, Shelves, key_of
from tacit.corr.presence import Presence
from tacit.corr.segments import Segments, fsync_folder
from tacit.corr.slots import Slots
from tacit.corr.store import (
    Recovery,
    Row,
    State,
    Store,
    check_claim,
    check_epoch,
    check_id,
    check_owner,
    check_quota,
    check_readable,
)
from tacit.errors import Exhausted, StoreError

__all__ = ["DiskStore"]


class DiskStore(Store):
    """The store in folder `path`, created if missing; `quota_bytes` limits its material (None: the disk does).

    Opening it runs `recover`, whose result is kept as `recovered`. Raises StoreError if the folder cannot be used,
    InvalidFile if it holds something else. An object is not usable in a forked child: open the folder there again.
    """

    def __init__(self, path: str | os.PathLike[str], quota_bytes: int | None = None) -> None:
        check_quota(quota_bytes)
        self._path = Path(path)
        self._room = Room(quota_bytes)
        self._process = os.getpid()
        self._open = True
        with storage_faults(self._path), ExitStack() as undo:
            for folder in (self._path, self._path / "segments", self._path / "alive"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._presence = Presence(self._path / "alive")
            undo.callback(self._presence.close)
            self._slots = Slots(self._path / "keys")
            undo.callback(self._slots.close)
            self._index = Index(self._path / "index.sqlite")
            undo.callback(self._index.close)
            self._segments = Segments(self._path / "segments", self._presence.token)
            fsync_folder(self._path)
            fsync_folder(self._path.absolute().parent)
            self.recovered = self.recover()
            undo.pop_all()

    def __repr__(self) -> str:
        return f"DiskStore({str(self._path)!r}, quota_bytes={self._room.quota})"

    @contextmanager
    def _use(self) -> Iterator[None]:
        """Guard every operation: refuse after close and fork, translate failures of the storage."""
        if os.getpid() != self._process:
            raise StoreError(f"the store {self._path} was opened by another process; open it again in this one")
        if not self._open:
            raise StoreError(f"the store {self._path} is closed; open it again")
        with storage_faults(self._path):
            yield

    # Making material

    def intake(self) -> DiskIntake:
        """See `Store.intake`."""
        with self._use():
            return DiskIntake(Shelves(self._index, self._slots, self._segments, self._room, self._use))

    # Using material

    def claim(self, bundle: bytes, plan: str, peer: str) -> int:
        """See `Store.claim`; the commit is synchronised before this returns."""
        with self._use():
            check_id(bundle)
            check_owner(plan, peer)
            with self._index.writing():
                entry = self._index.find(bundle)
                check_claim(bundle, (entry.plan, entry.peer, entry.state) if entry else None, plan, peer)
                assert entry is not None
                # A crash while it was being erased may have left the row behind.
                key_of(self._slots, entry)
                self._index.set_state(entry.slot, "claimed", self._presence.token)
                return self._index.raise_epoch()

    def parts(self, bundle: bytes) -> Mapping[str, memoryview]:
        """See `Store.parts`."""
        with self._use(), self._index.reading():
            names = tuple(self._index.places(self._readable(bundle).slot))
            return _Parts(names, partial(self._read_part, bundle))

    def _readable(self, bundle: bytes) -> Entry:
        """The row of a bundle that this object may read; raises as `parts` says."""
        check_id(bundle)
        entry = self._index.find(bundle)
        ours = entry is not None and entry.claimant == self._presence.token
        check_readable(bundle, entry.state if entry else None, ours=ours)
        assert entry is not None
        return entry

    def _read_part(self, bundle: bytes, name: str) -> memoryview:
        """One part, as `parts(bundle)[name]` gives it. Raises KeyError if the bundle has no such part."""
        with self._use():
            with self._index.reading():
                entry = self._readable(bundle)
                file, place = self._index.places(entry.slot)[name]
                key = key_of(self._slots, entry)
            try:
                return self._segments.read(file, bundle, key, place)
            except StoreError:
                # If it was erased or primed meanwhile, that is the reason to give; wait for whoever is at it.
                with self._index.writing():
                    self._readable(bundle)
                raise

    def erase(self, bundle: bytes) -> None:
        """See `Store.erase`; when it returns, the key is overwritten on the disk."""
        with self._use():
            check_id(bundle)
            with self._index.writing():
                entry = self._index.find(bundle)
                self._destroy([entry] if entry and entry.state != "erased" else [])

    def _destroy(self, entries: Sequence[Entry]) -> None:
        """Erase bundles, inside a transaction: keys first, since without them the rest is noise."""
        if not entries:
            return
        slots = [entry.slot for entry in entries]
        self._slots.destroy(slots)
        self._segments.remove(self._index.files_of(slots))
        self._index.bury(slots)

    # Looking

    def oldest_primed(self, plan: str, peer: str) -> bytes:
        """See `Store.oldest_primed`."""
        check_owner(plan, peer)
        with self._use():
            found = self._index.oldest(plan, peer, "primed")
        if found is None:
            raise Exhausted(f"no primed bundle is left for plan {plan:.16} and peer {peer:.16}; deal and prime more")
        return found

    def count(self, plan: str | None = None, peer: str | None = None) -> dict[State, int]:
        """See `Store.count`."""
        with self._use():
            return self._index.count(plan, peer)

    def list(self) -> tuple[Row, ...]:
        """See `Store.list`."""
        with self._use():
            return self._index.rows()

    def row(self, bundle: bytes) -> Row | None:
        """See `Store.row`."""
        check_id(bundle)
        with self._use():
            return next(iter(self._index.rows(bundle)), None)

    def ids(self, plan: str | None = None, peer: str | None = None, state: State | None = None) -> tuple[bytes, ...]:
        """See `Store.ids`."""
        with self._use():
            return self._index.ids(plan, peer, state)

    @property
    def bytes_used(self) -> int:
        """See `Store.bytes_used`: the size of the segment files."""
        with self._use():
            return self._index.bytes_used()

    @property
    def quota(self) -> int | None:
        """See `Store.quota`."""
        return self._room.quota

    # Keeping peers in step

    @property
    def epoch(self) -> int:
        """See `Store.epoch`."""
        with self._use():
            return self._index.epoch()

    def note_peer_epoch(self, peer: str, epoch: int) -> None:
        """See `Store.note_peer_epoch`; a higher epoch is durable before this returns."""
        with self._use(), self._index.writing():
            seen = self._index.peer_epoch(peer)
            check_epoch(peer, epoch, seen)
            if epoch > seen:
                self._index.set_peer_epoch(peer, epoch)

    def reset_peer_epoch(self, peer: str) -> int:
        """See `Store.reset_peer_epoch`."""
        with self._use(), self._index.writing():
            entries = self._index.kept(peer=peer)
            self._destroy(entries)
            self._index.set_peer_epoch(peer, None)
            return len(entries)

    def purge(self) -> int:
        """See `Store.purge`."""
        with self._use(), self._index.writing():
            entries = self._index.kept()
            self._destroy(entries)
            self._index.raise_epoch()
            return len(entries)

    def reconcile(self, peer: str, spent: Iterable[bytes]) -> tuple[bytes, ...]:
        """See `Store.reconcile`."""
        names = set(spent)
        for bundle in names:
            check_id(bundle)
        with self._use(), self._index.writing():
            entries = [entry for entry in self._index.kept(peer=peer) if entry.bundle in names]
            entries = [entry for entry in entries if entry.state != "claimed"]
            self._destroy(entries)
            return tuple(entry.bundle for entry in entries)

    def recover(self) -> Recovery:
        """See `Store.recover`; what other living processes have claimed or are writing is left alone."""
        with self._use(), self._index.writing():
            sizes = self._segments.sizes()
            entries = self._index.kept()
            tokens = {entry.claimant for entry in entries if entry.claimant}
            tokens |= {file.partition(".")[0] for file in sizes} | set(self._presence.others())
            gone = {token for token in tokens if self._presence.gone(token)}
            orphans = [entry for entry in entries if entry.claimant in gone]
            rows = self._index.files()
            torn = {slot for file, (slot, size) in rows.items() if sizes.get(file, -1) < size}
            damaged = [
                entry
                for entry in entries
                if entry.claimant not in gone and (entry.slot in torn or self._slots.read(entry.slot) is None)
            ]
            self._destroy(orphans + damaged)
            left = [file for file in sizes if file not in rows and file.partition(".")[0] in gone]
            self._segments.remove(left)
        return Recovery(tuple(entry.bundle for entry in orphans), tuple(entry.bundle for entry in damaged), len(left))

    def close(self) -> None:
        """See `Store.close`; in a forked child it does nothing."""
        if not self._open or os.getpid() != self._process:
            return
        with self._use(), ExitStack() as last:
            last.callback(self._index.close)
            last.callback(self._slots.close)
            last.callback(self._presence.close)
            self._open = False
            with self._index.writing():
                self._destroy(self._index.kept(claimant=self._presence.token))


class _Parts(Mapping[str, memoryview]):
    """The parts of one bundle, by name; each look-up goes to the disk. Never prints what it holds."""

    def __init__(self, names: tuple[str, ...], read: Callable[[str], memoryview]) -> None:
        self._names = names
        self._read = read

    def __getitem__(self, name: str) -> memoryview:
        return self._read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<{len(self._names)} parts of a bundle>"
