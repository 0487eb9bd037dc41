"""The client's own policy: what it does not accept is refused before anything of the input could leave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tacit.errors import Exhausted, InvalidInput, NotPermitted, TacitError
from tacit.front.clear import run_clear
from tacit.net.frame import Kind
from tacit.plan.plan import Plan
from tacit.plan.policy import ClientPolicy
from tacit.testing.parties import House, identity

DEALER = (identity("dealer"),)
X = np.linspace(-1, 1, 6).reshape(2, 3)


def sent_data(house: House, caller: str = "client") -> int:
    """Data frames that left the client, on all its connections."""
    calls = [call for call in house.calls if call.caller == caller]
    return sum(frame.kind is Kind.DATA and frame.direction == "sent" for call in calls for frame in call.tap.frames)


REFUSED = [
    (ClientPolicy(dealers=DEALER, protocols=("clear",)), "uses the protocol masked"),
    (ClientPolicy(dealers=DEALER, servers=("ab" * 32,)), "not one that your policy accepts"),
    (ClientPolicy(dealers=DEALER, plans=("cd" * 32,)), "not one that your policy accepts"),
    (ClientPolicy(dealers=DEALER, calibrated=False), "only calibrated"),
    (ClientPolicy(dealers=("ab" * 32,)), "not one that this client knows"),
    (ClientPolicy(), "not one that this client knows"),
]


@pytest.mark.parametrize(("policy", "reason"), REFUSED)
def test_refusals(house: House, policy: ClientPolicy, reason: str) -> None:
    with pytest.raises(NotPermitted, match=reason):
        house.client(policy=policy)
    assert sent_data(house) == 0
    assert not list((house.root / "client" / "plans").iterdir()), "a refused plan is not kept"


def test_a_clear_plan_is_refused_by_default(tmp_path: Path, clear_plan: Plan) -> None:
    with House(tmp_path, [clear_plan]) as house:
        with pytest.raises(NotPermitted, match="It would show your input to the server"):
            house.client(policy=ClientPolicy())
        assert sent_data(house) == 0


def test_a_clear_plan_runs_when_asked_for(tmp_path: Path, clear_plan: Plan) -> None:
    assert clear_plan.graph is not None
    with House(tmp_path, [clear_plan]) as house, house.client(policy=ClientPolicy(protocols=("clear",))) as client:
        assert np.allclose(client.predict(X), run_clear(clear_plan.graph, X)[0], atol=1e-3)


def test_a_server_that_is_its_own_dealer(tmp_path: Path, plan: Plan) -> None:
    with House(tmp_path, [plan]) as house:
        for hosted in house.server.plans.values():
            hosted.dealer = identity("server")
        with pytest.raises(NotPermitted, match="its own dealer"):
            house.client(policy=ClientPolicy(dealers=(identity("server"),)))
        assert sent_data(house) == 0


def test_another_dealer_at_the_address(house: House) -> None:
    """The dealer that answers must be the one that the server works with."""
    policy = ClientPolicy(dealers=(identity("dealer"), identity("server")))
    client = house.client(policy=policy)
    client.dial_dealer = lambda: house.dial("client", "server")
    with client, pytest.raises(TacitError, match="not the one the server works with"):
        client.prepare()


BAD = [
    (np.full((2, 3), np.nan), "NaN"),
    (np.full((2, 3), np.inf), "NaN or an infinity"),
    (np.zeros((2, 4)), "shape"),
    (np.zeros((2, 3, 1)), "shape"),
    (np.zeros(3), "shape"),
    (np.zeros((0, 3)), "positive number of examples"),
    (np.full((2, 3), 1e9), "values up to"),
    ("three words here", "not an array of numbers"),
    (None, "NaN|not an array"),
    (np.float64(1.0), "same, positive number"),
]


@pytest.mark.parametrize(("x", "reason"), BAD)
def test_bad_inputs_send_nothing(house: House, x: object, reason: str) -> None:
    with house.client() as client:
        client.prepare()
        call = house.last("client", "server")
        before = len(call.tap.frames)
        with pytest.raises(InvalidInput, match=reason):
            client.predict(x)
        with pytest.raises(InvalidInput):
            client.predict(X, X)
        assert len(call.tap.frames) == before
        assert client.stock == 1, "nothing was spent"
        assert client.predict(X).shape == (2, 2), "and the client is as good as before"


def test_a_bad_last_example_sends_nothing_of_the_first(house: House) -> None:
    with house.client() as client:
        client.prepare(2)
        frames = house.last("client", "server").tap.frames
        before = len(frames)
        with pytest.raises(InvalidInput, match="NaN"):
            client.predict(np.concatenate([X, np.full((1, 3), np.nan)]))
        assert len(frames) == before


def test_no_dealer_and_no_stock(house: House) -> None:
    with house.client(deal=False) as client, pytest.raises(Exhausted, match="no dealer is known"):
        client.predict(X)
    with house.client() as client:
        client.prepare(1)
    with house.client(deal=False) as client:
        assert client.predict(X).shape == (2, 2)
        with pytest.raises(Exhausted):
            client.predict(X, prepare=False)


def test_unknown_plan(house: House) -> None:
    with pytest.raises(NotPermitted, match="does not offer that plan"):
        house.client(plan="ab" * 32)


def test_any_offered_plan_can_be_asked_for(house: House, other_plan: Plan) -> None:
    assert other_plan.graph is not None
    with house.client(plan=other_plan.digest) as client:
        assert np.allclose(client.predict(X), run_clear(other_plan.graph, X)[0], atol=1e-3)


def test_more_examples_than_a_batch(house: House, plan: Plan) -> None:
    assert plan.graph is not None
    x = np.random.default_rng(0).uniform(-1, 1, (5, 3))
    want = np.concatenate([run_clear(plan.graph, np.resize(x[i : i + 2], (2, 3)))[0] for i in (0, 2, 4)])[:5]
    with house.client() as client:
        assert np.allclose(client.predict(x), want, atol=1e-3)
        assert client.spent.runs == 3
