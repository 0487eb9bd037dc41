"""The inbox: turns a transport's stream into reads of exact size, with few calls."""

from __future__ import annotations

import time

from tacit.errors import ChannelClosed, ChannelTimeout
from tacit.net.transport import Transport

__all__ = ["Inbox"]

_BUFFER = 1 << 16


class Inbox:
    """Reads ahead into 64 KiB, so that a small frame costs one call; long payloads go straight to where they belong.

    `transport` may be replaced by a layer over it; what was read ahead stays.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._buffer = memoryview(bytearray(_BUFFER))
        self._start = self._end = 0

    def fill(self, view: memoryview, deadline: float | None = None) -> None:
        """Fills the flat uint8 `view` from the stream.

        `deadline` (a time.monotonic value) bounds the whole read; without it only the transport's limit on silence
        holds. Raises ChannelClosed if the stream ends first, ChannelTimeout.
        """
        done = 0
        while done < len(view):
            done += self._some(view[done:])
            if deadline is not None and done < len(view) and time.monotonic() > deadline:
                raise ChannelTimeout(f"{self.transport.peer} took too long over one message")

    def _some(self, view: memoryview) -> int:
        if self._start == self._end:
            target = view if len(view) >= _BUFFER else self._buffer
            count = self.transport.recv_into(target)
            if count == 0:
                peer = self.transport.peer
                raise ChannelClosed(f"{peer} went away without a goodbye; it crashed or the network broke")
            if target is view:
                return count
            self._start, self._end = 0, count
        count = min(len(view), self._end - self._start)
        view[:count] = self._buffer[self._start : self._start + count]
        self._start += count
        return count
