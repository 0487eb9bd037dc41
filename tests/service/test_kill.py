"""Any party may be killed at any moment: no bundle serves twice, the others go on, the stores stay whole."""

from __future__ import annotations

import random
import runpy
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

kill_house = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("kill_house.py"))))
until = kill_house.until

#: What a client may meet while parties around it die: errors, and how their sentence begins.
EXPECTED = {"ChannelClosed": "", "ChannelTimeout": "", "Exhausted": "server refused: this server cannot get its part"}


def grows(house: Any, name: str, more: int) -> None:
    """Wait until a client got some more right answers."""
    goal = house.answers(name) + more
    until(f"{name} got {goal} answers; {house.errors(name)}", lambda: house.answers(name) >= goal)


def check_used(house: Any) -> set[str]:
    """No bundle was used twice, and the server saw none before its client wrote it down; returns the ids used."""
    run = {bundle for bundle, _ in house.lines("server", "run")}
    used: set[str] = house.check_single_use()
    assert run <= used
    return used


def kill_and_restart(house: Any, name: str, choice: random.Random) -> None:
    """Kill one party, look at what it left, start it again on the same home; the bystander must go on."""
    house.kill(name)
    check_used(house)
    if choice.random() < 0.5:
        house.check_store(name)
    if name == "alice":
        grows(house, "bob", 1)
    house.start(name, ready=choice.random() < 0.7)
    grows(house, "bob", 1)


def kill_at_random(root: Path, kills: int, seed: int) -> None:
    """Kill the dealer, the server or one client at random moments while another client keeps asking."""
    choice = random.Random(seed)
    with kill_house.House(root) as house:
        for name in ("dealer", "server", "alice", "bob"):
            house.start(name)
        for name in ("alice", "bob"):
            grows(house, name, 1)
        for _ in range(kills):
            time.sleep(choice.random() * 0.5)
            kill_and_restart(house, choice.choice(("dealer", "server", "alice")), choice)
        grows(house, "alice", 1)
        for name in ("alice", "bob", "server", "dealer"):
            house.ended(name)
        check_end(house)


def check_end(house: Any) -> None:
    """With nobody running: every store is whole; then a clean query works and both sides agree."""
    used = check_used(house)
    assert len(used) >= house.answers("alice") + house.answers("bob")
    met = {(kind, words) for name in house.clients() for kind, words in house.lines(name, "error")}
    strange = [(kind, words) for kind, words in met if not words.startswith(EXPECTED.get(kind, "never"))]
    assert not strange, strange
    for name in ("alice", "bob", "server", "dealer"):
        house.check_store(name)
    house.start("dealer")
    house.start("server")
    for name in ("alice", "bob"):
        with house.connect(name) as client:
            assert house.right(client.predict(house.x))
        until("both sides agree on what is left", partial(house.agree, name))


def test_parties_killed_at_random(tmp_path: Path) -> None:
    kill_at_random(tmp_path, kills=8, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_hundred_kills(tmp_path: Path) -> None:
    kill_at_random(tmp_path, kills=200, seed=1000)
