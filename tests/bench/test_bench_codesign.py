"""The results of co-design at toy size: every line trained, certified, run privately, timed, resumed and written up."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from tacit.plan.cost import Rates

Load = Callable[[str], ModuleType]
ABOUT = {"machine": {"cpu": "a processor", "cores_used": 2, "tiers": ["portable"], "date": "today"}, "rates": {}}


def tiny(scale: Any, classes: int) -> nn.Module:
    first = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*first, nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(32, classes))


@pytest.fixture
def case(load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    lines = load("lib.codesign_lines")
    torch.set_num_threads(1)
    monkeypatch.setitem(lines.NETS, "resnet18", tiny)
    scale = replace(lines.SMALL, size=8, examples=400, epochs={"resnet18": 10}, lr={"resnet18": 0.2}, threads=1)
    made = lines.case("resnet18", "digits", 1, scale, tmp_path / "runs")
    return replace(made, progress=False)


def test_lines_are_trained_certified_written_up_and_resumed(load: Load, case: Any, tmp_path: Path) -> None:
    bench = load("codesign")
    book = bench.Book(tmp_path / "codesign.json", dict(ABOUT))
    measures = bench.Measures(0, (), (), 0, Rates())
    said: list[str] = []
    bench.run([case], ["fine-tuned"], book, measures, said.append)
    assert [row["name"] for row in book.rows] == ["fine-tuned"]  # ReLU is trained for it, and not asked for
    bench.run([case], ["relu", "fine-tuned"], book, measures, said.append)
    rows = {row["name"]: row for row in book.rows}
    assert rows["relu"]["test"]["top1"] > 0.7
    assert (rows["relu"]["ranges"], rows["fine-tuned"]["epochs"]) == (None, 2)
    assert rows["fine-tuned"]["ranges"]["holds"]
    text = load("lib.codesign_page").page(json.loads(book.out.read_text("utf-8")))
    for part in ("| resnet18 | fine-tuned | 1 | 2 |", "| fine-tuned below ReLU (resnet18, digits, small) |"):
        assert part in text

    again = bench.Book(book.out, dict(ABOUT))
    again.resume()
    told = len(said)
    bench.run([case], list(rows), again, measures, said.append)
    assert len(said) == told
    assert again.rows == book.rows


@pytest.mark.slow
def test_every_line_runs_privately_and_is_timed(load: Load, case: Any, tmp_path: Path) -> None:
    bench = load("codesign")
    book = bench.Book(tmp_path / "codesign.json", dict(ABOUT))
    lines = ["relu", "naive", "pillar", "fine-tuned"]
    bench.run([case], lines, book, bench.Measures(50, ("loopback",), (1,), 2, Rates()), lambda _: None)
    rows = {row["name"]: row for row in book.rows}
    assert list(rows) == lines
    assert rows["pillar"]["epochs"] == 10
    assert rows["naive"]["facts"]["swapped_top1"] < rows["relu"]["test"]["top1"]
    for name in ("relu", "fine-tuned"):
        private = rows[name]["private"]
        assert (private["images"], private["non_finite"]) == (50, 0)
        assert private["same_label"] >= 49
        assert rows[name]["latency"]["links"]["loopback"]["measured"] > 0
    assert rows["fine-tuned"]["latency"]["activations"] == {"poly": 8 * 64 + 8 * 4, "relu": 0}
    assert "loopback ms" in load("lib.codesign_page").page(json.loads(book.out.read_text("utf-8")))


@pytest.mark.parametrize(("net", "sites", "activations"), [("resnet18", 17, 557_056), ("vgg16", 15, 277_504)])
def test_the_nets_are_the_published_ones_and_free_to_scale(load: Load, net: str, sites: int, activations: int) -> None:
    lines = load("lib.codesign_lines")
    full = lines.NETS[net](lines.FULL, 10).eval()
    seen: list[int] = []
    for module in full.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda _, given, y: seen.append(y[0].numel()))
    with torch.no_grad():
        assert full(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    assert (len(seen), sum(seen)) == (sites, activations)
    small = lines.NETS[net](lines.SMALL, 10)
    freedom = load("tacit.codesign.finetune.freedom").Freedom(
        load("tacit.codesign.conversion").convert(small, torch.zeros(1, 3, 16, 16)).model, torch.zeros(2, 3, 16, 16)
    )
    assert len(freedom.sites) == sites
    assert not freedom.blocked


def test_lines_bring_what_they_need_and_only_certified_nets_run(load: Load, case: Any, tmp_path: Path) -> None:
    bench, lines = load("codesign"), load("lib.codesign_lines")
    assert bench._with_needs(["fine-tuned"]) == ["relu", "fine-tuned"]
    model = tiny(None, 10)
    bad = lines.Certificate((), 8.0, 0, 3, "", "")
    scores = lines.Scores(0.5, 1.0, 0, 10)
    assert lines.Made("a", model, 1, 1.0, scores).runnable
    assert not lines.Made("a", model, 1, 1.0, scores, None, bad).runnable
