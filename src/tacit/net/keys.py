"""Certificates: the identity of a home, and the peers it trusts, each pinned by fingerprint.

    <home>/identity.pem       private key and certificate, readable by its owner alone; never leaves this machine
    <home>/certificate.pem    the certificate, to give to peers
    <home>/peers/<name>.pem   certificates of peers, under the names this home knows them by

There is no authority above: a home trusts exactly the certificates enrolled here, and a fingerprint is who a party is.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tacit.errors import InvalidFile, InvalidInput

__all__ = ["Certificate", "Identity", "enrol", "fingerprint", "forget", "load_identity", "make_identity", "peers"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FILE_LIMIT = 1 << 16
# Clocks of two machines differ; a certificate made now must already be valid on the other.
_BACKDATE = timedelta(hours=1)


@dataclass(frozen=True)
class Certificate:
    """A certificate under the name that this home knows it by.

    `fingerprint` is the SHA-256 of its DER, 64 hex digits.
    """

    name: str
    fingerprint: str
    not_before: datetime
    not_after: datetime
    pem: str = field(repr=False)

    def check_time(self, now: datetime | None = None) -> None:
        """Raises InvalidInput if `now` (default: the present) is outside the certificate's time."""
        now = datetime.now(UTC) if now is None else now
        if now > self.not_after:
            end = f"{self.not_after:%Y-%m-%d}"
            raise InvalidInput(
                f"the certificate of {self.name!r} expired on {end}; make a new identity and enrol it anew"
            )
        if now < self.not_before:
            start = f"{self.not_before:%Y-%m-%d %H:%M}"
            raise InvalidInput(f"the certificate of {self.name!r} is not valid before {start} UTC; check the clocks")


@dataclass(frozen=True)
class Identity:
    """This home's own certificate, and the file that holds it together with its private key (which is never read into
    here).
    """

    certificate: Certificate
    path: Path


def fingerprint(pem: str | bytes) -> str:
    """SHA-256 over the DER of the one certificate in `pem`, as 64 lower-case hex digits. Raises InvalidFile."""
    return _parse(pem, "this text", "").fingerprint


def make_identity(home: Path, name: str, *, hosts: Sequence[str] = (), days: int = 825) -> Identity:
    """Makes a fresh Ed25519 key and a self-signed certificate for `name`, valid for `days`, in `home` (created if
    missing).

    `hosts` (names or addresses) are written into the certificate for readers; peers go by the fingerprint alone.
    Raises InvalidInput if the home has an identity already: it is never overwritten, for peers have pinned it.
    """
    _check_name(name)
    if not 1 <= days <= 36500:
        raise InvalidInput(f"a certificate cannot be valid for {days} days; choose 1 to 36500")
    key = Ed25519PrivateKey.generate()
    certificate = _self_signed(key, name, hosts, days)
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home / "identity.pem"
    try:
        _write_new(path, private + public, 0o600)
    except FileExistsError:
        raise InvalidInput(
            f"{home} has an identity already; move it away first, and enrol the new one at every peer"
        ) from None
    with suppress(FileNotFoundError):
        (home / "certificate.pem").unlink()
    _write_new(home / "certificate.pem", public, 0o644)
    return load_identity(home)


def load_identity(home: Path) -> Identity:
    """The identity of `home`.

    Raises InvalidInput if there is none or others may read its key, InvalidFile if it is damaged.
    """
    path = home / "identity.pem"
    raw = _read(path, f"{home} has no identity yet; make one first")
    if path.stat().st_mode & 0o077:
        raise InvalidInput(f"{path} can be read by other users; run: chmod 600 {path}")
    begin = raw.find(b"-----BEGIN CERTIFICATE-----")
    if begin < 0:
        raise InvalidFile(f"{path} holds no certificate; restore it, or make a new identity")
    return Identity(_parse(raw[begin:], str(path), ""), path)


