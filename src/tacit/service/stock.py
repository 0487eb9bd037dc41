"""The dealer's stock: servers' parts made in one go with the clients', and kept in memory until they are fetched."""

from __future__ import annotations

import threading
import time
from typing import Any

__all__ = ["STALE_S", "Stock"]

#: After so many seconds parts that nobody fetched give way to others.
STALE_S = 600.0


class Stock:
    """Parts by bundle, at most `limit` bytes in all; what does not fit is not kept, and made again from its seeds.

    Thread-safe. Never prints what it holds.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._promised = limit, 0
        self._sizes: dict[bytes, int] = {}
        self._since: dict[bytes, float] = {}
        self._parts: dict[bytes, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<a stock of {len(self._parts)} bundles>"

    def reserve(self, bundle: bytes, size: int) -> bool:
        """Whether `size` bytes of parts of `bundle` will be kept; False if there is no room."""
        with self._lock:
            now = time.monotonic()
            for old in [b for b, since in self._since.items() if now - since > STALE_S]:
                self._drop(old)
            if bundle in self._sizes or self._promised + size > self._limit:
                return False
            self._sizes[bundle], self._parts[bundle], self._since[bundle] = size, {}, now
            self._promised += size
            return True

    def _drop(self, bundle: bytes) -> tuple[int, dict[str, Any] | None]:
        size, parts = self._sizes.pop(bundle, 0), self._parts.pop(bundle, None)
        self._since.pop(bundle, None)
        self._promised -= size
        return size, parts

    def add(self, bundle: bytes, label: str, part: Any) -> None:
        """Keep one part, if the bundle is still wanted."""
        with self._lock:
            if bundle in self._parts:
                self._parts[bundle][label] = part

    def take(self, bundle: bytes) -> dict[str, Any] | None:
        """The parts of `bundle`, out of the stock; None unless all of them are here."""
        with self._lock:
            size, parts = self._drop(bundle)
        if parts is None or sum(memoryview(part).nbytes for part in parts.values()) != size:
            return None
        return parts
