"""Channels between two threads of one process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from tacit.errors import ChannelClosed, ChannelTimeout
from tacit.net.channel import Channel
from tacit.net.party import Party
from tacit.net.transport import Transport

__all__ = ["MemoryTransport", "pair", "transports"]


class _Pipe:
    """Bytes in one direction, without limit."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.chunks: deque[memoryview] = deque()
        self.ended = False

    def end(self) -> None:
        with self.changed:
            self.ended = True
            self.changed.notify_all()


class MemoryTransport(Transport):
    """One end of a pair of in-process pipes; sending copies once and never blocks. Made by `transports`."""

    def __init__(self, peer: Party, outgoing: _Pipe, incoming: _Pipe) -> None:
        self.peer = peer
        self._outgoing, self._incoming = outgoing, incoming
        self._timeout: float | None = None
        self._closed = False

    def send(self, buffers: Sequence[memoryview]) -> None:
        """See `Transport.send`."""
        chunk = memoryview(b"".join(buffers))
        with self._outgoing.changed:
            if self._closed or self._outgoing.ended:
                raise ChannelClosed(f"{self.peer} closed the connection")
            if chunk:
                self._outgoing.chunks.append(chunk)
                self._outgoing.changed.notify()

    def recv_into(self, view: memoryview) -> int:
        """See `Transport.recv_into`."""
        pipe = self._incoming
        with pipe.changed:
            if not pipe.changed.wait_for(lambda: pipe.chunks or pipe.ended, self._timeout):
                raise ChannelTimeout(f"{self.peer} said nothing for {self._timeout:g} s")
            if self._closed:
                raise ChannelClosed("this channel was closed on this side")
            if not pipe.chunks:
                return 0
            chunk = pipe.chunks.popleft()
            count = min(len(view), len(chunk))
            if count < len(chunk):
                pipe.chunks.appendleft(chunk[count:])
        view[:count] = chunk[:count]
        return count

    def set_timeout(self, seconds: float | None) -> None:
        """See `Transport.set_timeout`."""
        self._timeout = seconds

    def close(self, linger: float = 0.0) -> None:
        """See `Transport.close`; nothing already sent is ever lost here, so `linger` changes nothing."""
        self._closed = True
        self._outgoing.end()
        self._incoming.end()


def transports(left: str = "client", right: str = "server") -> tuple[MemoryTransport, MemoryTransport]:
    """The two ends of an in-process stream, held by parties named `left` and `right`."""
    there, back = _Pipe(), _Pipe()
    return MemoryTransport(Party(right), there, back), MemoryTransport(Party(left), back, there)


def pair(left: str = "client", right: str = "server") -> tuple[Channel, Channel]:
    """Two channels connected in memory: the one that `left` holds (its peer is `right`), then the one that `right`
    holds.
    """
    ours, theirs = transports(left, right)
    return Channel(ours), Channel(theirs)
