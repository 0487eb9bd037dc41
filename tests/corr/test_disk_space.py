"""A store on disk that runs out of space, or whose calls to the system fail; and the order in which it syncs."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tacit.corr.disk import DiskStore
from tacit.corr.seal import OVERHEAD
from tacit.corr.store import Dealing
from tacit.errors import QuotaExceeded, StoreError

PLAN, PEER = "1f" * 32, "ab" * 32


def deal(store: DiskStore, *, primed: bool = True, size: int = 1000) -> bytes:
    """A new bundle with parts r and s of `size` bytes."""
    bundle = os.urandom(16)
    store.put(bundle, PLAN, PEER, {"r": os.urandom(size), "s": b"s" * size})
    if primed:
        store.prime(bundle, {"m": b"m" * size})
    return bundle


def segments(folder: Path) -> list[Path]:
    """The segment files, oldest first if one store object wrote them."""
    return sorted((folder / "segments").iterdir())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DiskStore]:
    with DiskStore(tmp_path / "store") as opened:
        yield opened


def test_the_quota_counts_what_lies_on_the_disk(tmp_path: Path) -> None:
    with DiskStore(tmp_path, quota_bytes=1000 + OVERHEAD) as store:
        with pytest.raises(QuotaExceeded, match="raise the quota"):
            store.put(os.urandom(16), PLAN, PEER, {"r": bytes(1001)})
        assert segments(tmp_path) == []
        bundle = os.urandom(16)
        store.put(bundle, PLAN, PEER, {"r": bytes(1000)})
        with pytest.raises(QuotaExceeded):
            store.prime(bundle, {"m": b""})
        assert store.count()["dealt"] == 1
        assert store.bytes_used == store.quota


def test_two_writers_cannot_overrun_the_quota_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with DiskStore(tmp_path, 3000) as ours, DiskStore(tmp_path, 3000) as theirs:
        write, first = ours._segments.settle, os.urandom(16)

        def meanwhile(jobs: object) -> object:
            theirs.put(first, PLAN, PEER, {"r": bytes(2000)})
            return write(jobs)  # type: ignore[arg-type]

        monkeypatch.setattr(ours._segments, "settle", meanwhile)
        with pytest.raises(QuotaExceeded):
            ours.put(os.urandom(16), PLAN, PEER, {"r": bytes(2000)})
        assert ours.ids() == (first,)
        assert len(segments(tmp_path)) == 1


def test_two_writers_cannot_put_one_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with DiskStore(tmp_path) as ours, DiskStore(tmp_path) as theirs:
        write, bundle = ours._segments.settle, os.urandom(16)

        def meanwhile(jobs: object) -> object:
            theirs.put(bundle, PLAN, PEER, {"r": b"theirs"})
            return write(jobs)  # type: ignore[arg-type]

        monkeypatch.setattr(ours._segments, "settle", meanwhile)
        with pytest.raises(StoreError, match="an id is never used twice"):
            ours.put(bundle, PLAN, PEER, {"r": b"ours"})
        assert bytes(ours.parts(bundle)["r"]) == b"theirs"
        assert len(segments(tmp_path)) == 1


def full(*_: object) -> int:
    """A system call on a full disk."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["write", "fsync", "pwrite", "fdatasync"])
def test_a_failing_call_leaves_nothing_behind(
    store: DiskStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    kept, primed = deal(store, primed=False), deal(store)
    before = (store.list(), store.bytes_used, store.epoch, segments(tmp_path / "store"))
    batch = [Dealing(os.urandom(16), PLAN, PEER, {"r": bytes(10)}) for _ in range(100)]
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(QuotaExceeded, match=r"disk under .* is full"):
            store.put_many(batch)
        if call in ("write", "fsync"):
            with pytest.raises(QuotaExceeded):
                store.prime(kept, {"m": b"m"})
    assert (store.list(), store.bytes_used, store.epoch, segments(tmp_path / "store")) == before
    store.put_many(batch)
    store.prime(kept, {"m": b"m"})
    store.claim(primed, PLAN, PEER)
    assert len(store.parts(primed)["r"]) == 1000


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of 1 MiB mounted at `folder`; skips the test where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small file system needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(store: DiskStore, size: int) -> list[bytes]:
    """Deal bundles until the disk is full."""
    bundles = []
    with pytest.raises(QuotaExceeded):  # noqa: PT012
        while True:
            bundles.append(deal(store, size=size))
    return bundles


def test_a_really_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk"), DiskStore(tmp_path / "disk" / "store") as store:
        bundles = fill(store, 100_000) + fill(store, 500)
        assert len(bundles) > 4
        assert store.ids(state="primed") == tuple(bundles)
        assert store.bytes_used == sum(path.stat().st_size for path in segments(tmp_path / "disk" / "store"))
        # Erasing must work on a full disk, and make room again.
        store.erase(bundles[0])
        store.claim(bundles[-1], PLAN, PEER)
        assert len(store.parts(bundles[-1])["r"]) == 500
        deal(store, size=10_000)


def test_a_row_becomes_visible_after_everything_it_needs_is_synced(
    store: DiskStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    def recorded(call: Callable[[int], None]) -> Callable[[int], None]:
        def record(file: int) -> None:
            call(file)
            events.append(Path(os.readlink(f"/proc/self/fd/{file}")).relative_to(tmp_path / "store").parts[0])

        return record

    monkeypatch.setattr(os, "fsync", recorded(os.fsync))
    monkeypatch.setattr(os, "fdatasync", recorded(os.fdatasync))
    store._index._db.set_trace_callback(
        lambda sql: events.append(sql) if sql in ("BEGIN", "COMMIT", "BEGIN IMMEDIATE") else None
    )
    bundle = deal(store)
    put = ["segments", "segments", "BEGIN IMMEDIATE", "keys", "COMMIT"]
    look, prime = ["BEGIN", "COMMIT"], ["segments", "segments", "BEGIN IMMEDIATE", "COMMIT"]
    assert events == [*put, *look, *prime]
    events.clear()
    store.claim(bundle, PLAN, PEER)
    store.erase(bundle)
    assert events == ["BEGIN IMMEDIATE", "COMMIT", "BEGIN IMMEDIATE", "keys", "COMMIT"]
    settings = [store._index._one(f"PRAGMA {name}") for name in ("synchronous", "secure_delete", "foreign_keys")]
    assert settings == [3, 1, 1]
