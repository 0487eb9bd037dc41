"""One small trial as the benchmark runs it: three processes, every phase, bytes as billed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tacit.plan.cost import Rates

Load = Callable[[str], ModuleType]


def test_lenet_over_loopback(load: Load, tmp_path: Path) -> None:
    nets = load("nets")
    subject = nets.prepare("lenet5", "40")
    options = nets.Options(2, Rates(), tmp_path, print)
    row = nets.measure(subject, "loopback", options)
    assert row["rings"] == [40]
    assert row["activation_layers"] == 4
    assert row["online"]["one_way_steps"] == 10
    assert len(row["online"]["runs"]) == 2
    assert row["online"]["nrmse"] < 1e-3
    assert row["online"]["as_billed"]
    assert row["offline"]["as_billed"]
    assert row["offline_more"]["count"] == 3
    assert not list(tmp_path.iterdir())


def test_a_ring_that_is_too_narrow_is_said(load: Load, tmp_path: Path) -> None:
    nets = load("nets")
    said: list[str] = []
    assert not list(nets.run_ours("lenet5", ["32"], ["loopback"], nets.Options(1, Rates(), tmp_path, said.append)))
    assert "lenet5 32" in said[0]


def test_a_party_that_fails_is_named(load: Load, tmp_path: Path) -> None:
    trial = load("lib.trial")
    missing = trial.Trial(tmp_path, tmp_path / "absent.tacit")
    with pytest.raises(trial.TrialFailed, match=r"server stopped: .*absent\.tacit"):
        missing.run("loopback", bundles=1)


def test_peers_that_are_not_installed_are_left_out(load: Load, tmp_path: Path) -> None:
    peers = load("lib.peers")
    assert peers.cases(tmp_path, ["lenet5"], ["loopback"]) == []
    (tmp_path / "cry/bin").mkdir(parents=True)
    (tmp_path / "cry/bin/python").touch()
    found: list[Any] = peers.cases(tmp_path, ["lenet5", "resnet50", "resnet110"], ["loopback", "wan"])
    assert {case.system for case in found} == {"CrypTen"}
    assert {(case.net, case.link) for case in found} == {
        ("lenet5", "loopback"),
        ("lenet5", "wan"),
        ("resnet50", "loopback"),
    }
