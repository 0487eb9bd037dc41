"""`tacit keys`: identities, enrolment, and three homes at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tacit.net.keys import load_identity, peers

from .conftest import one_sentence

Cli = Callable[..., Any]

SHOWN = {"home", "certificate", "name", "fingerprint", "not_before", "not_after", "expired"}
LISTED = {"name", "fingerprint", "not_before", "not_after", "expired"}


def test_two_homes_enrol_each_other(cli: Cli, tmp_path: Path) -> None:
    ann, bob = tmp_path / "ann", tmp_path / "bob"
    made = json.loads(cli("keys", "make", "ann", "--home", ann, "--json").stdout)
    assert set(made) == SHOWN
    assert cli("keys", "make", "bob", "--home", bob, "--days", 3).exit_code == 0
    assert json.loads(cli("keys", "show", "--home", ann, "--json").stdout) == made
    enrolled = json.loads(cli("keys", "enrol", made["certificate"], "--as", "server", "--home", bob, "--json").stdout)
    assert set(enrolled) == LISTED
    assert enrolled["fingerprint"] == made["fingerprint"]
    listing = json.loads(cli("keys", "list", "--home", bob, "--json").stdout)
    assert listing == {"home": str(bob), "peers": [enrolled]}
    assert made["fingerprint"] in cli("keys", "list", "--home", bob).stdout
    assert cli("keys", "forget", "server", "--home", bob).exit_code == 0
    assert json.loads(cli("keys", "list", "--home", bob, "--json").stdout)["peers"] == []
    assert "nobody is enrolled" in cli("keys", "list", "--home", bob).stdout


def test_the_home_may_come_from_the_environment(cli: Cli, tmp_path: Path) -> None:
    assert cli("keys", "make", "ann", TACIT_HOME=str(tmp_path / "h")).exit_code == 0
    assert load_identity(tmp_path / "h").certificate.name == "ann"


def test_the_key_is_never_shown(cli: Cli, tmp_path: Path) -> None:
    out = cli("keys", "make", "ann", "--home", tmp_path).stdout + cli("keys", "show", "--home", tmp_path).stdout
    secret = (tmp_path / "identity.pem").read_text().splitlines()[1]
    assert secret not in out
    one_sentence(
        cli("keys", "enrol", tmp_path / "identity.pem", "--as", "me", "--home", tmp_path / "other"), "private key"
    )


def test_quick_makes_three_homes_that_know_each_other(cli: Cli, tmp_path: Path) -> None:
    report = json.loads(cli("keys", "quick", tmp_path / "q", "--json").stdout)
    assert set(report) == {"client", "server", "dealer"}
    for name, shown in report.items():
        assert set(shown) == SHOWN
        known = {peer.name: peer.fingerprint for peer in peers(tmp_path / "q" / name)}
        assert known == {other: report[other]["fingerprint"] for other in report if other != name}
    before = sorted(path.read_bytes() for path in tmp_path.rglob("*.pem"))
    one_sentence(cli("keys", "quick", tmp_path / "q"), "there is an identity", "choose another folder")
    assert sorted(path.read_bytes() for path in tmp_path.rglob("*.pem")) == before


def test_mistakes(cli: Cli, tmp_path: Path) -> None:
    assert cli("keys", "make", "ann", "--home", tmp_path / "a").exit_code == 0
    one_sentence(cli("keys", "make", "ann", "--home", tmp_path / "a"), "has an identity already")
    one_sentence(cli("keys", "make", "a b", "--home", tmp_path / "b"), "'a b' cannot be a party's name")
    one_sentence(cli("keys", "make", "c", "--home", tmp_path / "c", "--days", 0), "0 days")
    one_sentence(cli("keys", "show", "--home", tmp_path / "none"), "has no identity yet")
    one_sentence(
        cli("keys", "enrol", tmp_path / "no.pem", "--as", "x", "--home", tmp_path / "a"), "no certificate file"
    )
    one_sentence(cli("keys", "forget", "x", "--home", tmp_path / "a"), "'x' is not enrolled")
