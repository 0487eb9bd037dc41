"""Altered messages and frames against live parties: each ends in a typed error or is harmless, and others are served.

A recorded conversation is altered in one to three places and played to the real `handle` or `Client` in this thread,
over a transport that only replays, so that nothing can wait for anything.
"""

from __future__ import annotations

import copy
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tacit import errors
from tacit.corr.memory import MemoryStore
from tacit.errors import TacitError
from tacit.front.clear import run_clear
from tacit.net.channel import Channel
from tacit.net.frame import HEADER_BYTES, Kind, pack_header
from tacit.net.party import Party
from tacit.net.transport import Transport
from tacit.plan.plan import FORMAT, Plan
from tacit.ring import native
from tacit.run.handshake import PROTOCOL, Ask, Claim, Hello, Prime, Run
from tacit.service.client import Client
from tacit.service.home import Home
from tacit.service.listen import answer
from tacit.testing.parties import House, identity

X = np.linspace(-1, 1, 6).reshape(2, 3)
Frames = list[tuple[int, bytes]]


class Replay(Transport):
    """Gives the peer's bytes, then the end of the stream; swallows what is sent."""

    def __init__(self, name: str, data: bytes) -> None:
        self.peer = Party(name, identity(name))
        self._data, self._at = data, 0

    def send(self, buffers: Sequence[memoryview]) -> None:
        """Nobody listens."""

    def recv_into(self, view: memoryview) -> int:
        """The next bytes."""
        part = self._data[self._at : self._at + len(view)]
        view[: len(part)] = part
        self._at += len(part)
        return len(part)

    def set_timeout(self, seconds: float | None) -> None:
        """Nothing ever waits."""

    def close(self, linger: float = 0.0) -> None:
        """Nothing to close."""


def stream(frames: Frames) -> bytes:
    return b"".join(pack_header(kind, len(payload)) + payload for kind, payload in frames)  # type: ignore[arg-type]


def message(value: msgspec.Struct) -> tuple[int, bytes]:
    return int(Kind.MESSAGE), msgspec.msgpack.encode(value)


WEIRD: list[Any] = [
    None,
    True,
    -1,
    0,
    3,
    1 << 31,
    (1 << 64) - 1,
    0.5,
    "",
    "x" * 64,
    b"",
    bytes(16),
    [],
    {},
    [bytes(16)] * 3,
]


def altered_message(rng: np.random.Generator, payload: bytes) -> bytes:
    """A message with one field of another value, missing, or too many."""
    try:
        data = msgspec.msgpack.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):  # altered before
        return payload[::-1]
    if not isinstance(data, dict) or not data:
        return payload[::-1]
    names = list(data)
    name = names[int(rng.integers(len(names)))]
    choice = rng.random()
    if choice < 0.7:
        data[name] = copy.deepcopy(WEIRD[int(rng.integers(len(WEIRD)))])
    elif choice < 0.85:
        del data[name]
    else:
        data["more"] = 1
    return msgspec.msgpack.encode(data)


def altered_payload(rng: np.random.Generator, kind: int, payload: bytes) -> bytes:
    """Other bytes: of the same length, shorter, longer, or another message."""
    choice = rng.random()
    if choice < 0.4 and kind == Kind.MESSAGE:
        return altered_message(rng, payload)
    out = bytearray(payload)
    if choice < 0.7 and out:
        for _ in range(int(rng.integers(1, 4))):
            out[int(rng.integers(len(out)))] ^= 1 << int(rng.integers(8))
    elif choice < 0.8:
        del out[int(rng.integers(len(out) + 1)) :]
    elif choice < 0.9:
        out += rng.bytes(int(rng.integers(1, 40)))
    else:
        out = bytearray(rng.bytes(len(out)))
    return bytes(out)


