"""Trials by the loop and by Ray: the same results, kept and resumed; the trial that trains a cell."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tacit.codesign.cryptonas.retrain import retrain_trial
from tacit.codesign.cryptonas.trials import run_trials
from tacit.errors import InvalidFile, InvalidInput

CELL = "sep3 sep3+0 conv3"


def square(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """x^2, and a note of the run where a file is named; refuses negative numbers."""
    if configuration["x"] < 0:
        raise InvalidInput("x is negative")
    if "file" in configuration:
        with Path(configuration["file"]).open("a") as file:
            file.write(f"{configuration['x']}\n")
    return {"y": configuration["x"] ** 2}


def test_results_come_in_order() -> None:
    results = run_trials(square, [{"x": 3}, {"x": -1}, {"x": 2}], progress=False)
    assert [r.figures for r in results] == [{"y": 9}, None, {"y": 4}]
    assert [r.error for r in results] == [None, "x is negative", None]
    assert [r.configuration["x"] for r in results] == [3, -1, 2]


def test_finished_trials_are_kept(tmp_path: Path) -> None:
    notes, kept = tmp_path / "notes", tmp_path / "trials"
    first = [{"x": x, "file": str(notes)} for x in (1, 2)]
    run_trials(square, first, folder=kept, progress=False)
    more = [*first, {"x": 5, "file": str(notes)}]
    assert [r.figures for r in run_trials(square, more, folder=kept, progress=False)] == [{"y": 1}, {"y": 4}, {"y": 25}]
    assert notes.read_text() == "1\n2\n5\n"
    run_trials(square, first, folder=kept, resume=False, progress=False)
    assert notes.read_text() == "1\n2\n5\n1\n2\n"


def test_an_interruption_keeps_what_is_done(tmp_path: Path) -> None:
    def interrupted(configuration: Mapping[str, Any]) -> dict[str, Any]:
        if configuration["x"] == 2:
            raise KeyboardInterrupt
        return square(configuration)

    both = [{"x": 1}, {"x": 2}]
    with pytest.raises(KeyboardInterrupt):
        run_trials(interrupted, both, folder=tmp_path, progress=False)
    assert len(list(tmp_path.glob("trial-*.json"))) == 1
    assert [r.figures for r in run_trials(square, both, folder=tmp_path, progress=False)] == [{"y": 1}, {"y": 4}]


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="runner"):
        run_trials(square, [], runner="cloud", progress=False)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="the same"):
        run_trials(square, [{"x": 1}, {"x": 1}], progress=False)
    with pytest.raises(InvalidInput, match="JSON data"):
        run_trials(square, [{"x": {1, 2}}], progress=False)
    run_trials(square, [{"x": 1}], folder=tmp_path, progress=False)
    next(tmp_path.glob("trial-*.json")).write_text("{}")
    with pytest.raises(InvalidFile, match="delete it"):
        run_trials(square, [{"x": 1}], folder=tmp_path, progress=False)


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_message_says_what_to_install() -> None:
    with pytest.raises(InvalidInput, match=r"tacit\[ray\]"):
        run_trials(square, [{"x": 1}], runner="ray", progress=False)


def configuration(**changes: Any) -> dict[str, Any]:
    recipe = {"epochs": 2, "batch": 32, "threads": 1, "device": "cpu"}
    data = {"name": "digits", "examples": 160}
    return {"cell": CELL, "width": 2, "data": data, "recipe": recipe, "links": ["lan"], **changes}


def test_a_trial_trains_and_compiles_a_cell() -> None:
    figures = retrain_trial(configuration())
    assert json.loads(json.dumps(figures)) == figures
    assert figures["relus"] == 3 * 64 * 2
    assert 0 <= figures["top1"] <= 1
    assert 0 < figures["seconds"]["lan"] < 1
    with pytest.raises(InvalidInput, match="and not"):
        retrain_trial(configuration(widht=3))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_gives_what_the_loop_gives(tmp_path: Path) -> None:
    """Figures of real training runs agree, a failing trial is a result with its sentence, and results are kept."""
    asked = [configuration(), configuration(width=3), configuration(cell="conv9")]
    by_ray = run_trials(retrain_trial, asked, runner="ray", folder=tmp_path, resources={"cpu": 1})
    by_loop = run_trials(retrain_trial, asked, progress=False)
    for ray, loop in zip(by_ray[:2], by_loop[:2], strict=True):
        assert ray.figures is not None
        assert loop.figures is not None
        assert ray.figures["top1"] == loop.figures["top1"]
        assert ray.figures["relus"] == loop.figures["relus"]
    assert by_ray[2].figures is None
    assert by_loop[2].error is not None
    assert by_loop[2].error in str(by_ray[2].error)
    assert len(list(tmp_path.glob("trial-*.json"))) == 2
