"""A process that works on a store until it is killed, or races others for bundles: run by test_disk_processes.py."""

from __future__ import annotations

import hashlib
import os
import random
import sys
from pathlib import Path

from tacit.corr.disk import DiskStore
from tacit.corr.store import Dealing, Priming
from tacit.errors import BundleSpent, Exhausted, StoreError

PLAN, PEER = "1f" * 32, "ab" * 32


def content(bundle: bytes, name: str) -> bytes:
    """What part `name` of a bundle must hold: 0 to 20,000 bytes that follow from both."""
    seed = hashlib.sha256(bundle + name.encode()).digest()
    return hashlib.shake_256(seed).digest(int.from_bytes(seed[:2], "little") % 20_000)


def parts(bundle: bytes, *names: str) -> dict[str, bytes]:
    """The right parts of these names."""
    return {name: content(bundle, name) for name in names}


def verify(store: DiskStore, bundle: bytes, *names: str) -> None:
    """The bundle must hold exactly the right parts of these names."""
    assert {name: bytes(data) for name, data in store.parts(bundle).items()} == parts(bundle, *names)


def use(store: DiskStore, journal: int, choice: random.Random) -> None:
    """Claim the oldest primed bundle, write that down, read it, and erase it most of the time."""
    try:
        bundle = store.oldest_primed(PLAN, PEER)
        store.claim(bundle, PLAN, PEER)
    except (Exhausted, BundleSpent):
        return
    os.write(journal, f"{os.getpid()} {bundle.hex()}\n".encode())
    verify(store, bundle, "r", "m")
    if choice.random() < 0.7:
        store.erase(bundle)


def step(store: DiskStore, journal: int, choice: random.Random) -> None:
    """One random thing that parties do; losing a bundle to another process is part of it."""
    verb = choice.choice(["put", "put many", "prime", "prime", "prime many", "use", "use", "use", "erase"])
    dealt = store.ids(PLAN, PEER, "dealt")
    try:
        if verb in ("put", "put many"):
            bundles = [os.urandom(16) for _ in range(3 if verb == "put many" else 1)]
            store.put_many([Dealing(bundle, PLAN, PEER, parts(bundle, "r", "s")) for bundle in bundles])
        elif verb in ("prime", "prime many") and dealt:
            chosen = choice.sample(dealt, min(len(dealt), 3 if verb == "prime many" else 1))
            store.prime_many([Priming(bundle, parts(bundle, "m"), ("s",)) for bundle in chosen])
        elif verb == "use":
            use(store, journal, choice)
        elif verb == "erase" and len(dealt) > 20:
            store.erase(choice.choice(dealt))
    except StoreError as error:
        if not any(words in str(error) for words in ("primed already", "is erased", "is claimed", "is destroyed")):
            raise


def work(folder: Path, seed: int) -> None:
    """Work until killed, or until the input ends."""
    journal = os.open(folder / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    choice = random.Random(seed)
    with DiskStore(folder / "store") as store:
        print("ready", flush=True)
        os.set_blocking(0, False)
        while sys.stdin.buffer.read(1) != b"":
            step(store, journal, choice)
    os.close(journal)


def race(folder: Path) -> None:
    """Claim every bundle at a common start; print those won."""
    with DiskStore(folder / "store") as store:
        bundles = store.ids(state="primed")
        print("ready", flush=True)
        sys.stdin.buffer.read(1)
        for bundle in bundles:
            try:
                epoch = store.claim(bundle, PLAN, PEER)
            except BundleSpent:
                continue
            print(bundle.hex(), epoch, flush=True)
        sys.stdin.buffer.read()


if __name__ == "__main__":
    if sys.argv[1] == "work":
        work(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        race(Path(sys.argv[2]))
