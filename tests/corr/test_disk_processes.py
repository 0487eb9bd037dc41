"""A store on disk under several processes, and under processes that die at any moment."""

from __future__ import annotations

import os
import random
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from tacit.corr.disk import DiskStore
from tacit.corr.store import Dealing, Priming
from tacit.errors import BundleSpent, StoreError

WORKER = Path(__file__).with_name("disk_worker.py")
worker = SimpleNamespace(**runpy.run_path(str(WORKER)))
PLAN, PEER, parts = worker.PLAN, worker.PEER, worker.parts

CALLS = ("write", "pwrite", "fsync", "fdatasync", "open", "unlink", "close")


@contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that has opened the store; killed at the end if it still runs."""
    command = [sys.executable, "-W", "error", str(WORKER), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def journal(folder: Path) -> list[tuple[int, bytes]]:
    """Process and bundle of every claim that returned; a last line cut short by a kill does not count."""
    lines = folder.joinpath("journal").read_text().splitlines() if folder.joinpath("journal").exists() else []
    found = (line.split() for line in lines)
    return [(int(pid), bytes.fromhex(name)) for pid, name in found if len(name) == 32]


def check_after_kill(folder: Path, dead: int) -> None:
    """What must hold after a worker died, while another may still be working."""
    claims = journal(folder)
    assert len({bundle for _, bundle in claims}) == len(claims), "a bundle was claimed twice"
    with DiskStore(folder / "store") as store:
        # Dying while it erases leaves one bundle without its key.
        assert len(store.recovered.damaged) <= 1
        states = {row.bundle: row.state for row in store.list()}
        for pid, bundle in claims:
            assert states[bundle] == "erased" or (pid != dead and states[bundle] == "claimed")
        for bundle in store.ids(state="dealt"):
            with suppress(BundleSpent):
                worker.verify(store, bundle, "r", "s")
        with pytest.raises(BundleSpent):
            store.claim(claims[-1][1] if claims else os.urandom(16), PLAN, PEER)


def check_whole(folder: Path) -> None:
    """With nobody else working: every primed bundle is whole, and files, rows and sizes agree."""
    with DiskStore(folder / "store") as store:
        for bundle in store.ids(state="primed"):
            store.claim(bundle, PLAN, PEER)
            worker.verify(store, bundle, "r", "m")
            store.erase(bundle)
        check_files(folder / "store", store)


def check_files(folder: Path, store: DiskStore) -> None:
    """The segment files are those that the index names, no more and no fewer bytes."""
    sizes = {path.name: path.stat().st_size for path in (folder / "segments").iterdir()}
    assert sizes == {file: size for file, (_, size) in store._index.files().items()}
    assert sum(sizes.values()) == store.bytes_used


def kill_at_random(folder: Path, kills: int, seed: int) -> None:
    """Start workers beside one that lives on, kill them at random moments, check each time."""
    choice = random.Random(seed)
    with started("work", folder, seed) as survivor:
        for number in range(kills):
            with started("work", folder, seed + 1 + number) as process:
                time.sleep(choice.random() * 0.15)
                process.kill()
                process.wait()
                check_after_kill(folder, process.pid)
        assert survivor.stdin is not None
        assert survivor.poll() is None, "the worker that was not killed met an error"
        survivor.stdin.close()
        assert survivor.wait() == 0
    check_whole(folder)
    assert len(journal(folder)) > kills


def test_killed_processes_leave_no_half_bundle_and_no_second_claim(tmp_path: Path) -> None:
    kill_at_random(tmp_path, kills=10, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_many_killed_processes(tmp_path: Path) -> None:
    kill_at_random(tmp_path, kills=200, seed=1000)


def test_of_four_processes_exactly_one_gets_each_bundle(tmp_path: Path) -> None:
    with DiskStore(tmp_path / "store") as store:
        bundles = [os.urandom(16) for _ in range(60)]
        store.put_many([Dealing(bundle, PLAN, PEER, parts(bundle, "r")) for bundle in bundles])
        store.prime_many([Priming(bundle, {}) for bundle in bundles])
        with ExitStack() as stack:
            racers = [stack.enter_context(started("race", tmp_path)) for _ in range(4)]
            for process in racers:
                assert process.stdin is not None
                process.stdin.write(b"!")
                process.stdin.flush()
            outputs = [process.communicate(timeout=60)[0] for process in racers]
        won = [line.split() for output in outputs for line in output.decode().splitlines()]
        assert sorted(bytes.fromhex(name) for name, _ in won) == sorted(bundles)
        assert sorted(int(epoch) for _, epoch in won) == list(range(1, 61))
        assert store.epoch == 60
        assert store.recover().orphans == ()
        assert store.count()["erased"] == 60


# Every crash point, one after the other


def dies_at(point: int, folder: Path, action: Callable[[DiskStore], None]) -> bool:
    """Run `action` in a child that drops dead at its `point`-th system call; whether it got that far."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 77
    status = 1
    try:
        store = DiskStore(folder)
        left = point

        def counted(call: Callable[..., object]) -> Callable[..., object]:
            def count(*values: object, **options: object) -> object:
                nonlocal left
                left -= 1
                if left == 0:
                    os._exit(77)
                return call(*values, **options)

            return count

        for name in CALLS:
            setattr(os, name, counted(getattr(os, name)))
        action(store)
        status = 0
    finally:
        os._exit(status)


