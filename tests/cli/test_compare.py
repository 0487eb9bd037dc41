"""`tacit compare`: tables, JSON, a picture and an exit status that says whether anything drifts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from .conftest import Files, Tiny, one_sentence, save_onnx

Cli = Callable[..., Any]

KEYS = {"drifts", "first", "alarms", "inputs", "outputs", "limit", "examples", "layers"}
RUNG = {"nrmse", "max_error", "sign_flips", "own_nrmse", "saturated", "unexplained", "broken"}


def altered(tiny: Tiny, folder: Path) -> Path:
    """The tiny model with its second weight 2 % too large."""
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
        helper.make_node("Mul", ["h", "h"], ["a"]),
        helper.make_node("MatMul", ["a", "w2"], ["y"]),
    ]
    tensors = {"w1": tiny.first, "b1": tiny.bias, "w2": 1.02 * tiny.second}
    return save_onnx(folder / "altered.onnx", nodes, tensors, [1, 4], [1, 3])


@pytest.mark.parametrize("compiled", [False, True])
def test_a_healthy_model(cli: Cli, files: Files, compiled: bool) -> None:
    model = files.owner if compiled else files.tiny.path
    result = cli("compare", model, files.tiny.calibration, "--reference", files.tiny.path, "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert set(report) == KEYS
    assert (report["drifts"], report["first"], report["alarms"], report["examples"]) == (False, None, [], 4)
    for layer in report["layers"]:
        assert set(layer["rungs"]) == {"model", "fixed", "private"}
        assert all(set(rung) == RUNG for rung in layer["rungs"].values())
        assert layer["rungs"]["private"]["nrmse"] < 1e-3


def test_a_drift_is_named_and_drawn(cli: Cli, files: Files, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    bad = altered(files.tiny, tmp_path)
    line = ["compare", bad, files.tiny.calibration, "--reference", files.tiny.path, "--plot", tmp_path / "p.png"]
    result = cli(*line)
    assert result.exit_code == 1
    assert "1.02 times the reference's" in " ".join(result.stdout.split())
    assert max(map(len, result.stdout.splitlines())) <= 100
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads(cli(*line, "--json", "--no-private").stdout)
    assert report["first"]["layer"] == report["layers"][-1]["layer"]
    assert (report["first"]["rung"], report["first"]["kind"]) == ("model", "differs")
    assert all("private" not in layer["rungs"] for layer in report["layers"])


def test_reference_data(cli: Cli, files: Files, tmp_path: Path) -> None:
    x = np.load(files.tiny.calibration)
    np.save(tmp_path / "raw.npy", 3 * x + 1)
    np.save(tmp_path / "y.npy", files.tiny.clear(x))
    line = ["compare", files.owner, files.tiny.calibration, "--json", "--reference-outputs", tmp_path / "y.npy"]
    assert cli(*line).exit_code == 0
    report = json.loads(cli(*line, "--reference-inputs", tmp_path / "raw.npy").stdout)
    assert [a["kind"] for a in report["inputs"]] == ["normalisation"]
    assert "x * 3 + 1" in report["inputs"][0]["fix"]
    np.save(tmp_path / "y.npy", files.tiny.clear(x) * 1.01)
    report = json.loads(cli(*line).stdout)
    assert report["first"]["kind"] == "outputs"


def test_inputs_beyond_the_range_are_counted_not_refused(cli: Cli, files: Files, tmp_path: Path) -> None:
    np.save(tmp_path / "large.npy", 50 * np.load(files.tiny.calibration))
    report = json.loads(cli("compare", files.owner, tmp_path / "large.npy", "--json").stdout)
    assert report["first"]["kind"] == "saturation"
    assert report["first"]["layer"] == report["layers"][0]["layer"]


def test_wrong_use(cli: Cli, files: Files, tmp_path: Path) -> None:
    data = files.tiny.calibration
    one_sentence(cli("compare", files.public, data), "owner's plan")
    one_sentence(cli("compare", files.owner, tmp_path / "no.npy"), "no.npy")
    np.save(tmp_path / "five.npy", np.ones((4, 5)))
    one_sentence(cli("compare", files.owner, tmp_path / "five.npy"), "(4, 5)", "(1, 4)")
    np.save(tmp_path / "y.npy", np.ones((4, 7)))
    one_sentence(cli("compare", files.owner, data, "--reference-outputs", tmp_path / "y.npy"), "reference outputs")
    one_sentence(cli("compare", files.owner, data, "--plot", "/nowhere/p.png"), "cannot write")
    assert cli("compare", files.owner).exit_code == 2
