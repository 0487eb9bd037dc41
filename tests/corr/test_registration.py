"""Registrations: resumable, checked on load, and never shared between two models or plans."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tacit.corr.registration import Registration, Registrations, whole_digest
from tacit.errors import InvalidFile, InvalidInput, Mismatch, QuotaExceeded, StoreError

NAMES = ["conv1", "conv2", "fc"]


def terms(kind: str = "weights", **changes: object) -> Registration:
    """A new registration's terms."""
    fields = {"id": os.urandom(16), "kind": kind, "plan": "aa" * 32, "model": "bb" * 32, "peer": "cc" * 32}
    return Registration(**({**fields, "salt": os.urandom(16)} | changes))  # type: ignore[arg-type]


def layers() -> dict[str, np.ndarray]:
    """The masked weights of three layers; one is empty."""
    rng = np.random.default_rng(5)
    sizes = {"conv1": 5000, "conv2": 0, "fc": 77}
    return {name: rng.integers(0, 256, size, dtype=np.uint8) for name, size in sizes.items()}


def digests(parts: dict[str, np.ndarray]) -> dict[str, bytes]:
    """SHA-256 of each part."""
    return {name: hashlib.sha256(data.tobytes()).digest() for name, data in parts.items()}


def fill(kept: Registrations, registration: Registration, *names: str) -> None:
    """Add parts by name."""
    for name in names:
        kept.add(registration.id, name, layers()[name], digests(layers())[name])


def complete(kept: Registrations, **changes: object) -> Registration:
    """A registration whose parts are all there and confirmed."""
    registration = terms(**changes)
    kept.begin(registration, NAMES)
    fill(kept, registration, *NAMES)
    kept.finish(registration.id, whole_digest(digests(layers())))
    return registration


def test_an_interrupted_registration_goes_on_where_it_stopped(tmp_path: Path) -> None:
    registration, kept = terms(), Registrations(tmp_path)
    kept.begin(registration, NAMES)
    assert kept.missing(registration.id) == tuple(NAMES)
    fill(kept, registration, "fc")
    again = Registrations(tmp_path)
    again.begin(registration, NAMES)
    assert again.missing(registration.id) == ("conv1", "conv2")
    with pytest.raises(InvalidInput, match="not complete"):
        again.load_part(registration.id, "fc")
    with pytest.raises(InvalidInput, match="lacks parts"):
        again.finish(registration.id, whole_digest(digests(layers())))
    assert again.find("weights", registration.plan, registration.peer) is None
    fill(again, registration, "conv1", "conv2")
    with pytest.raises(InvalidInput, match="not what the peer sent"):
        again.finish(registration.id, bytes(32))
    assert not again.complete(registration.id)
    again.finish(registration.id, whole_digest(digests(layers())))
    assert again.complete(registration.id)
    assert again.get(registration.id) == registration
    for name, data in layers().items():
        part = again.load_part(registration.id, name)
        assert part.readonly
        assert np.array_equal(np.frombuffer(part, np.uint8), data)


def test_the_whole_digest_depends_on_names_order_and_data() -> None:
    right = digests(layers())
    others = [dict(reversed(right.items())), {**right, "fc": bytes(32)}, {"x" + n: d for n, d in right.items()}]
    assert len({whole_digest(each) for each in [right, *others]}) == 4


def test_an_altered_arrival_is_refused_and_unknown_parts_too(tmp_path: Path) -> None:
    registration, kept = terms(), Registrations(tmp_path)
    kept.begin(registration, NAMES)
    with pytest.raises(InvalidInput, match="arrived altered"):
        kept.add(registration.id, "fc", layers()["fc"][:-1], digests(layers())["fc"])
    with pytest.raises(InvalidInput, match="no part 'fc2'"):
        kept.add(registration.id, "fc2", b"", hashlib.sha256(b"").digest())
    assert kept.missing(registration.id) == tuple(NAMES)
    for bad in ([], ["a", "a"], [""]):
        with pytest.raises(InvalidInput):
            kept.begin(terms(), bad)
    with pytest.raises(InvalidInput, match="no registration"):
        kept.missing(os.urandom(16))


@pytest.mark.parametrize("damage", ["flip data", "flip digest", "truncate", "empty", "delete"])
def test_damage_on_the_disk_is_found_and_can_be_repaired(tmp_path: Path, damage: str) -> None:
    kept = Registrations(tmp_path)
    registration = complete(kept)
    path = tmp_path / registration.id.hex() / "0"
    raw = bytearray(path.read_bytes())
    raw[{"flip data": 100, "flip digest": 3}.get(damage, 0)] ^= damage.startswith("flip")
    path.write_bytes(raw[: {"truncate": 1000, "empty": 0}.get(damage, len(raw))])
    if damage == "delete":
        path.unlink()
    with pytest.raises(InvalidFile, match="altered or truncated"):
        kept.load_part(registration.id, "conv1")
    assert kept.missing(registration.id) == ("conv1",)
    assert len(kept.load_part(registration.id, "fc")) == 77
    fill(kept, registration, "conv1")
    assert not kept.complete(registration.id)
    kept.finish(registration.id, whole_digest(digests(layers())))
    assert len(kept.load_part(registration.id, "conv1")) == 5000


