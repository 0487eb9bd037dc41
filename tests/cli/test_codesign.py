"""`tacit codesign search` on a small net: what it writes and prints, and one sentence for each kind of bad input."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import tacit

CODE = """
import torch
from torch import nn

def net():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(16, 10),
    )

def plain():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

def colour():
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 10))

def seven():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 7))

array = [1, 2]
"""
QUICK = ("--data", "digits", "--examples", 200, "--held-out", 0.2, "--epochs", 2, "--batch", 32, "--device", "cpu")
CLI = Callable[..., Any]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "nets_of_this_test.py"
    path.write_text(CODE, "utf-8")
    return path


@pytest.mark.slow
def test_a_search_from_weights_to_plans(cli: CLI, code: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    scope: dict[str, Any] = {}
    exec(CODE, scope)
    state = scope["net"]().state_dict()
    save_file(state, tmp_path / "net.safetensors")
    (tmp_path / "policy.toml").write_text("input_bits = 11\n", "utf-8")  # which is not measured, then
    words = ("codesign", "search", f"{code}:net", "-o", tmp_path / "out", *QUICK, "--link", "wan", "--points", 1)
    words = (*words, "--policy", tmp_path / "policy.toml", "--choices", "exact,identity")
    result = cli(*words, "--weights", tmp_path / "net.safetensors", "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert set(told) == {"points", "front", "chosen", "additive_error", "folder"}
    assert {point["name"] for point in told["points"]} >= {"as it is", *told["front"], told["chosen"]}
    plans = [point["detail"]["file"] for point in told["points"] if "file" in point["detail"]]
    assert plans
    assert tacit.load(plans[0]).bill("wan").seconds() < told["points"][0]["seconds"]["wan"]
    assert (tmp_path / "out" / "frontier-wan.png").exists()
    shown = cli(*words, "--weights", tmp_path / "net.safetensors")  # goes on where it was: nothing is left to do
    assert shown.exit_code == 0, shown.stderr
    assert "as it is" in shown.stdout
    assert str(tmp_path / "out") in shown.stdout
    other = cli(*words, "--seed", 3, "--weights", tmp_path / "net.safetensors")
    assert other.exit_code == 1
    assert "holds a search with another" in other.stderr


@pytest.mark.parametrize(
    ("name", "more", "says"),
    [
        ("plain", (), "no activation"),
        ("seven", (), "10 classes"),
        ("colour", (), "cannot take digits's images"),
        ("net", ("--device", "cuda:7"), "cuda:7"),
        ("net", ("--data", "nothing"), "there is no data set 'nothing'"),
        ("net", ("--link", "moon"), "is not a link"),
        ("net", ("--choices", "exact,cubic"), "'cubic' is no choice"),
        ("net", ("--points", 0), "one point"),
        ("net", ("--drop", 200), "points of a hundred"),
        ("net", ("--epochs", 0), "epochs"),
        ("net", ("--held-out", 0), "no held-out examples"),
        ("net", ("--weights", "nowhere.safetensors"), "no file nowhere.safetensors"),
        ("array", (), "not a torch.nn.Module"),
        ("missing", (), "has no 'missing'"),
    ],
)
def test_bad_input_is_one_sentence(
    cli: CLI, code: Path, tmp_path: Path, name: str, more: tuple[Any, ...], says: str
) -> None:
    result = cli("codesign", "search", f"{code}:{name}", "-o", tmp_path / "out", *QUICK, *more)
    assert result.exit_code == 1, result.stdout
    assert says in " ".join(result.stderr.split())
    assert len(result.stderr.strip().splitlines()) == 1


def test_models_that_cannot_be_trained(cli: CLI, code: Path, tmp_path: Path) -> None:
    result = cli("codesign", "search", "model.onnx", "-o", tmp_path / "out", *QUICK)
    assert "cannot be trained" in result.stderr
    (tmp_path / "broken.pth").write_bytes(b"nothing")
    damaged = cli("codesign", "search", f"{code}:net", "-o", tmp_path, *QUICK, "--weights", tmp_path / "broken.pth")
    assert "holds no weights" in damaged.stderr
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    other = cli(
        "codesign", "search", f"{code}:net", "-o", tmp_path, *QUICK, "--weights", tmp_path / "other.safetensors"
    )
    assert "are not those of" in other.stderr
    assert {damaged.exit_code, other.exit_code, result.exit_code} == {1}
