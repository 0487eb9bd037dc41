"""TLS 1.3 with a certificate on both sides, each pinned by the other."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tacit.errors import ChannelClosed, ChannelError, ChannelTimeout, InvalidInput, NotPermitted, PeerError, PeerRefused
from tacit.net.address import DEFAULT_PORT, Address, parse_address
from tacit.net.channel import Channel
from tacit.net.keys import Certificate, load_identity, peers
from tacit.net.message import Message
from tacit.net.meter import Meter
from tacit.net.party import Party
from tacit.net.sockets import SocketTransport
from tacit.net.tcp import Listener as TCPListener
from tacit.net.tcp import dial

__all__ = ["Listener", "TLSTransport", "client_context", "connect", "server_context"]

_RECORD = 1 << 14
_CHUNK = 1 << 18

_NOT_ENROLLED = "its certificate is not enrolled on this side; enrol it, or forget and enrol it anew if it changed"
# Why our own check of the peer's certificate failed (OpenSSL's X509_V_ERR codes).
_VERIFY = {
    9: "its certificate is not valid yet; check the clocks of both machines",
    10: "its certificate has expired; it must make a new identity, to be enrolled here",
}
# What the peer says about our certificate (TLS alerts as OpenSSL names them, without prefix).
_ALERTS = {
    "CERTIFICATE_REQUIRED": "it wants a certificate and this side sent none",
    "CERTIFICATE_EXPIRED": "this side's certificate has expired; make a new identity and have it enrolled there",
    "BAD_CERTIFICATE": "this side's certificate is not good there, maybe not valid yet; check both clocks",
    "UNKNOWN_CA": "this side's certificate is not enrolled there; have it enrolled, anew if it changed",
    "CERTIFICATE_UNKNOWN": "this side's certificate is not enrolled there; have it enrolled, anew if it changed",
    "PROTOCOL_VERSION": "it does not speak TLS 1.3",
    "HANDSHAKE_FAILURE": "it shares no TLS cipher with this side",
}
_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it sent no certificate; both sides need one",
    "WRONG_VERSION_NUMBER": "it does not speak TLS; check that neither side was told to use plain TCP",
    "HTTP_REQUEST": "it speaks HTTP, not Tacit",
    "UNSUPPORTED_PROTOCOL": "it does not speak TLS 1.3",
}


class _Welcome(Message, frozen=True, tag="welcome"):
    """The server's first frame: only then does the client know that its certificate was accepted (RFC 8446, section
    4.4.4).
    """


class TLSTransport(SocketTransport):
    """Bytes over a TLS socket whose handshake is done, which it owns.

    The TLS state is guarded, so one thread may send while another receives.
    """

    def __init__(self, sock: ssl.SSLSocket, peer: Party) -> None:
        super().__init__(sock, peer)
        self._tls = sock
        self._tls_lock = threading.Lock()

    def _arrange(self, buffers: list[memoryview]) -> Sequence[memoryview]:
        return _records(buffers)

    def _write(self, pending: deque[memoryview]) -> int | None:
        with self._tls_lock:
            try:
                return self._tls.send(pending[0][:_CHUNK])
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return None

    def _read(self, view: memoryview) -> int | None:
        with self._tls_lock:
            try:
                return self._tls.recv_into(view)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return None

    def _explain(self, error: OSError) -> ChannelError:
        if isinstance(error, ssl.SSLError):
            return _explain_tls(error, self.peer)
        return super()._explain(error)


class Listener(TCPListener):
    """Listens for peers enrolled in `home`; enrolling and forgetting take effect with the next caller.

    `handshake_timeout` bounds the whole handshake, in seconds. Raises as `tcp.Listener`, and InvalidInput without a
    valid identity.
    """

    def __init__(
        self, home: Path, host: str = "127.0.0.1", port: int = DEFAULT_PORT, *, handshake_timeout: float = 10.0
    ) -> None:
        self._trust = _Trust(home)
        self._handshake_timeout = handshake_timeout
        super().__init__(host, port)

    def _handshake(self, sock: socket.socket, caller: str) -> Channel:
        try:
            context, enrolled = self._trust.current()
        except BaseException:
            sock.close()
            raise
        channel = _handshake(context, sock, Party(caller), enrolled, self._handshake_timeout, server=True)
        return _ready(channel, lambda: channel.send_message(_Welcome()), self._handshake_timeout)


def connect(
    address: Address | str, home: Path, *, expect: str | None = None, timeout: float = 10.0, patience: float = 0.0
) -> Channel:
    """A channel to the enrolled peer `expect` (name or fingerprint) that listens at `address`, each side's certificate
    accepted.

    `expect` may be left out only if a single peer is enrolled: the right one must be there, not just any that is known.
    `timeout` bounds each step (connecting, handshake, welcome) in seconds; for `patience` seconds it tries again while
    nobody listens. Raises InvalidInput (no identity, no such peer, unknown host), PeerError (the peer's certificate is
    not the pinned one), PeerRefused (it did not accept ours), ChannelTimeout, ChannelClosed.
    """
    target = address if isinstance(address, Address) else parse_address(address)
    known = peers(home)
    context, enrolled = _context(home, ssl.PROTOCOL_TLS_CLIENT, known), {peer.fingerprint: peer for peer in known}
    wanted = _wanted(enrolled, expect, home)
    sock = dial(target, timeout, patience)
    channel = _handshake(context, sock, Party(str(target)), enrolled, timeout, server=False)
    if channel.peer.fingerprint != wanted.fingerprint:
        channel.refuse(NotPermitted(f"this side called {wanted.name!r} and reached {channel.peer.name!r}"))
        channel.close()
        raise PeerError(f"{target} is {channel.peer.name!r}, not {wanted.name!r}; check the address")
    return _ready(channel, lambda: channel.recv_message(_Welcome), timeout)


def server_context(home: Path) -> ssl.SSLContext:
    """TLS settings of a listening party: version 1.3 only, a certificate of an enrolled peer demanded, no session
    tickets.

    The settings check the chain; who called is told by the fingerprint afterwards. Raises InvalidInput, InvalidFile.
    """
    return _server_context(home, peers(home))


def client_context(home: Path) -> ssl.SSLContext:
    """TLS settings of a calling party: version 1.3 only, enrolled certificates only.

    No host names, for the fingerprint decides.
    """
    return _context(home, ssl.PROTOCOL_TLS_CLIENT, peers(home))


def _server_context(home: Path, enrolled: Sequence[Certificate]) -> ssl.SSLContext:
    context = _context(home, ssl.PROTOCOL_TLS_SERVER, enrolled)
    context.num_tickets = 0
    return context


def _context(home: Path, protocol: int, enrolled: Sequence[Certificate]) -> ssl.SSLContext:
    identity = load_identity(home)
    identity.certificate.check_time()
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    # An enrolled certificate is trusted for itself, whoever signed it.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_cert_chain(identity.path)
    except (ssl.SSLError, OSError):
        raise InvalidInput(f"{identity.path} is damaged: its key and certificate do not fit; restore it") from None
    if enrolled:
        context.load_verify_locations(cadata="".join(peer.pem for peer in enrolled))
    return context


class _Trust:
    """A server's settings and its enrolled peers by fingerprint, read anew when the identity or the peers changed on
    disk.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._state = self._look()
        self._current = self._load()

    def current(self) -> tuple[ssl.SSLContext, dict[str, Certificate]]:
        """What holds now. Raises InvalidInput, InvalidFile."""
        with self._lock:
            state = self._look()
            if state != self._state:
                self._current = self._load()
                self._state = state
            return self._current

    def _load(self) -> tuple[ssl.SSLContext, dict[str, Certificate]]:
        enrolled = peers(self._home)
        return _server_context(self._home, enrolled), {peer.fingerprint: peer for peer in enrolled}

    def _look(self) -> list[tuple[str, int, int, int]]:
        seen = []
        for path in [self._home / "identity.pem", *sorted((self._home / "peers").glob("*.pem"))]:
            with suppress(FileNotFoundError):
                found = path.stat()
                seen.append((path.name, found.st_ino, found.st_mtime_ns, found.st_size))
        return seen


