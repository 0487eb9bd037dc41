"""Frames, messages and greetings, written from docs/protocol.md (sections 1 to 3) alone: sockets, TLS, MessagePack."""

from __future__ import annotations

import hashlib
import socket
import ssl
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["NOBODY", "Identity", "Refused", "Wire", "accept", "dial"]

MESSAGE, DATA, REFUSAL, BYE = 1, 2, 3, 4
NOBODY = "0" * 64
VERSIONS = {"protocol": 1, "plan_format": 2, "kernels": 1}


class Refused(Exception):
    """The other side sent a refusal; `fields` are what it says."""

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__(f"{fields['code']}: {fields['text']}")
        self.fields = fields


@dataclass(frozen=True)
class Identity:
    """Whom to be and whom to expect: a PEM file with key and certificate, and the other side's certificate."""

    own: Path
    peer: Path

    @property
    def fingerprint(self) -> str:
        """The other side's, 64 hex digits."""
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.peer.read_text())).hexdigest()

    def wrap(self, line: socket.socket, *, server: bool) -> ssl.SSLSocket:
        """`line` after the handshake, the other side's certificate being the pinned one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        if server:
            context.num_tickets = 0
        context.load_verify_locations(self.peer)
        context.load_cert_chain(self.own)
        safe = context.wrap_socket(line, server_side=server)
        seen = hashlib.sha256(safe.getpeercert(binary_form=True) or b"").hexdigest()
        assert seen == self.fingerprint, "another certificate than the pinned one"
        return safe


class Wire:
    """Frames over one connection; `peer` is the other side's fingerprint."""

    def __init__(self, line: socket.socket, peer: str) -> None:
        self.line = line
        self.peer = peer

    def send(self, name: str, **fields: Any) -> None:
        """One message."""
        self._write(MESSAGE, msgspec.msgpack.encode({"type": name, **fields}))

    def send_data(self, payload: bytes) -> None:
        """One data frame."""
        self._write(DATA, payload)

    def receive(self, *names: str) -> dict[str, Any]:
        """The next message, which must have one of these names. EOFError after a bye."""
        message = dict(msgspec.msgpack.decode(self._read(MESSAGE)))
        assert message["type"] in names, f"{message['type']} came, not {names}"
        return message

    def receive_data(self, size: int) -> bytes:
        """The next data frame, which must have `size` bytes."""
        payload = self._read(DATA)
        assert len(payload) == size, f"{len(payload)} bytes came, not {size}"
        return payload

    def greet(self, role: str, theirs: str) -> None:
        """Exchange and compare greetings."""
        self.send("Hello", role=role, **VERSIONS)
        assert self.receive("Hello") == {"type": "Hello", "role": theirs, **VERSIONS}

    def close(self) -> None:
        """Say bye, if the other side still listens, and close."""
        with suppress(OSError):
            self._write(BYE, b"")
        self.line.close()

    def _write(self, kind: int, payload: bytes) -> None:
        self.line.sendall(struct.pack("<IBBH", len(payload), kind, 1, 0) + payload)

    def _read(self, expected: int) -> bytes:
        length, kind, version, zero = struct.unpack("<IBBH", self._exactly(8))
        payload = self._exactly(length)
        if kind == REFUSAL:
            raise Refused(msgspec.msgpack.decode(payload))
        if kind == BYE:
            raise EOFError("the other side said bye")
        assert (kind, version, zero) == (expected, 1, 0), f"a frame of kind {kind}, version {version} came"
        return payload

    def _exactly(self, size: int) -> bytes:
        got = bytearray()
        while len(got) < size:
            part = self.line.recv(size - len(got))
            if not part:
                raise EOFError(f"closed after {len(got)} of {size} bytes")
            got += part
        return bytes(got)


def dial(address: str, role: str, theirs: str, identity: Identity | None) -> Wire:
    """Call tacit://host:port as `role`, over TLS with `identity` or plainly without, and greet."""
    host, port = address.removeprefix("tacit://").rsplit(":", 1)
    line: socket.socket = socket.create_connection((host, int(port)), timeout=20)
    if identity is None:
        wire = Wire(line, NOBODY)
    else:
        wire = Wire(identity.wrap(line, server=False), identity.fingerprint)
        assert wire.receive("welcome") == {"type": "welcome"}
    wire.greet(role, theirs)
    return wire


def accept(listener: socket.socket, identity: Identity | None) -> Wire:
    """The next caller of a server, greeted."""
    line, _ = listener.accept()
    line.settimeout(20)
    if identity is None:
        wire = Wire(line, NOBODY)
    else:
        wire = Wire(identity.wrap(line, server=True), identity.fingerprint)
        wire.send("welcome")
    wire.greet("server", "client")
    return wire
