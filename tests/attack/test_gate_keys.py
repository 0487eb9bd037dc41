"""Keys of gates are used once: faults in the middle of one, replays, second walks, and streams with two purposes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tacit.corr.bundle import Seeds
from tacit.errors import ChannelError, PeerRefused
from tacit.front.labels import with_labels
from tacit.net.frame import Kind
from tacit.plan.plan import Plan
from tacit.ring import native
from tacit.ring.prg import Seed, nonce_of
from tacit.run import material
from tacit.run.execute import walk
from tacit.run.handshake import Ask, Claim, Claimed, Opened, Run, Taken, greet
from tacit.run.simulate import simulate
from tacit.secure import labels
from tacit.secure.session import Session
from tacit.secure.share import CLIENT, SERVER
from tacit.testing.graphs import Sketch, plan_for, policy_for
from tacit.testing.parties import House

X = np.linspace(-1, 1, 16).reshape(2, 8)


@pytest.fixture(scope="module")
def gates() -> Plan:
    """A ReLU with exact rounding, a maximum over pairs and a label."""
    s = Sketch(0)
    y = s.op("relu", s.linear(s.input(2, 8), 16))
    attrs = {"axis": 1, "kernel": 2, "stride": 2, "padding": 0, "dilation": 1, "windows": 8}
    graph = with_labels(s.graph(s.linear(s.op("max", y, attrs=attrs), 5)), 2)
    return plan_for(graph, policy_for("dealer", rounding="exact", reveal="top2"), [X])


@pytest.fixture
def parties(tmp_path: Path, gates: Plan) -> Iterator[House]:
    with House(tmp_path, [gates]) as house:
        yield house
        assert not house.faults, house.faults


def runs(house: House) -> list[tuple[bytes, list[bytes]]]:
    """The bundle of every run that the client began, with all data frames that crossed in it."""
    found: list[tuple[bytes, list[bytes]]] = []
    calls = [c for c in house.calls if (c.caller, c.answerer) == ("client", "server")]
    for frame in (frame for call in calls for frame in call.tap.frames):
        if frame.kind is Kind.MESSAGE:
            message = msgspec.msgpack.decode(frame.payload)
            running = message.get("type") == "Run"
            found += [(message["bundle"], [])] if running else []
        elif running and frame.kind is Kind.DATA:
            found[-1][1].append(bytes(frame.payload))
    return found


@pytest.mark.parametrize("kernel", ["dpf_less", "relu_client"])
@pytest.mark.parametrize("fault", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_gate_gives_its_keys_up(
    parties: House, monkeypatch: pytest.MonkeyPatch, kernel: str, fault: type[BaseException]
) -> None:
    """The retry of the very same input takes another bundle, and not one frame of a mask's size comes again."""

    real = getattr(native, kernel)

    def interrupted(*args: Any, **more: Any) -> Any:
        if kernel == "relu_client" or args[2] == CLIENT:  # the server is a thread of this process
            raise fault
        return real(*args, **more)

    with parties.client() as client:
        client.prepare(2)
        with monkeypatch.context() as patch:
            patch.setattr(native, kernel, interrupted)
            with pytest.raises(fault):
                client.predict(X)
        with pytest.raises(ChannelError):
            client.predict(X)
    with parties.client() as client:
        assert client.predict(X).shape == (2, 2)
        for store in (client._store, parties.server.store):
            assert not store.ids(state="claimed")
            assert not store.ids(state="primed")
    (first, broken), (second, whole) = runs(parties)
    assert first != second
    assert len(broken) >= 1 < len(whole)
    long = [[frame for frame in frames if len(frame) >= 8] for frames in (broken, whole)]
    assert not set(long[0]) & set(long[1])


def test_a_bundle_of_gates_is_not_run_again(parties: House) -> None:
    with parties.client() as client:
        client.predict(X)
    ((used, _),) = runs(parties)
    with parties.dial("client", "server") as channel:
        greet(channel, "client", ("server",))
        channel.send_message(Ask(plan="", epoch=1 << 40))
        channel.recv_message(Opened)
        channel.send_message(Claim(bundle=used))
        assert channel.recv_message(Claimed, Taken) == Taken(bundle=used)
        channel.send_message(Run(bundle=used))
        with pytest.raises(PeerRefused, match="has not claimed"):
            channel.recv_data(10)


