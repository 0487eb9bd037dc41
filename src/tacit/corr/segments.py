"""The segment files: sealed parts of bundles, one file per dealing or priming, written once and never changed."""

from __future__ import annotations

import errno
import itertools
import os
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tacit.corr.seal import OVERHEAD, InvalidTag, seal, unseal
from tacit.errors import StoreError

__all__ = ["Draft", "Place", "Segment", "Segments", "fsync_folder", "write_all"]

# Parts from this size on, in bytes, are announced to the system before they are read.
_LARGE: Final = 1 << 20


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


class Draft:
    """A segment file being written: sealed parts one after the other, as they come.

    Nothing of it counts before its row is in the index. Raises OSError.
    """

    def __init__(self, path: Path, bundle: bytes, key: bytes) -> None:
        self._path, self._bundle, self._key = path, bundle, key
        self._places: list[Place] = []
        self._size = 0
        self._opened: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def __repr__(self) -> str:
        return f"<draft of {len(self._places)} parts>"

    @property
    def name(self) -> str:
        """The name of the file."""
        return self._path.name

    @property
    def segment(self) -> Segment:
        """What the file holds so far."""
        return Segment(self.name, self._size, tuple(self._places))

    def add(self, name: str, data: memoryview) -> None:
        """Seal a part and write it at the end."""
        if self._opened is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        seal(self._key, _label(self._bundle, self.name, name, len(data)), data, partial(write_all, self._opened))
        self._places.append(Place(name, self._size, len(data)))
        self._size += len(data) + OVERHEAD

    def sync(self) -> None:
        """Wait until the content is on the disk, and close the file; a second call does nothing."""
        if self._opened is not None:
            os.fsync(self._opened)
            self.close()

    def close(self) -> None:
        """Close the file as it is; a second call does nothing."""
        opened, self._opened = self._opened, None
        if opened is not None:
            os.close(opened)


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

    def draft(self, bundle: bytes, key: bytes) -> Draft:
        """A new file of a bundle with this id and key, empty and open."""
        with self._lock:
            name = f"{self._writer}.{next(self._numbers):08x}"
        return Draft(self._folder / name, bundle, key)

    def settle(self, drafts: Sequence[Draft]) -> None:
        """Wait until drafts and their names are on the disk, and close them."""
        for draft in drafts:
            draft.sync()
        if drafts:
            fsync_folder(self._folder)

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
            if place.length >= _LARGE:  # the disk is at the next bytes while these are decrypted
                os.posix_fadvise(opened, place.start, place.length + OVERHEAD, os.POSIX_FADV_WILLNEED)
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
