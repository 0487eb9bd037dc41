"""The bundle keys: one file of 32-byte slots, overwritten in place when a bundle is erased.

Keys are kept out of the index on purpose: a database copies the pages it changes into journals, which are unlinked
but not overwritten, so a key could be found on the disk after its row is gone. A slot has one place and is zeroed
there. (A flash disk or a copying file system may still keep old blocks: full-disk encryption answers for those.)
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tacit.corr.seal import KEY_BYTES
from tacit.errors import InvalidFile, StoreError

__all__ = ["Slots"]

_HEADER: Final = b"tacit bundle keys 1".ljust(KEY_BYTES, b"\0")
_EMPTY: Final = bytes(KEY_BYTES)


class Slots:
    """The key file at `path`; slot numbers start at 1. Raises InvalidFile if the file is not a key file.

    Threads may share it. After `close` every method raises StoreError, so that no key goes to a reused descriptor.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._descriptor).st_size == 0:
            # Two processes that both see an empty file write the same header.
            os.pwrite(self._descriptor, _HEADER, 0)
            os.fsync(self._descriptor)
        if os.pread(self._descriptor, KEY_BYTES, 0) != _HEADER:
            self.close()
            raise InvalidFile(f"{path} is not a key file of this version; move the store away and deal new material")

    @contextmanager
    def _file(self) -> Iterator[int]:
        """The open descriptor, for one thread at a time."""
        with self._lock:
            if self._descriptor is None:
                raise StoreError(f"the key file {self._path} is closed; open the store again")
            yield self._descriptor

    def write(self, slot: int, key: bytes) -> None:
        """Put a key of 32 bytes into a slot; durable only after `sync`. Raises OSError."""
        with self._file() as file:
            if os.pwrite(file, key, slot * KEY_BYTES) != KEY_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def read(self, slot: int) -> bytes | None:
        """The key in a slot, or None if it was destroyed or never written."""
        with self._file() as file:
            key = os.pread(file, KEY_BYTES, slot * KEY_BYTES)
        return None if len(key) < KEY_BYTES or key == _EMPTY else key

    def destroy(self, slots: Iterable[int]) -> None:
        """Overwrite keys with zeros where they lie, durably. Raises OSError."""
        for slot in slots:
            self.write(slot, _EMPTY)
        self.sync()

    def sync(self) -> None:
        """Wait until every slot is on the disk. Raises OSError."""
        with self._file() as file:
            os.fdatasync(file)

    def close(self) -> None:
        """Let the file go; a second call does nothing."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
            self._descriptor = None
