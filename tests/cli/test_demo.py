"""`tacit demo`: its figures against the bill, its ways to fail, and what lies in each party's home afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from tacit.cli import demo
from tacit.cli._demo_events import Measured, Metered
from tacit.cli._demo_homes import Homes, load_sample, make_homes
from tacit.cli._demo_parties import run_parties
from tacit.cli._demo_verdict import Verdict
from tacit.errors import ChannelError
from tacit.net.shaper import parse_link
from tacit.plan.compile import integer_weights
from tacit.plan.plan import Plan
from tacit.plan.save import load_plan
from tacit.ring import bits
from tacit.ring.prg import Seed
from tacit.run import material
from tacit.run.register import part_name
from tacit.secure.share import CLIENT, DEALER, SERVER
from tacit.service.home import Home, registration_for

IMAGES = 20
COMMAND = [sys.executable, "-m", "tacit.cli", "demo"]
KEYS = {
    *("images", "accuracy_private", "accuracy_clear", "agreement", "online_ms_per_image", "bytes_sent_client"),
    *("bytes_sent_server", "round_trips", "offline_bytes", "offline_seconds", "trust"),
}


@dataclass(frozen=True)
class Ran:
    """One demo that kept its homes."""

    data: dict[str, Any]
    homes: Homes
    plan: Plan
    picture: Path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("demo")
    options = ["--json", "--images", str(IMAGES), "--keep", str(folder / "kept"), "--picture", str(folder / "it.png")]
    done = subprocess.run([*COMMAND, *options], check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    homes = Homes(folder / "kept")
    return Ran(json.loads(done.stdout), homes, load_plan(homes.of("server") / "digits.tacit"), folder / "it.png")


def test_the_object_has_every_key_and_the_predictions_agree(ran: Ran) -> None:
    assert set(ran.data) >= KEYS
    assert ran.data["images"] == IMAGES
    assert ran.data["agreement"] == 1.0
    assert ran.data["accuracy_private"] == ran.data["accuracy_clear"] >= 0.9
    assert ran.data["within_margin"] is True
    assert ran.data["trust"] == "dealer"
    assert 0 < ran.data["logit_deviation"] < ran.data["logit_margin"]
    assert all(ran.data[f"{phase}_seconds"] > 0 for phase in ("register", "deal", "prime", "claim", "online"))


def test_the_meters_show_what_the_bill_says_to_the_byte(ran: Ran) -> None:
    bill, runs = ran.plan.bill(), ran.data["runs"]
    assert runs == -(-IMAGES // ran.plan.batch)
    assert ran.data["bytes_sent_client"] == runs * bill.sent("online", CLIENT)
    assert ran.data["bytes_sent_server"] == runs * bill.sent("online", SERVER)
    assert ran.data["round_trips"] == bill.turns / 2
    assert ran.data["register_bytes"] == bill.sent("register", SERVER)
    assert ran.data["deal_bytes"] == runs * bill.sent("deal", DEALER)
    assert ran.data["prime_bytes"] == runs * (bill.sent("prime", CLIENT) + bill.sent("prime", SERVER))
    assert ran.data["offline_bytes"] == sum(ran.data[f"{phase}_bytes"] for phase in ("register", "deal", "prime"))


def test_the_picture_is_saved(ran: Ran) -> None:
    assert ran.picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


# Who holds what.


def contents(home: Path) -> list[bytes]:
    """Every file of a home."""
    return [path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file()]


def found(home: Path, windows: list[bytes]) -> int:
    """How many of the windows occur in some file of the home."""
    assert windows
    files = contents(home)
    return sum(any(window in data for data in files) for window in windows)


def windows_of(data: bytes, step: int, length: int = 24, most: int = 8) -> list[bytes]:
    """Some stretches of `data` that start at multiples of `step` and are no mere repetition, spread over all of it."""
    starts = range(0, len(data) - length + 1, step)
    distinct = [data[i : i + length] for i in starts if len(set(data[i : i + length])) >= 6]
    return distinct[:: max(1, len(distinct) // most)][:most]


def forms(values: np.ndarray, words: np.ndarray, ring: int, items: int = 6) -> dict[str, list[bytes]]:
    """Windows of `items` values in every form in which a tensor could lie about: real numbers, words, packed."""
    signed = words.view(np.int64)
    masked = words & np.uint64((1 << ring) - 1)
    return {
        "float32": windows_of(values.astype("<f4").tobytes(), 4, 4 * items),
        "float64": windows_of(values.astype("<f8").tobytes(), 8, 8 * items),
        "int64": windows_of(signed.astype("<i8").tobytes(), 8, 8 * items),
        "int32": windows_of(signed.astype("<i4").tobytes(), 4, 4 * items),
        "words": windows_of(masked.tobytes(), 8, 8 * items),
        "packed": windows_of(bits.pack(masked, ring, threads=1).tobytes(), ring, items * ring // 8),
    }


def weight_forms(plan: Plan) -> dict[str, list[bytes]]:
    """Windows of every weight matrix of the plan, by form."""
    assert plan.graph is not None
    nodes = {node.id: node for node in plan.graph.nodes}
    out: dict[str, list[bytes]] = {}
    for (site, name), words in integer_weights(plan).items():
        if name != "weight":
            continue
        step = plan.steps[site]
        values = plan.graph.weights[nodes[step.node].weights["weight"]]
        for form, listed in forms(values, words, plan.wires[site].ring).items():
            out.setdefault(form, []).extend(listed)
    return out


def image_forms(plan: Plan) -> dict[str, list[bytes]]:
    """Windows of the input images, by form: four rows each, which white edges do not make common."""
    images = load_sample(IMAGES).images
    wire = next(iter(plan.inputs.values()))
    values = images / 16
    words = np.rint(values * float(wire.scale)).astype(np.int64).view(np.uint64)
    return {"pixels": windows_of(images.tobytes(), 8, 32), **forms(values, words, wire.ring, items=32)}


def test_the_search_finds_every_form(ran: Ran, tmp_path: Path) -> None:
    words = next(w for (_, name), w in integer_weights(ran.plan).items() if name == "weight" and w.size > 1000)
    masked = words & np.uint64((1 << 40) - 1)
    (tmp_path / "words").write_bytes(b"x" * 13 + masked.tobytes())
    (tmp_path / "packed").write_bytes(b"x" * 13 + bits.pack(masked, 40, threads=1).tobytes())
    listed = forms(words.view(np.int64) / 4096, words, 40)
    assert found(tmp_path, listed["words"]) == len(listed["words"]) >= 8
    assert found(tmp_path, listed["packed"]) == len(listed["packed"]) >= 8
    assert found(tmp_path, listed["float32"]) == 0


def test_weights_lie_in_the_servers_home_alone(ran: Ran) -> None:
    listed = weight_forms(ran.plan)
    assert all(len(windows) >= 40 for windows in listed.values())
    owned = max(found(ran.homes.of("server"), listed[form]) for form in ("float32", "float64"))
    assert owned >= 40  # the same search finds them where they belong
    for form, windows in listed.items():
        assert found(ran.homes.of("client"), windows) == 0, form
        assert found(ran.homes.of("dealer"), windows) == 0, form


def test_images_lie_in_the_clients_home_alone(ran: Ran) -> None:
    listed = image_forms(ran.plan)
    assert found(ran.homes.of("client"), listed["pixels"]) == len(listed["pixels"]) >= 8
    assert all(len(windows) >= 8 for windows in listed.values())
    for form, windows in listed.items():
        assert found(ran.homes.of("server"), windows) == 0, form
        assert found(ran.homes.of("dealer"), windows) == 0, form


def test_predictions_lie_in_the_clients_home_alone(ran: Ran) -> None:
    windows = windows_of(np.load(ran.homes.of("client") / "logits.npy").tobytes(), 80)
    assert found(ran.homes.of("client"), windows) == len(windows) >= 8
    assert found(ran.homes.of("server"), windows) == found(ran.homes.of("dealer"), windows) == 0


def test_both_halves_of_the_weights_never_lie_together(ran: Ran) -> None:
    """The client's D and the dealer's A give the weights; neither home has the other's half, nor the seed of it."""
    plan = ran.plan.public()
    client, dealer = Home(ran.homes.of("client")), Home(ran.homes.of("dealer"))
    kept = next(r for r in client.registrations().list() if r.kind == "weights")
    seeds = next(r for r in dealer.registrations().list() if r.kind == "seed")
    assert seeds.id == registration_for("seed", plan, seeds.peer).id
    seed = bytes(dealer.registrations().seed(seeds))
    matrices, weights = material.matrices(plan, Seed(seed)), integer_weights(ran.plan)
    assert found(ran.homes.of("dealer"), [seed]) == 1
    assert found(ran.homes.of("client"), [seed]) == 0
    for (site, name), matrix in matrices.items():
        ring = plan.wires[site].ring
        packed = bytes(client.registrations().load_part(kept.id, part_name(site)))
        together = bits.unpack(np.frombuffer(packed, np.uint8), ring, matrix.shape, threads=1) + matrix
        assert np.array_equal((together - weights[site, name]) << np.uint64(64 - ring), np.zeros_like(matrix))
        halves = windows_of(packed, ring)
        assert found(ran.homes.of("client"), halves) == len(halves)
        assert found(ran.homes.of("dealer"), halves) == 0
        assert found(ran.homes.of("client"), windows_of(bits.pack(matrix, ring, threads=1).tobytes(), ring)) == 0
        assert found(ran.homes.of("client"), windows_of(matrix.tobytes(), 8)) == 0


