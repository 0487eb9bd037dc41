"""The transport: a reliable stream of bytes between two parties, under a channel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from tacit.net.party import Party

__all__ = ["Transport"]


class Transport(ABC):
    """A two-way stream of bytes. A new way to carry bytes is one subclass; frames, limits and counting are the
    channel's.

    One thread sends and one receives, maybe the same; `close` may come from any thread and wakes both.
    Two parties that both send before either receives must not block each other for ever.
    """

    peer: Party

    @abstractmethod
    def send(self, buffers: Sequence[memoryview]) -> None:
        """Sends all bytes of flat uint8 `buffers` in order; they may be changed once it returns.

        Raises ChannelClosed if the other end is gone, ChannelTimeout if nothing moved for the time limit.
        """

    @abstractmethod
    def recv_into(self, view: memoryview) -> int:
        """Waits for bytes, writes 1..len(view) of them to the start of `view` and returns how many; 0 at the end of the
        stream.

        Raises ChannelTimeout if nothing came for the time limit, ChannelClosed if the stream broke.
        """

    @abstractmethod
    def set_timeout(self, seconds: float | None) -> None:
        """Limits how long a call waits without any byte moving; None waits for ever."""

    @abstractmethod
    def close(self, linger: float = 0.0) -> None:
        """Ends the stream after what was sent; harmless when repeated.

        `linger` > 0 keeps discarding what the peer still sends, for at most that many seconds, so that a last word
        already sent reaches a peer that is busy sending (a socket closed with unread bytes would destroy it).
        """
