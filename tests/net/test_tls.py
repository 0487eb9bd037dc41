"""Only the pinned peer gets in, and each side hears in one sentence why not."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from tacit.errors import (
    ChannelClosed,
    ChannelTimeout,
    InvalidInput,
    NotPermitted,
    PeerError,
    PeerRefused,
    TacitError,
)
from tacit.net import Channel, Party, keys, tcp, tls
from tacit.net.address import Address
from tacit.net.meter import Counts

Outcome = Channel | TacitError


def attempt(call: Callable[[], Channel]) -> Outcome:
    try:
        return call()
    except TacitError as error:
        return error


@contextmanager
def meet(listener: tls.Listener, call: Callable[[], Channel]) -> Iterator[tuple[Outcome, Outcome]]:
    """What the caller and the listener got: a channel or an error each."""
    served: list[Outcome] = []
    thread = threading.Thread(target=lambda: served.append(attempt(lambda: listener.accept(10.0))))
    thread.start()
    called = attempt(call)
    thread.join()
    try:
        yield called, served[0]
    finally:
        for end in (called, served[0]):
            if isinstance(end, Channel):
                end.close()


@pytest.fixture
def homes(tmp_path: Path) -> tuple[Path, Path]:
    """Homes of a client and a server that have enrolled each other."""
    client, server = tmp_path / "client", tmp_path / "server"
    keys.make_identity(client, "client")
    keys.make_identity(server, "server")
    keys.enrol(client, server / "certificate.pem", "the-server")
    keys.enrol(server, client / "certificate.pem", "the-client")
    return client, server


def write_identity(
    home: Path, name: str, begin_days: float, end_days: float, *, issuer: Path | None = None, ca: bool = False
) -> keys.Identity:
    """An identity valid between two offsets from now, signed by itself or by the identity of the home `issuer`."""
    key, now = Ed25519PrivateKey.generate(), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, by = key, subject
    if issuer is not None:
        raw = (issuer / "identity.pem").read_bytes()
        loaded = serialization.load_pem_private_key(raw, None)
        assert isinstance(loaded, Ed25519PrivateKey)
        signer, by = loaded, x509.load_pem_x509_certificates(raw[raw.index(b"-----BEGIN CERT") :])[0].subject
    certificate = (
        x509.CertificateBuilder(by, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now + timedelta(days=begin_days))
        .not_valid_after(now + timedelta(days=end_days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(signer, None)
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    home.mkdir(exist_ok=True)
    path = home / "identity.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + public
    )
    path.chmod(0o600)
    (home / "certificate.pem").write_bytes(public)
    return keys.load_identity(home)


def test_both_sides_know_each_other(homes: tuple[Path, Path]) -> None:
    client, server = homes
    prints = [keys.load_identity(home).certificate.fingerprint for home in homes]
    with (
        tls.Listener(server, port=0) as listener,
        meet(listener, lambda: tls.connect(str(listener.address), client)) as (ours, theirs),
    ):
        assert isinstance(ours, Channel)
        assert isinstance(theirs, Channel)
        assert ours.peer == Party("the-server", prints[1])
        assert theirs.peer == Party("the-client", prints[0])
        assert ours.meter.snapshot().total == theirs.meter.snapshot().total == Counts()
        parts = [np.full(n, n % 251, np.uint8) for n in (1, 100, 16383, 16384, 70000, 3, 300000, 5, 16000, 16000)]
        ours.send_data(*parts)
        assert bytes(theirs.recv_data(sum(p.size for p in parts))) == b"".join(p.tobytes() for p in parts)


@pytest.mark.parametrize("expect", ["the-server", "fingerprint"])
def test_the_expected_peer_may_be_named_or_pinned(homes: tuple[Path, Path], expect: str) -> None:
    client, server = homes
    name = keys.load_identity(server).certificate.fingerprint if expect == "fingerprint" else expect
    with (
        tls.Listener(server, port=0) as listener,
        meet(listener, lambda: tls.connect(listener.address, client, expect=name)) as (ours, _),
    ):
        assert isinstance(ours, Channel)


def test_a_client_that_is_not_enrolled(homes: tuple[Path, Path], tmp_path: Path) -> None:
    _, server = homes
    stranger = tmp_path / "stranger"
    keys.make_identity(stranger, "client")  # the same common name as the enrolled one
    keys.enrol(stranger, server / "certificate.pem", "the-server")
    with (
        tls.Listener(server, port=0) as listener,
        meet(listener, lambda: tls.connect(listener.address, stranger)) as (ours, theirs),
    ):
        assert isinstance(ours, PeerRefused)
        assert "is not enrolled there" in str(ours)
        assert isinstance(theirs, PeerError)
        assert "not enrolled on this side" in str(theirs)


def test_a_server_that_is_not_the_enrolled_one(homes: tuple[Path, Path], tmp_path: Path) -> None:
    client, _ = homes
    other = tmp_path / "other"
    keys.make_identity(other, "server")
    keys.enrol(other, client / "certificate.pem", "the-client")
    with (
        tls.Listener(other, port=0) as listener,
        meet(listener, lambda: tls.connect(listener.address, client)) as (ours, theirs),
    ):
        assert isinstance(ours, PeerError)
        assert "not enrolled on this side" in str(ours)
        assert isinstance(theirs, PeerRefused)
        assert "not enrolled there" in str(theirs)


def test_another_known_party_at_the_address(homes: tuple[Path, Path], tmp_path: Path) -> None:
    """The dealer is enrolled too, but it is not the server."""
    client, _ = homes
    dealer = tmp_path / "dealer"
    keys.make_identity(dealer, "dealer")
    keys.enrol(dealer, client / "certificate.pem", "the-client")
    keys.enrol(client, dealer / "certificate.pem", "the-dealer")
    with tls.Listener(dealer, port=0) as listener:
        with pytest.raises(InvalidInput, match="several peers"):
            tls.connect(listener.address, client)
        with pytest.raises(InvalidInput, match="'nobody' is enrolled"):
            tls.connect(listener.address, client, expect="nobody")
        with meet(listener, lambda: tls.connect(listener.address, client, expect="the-server")) as (ours, theirs):
            assert isinstance(ours, PeerError)
            assert "is 'the-dealer', not 'the-server'" in str(ours)
            assert isinstance(theirs, Channel)
            with pytest.raises(NotPermitted, match="reached 'the-dealer'"):
                theirs.recv_data(1)


@pytest.mark.parametrize("ca", [False, True])
def test_a_peer_cannot_vouch_for_others(homes: tuple[Path, Path], tmp_path: Path, ca: bool) -> None:
    """A certificate signed by an enrolled one is not itself enrolled, even if the signer calls itself an authority."""
    _, server = homes
    signer, fake = tmp_path / "signer", tmp_path / "fake"
    write_identity(signer, "signer", -1, 30, ca=ca)
    keys.enrol(server, signer / "certificate.pem", "signer")
    write_identity(fake, "fake", -1, 30, issuer=signer)
    keys.enrol(fake, server / "certificate.pem", "the-server")
    with (
        tls.Listener(server, port=0) as listener,
        meet(listener, lambda: tls.connect(listener.address, fake)) as (ours, theirs),
    ):
        assert isinstance(ours, PeerRefused)
        assert ("not enrolled here, whoever signed it" in str(ours)) == ca
        assert isinstance(theirs, PeerError)
        assert "not enrolled on this side" in str(theirs)


@pytest.mark.parametrize(
    ("begin", "end", "here", "there"),
    [(-30, -1, "has expired", "has expired"), (1, 30, "not valid yet", "not valid yet")],
)
@pytest.mark.parametrize("bad_side", ["client", "server"])
def test_certificates_out_of_their_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad_side: str, begin: int, end: int, here: str, there: str
) -> None:
    homes = {name: tmp_path / name for name in ("client", "server")}
    for name, home in homes.items():
        write_identity(home, name, *((begin, end) if name == bad_side else (-1, 30)))
    keys.enrol(homes["client"], homes["server"] / "certificate.pem", "the-server")
    keys.enrol(homes["server"], homes["client"] / "certificate.pem", "the-client")
    # A home notices its own certificate first; two clocks that differ are the other way to get here.
    with pytest.raises(InvalidInput, match=r"expired|not valid before"):
        tls.client_context(homes[bad_side])
    with pytest.raises(InvalidInput, match=r"expired|not valid before"):
        tls.server_context(homes[bad_side])
    monkeypatch.setattr(keys.Certificate, "check_time", lambda self, now=None: None)
    with (
        tls.Listener(homes["server"], port=0) as listener,
        meet(listener, lambda: tls.connect(listener.address, homes["client"])) as outcomes,
    ):
        bad, good = outcomes if bad_side == "client" else outcomes[::-1]
        assert isinstance(bad, PeerRefused)
        assert there in str(bad)
        assert isinstance(good, PeerError)
        assert here in str(good)


def raw_client(address: Address, context: ssl.SSLContext | None, first: bytes = b"") -> bytes:
    """Connects without our code, with TLS if `context` is given; returns what came back before the end."""
    with socket.create_connection((address.host, address.port), 10) as plain:
        try:
            with context.wrap_socket(plain) if context else plain as end:
                end.sendall(first)
                return end.recv(100)
        except OSError:
            return b""


def bare_context(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = version
    return context


@pytest.mark.parametrize(
    ("context", "first", "sentence"),
    [
        (bare_context(ssl.TLSVersion.TLSv1_3), b"", "sent no certificate"),
        (bare_context(ssl.TLSVersion.TLSv1_2), b"", "does not speak TLS 1.3"),
        (None, b"GET / HTTP/1.1\r\n\r\n", "speaks HTTP"),
        (None, bytes([40, 0, 0, 0, 2, 1, 0, 0]) + bytes(40), "does not speak TLS"),
    ],
    ids=["no certificate", "TLS 1.2", "HTTP", "plain frames"],
)
def test_callers_without_our_tls(
    homes: tuple[Path, Path], context: ssl.SSLContext | None, first: bytes, sentence: str
) -> None:
    with tls.Listener(homes[1], port=0) as listener:
        thread = threading.Thread(target=raw_client, args=(listener.address, context, first))
        thread.start()
        with pytest.raises(PeerError, match=sentence):
            listener.accept(10.0)
        thread.join()


def test_plain_and_tls_do_not_mix(homes: tuple[Path, Path]) -> None:
    client, server = homes
    with tcp.Listener(port=0) as plain:
        thread = threading.Thread(target=lambda: attempt_to_read(plain))
        thread.start()
        with pytest.raises(ChannelClosed, match="during TLS"):
            tls.connect(plain.address, client)
        thread.join()
    with (
        tls.Listener(server, port=0) as secure,
        meet(secure, lambda: send_plain(secure.address)) as (ours, theirs),
    ):
        assert isinstance(ours, PeerError | ChannelClosed)
        assert isinstance(theirs, PeerError)


def attempt_to_read(listener: tcp.Listener) -> None:
    with listener.accept(10.0) as channel, pytest.raises(PeerError, match="both sides use TLS or neither"):
        channel.recv_data(1)


def send_plain(address: Address) -> Channel:
    with tcp.connect(address) as channel:
        channel.send_data(bytes(100))
        channel.recv_data(1)
    raise AssertionError("a plain frame was answered")


def test_enrolling_takes_effect_at_once(homes: tuple[Path, Path], tmp_path: Path) -> None:
    _, server = homes
    late = tmp_path / "late"
    keys.make_identity(late, "late")
    keys.enrol(late, server / "certificate.pem", "the-server")
    with tls.Listener(server, port=0) as listener:
        for enrolled in (False, True, False):
            if enrolled:
                keys.enrol(server, late / "certificate.pem", "the-late")
            elif any(peer.name == "the-late" for peer in keys.peers(server)):
                keys.forget(server, "the-late")
            with meet(listener, lambda: tls.connect(listener.address, late)) as (ours, theirs):
                assert isinstance(ours, Channel if enrolled else PeerRefused)
                assert isinstance(theirs, Channel if enrolled else PeerError)


def test_a_silent_caller_is_dropped(homes: tuple[Path, Path]) -> None:
    with tls.Listener(homes[1], port=0, handshake_timeout=0.1) as listener:
        with socket.create_connection(("127.0.0.1", listener.port)), pytest.raises(ChannelTimeout, match="handshake"):
            listener.accept(10.0)
        with socket.create_connection(("127.0.0.1", listener.port)):
            pass
        with pytest.raises(ChannelClosed, match="during TLS"):
            listener.accept(10.0)


def test_a_caller_that_resets_first(homes: tuple[Path, Path]) -> None:
    with tls.Listener(homes[1], port=0) as listener:
        with socket.create_connection(("127.0.0.1", listener.port)) as sock:
            sock.sendall(b"garbage")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with pytest.raises((ChannelClosed, PeerError)):
            listener.accept(10.0)


def test_a_silent_listener_is_left(homes: tuple[Path, Path]) -> None:
    with tcp.Listener(port=0) as plain, pytest.raises(ChannelTimeout, match="TLS handshake in time"):
        tls.connect(plain.address, homes[0], timeout=0.1)


def test_a_home_that_is_not_ready(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no identity yet"):
        tls.Listener(tmp_path, port=0)
    keys.make_identity(tmp_path, "a")
    with pytest.raises(InvalidInput, match="no peer is enrolled"):
        tls.connect("localhost", tmp_path)
    path = tmp_path / "identity.pem"
    path.write_text((tmp_path / "certificate.pem").read_text())
    with pytest.raises(InvalidInput, match="damaged"):
        tls.server_context(tmp_path)
