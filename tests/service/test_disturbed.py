"""A server among bad neighbours: garbage in the middle of a run, silence, crowds; it serves the others meanwhile."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from tacit.errors import ChannelError, PeerRefused, TacitError
from tacit.front.clear import run_clear
from tacit.net.channel import Channel
from tacit.plan.plan import Plan
from tacit.run.handshake import Ask, Claim, Claimed, Opened, Prime, Register, Registered, Run, Taken, greet
from tacit.service.listen import Limits
from tacit.testing.parties import House

X = np.linspace(-1, 1, 6).reshape(2, 3)


def claimed(house: House, name: str) -> Channel:
    """A connection of a client that has claimed a bundle and said that the input follows."""
    with house.client(name) as client:
        client.prepare(1)
        (bundle,) = client._store.ids(state="primed")
    channel = house.dial(name, "server")
    greet(channel, "client", ("server",))
    channel.send_message(Ask(plan="", epoch=1 << 40))
    channel.recv_message(Opened)
    channel.send_message(Claim(bundle=bundle))
    assert isinstance(channel.recv_message(Claimed, Taken), Claimed)
    channel.send_message(Run(bundle=bundle))
    return channel


def test_garbage_in_the_middle_of_a_run(house: House, plan: Plan) -> None:
    """Wrong sizes, wrong kinds, raw noise, or nothing more: the run ends, its bundle is erased, others are served."""
    assert plan.graph is not None
    want = run_clear(plan.graph, X)[0]
    size = plan.bill().messages("online")[0].payload
    with house.client("good") as good:
        good.prepare(5)
        endings = []
        for number, garbage in enumerate(["size", "kind", "noise", "leave"]):
            bad = claimed(house, f"bad{number}")
            call = house.last(f"bad{number}", "server")
            if garbage == "size":
                bad.send_data(bytes(size + 1))
            elif garbage == "kind":
                bad.send_message(Ask(plan="", epoch=0))
            elif garbage == "noise":
                bad.transport.send([memoryview(os.urandom(64))])
            else:
                bad.close()
            assert np.allclose(good.predict(X), want, atol=1e-3)
            call.thread.join(10)
            assert not call.thread.is_alive()
            endings.append(type(call.ended))
        assert np.allclose(good.predict(X), want, atol=1e-3)
    assert all(issubclass(kind, ChannelError) for kind in endings)
    assert house.server.store.count()["claimed"] == 0


def test_any_noise_of_the_right_size_is_just_a_wrong_answer(house: House, plan: Plan) -> None:
    bad = claimed(house, "bad")
    with bad:
        for message in plan.bill().messages("online"):
            if message.sender == 0:
                bad.send_data(np.random.default_rng(0).bytes(message.payload))
            else:
                bad.recv_data(message.payload)


def test_a_silent_client_is_dropped(tmp_path: Path, plan: Plan) -> None:
    with House(tmp_path, [plan], limits=Limits(idle_s=0.5, step_s=0.5)) as house:
        bad = claimed(house, "bad")
        call = house.last("bad", "server")
        call.thread.join(10)
        assert not call.thread.is_alive()
        assert house.server.store.count()["claimed"] == 0
        bad.close()


def test_many_clients_at_once(house: House, plan: Plan) -> None:
    assert plan.graph is not None
    want, right = run_clear(plan.graph, X)[0], []

    def work(name: str) -> None:
        with house.client(name) as client:
            right.append(all(np.allclose(client.predict(X), want, atol=1e-3) for _ in range(2)))

    threads = [threading.Thread(target=work, args=(f"client{i}",)) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert right == [True] * 5


REQUESTS = [
    (Register(sites=[10**6]), "register steps that have no weights"),
    (Prime(bundles=[bytes(16), bytes(16)]), "prime one bundle twice"),
    (Run(bundle=bytes(16)), "not claimed"),
]


@pytest.mark.parametrize(("request_", "reason"), REQUESTS)
def test_wrong_requests_are_refused_in_words(house: House, request_: object, reason: str) -> None:
    channel = house.dial("bad", "server")
    greet(channel, "client", ("server",))
    channel.send_message(Ask(plan="", epoch=0))
    channel.recv_message(Opened)
    channel.send_message(request_)  # type: ignore[arg-type]
    with pytest.raises(PeerRefused, match=reason):
        channel.recv_message(Registered)


def test_a_bundle_that_was_never_dealt_cannot_be_primed(house: House) -> None:
    channel = house.dial("bad", "server")
    greet(channel, "client", ("server",))
    channel.send_message(Ask(plan="", epoch=0))
    channel.recv_message(Opened)
    channel.send_message(Prime(bundles=[bytes(16)]))
    with pytest.raises(TacitError, match="not waiting here"):
        channel.recv_message(Registered)
