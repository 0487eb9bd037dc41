"""`tacit store`: the stock in sight, erased only when asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tacit.net.keys import peers
from tacit.service.home import Home

from .conftest import one_sentence

Cli = Callable[..., Any]
PLAN, STRANGER = "ab" * 32, "cd" * 32


@pytest.fixture
def home(cli: Cli, tmp_path: Path) -> Path:
    """A server's home with 2 dealt and 1 primed bundle of its client, and 1 of a stranger."""
    cli("keys", "quick", tmp_path)
    folder = tmp_path / "server"
    client = next(peer.fingerprint for peer in peers(folder) if peer.name == "client")
    with Home.at(folder).store() as store:
        for number, peer in enumerate([client, client, client, STRANGER]):
            store.put(bytes([number]) * 16, PLAN, peer, {"part": bytes(50)})
        store.prime(bytes(16), {})
    return folder


def stock(cli: Cli, home: Path) -> dict[str | None, tuple[int, int, int, int]]:
    report = json.loads(cli("store", "list", "--home", home, "--json").stdout)
    assert set(report) == {"home", "bytes", "quota_bytes", "stock"}
    return {
        line["peer_name"]: (line["dealt"], line["primed"], line["claimed"], line["erased"]) for line in report["stock"]
    }


def test_list(cli: Cli, home: Path) -> None:
    assert stock(cli, home) == {"client": (2, 1, 0, 0), None: (1, 0, 0, 0)}
    text = cli("store", "list", "--home", home, "--quota-gib", 1).stdout
    assert "client" in text
    assert STRANGER[:16] in text
    assert "of 1,073,741,824 bytes are used" in text
    report = json.loads(cli("store", "list", "--home", home, "--json").stdout)
    assert sum(line["bytes"] for line in report["stock"]) == report["bytes"] > 0


def test_purge_asks_first(cli: Cli, home: Path) -> None:
    before = stock(cli, home)
    refused = cli("store", "purge", "--home", home)
    assert refused.exit_code == 1
    assert "Erase 4 bundles" in refused.stderr
    assert stock(cli, home) == before
    assert "4 bundles are erased" in cli("store", "purge", "--home", home, "--yes").stdout
    assert stock(cli, home) == {"client": (0, 0, 0, 3), None: (0, 0, 0, 1)}


def test_reset_peer_erases_what_is_shared_with_that_peer_alone(cli: Cli, home: Path) -> None:
    one_sentence(cli("store", "reset-peer", "nobody", "--home", home, "--yes"), "'nobody'", "client, dealer")
    assert cli("store", "reset-peer", "client", "--home", home).exit_code == 1
    assert "3 bundles are erased" in cli("store", "reset-peer", "client", "--home", home, "--yes").stdout
    assert stock(cli, home) == {"client": (0, 0, 0, 3), None: (1, 0, 0, 0)}
    assert "1 bundles are erased" in cli("store", "reset-peer", STRANGER, "--home", home, "--yes").stdout


@pytest.mark.parametrize("words", [["list"], ["purge", "--yes"], ["reset-peer", "x", "--yes"]])
def test_looking_makes_no_store(cli: Cli, tmp_path: Path, words: list[str]) -> None:
    one_sentence(cli("store", *words, "--home", tmp_path / "h"), "there is no store in")
    assert not (tmp_path / "h").exists()
