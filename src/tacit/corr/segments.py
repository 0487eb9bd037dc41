"""The segment files: sealed parts of bundles, one file per put or prime, written once and never changed."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tacit.corr.seal import OVERHEAD, InvalidTag, seal, unseal
from tacit.errors import StoreError

__all__ = ["Place", "Segment", "Segments", "fsync_folder", "sealed_bytes", "write_all"]

# Files open at once while a batch is written; all of a group are written before the first is waited for.
_GROUP: Final = 64


@dataclass(frozen=True)
class Place:
    """Where a part lies in its file: offset of the sealed bytes, and length of the plain ones, both in bytes."""

    name: str
    start: int
    length: int


@dataclass(frozen=True)
class Segment:
    """One written file: its name, its size in bytes, and the places of its parts."""

    file: str
    size: int
    places: tuple[Place, ...]


def sealed_bytes(parts: Mapping[str, memoryview]) -> int:
    """The size in bytes of the file that these parts will make."""
    return sum(len(data) + OVERHEAD for data in parts.values())


def fsync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def write_all(file: int, data: memoryview) -> None:
    """Write all of `data` at the file's position, however many calls that takes."""
    while data:
        data = data[os.write(file, data) :]


class Segments:
    """The folder of segment files. A name is `writer.number`: never used twice, and it tells who must have made it.

    A file becomes part of the store only with its row in the index, which is written last; so it needs no temporary
    name, and a file without a row whose writer is gone is rubbish.
    """

    def __init__(self, folder: Path, writer: str) -> None:
        self._folder = folder
        self._writer = writer
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def reserve(self, count: int) -> tuple[str, ...]:
        """`count` new file names."""
        with self._lock:
            return tuple(f"{self._writer}.{number:08x}" for number in itertools.islice(self._numbers, count))

    def write(self, jobs: Sequence[tuple[str, bytes, bytes, Mapping[str, memoryview]]]) -> tuple[Segment, ...]:
        """Write and sync one file per job (file name, bundle id, key, parts); on failure none of them stays."""
        done: list[Segment] = []
        try:
            for first in range(0, len(jobs), _GROUP):
                done.extend(self._write_group(jobs[first : first + _GROUP]))
            fsync_folder(self._folder)
        except BaseException:
            self.remove(job[0] for job in jobs)
            raise
        return tuple(done)

    def _write_group(self, jobs: Sequence[tuple[str, bytes, bytes, Mapping[str, memoryview]]]) -> list[Segment]:
        """Write all files of a group, then wait for them: the first wait pays for most of the rest."""
        done: list[Segment] = []
        with ExitStack() as files:
            opened: list[int] = []
            for name, bundle, key, parts in jobs:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                opened.append(os.open(self._folder / name, flags, 0o600))
                files.callback(os.close, opened[-1])
                done.append(_write_parts(opened[-1], name, bundle, key, parts))
            for file in opened:
                os.fsync(file)
        return done

    def read(self, file: str, bundle: bytes, key: bytes, place: Place) -> memoryview:
        """One part, decrypted and authenticated, read-only. Raises StoreError if it is missing, short or altered."""
        path = self._folder / file
        where = f"part {place.name!r} of bundle {bundle.hex()} in {path}"
        try:
            opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise StoreError(f"{where} is missing; erase the bundle and take another") from None
        try:
            os.lseek(opened, place.start, os.SEEK_SET)
            fill = partial(_fill, opened, where)
            return unseal(key, _label(bundle, file, place.name, place.length), place.length, fill)
        except InvalidTag:
            raise StoreError(f"{where} was altered; erase the bundle, take another and check the disk") from None
        finally:
            os.close(opened)

    def remove(self, files: Iterable[str]) -> None:
        """Unlink files; those already gone are fine."""
        for file in files:
            (self._folder / file).unlink(missing_ok=True)

    def sizes(self) -> dict[str, int]:
        """The size in bytes of every file in the folder, by name."""
        found: dict[str, int] = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                # Another process may be removing a file that it has no use for.
                with suppress(FileNotFoundError):
                    found[entry.name] = entry.stat(follow_symlinks=False).st_size
        return found


def _write_parts(opened: int, file: str, bundle: bytes, key: bytes, parts: Mapping[str, memoryview]) -> Segment:
    """Seal parts one after the other into an open file."""
    places: list[Place] = []
    start = 0
    for name, data in parts.items():
        seal(key, _label(bundle, file, name, len(data)), data, partial(write_all, opened))
        places.append(Place(name, start, len(data)))
        start += len(data) + OVERHEAD
    return Segment(file, start, tuple(places))


def _fill(opened: int, where: str, view: memoryview) -> None:
    """Fill `view` from an open file. Raises StoreError if the file ends first."""
    while view:
        count = os.readv(opened, [view])
        if not count:
            raise StoreError(f"{where} was truncated; erase the bundle, take another and check the disk")
        view = view[count:]


def _label(bundle: bytes, file: str, name: str, length: int) -> bytes:
    """What a sealed part is bound to: format, bundle, file, name and length, so none can stand in for another."""
    fields = (b"tacit part 1", bundle, file.encode(), name.encode(), length.to_bytes(8, "little"))
    return b"".join(len(field).to_bytes(2, "little") + field for field in fields)
