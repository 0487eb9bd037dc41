"""What only a store on disk can get wrong: keys that linger, damaged files, copies, several openings."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tacit.corr.disk import DiskStore
from tacit.corr.seal import OVERHEAD
from tacit.errors import BundleSpent, InvalidFile, InvalidInput, RolledBack, StoreError

PLAN, PEER = "1f" * 32, "ab" * 32


def deal(store: DiskStore, *, primed: bool = True, size: int = 1000) -> bytes:
    """A new bundle with parts r and s of `size` bytes."""
    bundle = os.urandom(16)
    store.put(bundle, PLAN, PEER, {"r": os.urandom(size), "s": b"s" * size})
    if primed:
        store.prime(bundle, {"m": b"m" * size})
    return bundle


def everything(folder: Path) -> bytes:
    """The raw bytes of all files below a folder."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def segments(folder: Path) -> list[Path]:
    """The segment files, oldest first if one store object wrote them."""
    return sorted((folder / "segments").iterdir())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DiskStore]:
    with DiskStore(tmp_path / "store") as opened:
        yield opened


# Keys and secrecy


def test_keys_are_destroyed_with_the_bundle(store: DiskStore, tmp_path: Path) -> None:
    bundles = [deal(store) for _ in range(5)]
    key_file = tmp_path / "store" / "keys"
    keys = [key_file.read_bytes()[slot * 32 : slot * 32 + 32] for slot in range(1, 6)]
    assert all(key in everything(tmp_path) for key in keys)
    store.claim(bundles[0], PLAN, PEER)
    store.erase(bundles[0])
    store.erase(bundles[1])
    store.claim(bundles[2], PLAN, PEER)
    left = everything(tmp_path)
    assert [key in left for key in keys] == [False, False, True, True, True]
    assert key_file.read_bytes()[32:96] == bytes(64)
    store.close()
    with DiskStore(tmp_path / "store") as again:
        assert keys[2] not in everything(tmp_path)
        again.purge()
        left = everything(tmp_path)
        assert not any(key in left for key in keys)
        deal(again)
        assert key_file.read_bytes()[32:192] == bytes(160)