PUT, PRIME, CLAIM, ERASE = "put", "prime", "claim", "erase"
BEFORE = {PUT: (), PRIME: (PUT,), CLAIM: (PUT, PRIME), ERASE: (PUT, PRIME, CLAIM)}
ALLOWED = {PUT: (None, "dealt"), PRIME: ("dealt", "primed"), CLAIM: ("primed", "erased"), ERASE: ("erased",)}


def do(store: DiskStore, verb: str, bundle: bytes) -> None:
    """One verb on the bundle under test."""
    if verb == PUT:
        store.put(bundle, PLAN, PEER, parts(bundle, "r", "s"))
    elif verb == PRIME:
        store.prime(bundle, parts(bundle, "m"), ["s"])
    elif verb == CLAIM:
        store.claim(bundle, PLAN, PEER)
    else:
        store.erase(bundle)


def settle(folder: Path, bundle: bytes) -> str | None:
    """After a crash: the bundle must be whole and serve at most once; returns the state it was found in."""
    with DiskStore(folder) as store:
        state = {row.bundle: row.state for row in store.list()}.get(bundle)
        if state == "dealt":
            worker.verify(store, bundle, "r", "s")
            store.prime(bundle, parts(bundle, "m"), ["s"])
        if state in ("dealt", "primed"):
            store.claim(bundle, PLAN, PEER)
            worker.verify(store, bundle, "r", "m")
            store.erase(bundle)
        with pytest.raises(StoreError):
            store.claim(bundle, PLAN, PEER)
        check_files(folder, store)
        return state


@pytest.mark.parametrize("verb", [PUT, PRIME, CLAIM, ERASE])
def test_a_crash_at_any_call_leaves_the_state_before_or_after(tmp_path: Path, verb: str) -> None:
    bystander = os.urandom(16)
    with DiskStore(tmp_path) as store:
        store.put(bystander, PLAN, PEER, parts(bystander, "r"))
    for point in range(1, 80):
        bundle = os.urandom(16)
        # What this process claims would be erased when it closes, so an erasure is prepared in the child.
        prepare = BEFORE[verb] if verb != ERASE else ()
        with DiskStore(tmp_path) as store:
            for earlier in prepare:
                do(store, earlier, bundle)

        def action(store: DiskStore, verbs: tuple[str, ...] = (*BEFORE[verb][len(prepare) :], verb)) -> None:
            for each in verbs:
                do(store, each, bundle)  # noqa: B023

        died = dies_at(point, tmp_path, action)
        state = settle(tmp_path, bundle)
        assert verb == ERASE or state in ALLOWED[verb]
        if not died:
            break
    assert (died, state) == (False, ALLOWED[verb][-1])
    with DiskStore(tmp_path) as store:
        worker.verify(store, bystander, "r")
