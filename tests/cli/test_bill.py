"""`tacit bill`: the plan's own figures, in tables that fit and in stable JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from tacit.plan.cost import Rates, save_rates
from tacit.plan.save import load_plan, save_public

from .conftest import Files, one_sentence, save_onnx

Cli = Callable[..., Any]


@pytest.mark.parametrize("network", ["loopback", "wan", "100mbit/40ms"])
def test_json_is_the_bill(cli: Cli, files: Files, network: str) -> None:
    reports = [
        json.loads(cli("bill", path, "--network", network, "--json").stdout) for path in (files.owner, files.public)
    ]
    plan = load_plan(files.public)
    assert reports[0] == reports[1]
    own = {"plan": plan.digest, "trust": "dealer", "disclosure": plan.disclosure.lines()}
    assert reports[0] == {**plan.bill(network).data(), **own}


def test_tables_fit_and_have_the_totals(cli: Cli, files: Files) -> None:
    result = cli("bill", files.public, "--network", "lan")
    bill = load_plan(files.public).bill("lan")
    assert result.exit_code == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 100
    total = next(line for line in result.stdout.splitlines() if line.strip().startswith("total"))
    for figure in (bill.turns, bill.sent("online", 0), bill.sent("online", 1), bill.stored(0) + bill.stored(1)):
        assert f"{figure:,}" in total.split()
    for phase in ("register", "deal", "prime", "online"):
        assert any(line.strip().startswith(phase) for line in result.stdout.splitlines())
    flat = " ".join(result.stdout.split())
    for sentence in load_plan(files.public).disclosure.lines():
        assert sentence in flat


def test_rates_change_the_prediction(cli: Cli, files: Files, tmp_path: Path) -> None:
    save_rates(Rates(per_message=1.0), tmp_path / "rates.json")
    line = ["bill", files.public, "--json"]
    slow = json.loads(cli(*line, "--rates", tmp_path / "rates.json").stdout)["predicted_seconds"]
    messages = len(load_plan(files.public).bill().messages("online"))
    quick = json.loads(cli(*line).stdout)["predicted_seconds"]
    assert slow == pytest.approx(quick + messages, rel=1e-3)


def test_tables_of_a_large_model_fit(cli: Cli, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["h"], pads=[1, 1, 1, 1], name="a_layer_with_a_very_long_name_1"),
        helper.make_node("Mul", ["h", "h"], ["a"], name="a_layer_with_a_very_long_name_2"),
        helper.make_node("Conv", ["a", "w2"], ["y"]),
    ]
    weights = {"w1": np.ones((64, 3, 3, 3)), "w2": np.ones((1, 64, 1, 1)) / 1024}
    path = save_onnx(tmp_path / "m.onnx", nodes, weights, [1, 3, 64, 64], [1, 1, 64, 64])
    np.save(tmp_path / "x.npy", np.ones((1, 3, 64, 64)))
    owner = tmp_path / "n.tacit"
    compiled = cli("compile", path, "--example", tmp_path / "x.npy", "-o", owner, "--ring", 64)
    assert compiled.exit_code == 0, compiled.stderr
    lines = cli("bill", owner, "--network", "wan").stdout.splitlines()
    assert max(map(len, lines)) <= 100
    bill = load_plan(owner).bill()
    total = next(line for line in lines if line.strip().startswith("total"))
    assert f"{bill.sent('online', 1) / 1e6:.2f}M" in total.split()
    assert f"{(bill.stored(0) + bill.stored(1)) / 1e6:.2f}M" in total.split()


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_truncated_file(cli: Cli, files: Files, tmp_path: Path, keep: int) -> None:
    cut = tmp_path / "cut.tacit"
    cut.write_bytes(files.owner.read_bytes()[:keep])
    one_sentence(cli("bill", cut), "cut.tacit", "not a complete .tacit file")


def test_other_bad_files(cli: Cli, files: Files, tmp_path: Path) -> None:
    one_sentence(cli("bill", tmp_path / "none.tacit"), "there is no file")
    altered = tmp_path / "altered.tacit"
    altered.write_bytes(files.public.read_bytes().replace(b'\\"margin\\":4.0', b'\\"margin\\":9.0'))
    assert altered.read_bytes() != files.public.read_bytes()
    one_sentence(cli("bill", altered), "was altered")
    one_sentence(cli("bill", files.public, "--network", "fast"), "'fast' is not a link")
    (tmp_path / "rates.json").write_text("[1]")
    one_sentence(cli("bill", files.public, "--rates", tmp_path / "rates.json"), "rates.json")


def test_names_from_others_cannot_command_the_terminal(cli: Cli, files: Files, tmp_path: Path) -> None:
    plan = load_plan(files.public)
    steps = tuple(replace(step, node="\x1b[2J" + step.node) for step in plan.steps)
    save_public(replace(plan, steps=steps), tmp_path / "rude.tacit")
    result = cli("bill", tmp_path / "rude.tacit")
    assert result.exit_code == 0, result.stderr
    assert "[2J" in result.stdout
    assert "\x1b" not in result.stdout