def enrol(home: Path, certificate: Path | str | bytes, as_name: str) -> Certificate:
    """Trusts `certificate` (a file, or PEM text) as `as_name` from now on, also in servers that run already.

    Raises InvalidInput if the name is taken by another certificate or the certificate enrolled under another name;
    InvalidFile.
    """
    _check_name(as_name)
    if isinstance(certificate, Path) or (isinstance(certificate, str) and "-----BEGIN" not in certificate):
        raw = _read(Path(certificate), f"there is no certificate file {certificate}")
        found = _parse(raw, str(certificate), as_name)
    else:
        found = _parse(certificate, "the given text", as_name)
    for peer in peers(home):
        if (peer.name == as_name) != (peer.fingerprint == found.fingerprint):
            raise InvalidInput(
                f"{peer.name!r} is enrolled with fingerprint {peer.fingerprint[:16]}; forget it before enrolling "
                f"{as_name!r} with {found.fingerprint[:16]}"
            )
        if peer.name == as_name:
            return peer
    folder = home / "peers"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        _write_new(folder / f"{as_name}.pem", found.pem.encode(), 0o644)
    except FileExistsError:
        raise InvalidInput(f"{as_name!r} was enrolled by another process meanwhile; look at the peers again") from None
    return found


def forget(home: Path, name: str) -> None:
    """Stops trusting the peer `name`; channels that are open stay. Raises InvalidInput if it is not enrolled."""
    _check_name(name)
    try:
        (home / "peers" / f"{name}.pem").unlink()
    except FileNotFoundError:
        raise InvalidInput(f"{name!r} is not enrolled in {home}; enrolled are: {_listing(home)}") from None


def peers(home: Path) -> tuple[Certificate, ...]:
    """The enrolled certificates, by name. Raises InvalidFile naming a file in `peers` that is not a certificate."""
    found = sorted(p for p in (home / "peers").glob("*.pem") if not p.name.startswith("."))
    return tuple(_parse(_read(path, f"{path} vanished"), str(path), path.stem) for path in found)


def _listing(home: Path) -> str:
    return ", ".join(peer.name for peer in peers(home)) or "none"


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} cannot be a party's name: use 1 to 64 letters, digits, dots, dashes, underscores")


def _self_signed(key: Ed25519PrivateKey, name: str, hosts: Sequence[str], days: int) -> x509.Certificate:
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    builder = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(h) for h in hosts]), critical=False)
    return builder.sign(key, None)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError:
        raise InvalidInput(f"{host!r} is neither a host name nor an address") from None


def _parse(raw: str | bytes, where: str, name: str) -> Certificate:
    """The one certificate in PEM `raw`, under `name` or else under its own common name."""
    data = raw.encode() if isinstance(raw, str) else raw
    if b"PRIVATE KEY" in data:
        raise InvalidFile(f"{where} holds a private key; give peers certificate.pem only, and this key to nobody")
    try:
        found = x509.load_pem_x509_certificates(data)
        common = [str(part.value) for part in found[0].subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except (ValueError, IndexError, UnicodeError):
        raise InvalidFile(f"{where} is not a certificate in PEM form") from None
    if len(found) != 1:
        raise InvalidFile(f"{where} holds {len(found)} certificates; give exactly one")
    return Certificate(
        name=name or (common[0] if common else "unnamed"),
        fingerprint=found[0].fingerprint(hashes.SHA256()).hex(),
        not_before=found[0].not_valid_before_utc,
        not_after=found[0].not_valid_after_utc,
        pem=found[0].public_bytes(serialization.Encoding.PEM).decode(),
    )


def _read(path: Path, missing: str) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(_FILE_LIMIT + 1)
    except FileNotFoundError:
        raise InvalidInput(missing) from None
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from None
    if len(raw) > _FILE_LIMIT:
        raise InvalidFile(f"{path} is too long for a certificate")
    return raw


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Writes a file whole or not at all; raises FileExistsError instead of replacing one."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