# The client's environment.


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after `statement`."""
    code = f"{statement}\nimport sys, json; print(json.dumps(sorted(n for n in sys.modules if '.' not in n)))"
    return set(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout))


def test_the_client_runs_without_torch() -> None:
    names = loaded_by("import tacit, tacit.service.client, tacit.cli._demo_client")
    assert "tacit" in names
    assert not names & {"torch", "onnx", "sklearn", "matplotlib", "scipy"}


def test_importing_tacit_loads_next_to_nothing() -> None:
    assert not loaded_by("import tacit") & {"numpy", "msgspec", "safetensors", "cryptography", "typer", "rich", "torch"}


# Ways to fail.


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--images", "0"], "--images must be from 1 to 500"),
        (["--images", "501"], "--images must be from 1 to 500"),
        (["--link", "avian"], "'avian' is not a link"),
        (["--keep", "."], "is not empty"),
    ],
)
def test_wrong_options_are_one_sentence(tmp_path: Path, options: list[str], says: str) -> None:
    (tmp_path / "mine").write_text("kept")
    done = subprocess.run([*COMMAND, *options], check=False, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(("party", "file"), [("server", "digits.tacit"), ("client", "digits.public.tacit")])
def test_a_party_that_dies_is_named_with_its_last_line(tmp_path: Path, party: str, file: str) -> None:
    homes = make_homes(tmp_path / "homes", load_sample(5))
    damaged = homes.of(party) / file
    damaged.write_bytes(damaged.read_bytes()[:1000])
    with pytest.raises(ChannelError, match=rf"demo's {party} stopped with status 1: .* is not a complete \.tacit file"):
        run_parties(homes, parse_link("loopback").name, lambda _: None)
    assert not processes(tmp_path)


def processes(folder: Path) -> list[str]:
    """The command lines of running processes that name `folder`."""
    listed = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # gone meanwhile
        if str(folder) in line and "_demo_" in line:
            listed.append(line)
    return listed


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_stopping_ends_every_process_and_cleans_up(tmp_path: Path, sent: signal.Signals) -> None:
    running = subprocess.Popen(
        [*COMMAND, "--picture", str(tmp_path / "it.png")],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while len(processes(tmp_path)) < 3 and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(sent)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert said.decode().strip() == "interrupted; all parties are stopped"
    assert not processes(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_prediction_beyond_the_margin_fails_the_command(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = dict.fromkeys(("register", "deal", "prime", "claim", "online"), 0.5)
    measured = Measured(1, stages, {"register": 1, "deal": 2, "prime": 3}, 10, 20, 5)
    verdict = Verdict(20, 0.9, 0.95, 0.95, 0.5, 1e-2, (7,))
    outcome = demo.Outcome(ran.plan.public(), "loopback", measured, Metered(4, 0.25), verdict, 1.0, tmp_path / "it.png")
    monkeypatch.setattr(demo, "_run", lambda *_: outcome)
    with pytest.raises(typer.Exit) as stop:
        demo.command(images=20, as_json=True, link="loopback", keep=tmp_path, picture=tmp_path / "it.png")
    assert stop.value.exit_code == 1
    written = capsys.readouterr()
    assert json.loads(written.out)["within_margin"] is False
    assert "images: 7" in written.err
