"""One party of a benchmark as a process of its own: `python party.py '{"role": ..., ...}'`, JSON lines on stdout.

A dealer or server prints {"address": ...} when it listens, a server also one line for every visit to its dealer; both
stop when their standard input ends, and say the most memory they had. A client measures register, deal, prime and
online one after the other, prints one line and leaves. None of them imports torch.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tacit.net.channel import Channel
from tacit.net.meter import Phase, Snapshot
from tacit.service.api import connect, deal, serve
from tacit.service.client import Client
from tacit.service.server import Server

__all__ = ["main"]

Job = dict[str, Any]


def _say(line: Job) -> None:
    print(json.dumps(line), flush=True)


def _peak() -> int:
    """The most memory that this process has had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _counted(change: Snapshot, phase: Phase) -> Job:
    """Frame bytes above TLS of one phase, as this party's meter saw them."""
    counts = change[phase]
    return {"bytes_sent": counts.bytes_sent, "bytes_received": counts.bytes_received, "turns": counts.turns}


def _timed(dial: Callable[[], Channel], report: Callable[[Job], None]) -> Callable[[], Any]:
    """`dial` for use in a `with` statement, which also reports the seconds and bytes of the visit."""

    @contextmanager
    def visit() -> Iterator[Channel]:
        started = time.perf_counter()
        with dial() as channel:
            yield channel
            counted = _counted(channel.meter.snapshot(), "deal")
        report({"seconds": time.perf_counter() - started, **counted})

    return visit


def _listen(job: Job) -> None:
    """Deal or serve until standard input ends."""
    common = {"home": job["home"], "port": 0, "threads": job["threads"], "link": job["link"]}
    running = (
        deal(**common, quota_gib=64.0)
        if job["role"] == "dealer"
        else serve(job["plan"], dealer=job["dealer"], **common, **_loading(job), quota_gib=256.0)
    )
    with running:
        if isinstance(running.party, Server):
            for hosted in running.party.plans.values():
                hosted.call = None if hosted.call is None else _timed(hosted.call, lambda line: _say({"fetch": line}))
        _say({"address": running.address})
        sys.stdin.read()
    _say({"peak_bytes": _peak()})


def _loading(job: Job) -> Job:
    """How much of a bundle is loaded before its run: what is usual, or, where cold runs are measured, nothing."""
    return {"warm_bytes": 0} if job["cold"] else {}


def _forget(folders: list[str]) -> None:
    """Drop the files of these folders from the page cache, so that the next to read them waits for the disk."""
    for file in (file for folder in folders for file in Path(folder).iterdir()):
        opened = os.open(file, os.O_RDONLY)
        os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(opened)


def _offline(client: Client, count: int) -> Job:
    """Make `count` bundles ready, each phase timed by itself; "deal" is the client's part of it alone."""
    before, started = client.channel.meter.snapshot(), time.perf_counter()
    client.register()
    registered = time.perf_counter()
    visits: list[Job] = []
    if client.dial_dealer is not None:
        client.dial_dealer = _timed(client.dial_dealer, visits.append)
    dealt = registered

    def progress(stage: str, _done: int, _total: int) -> None:
        nonlocal dealt
        dealt = time.perf_counter() if stage == "dealing" else dealt

    client.prepare(count, progress)
    ended = time.perf_counter()
    change = client.channel.meter.snapshot() - before
    return {
        "count": count,
        "register": {"seconds": registered - started, **_counted(change, "register")},
        "deal": {**visits[-1], "seconds": dealt - registered} if visits else None,
        "prime": {"seconds": ended - dealt, **_counted(change, "prime")},
    }


def _online(client: Client, images: Any, runs: int, warm: int, out: str, cold: list[str]) -> Job:
    """`runs` predictions after `warm` that do not count; a bundle is claimed and loaded before each clock starts.

    With folders `cold`, those of both parties' material, it is claimed, not loaded, and not in the page cache either.
    The outputs of those that count go to the file `out`.
    """
    seconds, claims, outputs, change = [], [], [], None
    for number in range(warm + runs):
        started = time.perf_counter()
        client.ready()
        claims.append(time.perf_counter() - started)
        _forget(cold)
        before = client.channel.meter.snapshot()
        outputs.append(client.predict(images[number % len(images)][None], prepare=False))
        seconds.append(client.spent.seconds)
        change = client.channel.meter.snapshot() - before
    counted = {} if change is None else _counted(change, "online")
    np.save(out, np.concatenate(outputs[warm:]))
    return {
        "seconds": seconds[warm:],
        "claim_seconds": claims[warm:],
        **counted,
    }


def _query(job: Job) -> None:
    address, names = job["address"], ("home", "dealer", "threads", "link")
    with connect(address, **{name: job[name] for name in names}, **_loading(job), quota_gib=256.0) as client:
        made = _offline(client, job["bundles"]) if job["bundles"] else None
        images = np.load(job["images"]) if job["runs"] else None
        ran = _online(client, images, job["runs"], job["warm"], job["outputs"], job["cold"]) if job["runs"] else None
    _say({"offline": made, "online": ran, "peak_bytes": _peak()})


def main() -> None:
    """Play the party that the first argument describes, on the first two cores that this process may use."""
    job = json.loads(sys.argv[1])
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: job["cores"]])
    if job["role"] == "client":
        _query(job)
    else:
        _listen(job)


if __name__ == "__main__":
    main()
