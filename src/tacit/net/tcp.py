"""Plain TCP: connecting, listening, and one clear sentence for each way it fails. Nothing here is encrypted."""

from __future__ import annotations

import errno
import math
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from tacit.errors import ChannelClosed, ChannelError, ChannelTimeout, InvalidInput
from tacit.net.address import DEFAULT_PORT, Address, parse_address
from tacit.net.channel import Channel
from tacit.net.party import Party
from tacit.net.sockets import SocketTransport

__all__ = ["Incoming", "Listener", "connect", "dial"]

_RETRY_S = 0.1
_SLICE_S = 0.5
_BACKLOG = 128


def connect(address: Address | str, *, timeout: float = 10.0, patience: float = 0.0) -> Channel:
    """A channel to the party that listens at `address`, which nothing proves: only for links that are private already.

    Arguments and errors as in `dial`.
    """
    target = address if isinstance(address, Address) else parse_address(address)
    return Channel(SocketTransport(dial(target, timeout, patience), Party(str(target))))


def dial(address: Address, timeout: float, patience: float = 0.0) -> socket.socket:
    """A connected TCP socket. Waits `timeout` seconds for an answer, and tries again for `patience` seconds while
    nobody listens.

    Raises InvalidInput if the host cannot be found, ChannelTimeout if nothing answers, ChannelClosed if nobody listens
    there.
    """
    give_up = time.monotonic() + patience
    while True:
        try:
            return socket.create_connection((address.host, address.port), timeout)
        except (socket.gaierror, UnicodeError):
            raise InvalidInput(f"cannot find the host {address.host!r} of {address}; check the name") from None
        except TimeoutError:
            raise ChannelTimeout(
                f"nothing answered at {address} within {timeout:g} s; check host and firewall"
            ) from None
        except ConnectionRefusedError:
            if time.monotonic() >= give_up:
                raise ChannelClosed(f"nobody listens at {address}; check that the party there is running") from None
            time.sleep(_RETRY_S)
        except OSError as error:
            raise ChannelClosed(f"cannot reach {address}: {error.strerror or type(error).__name__}") from None


class Incoming:
    """A caller whose connection stands but whose handshake is still to be done: `open` it, best in a thread of its
    own.
    """

    def __init__(self, sock: socket.socket, caller: str, handshake: Callable[[socket.socket, str], Channel]) -> None:
        self.caller = caller
        self._sock = sock
        self._handshake = handshake

    def open(self) -> Channel:
        """Does the handshake and returns the channel. Raises ChannelError; the connection is closed then."""
        return self._handshake(self._sock, self.caller)

    def close(self) -> None:
        """Hangs up without a handshake."""
        self._sock.close()


class Listener:
    """Listens on one TCP port. `host` "" means every interface; `port` 0 any free one, which `port` then tells.

    Raises InvalidInput if the port is taken or not allowed, or the host is not this machine's. `close` may come from
    any thread.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = DEFAULT_PORT) -> None:
        self._closed = False
        self._sock = _listen(Address(host, port))
        self.host = host
        self.port: int = self._sock.getsockname()[1]

    @property
    def address(self) -> Address:
        """Where it listens."""
        return Address(self.host or socket.gethostname(), self.port)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait(self, timeout: float | None = None) -> Incoming:
        """Waits for the next caller.

        Raises ChannelTimeout if none came within `timeout` seconds, ChannelClosed once closed.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while not self._closed:
            left = deadline - time.monotonic()
            with suppress(BlockingIOError, ConnectionAbortedError):
                if self._ready(max(0.0, min(left, _SLICE_S))):
                    return self._take()
            if left <= 0:
                raise ChannelTimeout(f"nobody called at {self.address} within {timeout or 0.0:g} s")
        raise ChannelClosed(f"this side stopped listening at port {self.port}")

    def accept(self, timeout: float | None = None) -> Channel:
        """The channel to the next caller, handshake done. Raises as `wait` and `Incoming.open`."""
        return self.wait(timeout).open()

    def close(self) -> None:
        """Stops listening; channels already open stay."""
        self._closed = True
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _handshake(self, sock: socket.socket, caller: str) -> Channel:
        return Channel(SocketTransport(sock, Party(caller)))

    def _ready(self, seconds: float) -> bool:
        try:
            poll = select.poll()
            poll.register(self._sock.fileno(), select.POLLIN)
            return bool(poll.poll(math.ceil(seconds * 1000)))
        except (OSError, ValueError):  # closed between the check and here
            return False

    def _take(self) -> Incoming:
        try:
            sock, where = self._sock.accept()
        except (BlockingIOError, ConnectionAbortedError):
            raise
        except OSError as error:
            if self._closed:
                raise ChannelClosed(f"this side stopped listening at port {self.port}") from None
            raise ChannelError(f"cannot take another caller at {self.address}: {error.strerror}") from None
        return Incoming(sock, str(Address(where[0], where[1])), self._handshake)


def _listen(address: Address) -> socket.socket:
    host, port = address.host, address.port
    where = f"port {port} of {host or 'this machine'}"
    try:
        if not host and socket.has_dualstack_ipv6():
            sock = socket.create_server(("", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
        else:
            found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            sock = socket.create_server(found[0][4][:2], family=found[0][0], backlog=_BACKLOG)
    except (socket.gaierror, UnicodeError):
        raise InvalidInput(f"cannot listen at {where}: there is no such host") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InvalidInput(f"{where} is in use; stop what listens there or choose another port") from None
        if error.errno == errno.EACCES:
            raise InvalidInput(f"listening at {where} is not allowed; choose a port from 1024 up") from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise InvalidInput(f"cannot listen at {where}: that is not an address of this machine") from None
        raise InvalidInput(f"cannot listen at {where}: {error.strerror or type(error).__name__}") from None
    sock.setblocking(False)
    return sock
