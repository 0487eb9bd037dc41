"""Dealer, server and client as processes over TLS on loopback, started by the commands; and what users do wrong."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from tacit.net.keys import enrol
from tacit.plan.save import load_plan

from .conftest import Files, Tiny, command_line, listening, one_sentence, stop

Cli = Callable[..., Any]

AHEAD = {
    "plan", "server", "server_name", "dealer", "dealer_name", "disclosure", "ahead_seconds", "ahead_bytes", "stock",
}  # fmt: skip
ASKED = AHEAD | {
    "examples", "runs", "online_ms", "online_ms_per_example", "bytes_sent", "bytes_received", "round_trips",
    "predictions", "shapes", "outputs", "out",
}  # fmt: skip


@dataclass(frozen=True)
class Parties:
    """Running dealer and server, and the client's home."""

    files: Files
    homes: Path
    dealer: str
    server: str

    def query(self, *words: object, dealer: bool = True) -> list[object]:
        more = ["--dealer", self.dealer] if dealer else []
        return ["query", self.server, *words, "--home", self.homes / "client", *more]


@pytest.fixture(scope="module")
def parties(files: Files, cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parties]:
    folder = tmp_path_factory.mktemp("parties")
    homes = folder / "homes"
    assert cli("keys", "quick", homes).exit_code == 0
    with (
        listening(folder, "deal", "--home", homes / "dealer") as (dealing, dealer),
        listening(folder, "serve", files.owner, "--home", homes / "server", "--dealer", dealer) as (serving, server),
    ):
        yield Parties(files, homes, dealer, server)
        for process, words in (
            (serving, f"serving tiny on {server}, dealer {dealer}"),
            (dealing, f"dealing on {dealer}"),
        ):
            status, out, err = stop(process, signal.SIGTERM)
            assert (status, out) == (0, words + "\n")
            assert "Traceback" not in err
        assert "voids the privacy" in err


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", np.random.default_rng(9).uniform(-1, 1, size=(3, 4)))
    return tmp_path / "x.npy"


def test_three_processes(parties: Parties, inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "y.npy"
    line = command_line(*parties.query(inputs, "--prepare", 4, "--top", 2, "--out", out, "--json"))
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert set(report) == ASKED
    expected = parties.files.tiny.clear(np.load(inputs))
    answers = np.load(out)
    np.testing.assert_allclose(answers, expected, atol=2e-2)
    assert np.abs(answers - expected).max() > 0
    for row, value in zip(report["predictions"], answers, strict=True):
        assert [p["class"] for p in row] == list(np.argsort(-value)[:2])
        assert [p["value"] for p in row] == sorted(value, reverse=True)[:2]
    assert (report["server_name"], report["dealer_name"]) == ("server", "dealer")
    assert (report["examples"], report["runs"], report["stock"]) == (3, 3, 1)
    bill = load_plan(parties.files.public).bill()
    assert report["round_trips"] == 3 * ((bill.turns + 1) // 2)
    assert report["bytes_sent"] == 3 * bill.sent("online", 0)
    assert report["bytes_received"] == 3 * bill.sent("online", 1)
    assert report["outputs"] is None
    assert report["out"] == str(out)
    assert "Who learns what:" in done.stderr
    assert report["disclosure"][0] in done.stderr
    assert report["ahead_bytes"] > 0


def test_ahead_then_without_the_dealer(parties: Parties, cli: Cli, inputs: Path) -> None:
    ahead = json.loads(cli(*parties.query("--prepare-only", 5, "--json")).stdout)
    assert set(ahead) == AHEAD
    assert ahead["stock"] >= 5
    result = cli(*parties.query(inputs, "--json", dealer=False))
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["ahead_bytes"] == 0
    assert report["stock"] == ahead["stock"] - 3
    np.testing.assert_allclose(report["outputs"][0], parties.files.tiny.clear(np.load(inputs)), atol=2e-2)
    assert "Who learns what:" not in result.stderr
    text = cli(*parties.query(inputs)).stdout
    assert "online" in text
    assert "3 examples in 3 runs" in text


def test_an_example_without_batch_axis(parties: Parties, cli: Cli, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.ones(4))
    report = json.loads(cli(*parties.query(tmp_path / "x.npz", "--json")).stdout)
    assert report["shapes"] == [[1, 3]]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("shape", ["(2, 5)", "(examples, 4)"]),
        ("nan", ["NaN"]),
        ("two", ["2 arrays", "1 inputs"]),
        ("huge", ["1e+300", "scale"]),
    ],
)
def test_bad_inputs_cost_no_material(parties: Parties, cli: Cli, tmp_path: Path, name: str, parts: list[str]) -> None:
    cli(*parties.query("--prepare-only", 1))
    before = json.loads(cli("store", "list", "--home", parties.homes / "client", "--json").stdout)
    values = {"shape": np.ones((2, 5)), "nan": np.array([[1, np.nan, 0, 0]]), "huge": np.full((1, 4), 1e300)}
    path = tmp_path / f"{name}.npy"
    if name == "two":
        path = tmp_path / "two.npz"
        np.savez(path, a=np.ones((1, 4)), b=np.ones((1, 4)))
    else:
        np.save(path, values[name])
    one_sentence(cli(*parties.query(path)), *parts)
    assert json.loads(cli("store", "list", "--home", parties.homes / "client", "--json").stdout) == before


