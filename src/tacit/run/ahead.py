"""Ahead: an iterable that is worked off in a thread of its own, a bounded number of bytes before its consumer."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

__all__ = ["AHEAD_BYTES", "Ahead"]

T = TypeVar("T")

#: How much is made or read before it is wanted, in bytes.
AHEAD_BYTES: Final = 256 << 20


class Ahead(Generic[T]):
    """Iterates over `items`, whose `size` in bytes is given, while a thread makes the next ones.

    The thread pauses while `limit` bytes or more wait, but always makes one. An error of `items` is raised where the
    item that failed would have come. Used in a `with` statement, or closed, by the one thread that iterates.
    """

    def __init__(self, items: Iterable[T], size: Callable[[T], int], limit: int = AHEAD_BYTES) -> None:
        self._items, self._size, self._limit = items, size, limit
        self._waiting: deque[T] = deque()
        self._held = 0
        self._ended = self._closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, daemon=True, name="tacit-ahead")
        self._thread.start()

    def __repr__(self) -> str:
        return f"<{len(self._waiting)} items ahead>"

    def _work(self) -> None:
        try:
            items = iter(self._items)
            while self._offer(
                next(items)
            ):  # in no name of this thread's, so that the consumer alone keeps an item alive
                pass
        except StopIteration:
            pass
        except BaseException as error:  # raised again in the consumer's thread
            self._error = error
        finally:
            self._items = ()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _offer(self, item: T) -> bool:
        """Hand over an item and wait until the next is wanted; False if none is any more."""
        with self._changed:
            self._waiting.append(item)
            self._held += self._size(item)
            self._changed.notify_all()
            del item
            self._changed.wait_for(lambda: self._closed or self._held < self._limit or not self._waiting)
            return not self._closed

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended)
            if self._waiting:
                item = self._waiting.popleft()
                self._held -= self._size(item)
                self._changed.notify_all()
                return item
        if self._error is not None and not self._closed:
            raise self._error
        raise StopIteration

    def wait(self, count: int) -> None:
        """Wait until `count` bytes are ready, or as many as the limit allows, or all. Raises what `items` raised."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._held >= min(count, self._limit))
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Have the thread end after the item that it is at, and forget what is ready; any thread may call it."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._held = 0
            self._changed.notify_all()

    def close(self) -> None:
        """Stop, and wait for the thread."""
        self.stop()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
