"""A party that dies at each moment of the protocol: what both stores say afterwards, and that nothing is reused."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tacit.corr.disk import DiskStore
from tacit.errors import ChannelClosed

kill_house = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("kill_house.py"))))

STORE = "tacit.corr.disk:DiskStore"
INTAKE = "tacit.corr.intake:DiskIntake"
REGISTRATIONS = "tacit.corr.registration:Registrations"


#: Where a client dies on its way to its first answer; then the states (client, server) of its bundle right after, and
#: after its next connection. Opening a store ends what a dead process had claimed there.
CLIENT_DEATHS = {
    "dealt-in-part": (f"after 2 {INTAKE}.add", (None, None), (None, None)),
    "dealt-not-kept": (f"before {INTAKE}.commit", (None, None), (None, None)),
    "dealt-and-kept": (f"after {INTAKE}.commit", ("dealt", None), ("dealt", None)),
    "server-has-primed": (f"before 2 {INTAKE}.commit", ("dealt", "primed"), ("dealt", "primed")),
    "both-have-primed": (f"after 2 {INTAKE}.commit", ("primed", "primed"), ("primed", "primed")),
    "server-has-claimed": (f"before {STORE}.claim", ("primed", "erased"), ("erased", "erased")),
    "both-have-claimed": (f"after {STORE}.claim", ("erased", "erased"), ("erased", "erased")),
    "input-is-out": ("frame 1", ("erased", "erased"), ("erased", "erased")),
    "mid-run": ("frame 2", ("erased", "erased"), ("erased", "erased")),
    "before-erasing": (f"before {STORE}.erase", ("erased", "erased"), ("erased", "erased")),
}


#: Where the server dies on the way to a client's first answer; then the states (client, server) as above.
SERVER_DEATHS = {
    "fetched-in-part": (f"after 2 {INTAKE}.add", ("dealt", None), ("dealt", None)),
    "fetched-not-kept": (f"before {INTAKE}.commit", ("dealt", None), ("dealt", None)),
    "fetched-and-kept": (f"after {INTAKE}.commit", ("dealt", "dealt"), ("dealt", "dealt")),
    "primed-in-part": (f"after {INTAKE}.prime", ("dealt", "dealt"), ("dealt", "dealt")),
    "before-priming": (f"before 2 {INTAKE}.commit", ("dealt", "dealt"), ("dealt", "dealt")),
    "after-priming": (f"after 2 {INTAKE}.commit", ("dealt", "primed"), ("dealt", "primed")),
    "before-claiming": (f"before {STORE}.claim", ("primed", "primed"), ("primed", "primed")),
    "claimed-not-said": (f"after {STORE}.claim", ("primed", "erased"), ("erased", "erased")),
    "input-came": ("frame 1", ("erased", "erased"), ("erased", "erased")),
    "mid-run-there": ("frame 2", ("erased", "erased"), ("erased", "erased")),
    "answered-not-erased": (f"before {STORE}.erase", ("erased", "erased"), ("erased", "erased")),
}

#: Where the dealer dies while a client gets its first bundle, and what it keeps of it then.
DEALER_DEATHS = {
    "made-not-sent": (f"after {STORE}.put_many", "dealt"),
    "both-have-theirs": (f"before {STORE}.erase", "dealt"),
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A dealer and a server that run; clients come and die."""
    with kill_house.House(
        tmp_path_factory.mktemp("house"), (*CLIENT_DEATHS, *SERVER_DEATHS, *DEALER_DEATHS, "registering")
    ) as made:
        made.host("dealer")
        made.host("server")
        yield made


def shared(house: Any, client: str) -> dict[str, str]:
    """The states at the server of all bundles of a client, by id in hex."""
    with DiskStore(house.root / "server" / "store") as store:
        mine = set(store.ids(peer=house.identity[client].fingerprint))
        return {row.bundle.hex(): row.state for row in store.list() if row.bundle in mine}


def states(house: Any, client: str) -> tuple[str | None, str | None]:
    """The states of a client's first bundle at the client and at the server."""
    mine, theirs = house.states(client), shared(house, client)
    bundle = next(iter(mine or theirs), "")
    return mine.get(bundle), theirs.get(bundle)