def test_output_that_cannot_be_written_costs_no_material(
    parties: Parties, cli: Cli, inputs: Path, tmp_path: Path
) -> None:
    cli(*parties.query("--prepare-only", 3))
    before = json.loads(cli("store", "list", "--home", parties.homes / "client", "--json").stdout)
    for path in (tmp_path, tmp_path / "no" / "y.npy"):
        one_sentence(cli(*parties.query(inputs, "--out", path)), f"cannot write {path}")
    assert json.loads(cli("store", "list", "--home", parties.homes / "client", "--json").stdout) == before


def test_interrupted_client_goes_on_later(parties: Parties, cli: Cli, inputs: Path) -> None:
    line = command_line(*parties.query("--prepare-only", 20_000))
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("server server")
        status, out, err = stop(process, signal.SIGINT)
    assert (status, out) == (130, "")
    assert err.endswith("error: interrupted; what is dealt, primed or registered is kept\n")
    assert cli(*parties.query(inputs)).exit_code == 0


def test_questions_without_sense(parties: Parties, cli: Cli, inputs: Path) -> None:
    one_sentence(cli(*parties.query()), "give the input file")
    one_sentence(cli(*parties.query(inputs, "--prepare-only", 1)), "asks nothing")
    one_sentence(cli("query", "tacit://a:b", inputs, "--home", parties.homes / "client"), "is not an address")


def test_another_model_than_the_pinned_one(parties: Parties, cli: Cli, inputs: Path, tmp_path: Path) -> None:
    one_sentence(cli(*parties.query(inputs, "--plan", "0" * 64)), "does not offer that plan")
    (tmp_path / "policy.toml").write_text(f'plans = ["{"0" * 64}"]\n')
    one_sentence(cli(*parties.query(inputs, "--policy", tmp_path / "policy.toml")), "not one that your policy accepts")
    (tmp_path / "policy.toml").write_text("planz = []\n")
    one_sentence(cli(*parties.query(inputs, "--policy", tmp_path / "policy.toml")), "unknown keys: planz")


def test_empty_store_and_full_disk(parties: Parties, cli: Cli, inputs: Path, tmp_path: Path) -> None:
    """Both leave what is there as it is: the same home goes on as soon as it can."""
    client = parties.homes / "client"
    assert cli("store", "purge", "--home", client, "--yes").exit_code == 0
    one_sentence(cli(*parties.query(inputs, dealer=False)), "the stock of material is used up")
    one_sentence(cli(*parties.query(inputs, "--quota-gib", "1e-8")), "raise the quota")
    assert cli(*parties.query(inputs)).exit_code == 0


def test_nobody_there(parties: Parties, cli: Cli, inputs: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    home = parties.homes / "client"
    one_sentence(
        cli("query", f"127.0.0.1:{port}", inputs, "--home", home), f"nobody listens at tacit://127.0.0.1:{port}"
    )
    one_sentence(cli("query", parties.dealer, inputs, "--home", home), "is 'dealer', not 'server'")


@pytest.mark.parametrize("what", ["serve", "deal"])
def test_port_in_use(parties: Parties, what: str, tmp_path: Path, cli: Cli) -> None:
    cli("keys", "quick", tmp_path)
    port = parties.server.rpartition(":")[2]
    words = {
        "serve": ["serve", parties.files.owner, "--dealer", parties.dealer, "--home", parties.homes / "server"],
        "deal": ["deal", "--home", tmp_path / "dealer"],
    }[what]
    done = subprocess.run(command_line(*words, "--port", port), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"error: port {port} of 127.0.0.1 is in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_serving_what_cannot_be_served(parties: Parties, cli: Cli, tmp_path: Path) -> None:
    line = ["serve", "--home", parties.homes / "server", "--port", 0, "--dealer", parties.dealer]
    one_sentence(cli(*line, parties.files.public), "owner's .tacit file")
    cut = tmp_path / "cut.tacit"
    cut.write_bytes(parties.files.owner.read_bytes()[:-10])
    one_sentence(cli(*line, cut), "cut.tacit", "not a complete .tacit file")
    one_sentence(cli(*line, parties.files.owner, "--dealer-name", "nobody"), "'nobody'")
    one_sentence(cli("serve", parties.files.owner, "--home", tmp_path / "new"), "has no identity yet")
    one_sentence(cli("deal", "--home", parties.homes / "dealer", "--max-clients", 0), "limits must be positive")


def expired(home: Path, name: str) -> None:
    """An identity whose time was over yesterday."""
    key, now = Ed25519PrivateKey.generate(), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=9)).not_valid_after(now - timedelta(days=1))
    public = builder.sign(key, None).public_bytes(serialization.Encoding.PEM)
    encoded = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    home.mkdir(parents=True, exist_ok=True)
    (home / "identity.pem").write_bytes(key.private_bytes(*encoded) + public)
    (home / "identity.pem").chmod(0o600)
    (home / "certificate.pem").write_bytes(public)


