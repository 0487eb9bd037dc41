"""The index of a store on disk: which bundle is in which state and where its parts lie, in one SQLite file."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from tacit.corr.segments import Place, Segment
from tacit.corr.store import STATES, Row, State
from tacit.errors import InvalidFile

__all__ = ["Entry", "Index"]

_APPLICATION: Final = 0x54434954
_VERSION: Final = 1
_BUSY_SECONDS: Final = 60.0

_SCHEMA: Final = """
CREATE TABLE owner (id INTEGER PRIMARY KEY, plan TEXT NOT NULL, peer TEXT NOT NULL, UNIQUE (plan, peer));
CREATE TABLE bundle (
    slot INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    owner INTEGER NOT NULL REFERENCES owner (id),
    state TEXT NOT NULL CHECK (state IN ('dealt', 'primed', 'claimed', 'erased')),
    claimant TEXT CHECK ((claimant IS NULL) = (state <> 'claimed')),
    bytes INTEGER NOT NULL,
    time INTEGER NOT NULL
);
CREATE INDEX bundle_by_owner ON bundle (owner, state, slot);
CREATE INDEX bundle_kept ON bundle (state, bytes) WHERE state <> 'erased';
CREATE TABLE segment (file TEXT PRIMARY KEY, slot INTEGER NOT NULL REFERENCES bundle (slot), bytes INTEGER NOT NULL);
CREATE INDEX segment_by_slot ON segment (slot);
CREATE TABLE part (
    slot INTEGER NOT NULL REFERENCES bundle (slot),
    name TEXT NOT NULL,
    file TEXT NOT NULL REFERENCES segment (file),
    start INTEGER NOT NULL,
    length INTEGER NOT NULL,
    PRIMARY KEY (slot, name)
) WITHOUT ROWID;
CREATE TABLE epoch (one INTEGER PRIMARY KEY CHECK (one = 1), value INTEGER NOT NULL);
CREATE TABLE peer_epoch (peer TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO epoch VALUES (1, 0);
"""


@dataclass(frozen=True)
class Entry:
    """A bundle's row; `slot` is the number of its key, `claimant` the token of the store object that claimed it."""

    slot: int
    bundle: bytes
    plan: str
    peer: str
    state: State
    claimant: str | None


class Index:
    """One connection to the index, shared by the threads of a process under a lock.

    Raises sqlite3.Error, which callers turn into StoreError, and InvalidFile if the file is another program's.
    Methods that change rows are called inside `writing`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        # SQLite would create it readable to all, and gives its journal the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            self._configure()
        except BaseException:
            self._db.close()
            raise

    def _configure(self) -> None:
        """Set durability and create the tables if the file is new."""
        # A claim that a power cut takes back would let a mask serve twice. TRUNCATE with EXTRA: a commit returns after
        # journal, index and the journal's end are synced, and no reader's memory map or checkpoint plays a part in it.
        self._db.execute("PRAGMA journal_mode = TRUNCATE")
        self._db.execute("PRAGMA synchronous = EXTRA")
        self._db.execute("PRAGMA secure_delete = ON")
        self._db.execute("PRAGMA foreign_keys = ON")
        with self.writing():
            application = self._one("PRAGMA application_id")
            version = self._one("PRAGMA user_version")
            if (application, version) == (0, 0) and not self._one("SELECT COUNT(*) FROM sqlite_master"):
                self._create()
            elif (application, version) != (_APPLICATION, _VERSION):
                raise InvalidFile(f"{self._path} is not a store index of this version; choose another folder")

    def _create(self) -> None:
        """Create the tables, inside the transaction that saw there are none."""
        for statement in filter(str.strip, _SCHEMA.split(";")):
            self._db.execute(statement)
        self._db.execute(f"PRAGMA application_id = {_APPLICATION}")
        self._db.execute(f"PRAGMA user_version = {_VERSION}")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Several queries that see one moment of the store; keep it short, since commits wait for its end."""
        with self._transaction("BEGIN"):
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction that no other thread or process can write beside; durable when the block is left."""
        with self._transaction("BEGIN IMMEDIATE"):
            yield

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        """Run a block in a transaction, rolled back if the block or the commit fails."""
        with self._lock:
            self._db.execute(begin)
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _all(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """All rows of a query; read to the end, so that no statement stays open and holds the file's lock."""
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def _one(self, sql: str, values: Sequence[object] = ()) -> int:
        """The number that a query for one number gives."""
        return int(self._all(sql, values)[0][0])

    def find(self, bundle: bytes) -> Entry | None:
        """A bundle's row, or None."""
        sql = "SELECT slot, bundle.id, plan, peer, state, claimant FROM bundle JOIN owner ON owner.id = owner "
        rows = self._all(sql + "WHERE bundle.id = ?", [bundle])
        return Entry(*rows[0]) if rows else None

    def kept(self, peer: str | None = None, claimant: str | None = None) -> list[Entry]:
        """The rows of all bundles not erased, of a peer and of a claimant if given."""
        # The plus keeps SQLite from walking all slots, erased ones included, to save itself the sorting.
        sql = "SELECT slot, bundle.id, plan, peer, state, claimant FROM bundle JOIN owner ON owner.id = owner "
        sql += "WHERE state <> 'erased' AND (?1 IS NULL OR peer = ?1) AND (?2 IS NULL OR claimant = ?2) ORDER BY +slot"
        return [Entry(*row) for row in self._all(sql, [peer, claimant])]

    def rows(self, bundle: bytes | None = None) -> tuple[Row, ...]:
        """Every bundle, or the one of this id, oldest first."""
        sql = "SELECT bundle.id, plan, peer, state, bytes, time FROM bundle JOIN owner ON owner.id = owner "
        found = self._all(sql + "ORDER BY slot") if bundle is None else self._all(sql + "WHERE bundle.id = ?", [bundle])
        return tuple(Row(*row) for row in found)

    def ids(self, plan: str | None, peer: str | None, state: State | None) -> tuple[bytes, ...]:
        """Ids of bundles, oldest first; None matches all."""
        sql = "SELECT bundle.id FROM bundle JOIN owner ON owner.id = owner WHERE (?1 IS NULL OR plan = ?1) "
        sql += "AND (?2 IS NULL OR peer = ?2) AND (?3 IS NULL OR state = ?3) ORDER BY slot"
        return tuple(row[0] for row in self._all(sql, [plan, peer, state]))

    def oldest(self, plan: str, peer: str, state: State) -> bytes | None:
        """The oldest bundle of a plan, peer and state; found by index, however many were erased."""
        sql = "SELECT id FROM bundle WHERE owner = (SELECT id FROM owner WHERE plan = ? AND peer = ?) AND state = ? "
        rows = self._all(sql + "ORDER BY slot LIMIT 1", [plan, peer, state])
        return rows[0][0] if rows else None

    def count(self, plan: str | None, peer: str | None) -> dict[State, int]:
        """Bundles per state, zeros included; None matches all."""
        sql = "SELECT state, COUNT(*) FROM bundle JOIN owner ON owner.id = owner "
        sql += "WHERE (?1 IS NULL OR plan = ?1) AND (?2 IS NULL OR peer = ?2) GROUP BY state"
        found = dict(self._all(sql, [plan, peer]))
        return {state: int(found.get(state, 0)) for state in STATES}

    def bytes_used(self) -> int:
        """Bytes in segment files of bundles not erased."""
        return self._one("SELECT COALESCE(SUM(bytes), 0) FROM bundle WHERE state <> 'erased'")

    def add(self, bundle: bytes, plan: str, peer: str, time: int) -> int:
        """Add a dealt bundle without parts; returns its slot, a number that no bundle had before."""
        self._db.execute("INSERT INTO owner (plan, peer) VALUES (?, ?) ON CONFLICT DO NOTHING", [plan, peer])
        owner = self._one("SELECT id FROM owner WHERE plan = ? AND peer = ?", [plan, peer])
        sql = "INSERT INTO bundle (id, owner, state, bytes, time) VALUES (?, ?, 'dealt', 0, ?)"
        return cast(int, self._db.execute(sql, [bundle, owner, time]).lastrowid)

    def add_segment(self, slot: int, segment: Segment) -> None:
        """Attach a written segment and its parts to a bundle."""
        self._db.execute("INSERT INTO segment VALUES (?, ?, ?)", [segment.file, slot, segment.size])
        rows = [(slot, place.name, segment.file, place.start, place.length) for place in segment.places]
        self._db.executemany("INSERT INTO part VALUES (?, ?, ?, ?, ?)", rows)
        self._resize(slot)

    def drop_parts(self, slot: int, names: Iterable[str]) -> list[str]:
        """Forget parts (unknown names are fine); returns the files that hold no part any more, detached."""
        self._db.executemany("DELETE FROM part WHERE slot = ? AND name = ?", [(slot, name) for name in names])
        sql = "SELECT file FROM segment WHERE slot = ? AND file NOT IN (SELECT file FROM part WHERE slot = ?)"
        files = [row[0] for row in self._all(sql, [slot, slot])]
        self._db.executemany("DELETE FROM segment WHERE file = ?", [(file,) for file in files])
        self._resize(slot)
        return files

    def _resize(self, slot: int) -> None:
        """Set a bundle's size to the sum of its files."""
        sql = "UPDATE bundle SET bytes = (SELECT COALESCE(SUM(bytes), 0) FROM segment WHERE slot = ?1) WHERE slot = ?1"
        self._db.execute(sql, [slot])

    def places(self, slot: int) -> dict[str, tuple[str, Place]]:
        """File and place of each part of a bundle, by part name, in the order of their names."""
        rows = self._all("SELECT name, file, start, length FROM part WHERE slot = ?", [slot])
        return {name: (file, Place(name, start, length)) for name, file, start, length in rows}

    def files(self) -> dict[str, tuple[int, int]]:
        """Slot and size in bytes of every segment file that has a row."""
        return {file: (slot, size) for file, slot, size in self._all("SELECT file, slot, bytes FROM segment")}

    def files_of(self, slots: Sequence[int]) -> list[str]:
        """The segment files of some bundles."""
        return [row[0] for slot in slots for row in self._all("SELECT file FROM segment WHERE slot = ?", [slot])]

    def set_state(self, slot: int, state: State, claimant: str | None = None) -> None:
        """Move a bundle to another state."""
        self._db.execute("UPDATE bundle SET state = ?, claimant = ? WHERE slot = ?", [state, claimant, slot])

    def bury(self, slots: Sequence[int]) -> None:
        """Mark bundles erased and forget their parts and files; the row stays, so that a replay is recognised."""
        keys = [(slot,) for slot in slots]
        self._db.executemany("DELETE FROM part WHERE slot = ?", keys)
        self._db.executemany("DELETE FROM segment WHERE slot = ?", keys)
        self._db.executemany("UPDATE bundle SET state = 'erased', claimant = NULL, bytes = 0 WHERE slot = ?", keys)

    def epoch(self) -> int:
        """This store's epoch."""
        return self._one("SELECT value FROM epoch")

    def raise_epoch(self) -> int:
        """Raise the epoch by one; returns the new one."""
        self._db.execute("UPDATE epoch SET value = value + 1")
        return self.epoch()

    def peer_epoch(self, peer: str) -> int:
        """The highest epoch that a peer has shown; 0 if it never did."""
        return self._one("SELECT COALESCE(MAX(value), 0) FROM peer_epoch WHERE peer = ?", [peer])

    def set_peer_epoch(self, peer: str, epoch: int | None) -> None:
        """Remember a peer's epoch, or forget it (None)."""
        self._db.execute("DELETE FROM peer_epoch WHERE peer = ?", [peer])
        if epoch is not None:
            self._db.execute("INSERT INTO peer_epoch VALUES (?, ?)", [peer, epoch])

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._db.close()
