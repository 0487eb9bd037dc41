"""The whole search on a small net: its files, going on after an interruption, and folders of other searches."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tacit
from tacit.codesign.data.sets import Data, Subset
from tacit.codesign.frontier import Point, read
from tacit.codesign.search import run as module
from tacit.codesign.search.additive import Additive
from tacit.codesign.search.run import Found, Settings, pick, prepare, search
from tacit.codesign.training.recipe import Recipe
from tacit.errors import InvalidInput
from tacit.plan.policy import Policy

CHOICES = ("exact", "identity")
RECIPE = Recipe(epochs=2, lr=0.02, batch=32, warmup_epochs=0, threads=1, augment=False, device="cpu")
SETTINGS = Settings(
    points=2, examples=60, recipe=RECIPE, policy=Policy(input_bits=11), link="wan", links=("lan",), choices=CHOICES
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("search")


@pytest.fixture(scope="module")
def found(net: nn.Module, digits: Data, folder: Path) -> Found:
    """A search that was interrupted before its second point was trained, and went on."""
    real, calls = module.fine_tune, []

    def once(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "fine_tune", once)
        with pytest.raises(KeyboardInterrupt):
            search(net, digits, folder, SETTINGS, progress=False)
        assert (folder / "point-01" / "point.json").exists()
        made = search(net, digits, folder, SETTINGS, progress=False)
    assert len(calls) == 3  # the first point was kept
    return made


def test_points_are_trained_billed_and_exported(found: Found, folder: Path) -> None:
    first, *others = found.points
    assert first.name == "as it is"
    assert len(others) == 2
    for point in found.points:
        assert set(point.seconds) == {"wan", "lan"}
        assert point.activations == point.detail["exact"] + point.detail["poly"]
    for point in others:
        assert point.seconds["wan"] < first.seconds["wan"]
        assert point.detail["certified"] == ("file" in point.detail)
        if "file" in point.detail:
            plan = tacit.load(point.detail["file"])
            assert plan.bill("wan").seconds() == pytest.approx(point.seconds["wan"])
    assert read(folder / "frontier.json") == found.points
    assert {"frontier-wan.png", "frontier-lan.png", "search.json", "costs.json"} <= {f.name for f in folder.iterdir()}


def test_a_finished_search_is_read_and_not_made_again(
    found: Found, net: nn.Module, digits: Data, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("done already")

    for name in ("fine_tune", "fit_additive", "refined", "point_of"):
        monkeypatch.setattr(module, name, never)
    assert search(net, digits, folder, SETTINGS, progress=False).points == found.points


def test_the_folder_of_another_search_is_refused(found: Found, net: nn.Module, digits: Data, folder: Path) -> None:
    with pytest.raises(InvalidInput, match="another settings"):
        search(net, digits, folder, replace(SETTINGS, points=3), progress=False)
    with torch.no_grad():
        other = json.loads((folder / "search.json").read_text("utf-8"))
    assert other["data"]["name"] == digits.name


@pytest.mark.parametrize("name", ["search", "costs", "sensitivity", "choices"])
@pytest.mark.parametrize("text", ["[3]", "7", '{"a": 1}', "null", "{"])
def test_wrong_files_are_named(
    found: Found, net: nn.Module, digits: Data, folder: Path, tmp_path: Path, name: str, text: str
) -> None:
    for file in folder.glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / f"{name}.json").write_text(text, "utf-8")
    with pytest.raises(InvalidInput, match=f"{name}.json is damaged" if name != "search" else "search"):
        prepare(net, digits, tmp_path, SETTINGS)


def test_budgets_are_met_by_the_choice(net: nn.Module, digits: Data, found: Found, folder: Path) -> None:
    ready = prepare(net, digits, folder, SETTINGS)
    with pytest.raises(InvalidInput, match="no choice costs as little"):
        pick(ready, replace(SETTINGS, budgets=(ready.front[0].cost / 2,)))
    budgets = [ready.front[0].cost * factor for factor in (1.0, 1.2)]
    made = pick(ready, replace(SETTINGS, budgets=tuple(budgets)))
    for chosen, budget in zip(made, budgets, strict=False):
        assert ready.costs.seconds(chosen.assignment, "wan") == pytest.approx(chosen.cost)
        assert chosen.cost <= budget


def test_points_that_are_not_certified_are_not_recommended() -> None:
    best = Point("best", 0.9, 10, {"wan": 0.1}, {"certified": False})
    points = (Point("as it is", 0.9, 100, {"wan": 1.0}), best, Point("other", 0.895, 20, {"wan": 0.5}))
    result = Found(points, Additive(0.0, {}, 0.0, 0.0, 1), Settings(link="wan"))
    assert [p.name for p in result.front] == ["other", "as it is"]
    assert result.within(0.01).name == "other"
    assert result.within(0.001).name == "as it is"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"points": 0}, "one point"),
        ({"examples": 0}, "one point and one example"),
        ({"budgets": (0.0,)}, "above 0 seconds"),
        ({"phase": "never"}, '"online" or "whole"'),
        ({"link": "moon"}, "is not a link"),
        ({"recipe": RECIPE.replace(epochs=1)}, "two epochs"),
        ({"choices": ("exact",)}, "and another choice"),
        ({"choices": ("exact", "poly9")}, "no choice for a site"),
    ],
)
def test_settings_that_make_no_sense(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        Settings(**changes)


@pytest.mark.parametrize("broken", [lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10))])
def test_a_model_without_activations(broken: Callable[[], nn.Module], digits: Data, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no activation"):
        search(broken(), digits, tmp_path, SETTINGS, progress=False)
    assert not list(tmp_path.iterdir())


def test_a_model_of_other_classes(digits: Data, tmp_path: Path) -> None:
    wrong = nn.Sequential(nn.Flatten(), nn.Linear(64, 7), nn.ReLU())
    with pytest.raises(InvalidInput, match="10 classes"):
        search(wrong, digits, tmp_path, SETTINGS, progress=False)


def test_what_cannot_run_claims_no_folder(net: nn.Module, digits: Data, tmp_path: Path) -> None:
    absent = replace(SETTINGS, recipe=SETTINGS.recipe.replace(device="cuda:99"))
    with pytest.raises(InvalidInput, match="cuda:99"):
        prepare(net, digits, tmp_path / "a", absent)
    none = Subset(digits.test, torch.zeros(0, dtype=torch.int64))
    for splits, title in (((none, digits.test), "held-out"), ((digits.held_out, none), "test")):
        with pytest.raises(InvalidInput, match=f"no {title} examples"):
            prepare(net, Data("d", digits.train, *splits, digits.mean, digits.std), tmp_path / "a", SETTINGS)
    assert not (tmp_path / "a").exists()