def _wanted(enrolled: dict[str, Certificate], expect: str | None, home: Path) -> Certificate:
    names = ", ".join(sorted(peer.name for peer in enrolled.values())) or "none"
    found = [peer for peer in enrolled.values() if expect is None or expect in (peer.name, peer.fingerprint)]
    if not found:
        what = "no peer" if expect is None else repr(expect)
        raise InvalidInput(
            f"{what} is enrolled in {home} (enrolled: {names}); enrol the certificate of the party to call"
        )
    if len(found) > 1:
        raise InvalidInput(f"several peers are enrolled in {home}; say which one to expect: {names}")
    found[0].check_time()
    return found[0]


def _handshake(
    context: ssl.SSLContext,
    sock: socket.socket,
    caller: Party,
    enrolled: dict[str, Certificate],
    timeout: float,
    *,
    server: bool,
) -> Channel:
    """Does the TLS handshake on `sock`, which is closed on failure, and names the party by its certificate."""
    end = sock
    try:
        sock.settimeout(timeout)
        end = tls = context.wrap_socket(sock, server_side=server, do_handshake_on_connect=False)
        tls.do_handshake()
        seen = hashlib.sha256(tls.getpeercert(binary_form=True) or b"").hexdigest()
    except OSError as error:
        end.close()
        raise _explain_tls(error, caller) from None
    except BaseException:
        end.close()
        raise
    if seen not in enrolled:  # signed by an enrolled key, maybe, but not enrolled itself
        with Channel(TLSTransport(tls, caller)) as channel:
            channel.refuse("this certificate is not enrolled here, whoever signed it")
        raise PeerError(f"{caller} was turned away: {_NOT_ENROLLED}")
    return Channel(TLSTransport(tls, Party(enrolled[seen].name, seen)))


