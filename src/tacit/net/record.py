"""The recorder: a digest of everything that crossed a channel, and the frames themselves on request."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from tacit.net.channel import Channel
from tacit.net.frame import Kind

__all__ = ["Frame", "Recorder", "record"]


@dataclass(frozen=True)
class Frame:
    """One frame as it crossed the wire, seen from one side; its payload never prints."""

    direction: Literal["sent", "received"]
    kind: Kind
    nbytes: int
    payload: bytes = field(repr=False)


class Recorder:
    """A `channel.Tap`: SHA-256 over all message and data frames (header and payload) of each direction, in order.

    What one party sent is what the other received, so `sent_digest` of one side equals `received_digest` of the other.
    With `keep` the frames are kept in `frames`, for tests, wire baselines and audits: that needs as much memory as was
    sent.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self.frames: list[Frame] = []
        self._keep = keep
        self._sent = hashlib.sha256()
        self._received = hashlib.sha256()

    @property
    def sent_digest(self) -> str:
        """SHA-256 of what left so far, as 64 hex digits."""
        return self._sent.hexdigest()

    @property
    def received_digest(self) -> str:
        """SHA-256 of what arrived so far, as 64 hex digits."""
        return self._received.hexdigest()

    def sent(self, kind: Kind, header: bytes, payload: Sequence[memoryview]) -> None:
        """See `channel.Tap.sent`."""
        self._sent.update(header)
        for part in payload:
            self._sent.update(part)
        if self._keep:
            whole = b"".join(payload)
            self.frames.append(Frame("sent", kind, len(header) + len(whole), whole))

    def received(self, kind: Kind, header: bytes, payload: memoryview) -> None:
        """See `channel.Tap.received`."""
        self._received.update(header)
        self._received.update(payload)
        if self._keep:
            self.frames.append(Frame("received", kind, len(header) + len(payload), bytes(payload)))


def record(channel: Channel, *, keep: bool = False) -> Recorder:
    """Starts recording `channel` from here on, in place of any tap it had."""
    recorder = Recorder(keep=keep)
    channel.tap = recorder
    return recorder
