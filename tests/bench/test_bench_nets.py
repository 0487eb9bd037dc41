"""Small trials as the benchmark runs them: three processes, every phase, bytes as billed; and what is resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from torch import nn

from tacit.plan.cost import Rates

Load = Callable[[str], ModuleType]
MACHINE = {"cpu": "a processor", "cores_used": 2, "tiers": ["portable"]}


@pytest.fixture
def tiny(load: Load, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a net with two activation layers and a pool, put beside the published ones."""
    models = load("lib.models")

    def make(style: Any) -> nn.Sequential:
        first = [nn.Conv2d(1, 4, 3), style.act(), style.halve(), nn.Conv2d(4, 8, 2), style.act()]
        return nn.Sequential(*first, nn.Flatten(), nn.Linear(8 * 4, 10))

    monkeypatch.setitem(models.NETS, "tiny", models.Net(make, (1, 8, 8)))
    return "tiny"


def options(load: Load, folder: Path, **more: Any) -> Any:
    return load("lib.cases").Options(2, Rates(), folder, print, **more)


@pytest.mark.slow
def test_quartic_over_loopback(load: Load, tmp_path: Path) -> None:
    subject = load("lib.subjects").prepare("lenet5", "quartic", "ring40")
    row = load("lib.cases").measure(subject, "loopback", options(load, tmp_path))
    assert (row["net"], row["activation"], row["policy"], row["rings"]) == ("lenet5", "quartic", "ring40", [40])
    assert row["activation_layers"] == 4
    assert row["online"]["one_way_steps"] == 10
    assert len(row["online"]["runs"]) == 2
    assert row["online"]["nrmse"] < 1e-3
    assert row["online"]["as_billed"]
    assert row["offline"]["as_billed"]
    assert row["offline_more"]["count"] == 6
    assert len(row["cold"]["runs"]) == 2
    assert row["cold"]["bytes"] == sum(row["material_bytes"].values())
    assert row["relus"] == 0
    assert not list(tmp_path.iterdir())


def test_relu_over_loopback(load: Load, tmp_path: Path, tiny: str) -> None:
    subjects = load("lib.subjects")
    subject = subjects.prepare(tiny, "relu", "ring32", inputs=6)
    row = load("lib.cases").measure(subject, "loopback", options(load, tmp_path))
    assert row["relus"] == 4 * 3 * 3 + 8 * 2 * 2  # the planner takes the maxima first
    assert row["comparisons"] == row["relus"] + 4 * 3 * 6 + 4 * 3 * 3
    assert row["rings"] == [32]
    assert 100 < row["key_bytes"]["client"] < row["key_bytes"]["server"] < 426
    assert row["online"]["as_billed"]
    assert row["offline"]["as_billed"]
    assert row["online"]["nrmse"] < 1e-2
    accuracy = subjects.simulated(subject, 1)
    assert accuracy["inputs"] == 6
    assert accuracy["nrmse"] < 1e-2


@pytest.mark.slow
def test_runs_are_fewer_where_material_is_large(load: Load, tmp_path: Path, tiny: str) -> None:
    subject = load("lib.subjects").prepare(tiny, "relu", "ring32")
    row = load("lib.cases").measure(subject, "loopback", options(load, tmp_path, disk=1))
    assert len(row["online"]["runs"]) == 1


def test_a_ring_that_is_too_narrow_is_said(
    load: Load, tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nets, said = load("nets"), list[str]()
    monkeypatch.setitem(load("lib.policies").POLICIES, "ring40", {"ring": 40, "input_bits": 24, "margin": 4096})
    results = nets.Results(tmp_path / "nets.json", {})
    given = load("lib.cases").Options(1, Rates(), tmp_path, said.append)
    nets.run_ours({(tiny, "quartic", "ring40"): ["loopback"]}, 4, given, results)
    assert results.nets == []
    assert "tiny quartic ring40: this model cannot be run" in said[0]


def test_resume_keeps_what_is_measured(load: Load, tmp_path: Path) -> None:
    nets, peers = load("nets"), load("lib.peers")
    about = {"machine": MACHINE, "settings": {"runs": 5}}
    case = {"net": "lenet5", "activation": "relu", "policy": "auto", "link": "wan"}
    peer = {"system": "CrypTen", "net": "lenet5", "activation": "relu", "link": "loopback", "part": "offline"}
    first = nets.Results(tmp_path / "nets.json", {**about, "rates": {"macs": 1.0}})
    first.add(nets=[case], peers=[{**peer, "seconds": 1.0}, {**peer, "part": "online", "failed": "why"}])
    again = nets.Results(tmp_path / "nets.json", dict(about))
    again.resume()
    assert again.has("lenet5", "relu", "auto", "wan")
    assert not again.has("lenet5", "relu", "auto", "lan")
    assert again.about["rates"] == {"macs": 1.0}
    split = peers.Case("CrypTen", "lenet5", "relu", "loopback", "split")
    assert not again.has_peer(split)
    again.add(peers=[{**peer, "part": "online", "seconds": 2.0}])
    assert again.has_peer(split)
    assert len(json.loads((tmp_path / "nets.json").read_text())["peers"]) == 2


@pytest.mark.parametrize("other", [{"machine": {**MACHINE, "cpu": "another"}}, {"settings": {"runs": 6}}])
def test_resume_refuses_another_machine_and_method(load: Load, tmp_path: Path, other: dict[str, Any]) -> None:
    nets = load("nets")
    about = {"machine": MACHINE, "settings": {"runs": 5}}
    nets.Results(tmp_path / "nets.json", {**about, "rates": {}}).add()
    with pytest.raises(SystemExit, match="measured with"):
        nets.Results(tmp_path / "nets.json", {**about, **other}).resume()


def test_a_party_that_fails_is_named(load: Load, tmp_path: Path) -> None:
    trial = load("lib.trial")
    missing = trial.Trial(tmp_path, tmp_path / "absent.tacit")
    with pytest.raises(trial.TrialFailed, match=r"server stopped: .*absent\.tacit"):
        missing.run("loopback", bundles=1)


def test_peers_that_are_not_installed_are_left_out(load: Load, tmp_path: Path) -> None:
    peers = load("lib.peers")
    both = ["relu", "quartic"]
    assert peers.cases(tmp_path, ["lenet5"], ["loopback"], both) == []
    assert peers.relu_cases(tmp_path, [20]) == []
    (tmp_path / "cry/bin").mkdir(parents=True)
    (tmp_path / "cry/bin/python").touch()
    found: list[Any] = peers.cases(tmp_path, ["lenet5", "resnet50", "resnet110"], ["loopback", "wan"], both)
    assert {case.system for case in found} == {"CrypTen"}
    assert {(case.net, case.link) for case in found} == {
        ("lenet5", "loopback"),
        ("lenet5", "wan"),
        ("resnet50", "loopback"),
    }
    assert {case.work for case in found if case.net == "lenet5"} == {"net:lenet5:relu", "net:lenet5:poly4"}
    assert {case.work for case in peers.relu_cases(tmp_path, [16, 20])} == {"relu16", "relu20"}
