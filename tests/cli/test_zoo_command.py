"""`tacit zoo`: the list without torch, a net compiled with made and with published weights, wrong lines refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tacit import zoo
from tacit.errors import InvalidInput
from tacit.plan.save import load_plan
from tacit.zoo.bills import expected

from .conftest import one_sentence

Cli = Callable[..., Any]


def test_the_list_has_every_net_and_its_paper(cli: Cli) -> None:
    result = cli("zoo")
    assert result.exit_code == 0, result.stderr
    for name in zoo.names():
        assert f"\n {name} " in result.stdout
        assert f"\n{name}: " in result.stdout
    for shown in ("61.7k", "138M", "He, Zhang, Ren and Sun", "LeCun"):
        assert shown in result.stdout


def test_json_has_the_facts_and_seconds(cli: Cli) -> None:
    nets = json.loads(cli("zoo", "--json").stdout)["nets"]
    assert sorted(nets) == zoo.names()
    row = nets["lenet5"]
    assert (row["parameters"], row["inputs"]) == (61_706, [[1, 1, 28, 28]])
    assert row["turns"] == expected()["lenet5"].turns
    assert 0 < row["seconds"]["lan"] < row["seconds"]["wan"]
    assert list(json.loads(cli("zoo", "lenet5", "--json").stdout)["nets"]) == ["lenet5"]


def test_the_list_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from tacit.cli import application\n"
        "try: application(['zoo'])(['zoo', '--json'])\n"
        "except SystemExit as end: sys.exit(end.code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(json.loads(done.stdout)["nets"]) == zoo.names()


def test_without_torch_compiling_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "tacit.zoo.nets.lenet5", raising=False)
    with pytest.raises(InvalidInput, match="lenet5 is written in PyTorch, which is not installed"):
        zoo.load("lenet5")


def test_a_net_is_compiled(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "net.tacit"
    result = cli("zoo", "lenet5", "--out", out, "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert load_plan(out).digest == load_plan(tmp_path / "net.public.tacit").digest == report["plan"]
    assert report["files"] == {"owner": str(out), "public": str(tmp_path / "net.public.tacit")}
    assert 0 < report["predicted_seconds"]["lan"] < report["predicted_seconds"]["wan"]


def test_published_weights_and_a_policy(cli: Cli, tmp_path: Path) -> None:
    model = zoo.load("lenet5").published.model(seed=5)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    (tmp_path / "p.toml").write_text("ring = 40\ninput_bits = 12\n", "utf-8")
    line = ("zoo", "lenet5", "--weights", tmp_path / "w.pth", "--policy", tmp_path / "p.toml")
    result = cli(*line, "--out", tmp_path / "n.tacit")
    assert result.exit_code == 0, result.stderr
    assert "keep it" in result.stdout
    plan = load_plan(tmp_path / "n.tacit")
    assert {wire.ring for wire in plan.wires.values() if wire.ring > 1} == {40}
    assert plan.graph is not None
    biases = [array for array in plan.graph.weights.values() if array.shape == (84,)]
    assert any((array == model.fc2.bias.numpy()).all() for array in biases)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["lenet"], "there is no net 'lenet' in the zoo; there are "),
        (["lenet5", "--weights", "w.pth"], "say with --out where to write"),
        (["--out", "n.tacit"], "say which net to compile"),
        (["lenet5", "--out", "n.tacit", "--weights", "none.pth"], "there is no file none.pth"),
    ],
)
def test_wrong_lines(cli: Cli, line: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = cli("zoo", *line)
    one_sentence(result, says)
    assert not list(tmp_path.iterdir())