def test_a_key_reaches_no_file_but_its_own(store: DiskStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments: list[dict[str, bytes]] = []

    def look(file: int) -> None:
        moments.append({path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()})

    # Keys are synced inside the transaction, so the index's journal is open and filled at these moments.
    monkeypatch.setattr(os, "fdatasync", look)
    bundle = deal(store)
    store.erase(bundle)
    key = moments[0]["keys"][32:64]
    assert len(key) == 32 != key.count(0)
    assert len(moments[1]["index.sqlite-journal"]) + len(moments[0]["index.sqlite-journal"]) > 0
    for files in moments:
        assert not [name for name, raw in files.items() if key in raw and name != "keys"]
    assert key not in everything(tmp_path)


def test_material_lies_encrypted_and_private(store: DiskStore, tmp_path: Path) -> None:
    plain = b"a secret of the client" * 50
    for _ in range(2):
        store.put(os.urandom(16), PLAN, PEER, {"r": plain})
    assert plain[:22] not in everything(tmp_path)
    first, second = (path.read_bytes() for path in segments(tmp_path / "store"))
    assert first != second
    modes = {path.name: path.stat().st_mode & 0o077 for path in (tmp_path / "store").rglob("*")}
    assert not any(modes.values()), modes
    assert plain.decode() not in repr(store) + repr(store.parts(store.ids()[0])) + repr(store.list())


def test_erasing_removes_files_and_dropping_removes_empty_ones(store: DiskStore, tmp_path: Path) -> None:
    bundle = deal(store, primed=False)
    store.prime(bundle, {"r": b"new"}, drop=["s"])
    assert len(segments(tmp_path / "store")) == 1
    assert store.bytes_used == 3 + OVERHEAD == segments(tmp_path / "store")[0].stat().st_size
    store.erase(bundle)
    assert segments(tmp_path / "store") == []


# Damage


def flip(path: Path, at: int) -> None:
    """Change one bit of a file."""
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("at", [0, 11, 12, 500, 12 + 1000, 1000 + OVERHEAD - 1])
def test_an_altered_part_is_named_and_others_still_open(store: DiskStore, tmp_path: Path, at: int) -> None:
    bundle = deal(store, primed=False)
    path = segments(tmp_path / "store")[0]
    flip(path, at)
    with pytest.raises(StoreError, match=f"part 'r' of bundle {bundle.hex()} in {path} was altered"):
        store.parts(bundle)["r"]
    assert bytes(store.parts(bundle)["s"]) == b"s" * 1000


def test_a_part_cannot_stand_in_for_another(store: DiskStore, tmp_path: Path) -> None:
    bundle = os.urandom(16)
    store.put(bundle, PLAN, PEER, {"a": b"a" * 100, "b": b"b" * 100})
    store.prime(bundle, {"b": b"c" * 100})
    store.claim(bundle, PLAN, PEER)
    old, new = segments(tmp_path / "store")
    raw = old.read_bytes()
    old.write_bytes(raw[128:] + raw[:128])
    with pytest.raises(StoreError, match=r"part 'a'.* was altered"):
        store.parts(bundle)["a"]
    new.write_bytes(raw[128:])
    with pytest.raises(StoreError, match=r"part 'b'.* was altered"):
        store.parts(bundle)["b"]


def test_a_truncated_segment_is_named_then_buried_at_open(store: DiskStore, tmp_path: Path) -> None:
    whole, short, missing = (deal(store, primed=False) for _ in range(3))
    paths = segments(tmp_path / "store")
    os.truncate(paths[1], 1500)
    with pytest.raises(StoreError, match=f"part 's' of bundle {short.hex()} in {paths[1]} was truncated"):
        store.parts(short)["s"]
    paths[2].unlink()
    with pytest.raises(StoreError, match=f"{missing.hex()}.*is missing"):
        store.parts(missing)["r"]
    store.close()
    with DiskStore(tmp_path / "store") as again:
        assert again.recovered.damaged == (short, missing)
        assert again.ids(state="dealt") == (whole,)
        assert segments(tmp_path / "store") == [paths[0]]


def test_a_bundle_without_its_key_is_spent(store: DiskStore, tmp_path: Path) -> None:
    primed, dealt = deal(store), deal(store, primed=False)
    key_file = tmp_path / "store" / "keys"
    key_file.write_bytes(key_file.read_bytes()[:32])
    for call in (lambda: store.claim(primed, PLAN, PEER), lambda: store.parts(dealt)["r"]):
        with pytest.raises(BundleSpent, match=r"key .* is destroyed"):
            call()
    with pytest.raises(BundleSpent):
        store.prime(dealt, {})
    store.close()
    with DiskStore(tmp_path / "store") as again:
        assert again.recovered.damaged == (primed, dealt)


@pytest.mark.parametrize("name", ["index.sqlite", "keys"])
def test_other_files_are_not_taken_for_ours(tmp_path: Path, name: str) -> None:
    tmp_path.joinpath(name).write_bytes(b"something else" * 100)
    with pytest.raises(InvalidFile):
        DiskStore(tmp_path)
    assert not list((tmp_path / "alive").iterdir())


def test_another_version_is_refused(tmp_path: Path) -> None:
    DiskStore(tmp_path).close()
    db = sqlite3.connect(tmp_path / "index.sqlite")
    db.execute("PRAGMA user_version = 2")
    db.close()
    with pytest.raises(InvalidFile, match="this version"):
        DiskStore(tmp_path)


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    tmp_path.joinpath("file").write_bytes(b"")
    with pytest.raises(StoreError, match="check the folder"):
        DiskStore(tmp_path / "file")
    with pytest.raises(InvalidInput, match="quota"):
        DiskStore(tmp_path / "store", quota_bytes=-1)


# Copies


def test_a_restored_copy_is_refused_by_its_peer_and_comes_back_empty(tmp_path: Path) -> None:
    client, server = DiskStore(tmp_path / "client"), DiskStore(tmp_path / "server")
    bundle, later = deal(server), deal(server)
    server.close()
    shutil.copytree(tmp_path / "server", tmp_path / "copy")
    server = DiskStore(tmp_path / "server")
    client.note_peer_epoch("server", server.claim(bundle, PLAN, PEER))
    server.close()
    with DiskStore(tmp_path / "copy") as copy:
        assert copy.ids(state="primed") == (bundle, later)
        with pytest.raises(RolledBack, match="restored from a copy"):
            client.note_peer_epoch("server", copy.epoch)
        assert copy.purge() == 2
        client.reset_peer_epoch("server")
        client.note_peer_epoch("server", copy.epoch)
        with pytest.raises(BundleSpent):
            copy.claim(bundle, PLAN, PEER)
    client.close()


def test_the_epoch_survives_and_counts_each_claim(tmp_path: Path) -> None:
    for expected in range(1, 4):
        with DiskStore(tmp_path) as store:
            assert store.claim(deal(store), PLAN, PEER) == expected == store.epoch
            store.note_peer_epoch("peer", expected)
            with pytest.raises(RolledBack):
                store.note_peer_epoch("peer", expected - 1)


# Several store objects on one folder


def test_claims_belong_to_the_object_and_outlive_other_openings(tmp_path: Path) -> None:
    with DiskStore(tmp_path) as ours:
        bundle = deal(ours)
        ours.claim(bundle, PLAN, PEER)
        with DiskStore(tmp_path) as theirs:
            assert theirs.recovered.orphans == ()
            with pytest.raises(BundleSpent, match="another session"):
                theirs.parts(bundle)
            with pytest.raises(BundleSpent):
                theirs.claim(bundle, PLAN, PEER)
        assert bytes(ours.parts(bundle)["m"]) == b"m" * 1000


def test_recovery_leaves_what_the_living_are_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with DiskStore(tmp_path) as ours:
        write = ours._segments.settle

        def meanwhile(jobs: object) -> object:
            done = write(jobs)  # type: ignore[arg-type]
            with DiskStore(tmp_path) as other:
                assert other.recovered.files == 0
            return done

        monkeypatch.setattr(ours._segments, "settle", meanwhile)
        bundle = deal(ours)
        ours.claim(bundle, PLAN, PEER)
        assert len(ours.parts(bundle)["r"]) == 1000


def test_closing_erases_what_was_claimed(tmp_path: Path) -> None:
    with DiskStore(tmp_path) as store:
        claimed, primed = deal(store), deal(store)
        store.claim(claimed, PLAN, PEER)
    with DiskStore(tmp_path) as store:
        assert (store.recovered.orphans, store.ids(state="primed")) == ((), (primed,))
        assert store.ids(state="erased") == (claimed,)
        assert [path.name for path in (tmp_path / "alive").iterdir()] == [store._presence.token]


def test_parts_close_with_the_bundle(store: DiskStore) -> None:
    bundle = deal(store)
    store.claim(bundle, PLAN, PEER)
    parts = store.parts(bundle)
    early = parts["m"]
    store.erase(bundle)
    with pytest.raises(BundleSpent, match="erased"):
        parts["m"]
    assert bytes(early) == b"m" * 1000
    assert len(parts) == 3


def test_who_loses_a_bundle_midway_is_told_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with DiskStore(tmp_path) as ours, DiskStore(tmp_path) as theirs:
        read, write = ours._segments.read, ours._segments.settle
        erased, primed = deal(ours, primed=False), deal(ours, primed=False)
        monkeypatch.setattr(ours._segments, "read", lambda *at: (theirs.erase(erased), read(*at))[1])
        with pytest.raises(BundleSpent, match="is erased"):
            ours.parts(erased)["r"]
        theirs_first = {"m": b"theirs"}
        monkeypatch.setattr(ours._segments, "settle", lambda jobs: (theirs.prime(primed, theirs_first), write(jobs))[1])
        with pytest.raises(StoreError, match="primed already"):
            ours.prime(primed, {"m": b"ours"})
        theirs.claim(primed, PLAN, PEER)
        assert bytes(theirs.parts(primed)["m"]) == b"theirs"
        assert len(segments(tmp_path)) == 2


def test_a_forked_child_must_open_its_own(store: DiskStore) -> None:
    bundle = deal(store)
    store.claim(bundle, PLAN, PEER)
    child = os.fork()
    if child == 0:
        try:
            store.close()
            store.list()
        except StoreError as error:
            os._exit(0 if "another process" in str(error) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(store.parts(bundle)) == 3
