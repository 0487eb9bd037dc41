"""The contract of a material store: single-use bundles that go dealt -> primed -> claimed -> erased, never back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tacit.errors import BundleSpent, InvalidInput, QuotaExceeded, RolledBack, StoreError

__all__ = [
    "ID_BYTES",
    "STATES",
    "Buffer",
    "Dealing",
    "Intake",
    "Priming",
    "Recovery",
    "Row",
    "State",
    "Store",
    "check_claim",
    "check_drop",
    "check_epoch",
    "check_fresh",
    "check_id",
    "check_owner",
    "check_primable",
    "check_quota",
    "check_readable",
    "check_room",
    "flat",
]

State: TypeAlias = Literal["dealt", "primed", "claimed", "erased"]
Buffer: TypeAlias = bytes | bytearray | memoryview | NDArray[Any]

STATES: Final[tuple[State, ...]] = ("dealt", "primed", "claimed", "erased")
ID_BYTES: Final = 16
_NAME_BYTES: Final = 255
_EPOCH_LIMIT: Final = 1 << 62


@dataclass(frozen=True)
class Dealing:
    """A new bundle: its id (16 random bytes), plan digest (hex), the other party's fingerprint, and named parts."""

    bundle: bytes
    plan: str
    peer: str
    parts: Mapping[str, Buffer] = field(repr=False)


@dataclass(frozen=True)
class Priming:
    """What priming changes in a dealt bundle: parts to add or replace, and names of parts that are needed no longer."""

    bundle: bytes
    parts: Mapping[str, Buffer] = field(repr=False)
    drop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One bundle as the operator sees it; `bytes` is its size, `time` when it came (seconds since 1970)."""

    bundle: bytes
    plan: str
    peer: str
    state: State
    bytes: int
    time: int


@dataclass(frozen=True)
class Recovery:
    """What opening a store had to repair.

    orphans: bundles claimed by a process that is gone, now erased (they may have been used, so never again);
    damaged: bundles whose segment or key is missing or short, now erased; files: unfinished segments deleted.
    """

    orphans: tuple[bytes, ...] = ()
    damaged: tuple[bytes, ...] = ()
    files: int = 0


class Intake(ABC):
    """Bundles on their way into a store, each written part by part as it comes, so that none has to fit in memory.

    Made by `Store.intake`, for one thread, and used in a `with` statement: what is not committed when that is left
    never was. After any method but `commit` has raised, leave. Raises as the store's methods do.
    """

    @abstractmethod
    def reserve(self, sizes: Iterable[int]) -> None:
        """Announce parts of these sizes in bytes. Raises QuotaExceeded if they do not fit beside what came before."""

    @abstractmethod
    def deal(self, bundle: bytes, plan: str, peer: str) -> None:
        """Begin a new bundle, which will be "dealt". Raises StoreError if the id was ever here before."""

    @abstractmethod
    def prime(self, bundle: bytes, drop: Iterable[str] = ()) -> None:
        """Begin what moves a dealt bundle to "primed": parts to add or replace, and names of parts to forget.

        Raises BundleSpent for bundles claimed, erased or unknown, StoreError for those primed before.
        """

    @abstractmethod
    def add(self, name: str, data: Buffer) -> None:
        """Write one part of the bundle that was begun last; `data` is not kept."""

    @abstractmethod
    def commit(self, *, lenient: bool = False) -> tuple[bytes, ...]:
        """Make everything since the last commit part of the store, all or none; durable when it returns.

        With `lenient`, bundles that are not dealt any more, since another session has primed or ended them meanwhile,
        are left out instead of raising. Returns the ids of those that were kept.
        """

    @abstractmethod
    def abort(self) -> None:
        """Remove what is not committed; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.abort()