def test_an_altered_record_is_found(tmp_path: Path) -> None:
    kept = Registrations(tmp_path)
    registration, other = complete(kept), complete(kept)
    path = tmp_path / registration.id.hex() / "record"
    good = path.read_bytes()
    for bad in (good[:-1], good.replace(b"bbbb", b"bbba"), b"", (tmp_path / other.id.hex() / "record").read_bytes()):
        path.write_bytes(bad)
        with pytest.raises(InvalidFile, match="register again"):
            kept.load_part(registration.id, "fc")
    body = good[32:].replace(b'"version":1', b'"version":2')
    path.write_bytes(hashlib.sha256(body).digest() + body)
    with pytest.raises(InvalidFile, match="another version"):
        kept.get(registration.id)


@pytest.mark.parametrize("field", ["plan", "model", "peer", "salt"])
def test_one_id_serves_one_model_and_plan(tmp_path: Path, field: str) -> None:
    kept = Registrations(tmp_path)
    weights, secret = complete(kept), terms("seed")
    kept.save_seed(secret, bytes(range(16)))
    change = {field: b"other" if field == "salt" else "dd" * 32}
    for call in (
        lambda: kept.begin(msgspec.structs.replace(weights, **change), NAMES),
        lambda: kept.save_seed(msgspec.structs.replace(secret, **change), bytes(range(16))),
        lambda: kept.seed(msgspec.structs.replace(secret, **change)),
    ):
        with pytest.raises(Mismatch, match=f"different {field}.*the same A under two weight sets would leak"):
            call()
    with pytest.raises(Mismatch, match="list of parts"):
        kept.begin(weights, NAMES[:2])
    kept.begin(weights, NAMES)
    assert kept.seed(secret) == bytes(range(16))


def test_a_seed_is_private_bound_and_never_replaced(tmp_path: Path) -> None:
    kept, registration, seed = Registrations(tmp_path), terms("seed"), os.urandom(32)
    kept.save_seed(registration, seed)
    kept.save_seed(registration, seed)
    with pytest.raises(Mismatch, match="different seed"):
        kept.save_seed(registration, os.urandom(32))
    assert kept.seed(registration) == seed
    assert kept.complete(registration.id)
    path = tmp_path / registration.id.hex() / "seed"
    assert [p.stat().st_mode & 0o077 for p in (path, path.parent)] == [0, 0]
    assert seed.hex() not in repr(kept) + repr(kept.list())
    with pytest.raises(InvalidInput, match="16 or 32 bytes"):
        kept.save_seed(terms("seed"), b"short")
    other = terms("seed", model="dd" * 32)
    kept.save_seed(other, os.urandom(32))
    path.write_bytes((tmp_path / other.id.hex() / "seed").read_bytes())
    with pytest.raises(InvalidFile, match="altered"):
        kept.seed(registration)
    path.unlink()
    with pytest.raises(InvalidFile, match="missing"):
        kept.seed(registration)


def test_kinds_are_not_mixed(tmp_path: Path) -> None:
    kept = Registrations(tmp_path)
    for call in (
        lambda: kept.begin(terms("seed"), NAMES),
        lambda: kept.save_seed(terms("weights"), bytes(16)),
        lambda: kept.seed(terms("weights")),
        lambda: kept.begin(terms(id=b"short"), NAMES),
        lambda: kept.begin(terms(plan=""), NAMES),
    ):
        with pytest.raises(InvalidInput):
            call()
    assert kept.list() == ()


def test_finding_takes_the_newest_complete_one(tmp_path: Path) -> None:
    kept = Registrations(tmp_path)
    old = complete(kept)
    new = complete(kept, model="dd" * 32)
    os.utime(tmp_path / old.id.hex(), (1, 1))
    complete(kept, peer="ee" * 32)
    kept.begin(terms(), NAMES)
    assert kept.find("weights", old.plan, old.peer) == new
    assert kept.find("weights", old.plan, old.peer, old.model) == old
    assert kept.find("weights", old.plan, "nobody") is None
    assert kept.find("seed", old.plan, old.peer) is None
    assert len(kept.list()) == 4


def test_removing_overwrites_the_seed(tmp_path: Path) -> None:
    kept, registration, seed = Registrations(tmp_path), terms("seed"), os.urandom(32)
    kept.save_seed(registration, seed)
    link = tmp_path / "link"
    link.hardlink_to(tmp_path / registration.id.hex() / "seed")
    kept.remove(registration.id)
    kept.remove(registration.id)
    assert link.read_bytes() == bytes(64)
    assert kept.list() == ()
    assert not (tmp_path / registration.id.hex()).exists()


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    kept, registration, secret = Registrations(tmp_path), terms(), terms("seed")
    kept.begin(registration, NAMES)
    fill(kept, registration, "conv1")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(QuotaExceeded):
            fill(kept, registration, "conv1")
        with pytest.raises(QuotaExceeded):
            kept.save_seed(secret, bytes(16))
    assert kept.missing(registration.id) == ("conv2", "fc")
    assert not list(tmp_path.rglob("*.draft"))
    kept.save_seed(secret, bytes(16))
    tmp_path.joinpath("file").write_bytes(b"")
    with pytest.raises(StoreError):
        Registrations(tmp_path / "file")