def altered(rng: np.random.Generator, frames: Frames, first: int = 0) -> bytes:
    """The stream with one to three alterations from frame `first` on."""
    out = list(frames)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(min(first, len(out) - 1), len(out)))
        kind, payload = out[at]
        choice = rng.random()
        if choice < 0.6:
            out[at] = (kind, altered_payload(rng, kind, payload))
        elif choice < 0.7 and len(out) > 1:
            del out[at]
        elif choice < 0.8:
            out.insert(at, out[int(rng.integers(len(out)))])
        elif choice < 0.9:
            out[at] = (int(rng.integers(1, 5)), payload)
        else:
            other = int(rng.integers(len(out)))
            out[at], out[other] = out[other], out[at]
    raw = bytearray(stream(out))
    if rng.random() < 0.2:
        raw[int(rng.integers(min(len(raw), 4 * HEADER_BYTES)))] ^= 1 << int(rng.integers(8))
    if rng.random() < 0.1:
        del raw[int(rng.integers(len(raw))) :]
    return bytes(raw)


def ended(call: Callable[[], object]) -> str:
    """How a call ended: the name of the typed error, or "well". Any other error comes through."""
    try:
        call()
    except TacitError as error:
        return type(error).__name__ if len(str(error)) < 2000 else "a flood of words"
    return "well"


def recorded(house: House, name: str, caller: str, answerer: str) -> tuple[Frames, Frames]:
    """What caller and answerer sent in their last conversation."""
    frames = house.last(caller, answerer).tap.frames
    both = [[(int(f.kind), f.payload) for f in frames if f.direction == way] for way in ("sent", "received")]
    return both[0], both[1]


def whole_conversation(house: House, name: str) -> dict[str, tuple[Frames, Frames]]:
    """A client's whole life, recorded: greeting, plan, registration, dealing, priming, a run."""
    with house.client(name) as client:
        client.predict(X)
    pairs = ((name, "server"), (name, "dealer"), ("server", "dealer"))
    return {f"{a} to {b}": recorded(house, name, a, b) for a, b in pairs}


def greeting() -> Frames:
    hello = Hello(role="client", protocol=PROTOCOL, plan_format=FORMAT, kernels=native.version())
    return [message(hello), message(Ask(plan="", epoch=0))]


class Scripts:
    """Conversations of clients with fresh bundles, so that alterations reach the middle of priming and of runs.

    An altered epoch may be believed, and then its client is refused for good: each stock has a client of its own.
    """

    def __init__(self, house: House, plan: Plan) -> None:
        self.house, self.plan = house, plan
        self.name, self._clients = "", 0
        self._stock: dict[str, tuple[str, list[bytes]]] = {}

    def forget(self) -> None:
        """Go on with other clients."""
        self._stock.clear()

    def bundle(self, state: str) -> bytes:
        """A bundle that is in this state at the server (for "dealt": at the dealer), of the client `name`."""
        store = self.house.dealer.store if state == "dealt" else self.house.server.store
        self.name, waiting = self._stock.get(state, ("", []))
        left = set(waiting) & set(store.ids(state=state))  # type: ignore[arg-type]
        if not left:
            self._clients += 1
            self.name = f"fuzz{self._clients}"
            with self.house.client(self.name) as client:
                waiting = client._deal(20, None)
                if state == "primed":
                    client.prepare(20)
            self._stock[state] = self.name, waiting
            left = set(waiting)
        return left.pop()

    def _data(self, phase: str) -> Frames:
        sizes = [m.payload for m in self.plan.bill().messages(phase) if m.sender == 0]  # type: ignore[arg-type]
        return [(int(Kind.DATA), bytes(size)) for size in sizes]

    def prime(self) -> Frames:
        return [*greeting(), message(Prime(bundles=[self.bundle("dealt")])), *self._data("prime")]

    def run(self) -> Frames:
        bundle = self.bundle("primed")
        return [*greeting(), message(Claim(bundle=bundle)), message(Run(bundle=bundle)), *self._data("online")]


