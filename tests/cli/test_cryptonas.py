"""`tacit codesign cryptonas`: from a data set to a plan, resumed, and refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tacit.codesign.cryptonas.latency import Bills
from tacit.codesign.cryptonas.space import Cell, Space
from tacit.plan.save import load_plan

from .conftest import one_sentence

Cli = Callable[..., Any]

SMALL = ("--data", "digits", "--examples", 160, "--held-out", 0.2, "--layers", 3, "--search-width", 2)
SHORT = ("--epochs", 1, "--controller-steps", 1, "--retrain-epochs", 2, "--device", "cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(cli: Cli, out: Path, *words: object) -> dict[str, Any]:
    result = cli("codesign", "cryptonas", *SMALL, *SHORT, "--out", out, *words, "--json")
    assert result.exit_code == 0, result.stderr
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def test_a_relu_budget_to_a_plan(cli: Cli, tmp_path: Path) -> None:
    report = run(cli, tmp_path, "--relus", 3 * 64 * 3 + 5)
    assert (report["width"], report["relus"]) == (3, 3 * 64 * 3)
    assert report["budget"] == {"relus": 581}
    assert report["cell"] == report["candidates"][0]["cell"]
    assert json.loads((tmp_path / "report.json").read_text()) == report
    plan = load_plan(tmp_path / "net.tacit")
    assert plan.digest == load_plan(tmp_path / "net.public.tacit").digest == report["plan"]
    assert sum(row.evaluations for row in plan.bill().rows if "relu" in row.ops.split("+")) == report["relus"]
    assert report["predicted_seconds"]["lan"] == plan.bill("lan").seconds()
    assert (tmp_path / "net.safetensors").stat().st_size > 0
    again = run(cli, tmp_path, "--relus", 3 * 64 * 3 + 5)
    changing = ("plan", "train_seconds")  # a plan has a salt of its own
    assert {**again, **dict.fromkeys(changing)} == {**report, **dict.fromkeys(changing)}


def test_a_latency_budget_finds_the_width(cli: Cli, tmp_path: Path) -> None:
    """As wide as the budget allows, which is what a cell of all skips costs at width 3."""
    space, full = Space(3, 3, 8, channels=1), Cell.parse("conv3 conv3+0 conv3+0,1")
    limit = Bills(space).seconds(full)
    words = ("--seconds", limit, "--link", "lan", "--operations", "conv3,sep3", "--retrain-epochs", 0)
    report = run(cli, tmp_path, *words)
    assert all(candidate["seconds"] <= limit for candidate in report["candidates"])
    found = Cell.parse(report["cell"])
    wide, wider = (Bills(space.wide(report["width"] + more)).seconds(found) for more in (0, 1))
    assert report["width"] >= 3
    assert wide <= limit < wider
    assert not (tmp_path / "net.tacit").exists()


def test_the_table(cli: Cli, tmp_path: Path) -> None:
    result = cli("codesign", "cryptonas", *SMALL, *SHORT, "--out", tmp_path, "--relus", 400)
    assert result.exit_code == 0, result.stderr
    assert "on the test split" in result.stdout
    assert "width 2: 384 ReLUs" in result.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "one budget"),
        (("--relus", 400, "--seconds", 1), "one budget"),
        (("--seconds", 0), "positive"),
        (("--relus", 100), "too few"),
        (("--relus", 400, "--operations", "conv3,conv4"), "operations"),
        (("--relus", 400, "--layers", 4), "3, 6, 9"),
        (("--relus", 400, "--device", "cuda:9"), "cuda:9"),
        (("--relus", 400, "--size", 30), "divisible by 4"),
    ],
)
def test_what_is_refused(cli: Cli, tmp_path: Path, words: tuple[object, ...], said: str) -> None:
    one_sentence(cli("codesign", "cryptonas", *SMALL, *SHORT, "--out", tmp_path, *words), said)


def test_its_help_loads_no_torch() -> None:
    code = (
        "import sys; from tacit.cli import application\n"
        "try: application(['codesign'])(['codesign', 'cryptonas', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
