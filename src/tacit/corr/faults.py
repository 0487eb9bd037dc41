"""How failures of the disk and of the index become Tacit's errors."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tacit.errors import InvalidFile, QuotaExceeded, StoreError, TacitError

__all__ = ["storage_faults"]

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def storage_faults(path: Path) -> Iterator[None]:
    """Turn OSError and sqlite3.Error raised inside into QuotaExceeded (disk full), InvalidFile or StoreError.

    `path` is the folder that the message names.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _from_index(error, path) from error
    except OSError as error:
        raise _from_disk(error, path) from error


def _from_disk(error: OSError, path: Path) -> TacitError:
    """The error for a failed file operation under `path`."""
    if error.errno in _DISK_FULL:
        return QuotaExceeded(f"the disk under {path} is full, nothing was stored; free space or erase old bundles")
    reason = error.strerror or type(error).__name__
    return StoreError(f"cannot use {error.filename or path}: {reason}; check the folder, its owner and its permissions")


def _from_index(error: sqlite3.Error, path: Path) -> TacitError:
    """The error for a failed statement on the index in `path`."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return QuotaExceeded(f"the disk under {path} is full, nothing was stored; free space or erase old bundles")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(f"the store {path} is held by another process for too long; see which one, then try again")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return InvalidFile(f"the index of the store {path} is damaged; move the folder away and deal new material")
    return StoreError(f"the index of the store {path} failed ({error}); check the disk and the folder's permissions")