def _ready(channel: Channel, welcome: Callable[[], object], timeout: float) -> Channel:
    """The channel once `welcome` is done, as its user gets it: no time limit, and nothing of the welcome in its
    counts.
    """
    try:
        channel.set_timeout(timeout)
        welcome()
    except BaseException:
        channel.close()
        raise
    channel.set_timeout(None)
    channel.meter = Meter()
    return channel


def _explain_tls(error: OSError, peer: Party) -> ChannelError:
    """One sentence for what went wrong with TLS: PeerError if this side turned the peer away, PeerRefused if the peer
    did.
    """
    if isinstance(error, TimeoutError):
        return ChannelTimeout(f"{peer} did not finish the TLS handshake in time")
    if isinstance(error, ssl.SSLCertVerificationError):
        return PeerError(f"{peer} was turned away: {_VERIFY.get(error.verify_code, _NOT_ENROLLED)}")
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError):
        return ChannelClosed(f"{peer} closed the connection during TLS; its own log may say why")
    reason = error.reason or "UNKNOWN"
    if "_ALERT_" in reason:
        alert = reason.split("_ALERT_", 1)[1]
        return PeerRefused(f"{peer} refused: {_ALERTS.get(alert, 'TLS alert ' + alert.lower().replace('_', ' '))}")
    return PeerError(
        f"{peer} was turned away: {_REASONS.get(reason, 'TLS failed with ' + reason.lower().replace('_', ' '))}"
    )


def _records(buffers: list[memoryview]) -> Sequence[memoryview]:
    """The same bytes in pieces that fill TLS records: small neighbours joined, the start of a large one used to fill
    up.
    """
    pieces: list[memoryview] = []
    joined = bytearray()
    for view in buffers:
        if len(view) < _RECORD and len(joined) + len(view) <= _CHUNK:
            joined += view
            continue
        cut = -len(joined) % _RECORD if joined else 0
        joined += view[:cut]
        pieces += [memoryview(joined)] if joined else []
        pieces += [view[cut:]] if len(view) > cut else []
        joined = bytearray()
    return [*pieces, memoryview(joined)] if joined else pieces
