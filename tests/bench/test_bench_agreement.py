"""The comparison of the zoo's nets: what it counts, that it resumes, and that it sees a disagreement."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

Load = Callable[[str], ModuleType]


def test_gap_counts_errors_and_labels(load: Load) -> None:
    gap = load("agreement").Gap()
    wanted = np.array([[1.0, 0.0, 3.0], [2.0, 1.999, 0.0]])
    gap.add(wanted + np.array([[0.0, 0.0, 0.5], [-0.5, 0.0, 0.0]]), wanted, 0.1)
    assert (gap.decisions, gap.clear, gap.same, gap.unequal) == (2, 1, 1, 1)
    assert gap.largest == 0.5
    assert gap.nrmse == pytest.approx(np.sqrt(0.5 / (wanted**2).sum()))


def test_signs_are_the_labels_of_a_single_channel(load: Load) -> None:
    gap = load("agreement").Gap()
    gap.add(np.array([[[1.0, -0.1, 5.0]]]), np.array([[[1.0, 0.1, 5.0]]]))
    assert (gap.decisions, gap.clear, gap.same, gap.unequal) == (3, 3, 2, 1)


def test_small_nets_agree_and_a_run_goes_on_where_it_was(load: Load, tmp_path: Path) -> None:
    script, out = load("agreement"), tmp_path / "agreement.json"
    common = ["--small", "--nets", "lenet5,autoencoder", "--out", str(out)]
    assert script.main([*common, "--inputs", "2", "--private", "1"]) == 0
    first = json.loads(out.read_text("utf-8"))["nets"]
    assert script.main([*common, "--inputs", "3", "--private", "1"]) == 0
    nets = json.loads(out.read_text("utf-8"))["nets"]
    assert {name: row["inputs"] for name, row in nets.items()} == {"autoencoder": 3, "lenet5": 3}
    assert all(row["private"] == first[name]["private"] for name, row in nets.items())
    assert all(row["outputs"][0]["squares"] > first[name]["outputs"][0]["squares"] for name, row in nets.items())


def test_a_disagreement_is_seen(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script, out = load("agreement"), tmp_path / "agreement.json"
    right = script.simulate

    def wrong(plan: object, *xs: object, **more: object) -> object:
        simulation = right(plan, *xs, **more)
        simulation.outputs[0][0, 0] += 0.25
        return simulation

    monkeypatch.setattr(script, "simulate", wrong)
    assert script.main(["--small", "--nets", "lenet5", "--out", str(out), "--inputs", "1"]) == 1


def test_the_page_has_a_line_for_every_net(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "tools"))
    text = importlib.import_module("zoo_page").page()
    results = Path(__file__).parents[2] / "bench" / "results" / "agreement.json"
    for name in json.loads(results.read_text("utf-8"))["nets"]:
        assert text.count(f"\n| {name} |") == 2
