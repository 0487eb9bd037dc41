"""The parts of a claimed bundle as a run takes them: read ahead of it from the store, each given out once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tacit.corr.store import Store
from tacit.plan.plan import Plan
from tacit.run import material
from tacit.run.ahead import AHEAD_BYTES, Ahead

__all__ = ["WARM_BYTES", "PartStream", "end_bundle"]

#: How much of a bundle is loaded before its run starts, in bytes, unless told otherwise.
WARM_BYTES: Final = 2 << 30


class PartStream(Mapping[str, Any]):
    """What party `rank` holds of a bundle that `store` has claimed, by label; a look-up takes the part away.

    A thread decrypts parts in the order of the plan, at most `warm_bytes` (or AHEAD_BYTES, whichever is more) before
    they are taken, so that a bundle never has to fit in memory. Look-ups raise KeyError for parts that are not there or
    taken already, StoreError, BundleSpent; they belong to one thread.
    """

    def __init__(self, store: Store, bundle: bytes, plan: Plan, rank: int, warm_bytes: int = WARM_BYTES) -> None:
        self._parts = store.parts(bundle)
        self._labels = material.online_parts(plan, rank, self._parts)
        self._left = set(self._labels)
        self._early: dict[str, Any] = {}
        self._warm, self._limit = warm_bytes, max(warm_bytes, AHEAD_BYTES)
        self._ahead: Ahead[tuple[str, Any]] | None = None

    def __repr__(self) -> str:
        return f"<{len(self._left)} of {len(self._labels)} parts of a bundle>"

    def warm(self) -> None:
        """Wait until `warm_bytes` are loaded, or everything. Raises StoreError, BundleSpent."""
        if self._warm:
            self._reading().wait(self._warm)

    def _reading(self) -> Ahead[tuple[str, Any]]:
        """The thread that reads, started when it is first needed."""
        if self._ahead is None:
            self._ahead = Ahead(((label, self._parts[label]) for label in self._labels), _size, self._limit)
        return self._ahead

    def __getitem__(self, label: str) -> Any:
        if label not in self._left:
            raise KeyError(label)
        while label not in self._early:
            found = next(self._reading(), None)
            if found is None:  # stopped meanwhile
                raise KeyError(label)
            self._early[found[0]] = found[1]
            del found
        self._left.discard(label)
        return self._early.pop(label)

    def __contains__(self, label: object) -> bool:
        return label in self._left

    def __iter__(self) -> Iterator[str]:
        return iter([label for label in self._labels if label in self._left])

    def __len__(self) -> int:
        return len(self._left)

    def stop(self) -> None:
        """Forget what was read and read no more; the thread that reads ends by itself. Any thread may call it."""
        self._left.clear()
        self._early.clear()
        if self._ahead is not None:
            self._ahead.stop()

    def close(self) -> None:
        """Stop, and wait for the thread."""
        self.stop()
        if self._ahead is not None:
            self._ahead.close()


def end_bundle(store: Store, bundle: bytes, parts: PartStream | None) -> None:
    """Erase a claimed bundle, then wait for the thread that may still be reading it."""
    if parts is not None:
        parts.stop()
    store.erase(bundle)
    if parts is not None:
        parts.close()


def _size(item: tuple[str, Any]) -> int:
    return len(item[1])
