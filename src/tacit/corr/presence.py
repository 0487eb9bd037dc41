"""Which store objects are alive: each holds a lock on a file of its own, which the system frees when it dies."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

__all__ = ["Presence"]


class Presence:
    """A random token (32 hex digits) with a locked file `folder/token`, for as long as this object is open.

    Process numbers would not do: they are reused, differ between containers, and cannot tell two objects of a process.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.token, self._file = self._enter()

    def _enter(self) -> tuple[str, int]:
        """Create and lock a file; start over if someone took it for a dead one between the two."""
        while True:
            token = os.urandom(16).hex()
            file = os.open(self._folder / token, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(file).st_nlink:
                    return token, file
            os.close(file)

    def gone(self, token: str) -> bool:
        """Whether the store object of `token` has ended, cleanly or not; its file is removed if so."""
        if token == self.token:
            return False
        path = self._folder / token
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except BlockingIOError:
            return False
        finally:
            os.close(file)
        return True

    def others(self) -> list[str]:
        """The tokens of all other objects that have a file, alive or not."""
        return [name for name in os.listdir(self._folder) if name != self.token]

    def close(self) -> None:
        """Remove the file and free the lock."""
        (self._folder / self.token).unlink(missing_ok=True)
        os.close(self._file)
