"""A mask must never meet two inputs: interrupts, faults, threads and forks in the middle of a client's run."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pytest

from tacit.errors import ChannelError, InvalidInput
from tacit.net.frame import Kind
from tacit.plan.plan import Plan
from tacit.ring import native
from tacit.service import client as service_client
from tacit.testing.parties import House

X1, X2 = np.full((2, 3), 0.5), np.full((2, 3), -0.25)


def masked_inputs(house: House, plan: Plan) -> list[bytes]:
    """What left the client as x - r, on all connections: the first data frame after each `Run`."""
    found = []
    for call in (c for c in house.calls if (c.caller, c.answerer) == ("client", "server")):
        sent = [frame for frame in call.tap.frames if frame.direction == "sent"]
        runs = [i for i, frame in enumerate(sent) if frame.kind is Kind.MESSAGE and b"\xa3Run" in frame.payload]
        found += [sent[i + 1].payload for i in runs if i + 1 < len(sent)]
    assert all(len(payload) == plan.inputs[0].packed for payload in found)
    return found


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError, MemoryError])
def test_an_interrupted_run_gives_its_masks_up(
    house: House, plan: Plan, monkeypatch: pytest.MonkeyPatch, fault: type[BaseException]
) -> None:
    """Ctrl-C between two frames leaves the connection alive; the next prediction must not send x2 - r beside x1 - r."""

    def interrupted(*_: Any, **__: Any) -> None:
        raise fault

    with house.client() as client:
        client.prepare(2)
        with monkeypatch.context() as patch:
            patch.setattr(native, "poly_client", interrupted)
            with pytest.raises(fault):
                client.predict(X1)
        assert client.stock == 1
        with pytest.raises(ChannelError):
            client.predict(X2)
    with house.client() as client:
        client.predict(X2)
    first, second = masked_inputs(house, plan)
    words = [np.frombuffer(raw, np.uint32).astype(np.int64) for raw in (first, second)]
    assert plan.inputs[0].ring == 32
    assert not np.array_equal(words[0] - words[1], np.full(6, int(0.75 * plan.inputs[0].scale)))


def test_two_threads_of_one_client(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second thread is turned away; it must not run with the bundle that the first one holds."""
    inside, leave = threading.Event(), threading.Event()
    real = service_client.run_as_client

    def slow(*args: Any, **more: Any) -> Any:
        inside.set()
        assert leave.wait(20)
        return real(*args, **more)

    monkeypatch.setattr(service_client, "run_as_client", slow)
    with house.client() as client:
        client.prepare(2)
        first = threading.Thread(target=client.predict, args=(X1,))
        first.start()
        assert inside.wait(20)
        with pytest.raises(InvalidInput, match="another thread"):
            client.predict(X2)
        leave.set()
        first.join(20)
        assert client.stock == 1


def test_a_forked_child(house: House, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child has a copy of the bundle that its parent claimed ahead."""
    with house.client() as client:
        client.prepare(1)
        client.ready()
        parent = os.getpid()
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: parent + 1)
            with pytest.raises(InvalidInput, match="process"):
                client.predict(X2, prepare=False)
        client.predict(X1)
    assert len(masked_inputs(house, plan)) == 1