class Store(ABC):
    """Where bundles wait. A bundle is the single-use material of one inference of one plan with one peer.

    Every method may be called from any thread. All raise StoreError (QuotaExceeded when the disk is full) if storage
    fails, InvalidInput for a malformed id, name or digest, and leave what the store holds unchanged when they raise.
    """

    def put(self, bundle: bytes, plan: str, peer: str, parts: Mapping[str, Buffer]) -> None:
        """Keep a new bundle in state "dealt"; see `put_many`."""
        self.put_many([Dealing(bundle, plan, peer, parts)])

    def prime(self, bundle: bytes, parts: Mapping[str, Buffer], drop: Iterable[str] = ()) -> None:
        """Move a bundle from "dealt" to "primed"; see `prime_many`."""
        self.prime_many([Priming(bundle, parts, tuple(drop))])

    @abstractmethod
    def intake(self) -> Intake:
        """A way in for bundles that come in parts."""

    def put_many(self, dealings: Sequence[Dealing]) -> None:
        """Keep new bundles in state "dealt", all or none; durable when it returns.

        The whole batch costs one commit. Raises StoreError if an id was ever here before, QuotaExceeded before anything
        is written if they do not fit.
        """
        given = [{name: flat(name, data) for name, data in dealing.parts.items()} for dealing in dealings]
        for dealing in dealings:
            check_id(dealing.bundle)
        with self.intake() as intake:
            intake.reserve(len(data) for parts in given for data in parts.values())
            for dealing, parts in zip(dealings, given, strict=True):
                intake.deal(dealing.bundle, dealing.plan, dealing.peer)
                for name, data in parts.items():
                    intake.add(name, data)
            intake.commit()

    def prime_many(self, primings: Sequence[Priming]) -> None:
        """Move bundles from "dealt" to "primed", all or none: add or replace parts, drop others; durable on return.

        Raises BundleSpent for bundles claimed, erased or unknown, StoreError for those primed before, QuotaExceeded.
        """
        given = [{name: flat(name, data) for name, data in priming.parts.items()} for priming in primings]
        with self.intake() as intake:
            for priming, parts in zip(primings, given, strict=True):
                intake.prime(priming.bundle, priming.drop)
                intake.reserve(map(len, parts.values()))
                for name, data in parts.items():
                    intake.add(name, data)
            intake.commit()

    @abstractmethod
    def claim(self, bundle: bytes, plan: str, peer: str) -> int:
        """Move a bundle from "primed" to "claimed" for this store object, durably before returning.

        Of all threads and processes exactly one ever succeeds. Returns the store's epoch, which this claim has raised
        by one in the same transaction. Raises BundleSpent if the bundle is claimed or erased, and, with one message for
        the three so that nobody can probe for it, if it is unknown, another plan's or another peer's; StoreError if it
        is not primed yet.
        """

    @abstractmethod
    def parts(self, bundle: bytes) -> Mapping[str, memoryview]:
        """The parts of a bundle that is dealt, or claimed by this store object, as read-only views of bytes.

        Each look-up reads, decrypts and authenticates its part anew, so a bundle never has to fit in memory at once:
        keep what you looked up. Raises BundleSpent if the bundle is not open to this store object (also at a look-up
        after it was erased), StoreError naming the file if a part was altered or truncated.
        """

    @abstractmethod
    def erase(self, bundle: bytes) -> None:
        """Destroy a bundle's key and material in any state; only its id stays. Erasing twice, or nothing, is fine."""

    @abstractmethod
    def oldest_primed(self, plan: str, peer: str) -> bytes:
        """The id of the primed bundle that came first. Raises Exhausted if there is none for this plan and peer."""

    @abstractmethod
    def count(self, plan: str | None = None, peer: str | None = None) -> dict[State, int]:
        """How many bundles are in each state, of one plan or peer or of all (None)."""

    @abstractmethod
    def list(self) -> tuple[Row, ...]:
        """Every bundle that ever came, oldest first."""

    @abstractmethod
    def row(self, bundle: bytes) -> Row | None:
        """One bundle as the operator sees it, found by its id; None if it never came."""

    @abstractmethod
    def ids(self, plan: str | None = None, peer: str | None = None, state: State | None = None) -> tuple[bytes, ...]:
        """The ids of the bundles of a plan, peer and state (None: any), oldest first."""

    @property
    @abstractmethod
    def bytes_used(self) -> int:
        """Bytes that the material takes, the index not counted."""

    @property
    @abstractmethod
    def quota(self) -> int | None:
        """The most bytes the material may take; None: no limit."""

    @property
    @abstractmethod
    def epoch(self) -> int:
        """A number that every claim and purge raises: shown to peers, it betrays a store restored from a copy."""

    @abstractmethod
    def note_peer_epoch(self, peer: str, epoch: int) -> None:
        """Remember the highest epoch that a peer's store has shown. Raises RolledBack if it shows a smaller one."""

    @abstractmethod
    def reset_peer_epoch(self, peer: str) -> int:
        """Accept any epoch from a peer again, after its operator purged the restored store.

        Every bundle shared with that peer is erased here too, so that the peer's word is not relied on; returns how
        many were.
        """

    @abstractmethod
    def purge(self) -> int:
        """Erase every bundle and raise the epoch: the way back into service for a restored store. Returns how many."""

    @abstractmethod
    def recover(self) -> Recovery:
        """Erase what a process that is gone had claimed and remove what it left unfinished; opening does this."""

    @abstractmethod
    def reconcile(self, peer: str, spent: Iterable[bytes]) -> tuple[bytes, ...]:
        """Erase those bundles shared with a peer that it says are spent; returns their ids.

        Only dealt and primed bundles are touched: a claimed one is in use here, and its own session ends it.
        """

    @abstractmethod
    def close(self) -> None:
        """Erase what this store object has claimed and let the storage go; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def check_id(bundle: bytes) -> str:
    """The id in hex. Raises InvalidInput unless it is 16 bytes."""
    if not isinstance(bundle, bytes) or len(bundle) != ID_BYTES:
        raise InvalidInput(f"a bundle id must be {ID_BYTES} bytes; take it from os.urandom({ID_BYTES})")
    return bundle.hex()


def check_owner(plan: str, peer: str) -> None:
    """Raises InvalidInput unless plan digest and peer fingerprint are text of 1 to 255 bytes."""
    for what, text in (("plan digest", plan), ("peer fingerprint", peer)):
        if not isinstance(text, str) or not 0 < len(text.encode()) <= _NAME_BYTES:
            raise InvalidInput(f"a {what} must be text of 1 to {_NAME_BYTES} bytes")


def check_epoch(peer: str, epoch: int, seen: int) -> None:
    """Raises InvalidInput for an epoch outside 0..2^62, RolledBack if it is below `seen`, the highest shown before."""
    if not isinstance(epoch, int) or not 0 <= epoch < _EPOCH_LIMIT:
        raise InvalidInput(f"the epoch shown by {peer} must be a number from 0 to 2^62")
    if epoch < seen:
        raise RolledBack(
            f"the store of {peer} shows epoch {epoch} but has shown {seen}: it was restored from a copy and could use "
            "a mask twice; purge it there, then reset its epoch here"
        )


def check_fresh(bundle: bytes, *, known: bool) -> None:
    """Raises StoreError if a bundle that is to be dealt is `known`: in any state, or begun already."""
    if known:
        raise StoreError(f"bundle {bundle.hex()} was put into this store before; an id is never used twice")


def check_drop(bundle: bytes, drop: Iterable[str], held: Iterable[str]) -> None:
    """Raises InvalidInput if a part to drop is not `held`."""
    missing = sorted(set(drop).difference(held))
    if missing:
        raise InvalidInput(f"bundle {bundle.hex()} has no part {missing[0]!r} to drop; look at its parts")


def check_primable(bundle: bytes, state: State | None) -> None:
    """Raises unless a bundle in `state` (None: unknown) may be primed; see `Store.prime_many`."""
    name = bundle.hex()
    if state is None:
        raise BundleSpent(f"bundle {name} is not in this store; deal a new one")
    if state == "primed":
        raise StoreError(f"bundle {name} is primed already; claim it or erase it")
    if state != "dealt":
        raise BundleSpent(f"bundle {name} is {state} already and serves only once; prime another bundle")


def check_quota(quota: int | None) -> None:
    """Raises InvalidInput unless a quota is a number of bytes, zero or more, or None."""
    if quota is not None and (not isinstance(quota, int) or quota < 0):
        raise InvalidInput("the quota of a store must be a number of bytes, zero or more, or None for no limit")


def check_room(need: int, used: int, quota: int | None) -> None:
    """Raises QuotaExceeded if `need` more bytes on top of `used` are more than `quota` (None: no limit)."""
    if quota is not None and used + need > quota:
        raise QuotaExceeded(
            f"the store holds {used} of at most {quota} bytes and {need} more do not fit, nothing was stored; raise "
            "the quota or erase old bundles"
        )


def check_claim(bundle: bytes, held: tuple[str, str, State] | None, plan: str, peer: str) -> None:
    """Raises unless a bundle held as (plan, peer, state) may be claimed for `plan` and `peer`; see `Store.claim`."""
    name = bundle.hex()
    if held is None or held[:2] != (plan, peer):
        raise BundleSpent(f"bundle {name} is not here for this plan and this peer; take another bundle")
    if held[2] == "dealt":
        raise StoreError(f"bundle {name} is dealt but not primed; prime it before it is claimed")
    if held[2] != "primed":
        raise BundleSpent(f"bundle {name} is {held[2]} already and serves only once; take another bundle")


def check_readable(bundle: bytes, state: State | None, *, ours: bool) -> None:
    """Raises BundleSpent unless a bundle in `state` (None: unknown) is dealt, or claimed by the caller (`ours`)."""
    if state == "dealt" or (state == "claimed" and ours):
        return
    name = bundle.hex()
    if state == "primed":
        raise BundleSpent(f"bundle {name} is primed and opens only to the one who claims it; claim it first")
    if state == "claimed":
        raise BundleSpent(f"bundle {name} is claimed by another session and opens only to it; take another bundle")
    raise BundleSpent(f"bundle {name} is {'erased' if state else 'not in this store'}; take another bundle")


def flat(name: str, data: Buffer) -> memoryview:
    """A part's data as a one-dimensional view of bytes, not copied. Raises InvalidInput if that cannot be."""
    if not isinstance(name, str) or not 0 < len(name.encode()) <= _NAME_BYTES:
        raise InvalidInput(f"the name of a part must be text of 1 to {_NAME_BYTES} bytes, not {name!r}")
    if not isinstance(data, bytes | bytearray | memoryview | np.ndarray):
        raise InvalidInput(f"part {name!r} must be bytes or an array, not {type(data).__name__}")
    if isinstance(data, np.ndarray) and data.dtype.hasobject:
        raise InvalidInput(f"part {name!r} is an array of Python objects; store arrays of numbers")
    view = data.data if isinstance(data, np.ndarray) else memoryview(data)
    if not view.c_contiguous:
        raise InvalidInput(f"part {name!r} is not contiguous in memory; pass numpy.ascontiguousarray of it")
    if not view.nbytes:
        return memoryview(b"")
    return data.reshape(-1).view(np.uint8).data if isinstance(data, np.ndarray) else view.cast("B")
