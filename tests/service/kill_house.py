"""A dealer, a server and clients as processes that can be killed, over TLS on loopback, each with a home of its own."""

from __future__ import annotations

import json
import runpy
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import numpy as np

from tacit.corr.disk import DiskStore
from tacit.corr.store import State
from tacit.net.keys import enrol, make_identity
from tacit.plan.plan import Plan
from tacit.plan.save import save_owner
from tacit.run.simulate import simulate
from tacit.service import api
from tacit.service.client import Client
from tacit.testing.graphs import Sketch, plan_for, policy_for

CHILD = Path(__file__).with_name("kill_party.py")
kill_party = SimpleNamespace(**runpy.run_path(str(CHILD)))
PATIENCE_S = 60.0


def tiny_plan() -> tuple[Plan, Any, Any]:
    """Two convolutions and two quartics on [1, 1, 5, 5]; an input and its answer."""
    s = Sketch(5)
    first = s.poly(s.conv(s.input(1, 1, 5, 5), 3))
    second = s.poly(s.conv(first, 2))
    graph, xs = s.graph(s.linear(s.flat(second), 3)), s.values()
    plan = plan_for(graph, policy_for("dealer"), xs)
    return plan, xs[0], simulate(plan, *xs).outputs[0]


def until(what: str, condition: Callable[[], bool]) -> None:
    """Wait until something holds; fails after a minute."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.01)


class House:
    """The parties of one plan under `root`. Used in a `with` statement it ends every process that it started."""

    def __init__(self, root: Path, clients: tuple[str, ...] = ("alice", "bob")) -> None:
        self.root = root
        self.parties: dict[str, subprocess.Popen[bytes]] = {}
        self.hosted: dict[str, api.Running] = {}
        self.plan, self.x, self.want = tiny_plan()
        save_owner(self.plan, root / "plan.tacit")
        np.save(root / "input.npy", self.x)
        np.save(root / "answer.npy", self.want)
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
            self.ports = {"dealer": one.getsockname()[1], "server": two.getsockname()[1]}
        names = ("dealer", "server", *clients)
        self.identity = {name: make_identity(root / name, name).certificate for name in names}
        for mine in names:
            for other in names:
                if mine != other and {mine, other} & {"dealer", "server"}:
                    enrol(root / mine, self.identity[other].pem, other)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for name in tuple(self.hosted):
            self.dismiss(name)
        for name in tuple(self.parties):
            self.parties[name].kill()
            self._reap(name)

    def address(self, name: str) -> str:
        """Where the dealer or the server listens."""
        return f"tacit://127.0.0.1:{self.ports[name]}"

    def start(self, name: str, *, runs: int = 0, fate: str = "", home: str = "", ready: bool = True) -> None:
        """Start a party: `runs` and `fate` as in kill_party.py; `ready`: wait until it listens or is about to dial."""
        options = {
            "role": name if name in self.ports else "client",
            "root": str(self.root),
            "home": str(self.root / (home or name)),
            "journal": str(self.root / f"{name}.journal"),
            "port": self.ports.get(name, 0),
            "dealer": self.address("dealer"),
            "server": self.address("server"),
            "runs": runs,
            "fate": fate,
        }
        command = [sys.executable, "-W", "error", str(CHILD), json.dumps(options)]
        errors = (self.root / f"{name}.errors").open("ab")
        with errors:
            self.parties[name] = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, bufsize=0
            )
        if ready:
            output = self.parties[name].stdout
            assert output is not None
            assert output.readline() in (b"ready\n", b""), self.errors(name)

    def host(self, name: str) -> None:
        """Run the dealer or the server in this process, which starts faster."""
        shared: dict[str, Any] = {"home": self.root / name, "port": self.ports[name], "threads": 1}
        if name == "dealer":
            self.hosted[name] = api.deal(**shared)
        else:
            self.hosted[name] = api.serve(self.root / "plan.tacit", dealer=self.address("dealer"), **shared)

    def dismiss(self, name: str) -> None:
        """End a party of this process."""
        self.hosted.pop(name).stop()

    def kill(self, name: str) -> None:
        """SIGKILL one party, which must have lived until now."""
        process = self.parties[name]
        assert process.poll() is None, f"{name} ended by itself: {self.errors(name)}"
        process.kill()
        self._reap(name)

    def died(self, name: str) -> None:
        """Wait for a party that is to kill itself."""
        assert self.parties[name].wait(PATIENCE_S) == -9, f"{name} did not reach its end: {self.errors(name)}"
        self._reap(name)

    def ended(self, name: str) -> None:
        """Ask a party to end, if it has not ended by itself, and wait; it must end well."""
        process = self.parties[name]
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(PATIENCE_S) == 0, f"{name} ended badly: {self.errors(name)}"
        self._reap(name)

    def _reap(self, name: str) -> None:
        process = self.parties.pop(name)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def errors(self, name: str) -> str:
        """What a party wrote to its standard error, cut to its end."""
        path = self.root / f"{name}.errors"
        return path.read_text()[-4000:] if path.exists() else ""

    def connect(self, name: str, *, home: str = "", dealer: bool = True) -> Client:
        """A client in this process; its masked inputs are journalled as those of the others are."""
        address = self.address("dealer") if dealer else None
        client = api.connect(self.address("server"), home=self.root / (home or name), dealer=address, threads=1)
        client.channel.tap = kill_party.Witness(kill_party.Journal(self.root / f"{name}.journal"))
        return client

    def right(self, answer: Any) -> bool:
        """Whether an answer for `x` is the model's."""
        return bool(np.abs(answer - self.want).max() < 1e-2)

    # What the journals say

    def lines(self, name: str, what: str) -> list[list[str]]:
        """The journalled lines of a party that start with `what`; a last line cut short does not count."""
        path = self.root / f"{name}.journal"
        whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
        return [line.split(" ", 2)[1:] for line in whole.splitlines() if line.split(" ", 1)[0] == what]

    def answers(self, name: str) -> int:
        """How many right answers a client got."""
        return len(self.lines(name, "answer"))

    def clients(self) -> list[str]:
        """The names of all clients that wrote a journal."""
        return sorted(path.stem for path in self.root.glob("*.journal") if path.stem not in self.ports)

    def check_single_use(self) -> set[str]:
        """No bundle and no masked input was ever seen twice, from outside the stores; returns the ids (hex) used.

        All clients ask with one and the same input, so two equal masked inputs mean one mask used twice, even under two
        ids.
        """
        came = self.lines("server", "run")
        left = [line for name in self.clients() for line in self.lines(name, "sent")]
        sends = [line[0] for name in self.clients() for line in self.lines(name, "send")]
        for seen in (sends, *zip(*came, strict=True), *zip(*left, strict=True)):
            twice = [item for item, count in Counter(seen).items() if count > 1]
            assert not twice, f"used more than once: {twice}"
        assert not [name for name in self.clients() if self.lines(name, "wrong")], "an answer was wrong"
        return {*sends, *(bundle for bundle, _ in left)}

    # What the stores say

    def counts(self, name: str) -> dict[State, int]:
        """How many bundles a party has in each state; opening repairs what a dead process left."""
        with DiskStore(self.root / name / "store") as store:
            return store.count()

    def states(self, name: str) -> dict[str, State]:
        """The state of every bundle that a party ever had, by id in hex."""
        with DiskStore(self.root / name / "store") as store:
            return {row.bundle.hex(): row.state for row in store.list()}

    def check_store(self, name: str) -> None:
        """The store of a party that is not running: nothing is claimed, what was used is erased, files match rows."""
        folder = self.root / name / "store"
        used = {line[0] for what in ("send", "run") for line in self.lines(name, what)}
        with DiskStore(folder) as store:
            states = {row.bundle.hex(): row.state for row in store.list()}
            assert "claimed" not in states.values()
            assert {states.get(bundle) for bundle in used} <= {"erased"}, "a bundle that was used is not erased"
            sizes = {path.name: path.stat().st_size for path in (folder / "segments").iterdir()}
            assert sum(sizes.values()) == store.bytes_used

    def agree(self, client: str) -> bool:
        """Whether both sides have primed the same and the server has no bundle that its client has not."""
        peer = self.identity[client].fingerprint
        with DiskStore(self.root / "server" / "store") as store:
            theirs = {state: set(store.ids(peer=peer, state=state)) for state in ("dealt", "primed")}
        with DiskStore(self.root / client / "store") as store:
            mine = {state: set(store.ids(state=state)) for state in ("dealt", "primed")}
        both = mine["primed"] <= theirs["primed"] <= mine["primed"] | mine["dealt"]
        return both and theirs["dealt"] <= mine["dealt"]
