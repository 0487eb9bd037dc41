"""A party in a process of its own that others kill, or that kills itself at a chosen point: run by kill_house.py.

Everything here watches from outside: production code is wrapped, and each bundle that is about to be used is written
to a journal that survives the process, independently of the stores.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import msgspec
import numpy as np

from tacit.errors import TacitError
from tacit.net.channel import Channel
from tacit.net.frame import Kind
from tacit.service import api, client
from tacit.service.server import Server


class Journal:
    """Lines appended to a file, each synchronised before `write` returns."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, *words: str) -> None:
        """Append one line."""
        os.write(self._file, (" ".join(words) + "\n").encode())
        os.fsync(self._file)


def die() -> None:
    """End as if the power had failed: no handler, no `finally`, no flush."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


class Witness:
    """A tap that journals the bundle and SHA-256 of each first masked input, before its receiver can look at it.

    fatal: the number of the data frame after a `Run` at which the process dies; 0: it lives.
    """

    def __init__(self, journal: Journal, fatal: int = 0) -> None:
        self._journal, self._fatal = journal, fatal
        self._bundle = ""
        self._frames = 0

    def sent(self, kind: Kind, header: bytes, payload: Sequence[memoryview]) -> None:
        """See `Tap.sent`: the client's masked inputs leave here."""
        self._see("sent", kind, b"".join(payload))

    def received(self, kind: Kind, header: bytes, payload: memoryview) -> None:
        """See `Tap.received`: at the server they arrive here."""
        self._see("run", kind, bytes(payload))

    def _see(self, what: str, kind: Kind, payload: bytes) -> None:
        if kind is Kind.MESSAGE:
            message = msgspec.msgpack.decode(payload)
            self._bundle, self._frames = (message["bundle"].hex(), 0) if message["type"] == "Run" else ("", 0)
        elif kind is Kind.DATA and self._bundle:
            self._frames += 1
            if self._frames == 1:
                self._journal.write(what, self._bundle, hashlib.sha256(payload).hexdigest())
            if self._frames == self._fatal:
                die()


def arm(fate: str) -> int:
    """Prepare the death "before|after [N] package.module:Name.method", at the first or N-th call, or return N for
    "frame N"; "" is a long life.
    """
    when, _, where = fate.partition(" ")
    if when == "frame":
        return int(where)
    if fate:
        number, _, where = where.rpartition(" ")
        left = int(number or 1)
        path, _, name = where.rpartition(".") if "." in where.partition(":")[2] else where.rpartition(":")
        owner = resolve_name(path)
        original: Callable[..., object] = getattr(owner, name)

        def doomed(*values: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if not left and when == "before":
                die()
            result = original(*values, **options)
            if not left:
                die()
            return result

        setattr(owner, name, doomed)
    return 0


def watch_server(journal: Journal, fatal: int) -> None:
    """Put a witness on every channel that a server handles."""
    handle = Server.handle

    def watched(self: Server, channel: Channel) -> None:
        channel.tap = Witness(journal, fatal)
        handle(self, channel)

    Server.handle = watched  # type: ignore[method-assign]


def watch_client(journal: Journal, fatal: int) -> None:
    """Journal each bundle right before its first masked byte, and watch the frames that follow."""
    run = client.run_as_client

    def watched(channel: Channel, plan: Any, bundle: bytes, *values: Any, **options: Any) -> Any:
        journal.write("send", bundle.hex())
        if channel.tap is None:
            channel.tap = Witness(journal, fatal)
        return run(channel, plan, bundle, *values, **options)

    client.run_as_client = watched  # type: ignore[assignment]


def going() -> bool:
    """Whether the parent still holds this process's input open."""
    return sys.stdin.buffer.raw.read(1) != b""  # type: ignore[attr-defined]


def ask(options: dict[str, Any], journal: Journal, runs: int) -> None:
    """Connect, get material for `runs` runs and use it; journals every answer. Raises TacitError."""
    root = Path(options["root"])
    x, want = np.load(root / "input.npy"), np.load(root / "answer.npy")
    with api.connect(options["server"], home=options["home"], dealer=options["dealer"], threads=1) as session:
        session.prepare(runs)
        for _ in range(runs):
            if not going():
                return
            right = bool(np.abs(session.predict(x) - want).max() < 1e-2)
            journal.write("answer" if right else "wrong")


def be_client(options: dict[str, Any], journal: Journal) -> None:
    """Ask `runs` times, or (0) over and over until the input ends; every typed error is journalled."""
    os.set_blocking(0, False)
    print("ready", flush=True)
    if options["runs"]:
        ask(options, journal, options["runs"])
        return
    while going():
        try:
            ask(options, journal, 3)
        except TacitError as error:
            journal.write("error", type(error).__name__, str(error))
            time.sleep(0.1)


def be_listener(options: dict[str, Any]) -> None:
    """Serve or deal until the input ends."""
    if options["role"] == "server":
        plan = Path(options["root"]) / "plan.tacit"
        running = api.serve(plan, home=options["home"], dealer=options["dealer"], port=options["port"], threads=1)
    else:
        running = api.deal(home=options["home"], port=options["port"])
    with running:
        print("ready", flush=True)
        sys.stdin.buffer.read()


def main(options: dict[str, Any]) -> None:
    """Be one party; `options` are those that kill_house.py writes."""
    journal = Journal(Path(options["journal"]))
    fatal = arm(options["fate"])
    if options["role"] == "client":
        watch_client(journal, fatal)
        be_client(options, journal)
    else:
        watch_server(journal, fatal)
        be_listener(options)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main(json.loads(sys.argv[1]))