def serve_others(house: House, plan: Plan, stop: threading.Event, answers: list[bool]) -> None:
    """An honest client that asks again and again."""
    assert plan.graph is not None
    want = run_clear(plan.graph, X)[0]
    with house.client("honest") as client:
        while not stop.wait(0.2):
            answers.append(bool(np.allclose(client.predict(X), want, atol=1e-3)))


TYPED = {name for name in errors.__all__ if issubclass(getattr(errors, name), Exception)}
COUNTS = [300, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]


#: Fewer by default, since honest clients are served all the while.
SERVER_COUNTS = [100, *COUNTS[1:]]


@pytest.mark.parametrize("count", SERVER_COUNTS)
def test_altered_messages_to_the_server(count: int, house: House, plan: Plan) -> None:
    rng = np.random.default_rng(1)
    past, _ = whole_conversation(house, "fuzz")["fuzz to server"]
    scripts = Scripts(house, plan)
    stop, answers, endings = threading.Event(), list[bool](), list[str]()
    thread = threading.Thread(target=serve_others, args=(house, plan, stop, answers))
    thread.start()
    try:
        for number in range(count):
            frames, first = past, 0
            if number % 3:
                frames, first = (scripts.prime() if number % 3 == 1 else scripts.run()), 2
            name = scripts.name if number % 3 else "fuzz"
            channel = Channel(Replay(name, altered(rng, frames, first)))
            endings.append(ended(lambda c=channel: answer(house.server.handle, c)))  # type: ignore[misc]
            if endings[-1] == "RolledBack":
                scripts.forget()
    finally:
        stop.set()
        thread.join(60)
    assert "well" not in endings, "a visit ends by an error, be it the client's leaving"
    assert {"PeerError", "ChannelClosed"} <= set(endings) <= TYPED | {"well"}
    assert answers
    assert all(answers)
    assert house.server.store.count()["claimed"] == 0


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("caller", ["fuzz", "server"])
def test_altered_messages_to_the_dealer(caller: str, count: int, house: House) -> None:
    rng = np.random.default_rng(2)
    frames, _ = whole_conversation(house, "fuzz")[f"{caller} to dealer"]
    endings = []
    for _ in range(count // 2):
        channel = Channel(Replay(caller, altered(rng, frames)))
        endings.append(ended(lambda c=channel: answer(house.dealer.handle, c)))  # type: ignore[misc]
    assert "well" not in endings
    assert {"PeerError", "ChannelClosed"} <= set(endings) <= TYPED | {"well"}
    with house.client("honest") as client:
        assert client.predict(X).shape == (2, 2)


class QuickHome(Home):
    """A home whose material is in memory: ten thousand lives need no disk."""

    def store(self, quota_gib: float = 64.0) -> MemoryStore:  # type: ignore[override]
        """An empty store."""
        return MemoryStore(int(quota_gib * (1 << 30)))


CLIENT_COUNTS = [150, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]


@pytest.mark.parametrize("count", CLIENT_COUNTS)
def test_altered_messages_to_the_client(count: int, house: House, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    told = whole_conversation(house, "fuzz")
    _, server = told["fuzz to server"]
    _, dealer = told["fuzz to dealer"]

    def life(from_server: bytes, from_dealer: bytes) -> None:
        folder = tmp_path / "one life"
        try:
            channel = Channel(Replay("server", from_server))
            dial = lambda: Channel(Replay("dealer", from_dealer))  # noqa: E731
            with Client(QuickHome.at(folder), channel, house.policy, dial, threads=1, quota_gib=0.25) as client:
                client.prepare()
                client.predict(X)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    life(stream(server), stream(dealer))  # the replay itself is a good conversation
    endings = []
    for number in range(count):
        good, bad = (server, dealer) if number % 4 == 0 else (dealer, server)
        twisted, straight = altered(rng, bad), stream(good)
        both = (straight, twisted) if number % 4 == 0 else (twisted, straight)
        endings.append(ended(lambda b=both: life(*b)))  # type: ignore[misc]
    assert {"PeerError", "ChannelClosed"} <= set(endings) <= TYPED | {"well"}
