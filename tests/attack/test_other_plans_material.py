"""Two models of one shape: material dealt for one must not serve the other, whose A and D it does not belong to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tacit.errors import TacitError
from tacit.plan.plan import Plan
from tacit.run.handshake import Ask, Opened, Prime, Ready, greet
from tacit.testing.graphs import Sketch, plan_for, policy_for
from tacit.testing.parties import House


def twin() -> Plan:
    """The plan of conftest.py with other weights: every part has the same size."""
    s = Sketch(1)
    graph = s.graph(s.linear(s.poly(s.linear(s.input(2, 3), 4), ("0", "1/2", "1/4")), 2))
    return plan_for(graph, policy_for("dealer"), [np.linspace(-1, 1, 6).reshape(2, 3)])


def test_a_bundle_of_one_plan_is_not_primed_for_another(tmp_path: Path, plan: Plan) -> None:
    """A client cannot have y = W2 x + (W1 - W2) r computed for an r that it knows."""
    other = twin()
    with House(tmp_path, [plan, other]) as house:
        with house.client() as client:
            dealt = client._deal(1, None)
        with house.dial("client", "server") as channel:
            greet(channel, "client", ("server",))
            channel.send_message(Ask(plan=other.digest, epoch=0))
            channel.recv_message(Opened)
            channel.send_message(Prime(bundles=dealt))
            with pytest.raises(TacitError, match="cannot get its part"):
                channel.recv_message(Ready)
        assert not house.server.store.ids(other.digest)
        with house.client() as client:  # the honest way still works
            client.predict(np.zeros((2, 3)))
        assert not house.faults
