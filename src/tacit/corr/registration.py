"""What a party keeps once per model, plan and peer: the masked weights D = W - A, or the secret seed that A comes from.

    folder/
      <id>/record    kind, plan, model commitment, peer, salt, part names; written last of what `begin` writes
      <id>/<number>  one part, behind its SHA-256
      <id>/whole     the SHA-256 over all parts; written when the registration is complete
      <id>/seed      the seed, behind a SHA-256 of record and seed (mode 0600)

Every file is written under a temporary name, synced, renamed and checked on every load. D reveals nothing about W to
those who do not know A, so parts are not encrypted; the seed is a key and never leaves this folder but through `seed`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from tacit.corr.faults import storage_faults
from tacit.corr.segments import fsync_folder, write_all
from tacit.corr.store import Buffer, check_id, flat
from tacit.errors import InvalidFile, InvalidInput, Mismatch

__all__ = ["Kind", "Registration", "Registrations", "whole_digest"]

Kind: TypeAlias = Literal["weights", "seed"]

_DIGEST: Final = 32
_SEED_LENGTHS: Final = (16, 32)


class Registration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a registration is bound to.

    id: 16 random bytes; kind: "weights" at the client, "seed" at server and dealer; plan: digest of the plan (hex);
    model: commitment to the weights (hex); peer: fingerprint of the other party; salt: public randomness in A's PRG.
    """

    id: bytes
    kind: Kind
    plan: str
    model: str
    peer: str
    salt: bytes


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file `record`: version of the format, the registration and the names of its parts, in order."""

    version: Literal[1]
    registration: Registration
    names: tuple[str, ...]


@dataclass(frozen=True)
class _Folder:
    """An opened registration: its folder, its record, and the record's file, to which the seed is bound."""

    path: Path
    record: _Record
    raw: bytes


def whole_digest(digests: Mapping[str, bytes]) -> bytes:
    """SHA-256 over the names and SHA-256 digests (32 B) of all parts, in the order given: what both parties compare."""
    total = hashlib.sha256(b"tacit registration 1")
    for name, digest in digests.items():
        encoded = name.encode()
        total.update(len(encoded).to_bytes(2, "little") + encoded + digest)
    return total.digest()


