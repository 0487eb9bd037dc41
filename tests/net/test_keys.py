"""Identities are made once and guarded; peers are enrolled, pinned and forgotten."""

from __future__ import annotations

import hashlib
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tacit.errors import InvalidFile, InvalidInput
from tacit.net import keys


def test_identity_round_trip(tmp_path: Path) -> None:
    made = keys.make_identity(tmp_path / "deep" / "home", "server", hosts=["example.org", "10.0.0.1", "::1"], days=30)
    loaded = keys.load_identity(tmp_path / "deep" / "home")
    assert loaded == made
    certificate = loaded.certificate
    assert certificate.name == "server"
    assert timedelta(days=30) <= certificate.not_after - certificate.not_before <= timedelta(days=31)
    der = ssl.PEM_cert_to_DER_cert(certificate.pem)
    assert certificate.fingerprint == hashlib.sha256(der).hexdigest() == keys.fingerprint(certificate.pem)
    certificate.check_time()


def test_the_key_stays_private(tmp_path: Path) -> None:
    identity = keys.make_identity(tmp_path, "a")
    assert stat.S_IMODE(identity.path.stat().st_mode) == 0o600
    assert "PRIVATE" not in (tmp_path / "certificate.pem").read_text()
    assert "BEGIN" not in repr(identity)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["certificate.pem", "identity.pem"]
    identity.path.chmod(0o640)
    with pytest.raises(InvalidInput, match="chmod 600"):
        keys.load_identity(tmp_path)


def test_an_identity_is_never_overwritten(tmp_path: Path) -> None:
    first = keys.make_identity(tmp_path, "a")
    before = first.path.read_bytes()
    with pytest.raises(InvalidInput, match="identity already"):
        keys.make_identity(tmp_path, "b")
    assert first.path.read_bytes() == before
    assert keys.fingerprint((tmp_path / "certificate.pem").read_text()) == first.certificate.fingerprint


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", ".hidden", "x" * 65, "a\n", "ü"])
def test_names_are_checked(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="name"):
        keys.make_identity(tmp_path, name)
    with pytest.raises(InvalidInput, match="name"):
        keys.enrol(tmp_path, "x", name)
    with pytest.raises(InvalidInput, match="name"):
        keys.forget(tmp_path, name)


@pytest.mark.parametrize("days", [0, -1, 10**6])
def test_days_are_checked(tmp_path: Path, days: int) -> None:
    with pytest.raises(InvalidInput, match="days"):
        keys.make_identity(tmp_path, "a", days=days)


def test_hosts_are_checked(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="host name"):
        keys.make_identity(tmp_path, "a", hosts=["bücher.example"])


def test_enrol_and_forget(tmp_path: Path) -> None:
    home, other, third = tmp_path / "home", tmp_path / "other", tmp_path / "third"
    for folder in (home, other, third):
        keys.make_identity(folder, "same-name")
    assert keys.peers(home) == ()
    enrolled = keys.enrol(home, other / "certificate.pem", "server")
    assert enrolled.name == "server"
    assert keys.enrol(home, str(other / "certificate.pem"), "server") == enrolled
    assert keys.enrol(home, (other / "certificate.pem").read_bytes(), "server") == enrolled
    assert keys.peers(home) == (enrolled,)
    with pytest.raises(InvalidInput, match="forget it before"):
        keys.enrol(home, other / "certificate.pem", "another-name")
    with pytest.raises(InvalidInput, match="forget it before"):
        keys.enrol(home, third / "certificate.pem", "server")
    keys.enrol(home, (third / "certificate.pem").read_text(), "dealer")
    assert [peer.name for peer in keys.peers(home)] == ["dealer", "server"]
    keys.forget(home, "server")
    with pytest.raises(InvalidInput, match="enrolled are: dealer"):
        keys.forget(home, "server")
    assert [peer.name for peer in keys.peers(home)] == ["dealer"]


def test_only_one_whole_certificate_is_enrolled(tmp_path: Path) -> None:
    keys.make_identity(tmp_path, "a")
    pem = (tmp_path / "certificate.pem").read_text()
    with pytest.raises(InvalidFile, match="private key"):
        keys.enrol(tmp_path, tmp_path / "identity.pem", "x")
    with pytest.raises(InvalidFile, match="2 certificates"):
        keys.enrol(tmp_path, pem + pem, "x")
    for broken in (b"", b"hello", pem.encode()[:200], pem.replace("M", "N", 3).encode(), b"\xff" * 100):
        with pytest.raises(InvalidFile, match="not a certificate"):
            keys.enrol(tmp_path, broken, "x")
    with pytest.raises(InvalidInput, match="no certificate file"):
        keys.enrol(tmp_path, tmp_path / "missing.pem", "x")
    with pytest.raises(InvalidInput, match="cannot read"):
        keys.enrol(tmp_path, tmp_path, "x")
    (tmp_path / "long").write_bytes(bytes(1 << 17))
    with pytest.raises(InvalidFile, match="too long"):
        keys.enrol(tmp_path, tmp_path / "long", "x")
    assert keys.peers(tmp_path) == ()


def test_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no identity yet"):
        keys.load_identity(tmp_path)
    identity = keys.make_identity(tmp_path, "a")
    identity.path.write_text("-----BEGIN PRIVATE KEY-----")
    with pytest.raises(InvalidFile, match="holds no certificate"):
        keys.load_identity(tmp_path)
    (tmp_path / "peers").mkdir()
    (tmp_path / "peers" / "bad.pem").write_text("nonsense")
    with pytest.raises(InvalidFile, match=r"bad\.pem"):
        keys.peers(tmp_path)


def test_time_is_checked(tmp_path: Path) -> None:
    certificate = keys.make_identity(tmp_path, "a", days=10).certificate
    now = datetime.now(UTC)
    certificate.check_time(now + timedelta(days=9))
    with pytest.raises(InvalidInput, match="expired"):
        certificate.check_time(now + timedelta(days=11))
    with pytest.raises(InvalidInput, match="not valid before"):
        certificate.check_time(now - timedelta(days=1))