def dealing(plan: Plan, rank: int) -> Session:
    seeds = Seeds.fresh()
    return Session("deal", rank, seeds=seeds, tensors=material.matrices(plan.public(), Seed.fresh()))


@pytest.mark.parametrize("rank", [CLIENT, SERVER])
def test_a_session_deals_a_gate_once(gates: Plan, rank: int) -> None:
    s = dealing(gates, rank)
    walk(gates.public(), s)
    with pytest.raises(RuntimeError, match="twice"):
        walk(gates.public(), s)


@pytest.mark.parametrize("domain", [labels.SIGN_CLIENT, labels.SIGN_SERVER, labels.BITS, labels.SIGN_SHARE])
def test_a_mask_of_a_gate_is_drawn_once_a_step(gates: Plan, domain: int) -> None:
    s = dealing(gates, CLIENT)
    s.step = next(step for step in gates.steps if step.op == "relu")
    s.uniform(SERVER, domain, (3,), 1)
    with pytest.raises(RuntimeError, match="same mask twice"):
        s.uniform(SERVER, domain, (3,), 1)
    with pytest.raises(RuntimeError, match="same mask twice"):
        s.stream(SERVER, domain)


def test_every_stream_has_one_purpose(gates: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over dealing, priming and two runs, whatever is expanded from one key and nonce serves one kernel (the dealer's
    and the party's reading of it), at one size; and no two masks are alike.
    """
    uses: dict[tuple[bytes, int], set[str]] = {}
    masks: dict[bytes, tuple[bytes, int, int]] = {}
    plain = Seed.uniform

    def uniform(self: Seed, domain: int, site: int, shape: tuple[int, ...], ring: int, *, threads: int = 1) -> Any:
        words = plain(self, domain, site, shape, ring, threads=threads)
        uses.setdefault((self.key, nonce_of(domain, site)), set()).add(f"uniform {words.size} {ring}")
        if words.size * ring >= 64:
            use = (self.key, domain, site)
            assert masks.setdefault(words.tobytes(), use) == use, "two places of the protocol drew the same mask"
        return words

    def watch(name: str, purpose: str, *streams: int) -> None:
        kernel = getattr(native, name)

        def watched(*args: Any, **more: Any) -> Any:
            for at in streams:
                uses.setdefault((args[at], args[at + 1]), set()).add(purpose)
            return kernel(*args, **more)

        monkeypatch.setattr(native, name, watched)

    monkeypatch.setattr(Seed, "uniform", uniform)
    watch("dpf_keygen", "keys", 2, 4)
    watch("dpf_less", "keys", 3)
    watch("relu_deal", "selection", 5)
    watch("relu_client", "selection", 4)
    for _ in range(2):
        simulate(gates, X)
    assert all(len(purposes) == 1 for purposes in uses.values())
    found = {next(iter(purposes)).split()[0] for purposes in uses.values()}
    assert found == {"uniform", "keys", "selection"}
    keys = sum(purposes == {"keys"} for purposes in uses.values())
    tested = [step for step in gates.steps if step.op in ("relu", "ranks", "labels")]
    carries = [step for step in tested if step.attrs.get("rounding") == "exact" and step.attrs["shift"]]
    assert keys == 2 * 2 * (len(tested) + len(carries))
    assert carries


def test_masks_of_signs_differ_between_steps_and_runs(gates: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bits that hide signs, from 32 elements up: never the same twice, over steps, parties, tests and 20 runs."""
    drawn: list[bytes] = []
    plain = Seed.uniform

    def uniform(self: Seed, domain: int, site: int, shape: tuple[int, ...], ring: int, *, threads: int = 1) -> Any:
        words = plain(self, domain, site, shape, ring, threads=threads)
        if domain in (labels.SIGN_CLIENT, labels.SIGN_SERVER):
            drawn.extend(row.tobytes() for row in words.reshape(words.shape[0], -1) if row.size >= 32)
        return words

    monkeypatch.setattr(Seed, "uniform", uniform)
    for _ in range(20):
        material.deal(gates.public(), Seeds.fresh(), CLIENT, material.matrices(gates.public(), Seed.fresh()))
    assert len(drawn) >= 20 * 2 * 2
    assert len(set(drawn)) == len(drawn)