class Registrations:
    """The registrations of one party, in folder `path` (created if missing).

    Raises StoreError if the folder cannot be used (QuotaExceeded: the disk is full), InvalidFile for a damaged file,
    InvalidInput for a malformed argument, Mismatch if an id is asked for under other terms than it was made for.
    Threads and processes may share the folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        with storage_faults(self._path):
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def __repr__(self) -> str:
        return f"Registrations({str(self._path)!r})"

    def begin(self, registration: Registration, names: Sequence[str]) -> None:
        """Start receiving the parts of a "weights" registration, or go on with one that was interrupted.

        `names` are all parts to come, in the order of the plan's layers. Raises Mismatch if this id was begun for
        another plan, model, peer, salt or list of parts.
        """
        _check(registration, "weights")
        if len(set(names)) != len(names) or not names:
            raise InvalidInput("the parts of a registration need at least one name, and each name once")
        for name in names:
            flat(name, b"")
        with storage_faults(self._path):
            self._create(_Record(1, registration, tuple(names)))

    def add(self, identity: bytes, name: str, data: Buffer, digest: bytes) -> None:
        """Keep one part, durably; `digest` is its SHA-256 (32 B) as the sender computed it.

        Raises InvalidInput if the data does not match or the name is not expected. Adding a part twice replaces it.
        """
        with storage_faults(self._path):
            held = self._open(identity)
            path = held.path / str(_position(held, name))
            view = flat(name, data)
            if not compare_digest(hashlib.sha256(view).digest(), digest):
                raise InvalidInput(f"part {name!r} of registration {identity.hex()} arrived altered; fetch it again")
            # A part that comes after completion makes the whole unconfirmed again.
            (held.path / "whole").unlink(missing_ok=True)
            _write(path, [memoryview(digest), view])

    def missing(self, identity: bytes) -> tuple[str, ...]:
        """The names of the parts still to come, in order; those cut short or altered on the disk count as missing."""
        with storage_faults(self._path):
            held = self._open(identity)
            return tuple(name for name in held.record.names if _digest_of(held, name) is None)

    def finish(self, identity: bytes, digest: bytes) -> None:
        """Complete a registration; `digest` is the peer's `whole_digest` over all parts in order.

        Raises InvalidInput if parts are missing or the digest differs.
        """
        with storage_faults(self._path):
            held = self._open(identity)
            found = {name: _digest_of(held, name) for name in held.record.names}
            digests = {name: value for name, value in found.items() if value is not None}
            if len(digests) != len(found):
                raise InvalidInput(f"registration {identity.hex()} lacks parts; ask for those that missing() names")
            if not compare_digest(whole_digest(digests), digest):
                raise InvalidInput(
                    f"registration {identity.hex()} is not what the peer sent; remove it, register again"
                )
            _write(held.path / "whole", [memoryview(digest)])
            for draft in held.path.glob("*.draft"):
                draft.unlink(missing_ok=True)

    def complete(self, identity: bytes) -> bool:
        """Whether all parts of a "weights" registration arrived and were confirmed, or a seed is kept."""
        with storage_faults(self._path):
            held = self._open(identity)
            name = "whole" if held.record.registration.kind == "weights" else "seed"
            return (held.path / name).exists()

    def load_part(self, identity: bytes, name: str) -> memoryview:
        """One part of a complete registration, read-only and checked. Raises InvalidFile if it was altered."""
        with storage_faults(self._path):
            held = self._open(identity)
            path = held.path / str(_position(held, name))
            if not (held.path / "whole").exists():
                raise InvalidInput(f"registration {identity.hex()} is not complete; fetch its missing parts first")
            digest, data = _read_part(path)
            if digest is None:
                raise InvalidFile(f"{path} (part {name!r}) was altered or truncated; remove it and register again")
            return data

    def save_seed(self, registration: Registration, seed: bytes) -> None:
        """Keep the secret seed (16 or 32 B) of a "seed" registration, durably and readable to its owner alone.

        Raises Mismatch if this id has other terms or another seed already.
        """
        _check(registration, "seed")
        if not isinstance(seed, bytes) or len(seed) not in _SEED_LENGTHS:
            raise InvalidInput("the seed of a registration must be 16 or 32 bytes from the system's generator")
        with storage_faults(self._path):
            held = self._create(_Record(1, registration, ()))
            path = held.path / "seed"
            bound = hashlib.sha256(held.raw + seed).digest()
            _write(path, [memoryview(bound), memoryview(seed)], once=True)
            if not compare_digest(self._read_seed(held), seed):
                raise _mismatch(registration.id, "seed", "a new one", "an older one")

    def seed(self, registration: Registration) -> bytes:
        """The seed kept under exactly these terms. Raises Mismatch if it was saved under others."""
        _check(registration, "seed")
        with storage_faults(self._path):
            held = self._open(registration.id)
            _same_terms(held.record.registration, registration)
            return self._read_seed(held)

    def _read_seed(self, held: _Folder) -> bytes:
        """The seed of an opened registration. Raises InvalidFile if it is missing, short or altered."""
        path = held.path / "seed"
        raw = path.read_bytes() if path.exists() else b""
        bound, seed = raw[:_DIGEST], raw[_DIGEST:]
        if len(seed) not in _SEED_LENGTHS or not compare_digest(hashlib.sha256(held.raw + seed).digest(), bound):
            raise InvalidFile(f"{path} is missing, altered or truncated; remove the registration and register again")
        return seed

    def get(self, identity: bytes) -> Registration:
        """The terms of a registration. Raises InvalidInput if there is none with this id."""
        with storage_faults(self._path):
            return self._open(identity).record.registration

    def find(self, kind: Kind, plan: str, peer: str, model: str | None = None) -> Registration | None:
        """The newest complete registration of a plan with a peer, of one model if named; None if there is none."""
        with storage_faults(self._path):
            found = [
                (held.path.stat().st_mtime_ns, held.record.registration)
                for held in map(self._open, self._identities())
                if self.complete(held.record.registration.id)
            ]
        wanted = [
            (time, terms)
            for time, terms in found
            if (terms.kind, terms.plan, terms.peer) == (kind, plan, peer) and model in (None, terms.model)
        ]
        return max(wanted, key=lambda item: item[0])[1] if wanted else None

    def list(self) -> tuple[Registration, ...]:
        """The terms of all registrations, complete or not, by id."""
        with storage_faults(self._path):
            return tuple(self._open(identity).record.registration for identity in self._identities())

    def remove(self, identity: bytes) -> None:
        """Forget a registration; its seed is overwritten first. Removing one that is not there is fine."""
        folder = self._path / check_id(identity)
        with storage_faults(self._path):
            for seed in folder.glob("seed*"):
                with seed.open("r+b") as file:
                    file.write(bytes(seed.stat().st_size))
                    file.flush()
                    os.fsync(file.fileno())
            for name in ("whole", "record"):
                (folder / name).unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            fsync_folder(self._path)

    def _identities(self) -> Sequence[bytes]:
        """The ids that have a record, sorted."""
        return sorted(bytes.fromhex(path.parent.name) for path in self._path.glob("[0-9a-f]*/record"))

    def _create(self, record: _Record) -> _Folder:
        """The registration of a record: a new one, or the one of its id if it has the same terms and parts."""
        folder = self._path / check_id(record.registration.id)
        if not (folder / "record").exists():
            folder.mkdir(mode=0o700, exist_ok=True)
            fsync_folder(self._path)
            _write(folder / "record", [memoryview(_sealed(record))], once=True)
        held = self._open(record.registration.id)
        _same_terms(held.record.registration, record.registration)
        if held.record.names != record.names:
            raise _mismatch(record.registration.id, "list of parts", len(record.names), len(held.record.names))
        return held

    def _open(self, identity: bytes) -> _Folder:
        """An existing registration, its record checked."""
        folder = self._path / check_id(identity)
        path = folder / "record"
        if not path.exists():
            raise InvalidInput(f"there is no registration {identity.hex()} in {self._path}; register first")
        raw = path.read_bytes()
        try:
            if not compare_digest(hashlib.sha256(raw[_DIGEST:]).digest(), raw[:_DIGEST]):
                raise msgspec.DecodeError("its digest differs")
            record = msgspec.json.decode(raw[_DIGEST:], type=_Record)
        except msgspec.DecodeError as error:
            raise InvalidFile(f"{path} was altered or is of another version ({error}); register again") from None
        if record.registration.id != identity:
            raise InvalidFile(f"{path} is the record of another registration; remove the folder and register again")
        return _Folder(folder, record, raw)


def _check(registration: Registration, kind: Kind) -> None:
    """Raises InvalidInput unless the terms are well formed and of this kind."""
    check_id(registration.id)
    if registration.kind != kind:
        raise InvalidInput(f"registration {registration.id.hex()} is of kind {registration.kind!r}, not {kind!r}")
    for what in ("plan", "model", "peer"):
        if not getattr(registration, what):
            raise InvalidInput(f"the {what} of registration {registration.id.hex()} is empty; pass its digest")


def _same_terms(held: Registration, asked: Registration) -> None:
    """Raises Mismatch naming the first term in which two registrations of one id differ."""
    names = {"kind": "kind", "plan": "plan digest", "model": "model commitment", "peer": "peer", "salt": "salt"}
    for field, words in names.items():
        ours, theirs = getattr(asked, field), getattr(held, field)
        if ours != theirs:
            shown = (ours.hex(), theirs.hex()) if isinstance(ours, bytes) else (ours, theirs)
            raise _mismatch(held.id, words, *shown)


def _mismatch(identity: bytes, field: str, asked: object, kept: object) -> Mismatch:
    """The refusal to use one registration under two sets of terms, with the reason in its message."""
    error = Mismatch(f"registration kept as {identity.hex()}", field, asked, kept)
    error.args = (f"{error}; the same A under two weight sets would leak their difference, so register again",)
    return error


def _position(held: _Folder, name: str) -> int:
    """The number of a part. Raises InvalidInput if the registration has no such part."""
    if name not in held.record.names:
        raise InvalidInput(f"registration {held.record.registration.id.hex()} has no part {name!r}; see its plan")
    return held.record.names.index(name)


def _digest_of(held: _Folder, name: str) -> bytes | None:
    """The digest of a part that is there and intact, else None."""
    path = held.path / str(_position(held, name))
    return _read_part(path)[0] if path.exists() else None


def _read_part(path: Path) -> tuple[bytes | None, memoryview]:
    """A part's digest (None if the data does not match it) and its data."""
    raw = memoryview(path.read_bytes() if path.exists() else b"")
    digest, data = bytes(raw[:_DIGEST]), raw[_DIGEST:]
    intact = compare_digest(hashlib.sha256(data).digest(), digest)
    return (digest if intact else None), data


def _sealed(record: _Record) -> bytes:
    """A record as its file holds it: SHA-256 (32 B), then JSON."""
    body = msgspec.json.encode(record)
    return hashlib.sha256(body).digest() + body


def _write(path: Path, pieces: Sequence[memoryview], *, once: bool = False) -> None:
    """Write a file whole or not at all, durably, readable to its owner alone; `once`: an older file stays instead."""
    draft = path.with_name(f"{path.name}.{os.urandom(8).hex()}.draft")
    try:
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            for piece in pieces:
                write_all(file, piece)
            os.fsync(file)
        finally:
            os.close(file)
        if not once:
            draft.rename(path)
        elif not path.exists():
            # A link, unlike a rename, cannot displace what another process wrote meanwhile.
            with suppress(FileExistsError):
                path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
    fsync_folder(path.parent)