def check_recovery(house: Any, client: str, settled: tuple[str | None, str | None]) -> None:
    """A clean connection brings both sides in step, and a run on it is right; nothing is claimed or used twice."""
    with house.connect(client) as session:
        kill_house.until("both sides agree", lambda: house.agree(client))
        assert states(house, client) == settled
        assert house.right(session.predict(house.x))
    house.check_single_use()
    kill_house.until("the run is over at the server", lambda: "claimed" not in shared(house, client).values())
    assert "claimed" not in house.states(client).values()


@pytest.mark.parametrize("name", CLIENT_DEATHS)
def test_a_client_dies(house: Any, name: str) -> None:
    fate, after, settled = CLIENT_DEATHS[name]
    house.start(name, runs=1, fate=fate)
    house.died(name)
    kill_house.until("the server ended what its dead client had claimed", lambda: states(house, name) == after)
    check_recovery(house, name, settled)


@pytest.mark.parametrize("name", SERVER_DEATHS)
def test_the_server_dies(house: Any, name: str) -> None:
    fate, after, settled = SERVER_DEATHS[name]
    house.dismiss("server")
    house.start("server", fate=fate)
    if name == "answered-not-erased":
        with house.connect(name) as client:
            assert house.right(client.predict(house.x))
    else:
        with pytest.raises(ChannelClosed, match="server"), house.connect(name) as client:
            client.predict(house.x)
    house.died("server")
    assert states(house, name) == after
    house.host("server")
    check_recovery(house, name, settled)


@pytest.mark.parametrize("name", DEALER_DEATHS)
def test_the_dealer_dies(house: Any, name: str) -> None:
    fate, kept = DEALER_DEATHS[name]
    house.dismiss("dealer")
    before = set(house.states("dealer"))
    house.start("dealer", fate=fate)
    if name == "made-not-sent":
        with pytest.raises(ChannelClosed, match="dealer"), house.connect(name) as client:
            client.predict(house.x)
    else:
        with house.connect(name) as client:
            assert house.right(client.predict(house.x))
    house.died("dealer")
    after = house.states("dealer")
    assert [after[bundle] for bundle in after if bundle not in before] == [kept]
    house.host("dealer")
    with house.connect(name) as client:
        assert house.right(client.predict(house.x))
    house.check_single_use()


def test_a_registration_that_was_interrupted_goes_on(house: Any) -> None:
    house.start("registering", runs=1, fate=f"after {REGISTRATIONS}.add")
    house.died("registering")
    steps: list[tuple[int, int]] = []
    with house.connect("registering") as client:
        client.register(lambda _, done, total: steps.append((done, total)))
        assert house.right(client.predict(house.x))
    assert steps == [(2, 3), (3, 3)]


#: Where the dealer dies while the server enlists its plan for the first time.
ENLISTING = (
    "before tacit.service.home:Home.keep_plan",
    "after tacit.service.home:Home.keep_plan",
    f"after {REGISTRATIONS}._create",
    f"after {REGISTRATIONS}.save_seed",
)


@pytest.mark.parametrize("fate", ENLISTING)
def test_the_dealer_dies_while_a_plan_is_enlisted(tmp_path: Path, fate: str) -> None:
    with kill_house.House(tmp_path, ("alice",)) as house:
        house.start("dealer", fate=fate)
        with pytest.raises(ChannelClosed, match="dealer"):
            house.host("server")
        house.died("dealer")
        house.host("dealer")
        house.host("server")
        with house.connect("alice") as client:
            assert house.right(client.predict(house.x))


def test_the_server_dies_while_it_enlists_its_plan(tmp_path: Path) -> None:
    with kill_house.House(tmp_path, ("alice",)) as house:
        house.host("dealer")
        house.start("server", fate=f"before {REGISTRATIONS}.save_seed")
        house.died("server")
        house.host("server")
        with house.connect("alice") as client:
            assert house.right(client.predict(house.x))
