"""The shaper: a transport with the bandwidth and delay of a chosen link, for measuring on one machine."""

from __future__ import annotations

import math
import re
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from tacit.errors import ChannelClosed, ChannelError, ChannelTimeout, InvalidInput
from tacit.net.channel import Channel
from tacit.net.transport import Transport

__all__ = ["LAN", "LINKS", "LOOPBACK", "WAN", "WAN1G", "Link", "Shaped", "parse_link", "shape"]

_CHUNK = 1 << 16
_BACKLOG = 1 << 26
_FLUSH_GRACE_S = 5.0


@dataclass(frozen=True)
class Link:
    """A symmetric link: `bandwidth_bits_per_s` each way (math.inf: unlimited) and the round trip `rtt_s` in seconds."""

    name: str
    bandwidth_bits_per_s: float
    rtt_s: float

    def seconds(self, nbytes: int) -> float:
        """The least time from the start of sending `nbytes` to the arrival of the last bit."""
        return 8 * nbytes / self.bandwidth_bits_per_s + self.rtt_s / 2


LOOPBACK = Link("loopback", math.inf, 0.0)
LAN = Link("lan", 1e9, 0.5e-3)
WAN = Link("wan", 100e6, 40e-3)
WAN1G = Link("wan1g", 1e9, 100e-3)
LINKS = {link.name: link for link in (LOOPBACK, LAN, WAN, WAN1G)}

_LINK = re.compile(r"(?P<rate>\d+(?:\.\d+)?)(?P<unit>[kmg])bit/(?P<rtt>\d+(?:\.\d+)?)(?P<part>ms|s)")
_UNITS = {"k": 1e3, "m": 1e6, "g": 1e9, "ms": 1e-3, "s": 1.0}


def parse_link(text: str) -> Link:
    """Reads "loopback", "lan", "wan", "wan1g", or a rate and a round trip such as "100mbit/40ms".

    Raises InvalidInput.
    """
    name = text.strip().lower()
    if name in LINKS:
        return LINKS[name]
    match = _LINK.fullmatch(name)
    if match is None or float(match["rate"]) == 0:
        raise InvalidInput(
            f"{text!r} is not a link; write one of {', '.join(LINKS)}, or a rate and a round trip: 100mbit/40ms"
        )
    return Link(name, float(match["rate"]) * _UNITS[match["unit"]], float(match["rtt"]) * _UNITS[match["part"]])


def shape(channel: Channel, link: Link) -> Channel:
    """Makes what `channel` sends from here on take the time of `link`.

    The peer does the same for the other direction. LOOPBACK is the line as it is: nothing is put in between.
    """
    if link != LOOPBACK:
        channel.wrap(lambda transport: Shaped(transport, link))
    return channel


class Shaped(Transport):
    """Delays what is sent through `inner` as `link` would: a first-in-first-out line with a rate, then half the round
    trip.

    Bytes leave in chunks of at most 64 KiB; a chunk is handed to `inner` no earlier than its last bit would have
    arrived. Only the sending direction is shaped, so both parties wrap their end. Overheads of TCP, IP and TLS and the
    ramp-up of TCP are not modelled, and a TLS handshake done before wrapping is not delayed. `send` blocks while 64 MiB
    wait for the line.
    """

    def __init__(self, inner: Transport, link: Link) -> None:
        self.peer = inner.peer
        self.link = link
        self._inner = inner
        self._timeout: float | None = None
        self._queue: deque[tuple[float, memoryview]] = deque()
        self._waiting = 0
        self._line_free = 0.0
        self._changed = threading.Condition()
        self._failure: ChannelError | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._deliver, name=f"tacit-shaper-{link.name}", daemon=True)
        self._thread.start()

    def send(self, buffers: Sequence[memoryview]) -> None:
        """See `Transport.send`; returns once the bytes wait for the line.

        An error in delivery is raised by a later call.
        """
        whole = memoryview(b"".join(buffers))
        for start in range(0, len(whole), _CHUNK):
            self._enqueue(whole[start : start + _CHUNK])

    def recv_into(self, view: memoryview) -> int:
        """See `Transport.recv_into`."""
        return self._inner.recv_into(view)

    def set_timeout(self, seconds: float | None) -> None:
        """See `Transport.set_timeout`."""
        self._timeout = seconds
        self._inner.set_timeout(seconds)

    def close(self, linger: float = 0.0) -> None:
        """See `Transport.close`; first waits until the line has carried what was sent, if the peer takes it."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            line = max(0.0, self._line_free - time.monotonic()) + self.link.rtt_s / 2
        self._thread.join(line + _FLUSH_GRACE_S)
        self._inner.close(linger)

    def _enqueue(self, chunk: memoryview) -> None:
        with self._changed:
            room = self._changed.wait_for(
                lambda: self._waiting < _BACKLOG or self._failure or self._closed, self._timeout
            )
            if self._failure is not None:
                raise self._failure
            if self._closed:
                raise ChannelClosed("this channel was closed on this side")
            if not room:
                raise ChannelTimeout(f"{self.peer} took nothing for {self._timeout or 0.0:g} s")
            start = max(time.monotonic(), self._line_free)
            self._line_free = start + 8 * len(chunk) / self.link.bandwidth_bits_per_s
            self._queue.append((self._line_free + self.link.rtt_s / 2, chunk))
            self._waiting += len(chunk)
            self._changed.notify_all()

    def _deliver(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return
                due, chunk = self._queue[0]
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                self._inner.send([chunk])
            except ChannelError as error:
                self._fail(error)
                return
            with self._changed:
                self._queue.popleft()
                self._waiting -= len(chunk)
                self._changed.notify_all()

    def _fail(self, error: ChannelError) -> None:
        with self._changed:
            self._failure = error
            self._queue.clear()
            self._changed.notify_all()