def test_expired_certificate(parties: Parties, cli: Cli, inputs: Path, tmp_path: Path) -> None:
    expired(tmp_path / "client", "old")
    enrol(tmp_path / "client", parties.homes / "server" / "certificate.pem", "server")
    line = ["query", parties.server, inputs, "--home", tmp_path / "client"]
    one_sentence(cli(*line), "the certificate of 'old' expired on")
    one_sentence(cli("deal", "--home", tmp_path / "client", "--port", 0), "the certificate of 'old' expired on")
    shutil.copytree(parties.homes / "client", tmp_path / "other")
    (tmp_path / "other" / "peers" / "server.pem").unlink()
    enrol(tmp_path / "other", tmp_path / "client" / "certificate.pem", "server")
    one_sentence(
        cli("query", parties.server, inputs, "--home", tmp_path / "other"), "the certificate of 'server' expired"
    )
    assert "expired on" in cli("keys", "show", "--home", tmp_path / "client").stderr


def test_restart_keeps_the_stock(parties: Parties, files: Files, cli: Cli, inputs: Path, tmp_path: Path) -> None:
    """A server that is stopped and started again serves what was primed before, without the dealer."""
    assert cli("keys", "quick", tmp_path).exit_code == 0
    client = ["--home", tmp_path / "client"]
    served = ["serve", files.owner, "--home", tmp_path / "server"]
    with listening(tmp_path, "deal", "--home", tmp_path / "dealer") as (dealing, dealer):
        with listening(tmp_path, *served, "--dealer", dealer) as (first, address):
            result = cli("query", address, "--prepare-only", 4, *client, "--dealer", dealer)
            assert result.exit_code == 0, result.stderr
            assert stop(first, signal.SIGINT)[0] == 0
        assert stop(dealing, signal.SIGINT)[0] == 0
    with socket.create_server(("127.0.0.1", 0)) as unused:
        metrics = unused.getsockname()[1]
    gone = ["--dealer", dealer, "--metrics-port", metrics]
    with listening(tmp_path, *served, *gone) as (_, address):
        result = cli("query", address, inputs, *client, "--json")
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["stock"] == 1
        # The server counts a run once its material is erased, which may be after the client has left.
        wait_until(lambda: "tacit_runs_total 3.0" in read_page(f"http://127.0.0.1:{metrics}/metrics"))


def read_page(address: str) -> str:
    with urlopen(address, timeout=10) as page:
        return str(page.read().decode())


def wait_until(holds: Callable[[], bool]) -> None:
    """Return when it holds; a test that waits in vain ends by the run's own time limit."""
    while not holds():
        time.sleep(0.05)


def test_plaintext_only_when_asked_for_by_its_name(tiny: Tiny, cli: Cli, inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "open.tacit"
    line = ["compile", tiny.path, "--calibration", tiny.calibration, "-o", out, "--trust", "clear"]
    assert cli(*line).exit_code == 0
    plain = ["--insecure-plaintext"]
    (tmp_path / "policy.toml").write_text('protocols = ["clear"]\n')
    with listening(tmp_path, "serve", out, "--home", tmp_path / "s", *plain) as (_, address):
        asked = ["query", address, inputs, "--home", tmp_path / "c"]
        one_sentence(cli(*asked), "no identity")
        one_sentence(cli(*asked, *plain), "show your input to the server")
        done = cli(*asked, *plain, "--policy", tmp_path / "policy.toml", "--json")
        assert done.exit_code == 0, done.stderr
        assert json.loads(done.stdout)["dealer"] is None


def test_an_owner_who_deals_is_told_and_refused(files: Files, cli: Cli, inputs: Path, tmp_path: Path) -> None:
    cli("keys", "quick", tmp_path)
    own, twin = tmp_path / "server", tmp_path / "twin"
    shutil.copytree(own, twin)
    for home, name in ((own, "dealer"), (twin, "self")):
        assert home == twin or cli("keys", "forget", name, "--home", home).exit_code == 0
        enrol(home, own / "certificate.pem", name)
    with listening(tmp_path, "deal", "--home", twin) as (_, dealer):
        line = ["serve", files.owner, "--home", own, "--dealer", dealer]
        with listening(tmp_path, *line) as (serving, server):
            asked = ["query", server, inputs, "--home", tmp_path / "client", "--dealer", dealer]
            one_sentence(cli(*asked), "the server is its own dealer, so it could see your input")
            assert "this server's own certificate, so clients will refuse it" in stop(serving, signal.SIGTERM)[2]
