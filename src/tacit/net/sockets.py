"""The transport over a connected socket: never blocks for ever, drains what comes in while it cannot send."""

from __future__ import annotations

import math
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from tacit.errors import ChannelClosed, ChannelError, ChannelTimeout
from tacit.net.party import Party
from tacit.net.transport import Transport

__all__ = ["SocketTransport"]

# What a sender takes in for later while its own bytes do not leave; beyond that it stops reading, and the peer must
# read first.
_SPILL_LIMIT = 1 << 26
_SPILL_CHUNK = 1 << 18
# How soon a sender looks again whether it should drain, if the receiving side was busy in another thread.
_RECHECK_S = 0.05
_MAX_GATHER = 64


class SocketTransport(Transport):
    """Bytes over a connected stream socket, which it owns. `tls.TLSTransport` replaces the two lowest steps.

    The socket does not block; waiting is one poll with a time limit. When both parties send large data at once, each
    drains the other's bytes (up to 64 MiB) instead of waiting for the other to read first.
    """

    def __init__(self, sock: socket.socket, peer: Party) -> None:
        self.peer = peer
        self._sock = sock
        self._timeout: float | None = None
        self._send_lock = threading.RLock()
        self._recv_lock = threading.RLock()
        self._spill: deque[memoryview] = deque()
        self._spilled = 0
        self._ended = False
        self._closed = False
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            with suppress(OSError):  # the peer may be gone already; the first call will tell
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def send(self, buffers: Sequence[memoryview]) -> None:
        """See `Transport.send`."""
        with self._send_lock:
            try:
                self._send_all(deque(self._arrange([view for view in buffers if len(view)])))
            except OSError as error:
                self._check_open()
                raise self._explain(error) from None

    def recv_into(self, view: memoryview) -> int:
        """See `Transport.recv_into`."""
        with self._recv_lock:
            if self._spill:
                return self._unspill(view)
            try:
                return self._receive(view)
            except OSError as error:
                self._check_open()
                raise self._explain(error) from None

    def set_timeout(self, seconds: float | None) -> None:
        """See `Transport.set_timeout`."""
        self._timeout = seconds

    def close(self, linger: float = 0.0) -> None:
        """See `Transport.close`."""
        if self._closed:
            return
        self._closed = True
        # The methods of the plain socket: those of a TLS socket would drop its encryption while another thread still
        # uses it.
        with suppress(OSError):
            if linger > 0:
                socket.socket.shutdown(self._sock, socket.SHUT_WR)
                self._discard(time.monotonic() + linger)
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
        with self._send_lock, self._recv_lock:
            self._sock.close()

    def _send_all(self, pending: deque[memoryview]) -> None:
        deadline = self._deadline()
        while pending:
            self._check_open()
            written = self._write(pending)
            if written is not None:
                _advance(pending, written)
                deadline = self._deadline()
            elif self._await_room(deadline):
                deadline = self._deadline()

    def _receive(self, view: memoryview) -> int:
        deadline: float | None = None
        while not self._ended:
            self._check_open()
            count = self._read(view)
            if count is None:
                deadline = self._deadline() if deadline is None else deadline
                self._poll(select.POLLIN, deadline)
            elif count:
                return count
            else:
                self._ended = True
        self._check_open()
        return 0

    def _arrange(self, buffers: list[memoryview]) -> Sequence[memoryview]:
        """The buffers in the pieces that suit `_write` best."""
        return buffers

    def _write(self, pending: deque[memoryview]) -> int | None:
        """Sends some bytes from the front of `pending` and returns how many; None if that would block."""
        try:
            return self._sock.sendmsg([pending[i] for i in range(min(len(pending), _MAX_GATHER))])
        except BlockingIOError:
            return None

    def _read(self, view: memoryview) -> int | None:
        """Reads some bytes into `view` and returns how many, 0 at the end; None if that would block."""
        try:
            return self._sock.recv_into(view)
        except BlockingIOError:
            return None

    def _explain(self, error: OSError) -> ChannelError:
        """What to raise for an error of the socket."""
        if isinstance(error, TimeoutError):
            return ChannelTimeout(f"{self.peer} does not answer any more; the network between may be down")
        if isinstance(error, ConnectionError):
            return ChannelClosed(f"{self.peer} closed the connection")
        return ChannelClosed(f"the connection to {self.peer} broke: {error.strerror or type(error).__name__}")

    def _check_open(self) -> None:
        if self._closed:
            raise ChannelClosed("this channel was closed on this side")

    def _deadline(self) -> float:
        return math.inf if self._timeout is None else time.monotonic() + self._timeout

    def _poll(self, events: int, deadline: float, at_most: float = math.inf) -> int:
        """Waits for `events` and returns those that came, none after `at_most` seconds.

        Raises ChannelTimeout at `deadline`.
        """
        poll = select.poll()
        poll.register(self._sock.fileno(), events)
        left = deadline - time.monotonic() if deadline < math.inf else math.inf
        wait = min(left, at_most)
        ready = poll.poll(None if wait == math.inf else max(0, math.ceil(wait * 1000)))
        if ready:
            return ready[0][1]
        if left <= at_most:
            raise ChannelTimeout(f"{self.peer} said nothing for {self._timeout or 0.0:g} s")
        return 0

    def _await_room(self, deadline: float) -> bool:
        """Waits until the socket may take more, draining what the peer sends meanwhile.

        True if something was drained.
        """
        if self._ended or self._spilled >= _SPILL_LIMIT or not self._recv_lock.acquire(blocking=False):
            self._poll(select.POLLOUT, deadline, _RECHECK_S)
            return False
        try:
            ready = self._poll(select.POLLOUT | select.POLLIN, deadline)
            return bool(ready & select.POLLIN) and self._drain()
        finally:
            self._recv_lock.release()

    def _drain(self) -> bool:
        chunk = memoryview(bytearray(_SPILL_CHUNK))
        count = self._read(chunk)
        if count == 0:
            self._ended = True
        if not count:
            return False
        self._spill.append(chunk[:count] if count > _SPILL_CHUNK // 2 else memoryview(bytes(chunk[:count])))
        self._spilled += count
        return True

    def _unspill(self, view: memoryview) -> int:
        chunk = self._spill.popleft()
        count = min(len(view), len(chunk))
        view[:count] = chunk[:count]
        self._spilled -= count
        if count < len(chunk):
            self._spill.appendleft(chunk[count:])
        return count

    def _discard(self, deadline: float) -> None:
        """Throws away what the peer sends until it ends or the time is over."""
        poll = select.poll()
        poll.register(self._sock.fileno(), select.POLLIN)
        while (left := deadline - time.monotonic()) > 0 and poll.poll(math.ceil(left * 1000)):
            if not socket.socket.recv(self._sock, _SPILL_CHUNK):
                return


def _advance(pending: deque[memoryview], written: int) -> None:
    """Drops `written` bytes from the front."""
    while written:
        front = pending.popleft()
        if written < len(front):
            pending.appendleft(front[written:])
            return
        written -= len(front)
